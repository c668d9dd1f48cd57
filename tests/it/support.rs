//! What tests make for themselves on the real servers.

mod database;
mod kafka;
mod ledger;

pub use database::{TestDatabase, database, settings};
pub use kafka::{client, eventually, kafka, remove};
pub use ledger::{DEDUPE, forget, ledger, unique};
