//! What Redis loses comes back from ClickHouse and the ledger topic, and nothing is decided before.

mod audit;
mod bugs;
mod checks;
mod marks;
mod random;
mod refusing;
mod service;
mod strangers;
mod world;
