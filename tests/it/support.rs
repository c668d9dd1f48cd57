//! What tests make for themselves on the real servers.

mod database;
mod ledger;

pub use database::{TestDatabase, database, settings};
pub use ledger::{DEDUPE, forget, ledger, unique};
