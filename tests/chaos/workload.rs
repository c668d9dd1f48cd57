//! What producers and administrators do meanwhile, drawn by the seed. Every intent and every answer is kept: the
//! checks go by them.

mod client;
mod events;
mod requests;

pub use client::Client;
pub use events::{Published, identity, produce};
pub use requests::{Asked, administer, plan_all};

/// Tenants.
pub const WORKSPACES: usize = 16;
/// Users of each.
pub const USERS: usize = 6;

/// What each workspace begins with, in credits: every third has little, so that much is denied however long a run is.
fn pool_of(workspace: usize, minutes: u64) -> u64 {
    minutes * if workspace.is_multiple_of(3) { 120 } else { 1500 }
}

/// The limit of every user that has none of its own, in credits.
fn limit_of(minutes: u64) -> u64 {
    minutes * 60
}

/// The name of a workspace.
pub fn workspace(number: usize) -> String {
    format!("w-{number:02}")
}

/// The name of a user.
pub fn user(number: usize) -> String {
    format!("u{number}")
}
