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
/// What each workspace begins with, in credits; every third has little.
pub fn pool_of(workspace: usize) -> u64 {
    if workspace.is_multiple_of(3) { 500 } else { 4000 }
}
/// The limit of every user that has none of its own, in credits.
pub const LIMIT: u64 = 260;

/// The name of a workspace.
pub fn workspace(number: usize) -> String {
    format!("w-{number:02}")
}

/// The name of a user.
pub fn user(number: usize) -> String {
    format!("u{number}")
}
