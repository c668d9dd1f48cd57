//! What tests make for themselves on the real servers.

mod database;
mod kafka;
mod ledger;
mod service;
mod topics;

pub use database::{TestDatabase, database, drop_database, settings};
pub use kafka::{client, eventually, kafka, remove};
pub use ledger::{DEDUPE, forget, ledger, unique};
pub use service::{Installation, Service};
pub use topics::{Watch, header};
