//! What tests make for themselves on the real servers.

mod database;

pub use database::{TestDatabase, database, settings};
