//! The story of a workspace of 70, against the running service.
use crate::config::Settings;
/// Plays the story.
pub async fn run(_settings: &Settings) -> anyhow::Result<()> {
    Ok(())
}
