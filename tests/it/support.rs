//! What tests make for themselves on the real servers.

mod api;
mod database;
mod installation;
mod kafka;
mod ledger;
mod topics;

pub use api::{Answer, Api};
pub use database::{TestDatabase, database, settings};
pub use installation::{Installation, Service, rows, until};
pub use kafka::{client, eventually, kafka, read_to_end, remove};
pub use ledger::{DEDUPE, Name, forget, ledger, ledger_of, redis, unique};
pub use topics::{Watch, header};
