//! Everything that must hold, on the real servers that `make stack` starts. One binary; tests share
//! nothing but the servers: each makes what it needs under a name of its own, so that all run side by side.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what a test's helpers cannot do ends the test"
)]

mod admin;
mod alerts;
mod api;
mod clickhouse;
mod dashboard;
mod docs;
mod hostile;
mod http;
mod kafka;
mod ledger;
mod load;
mod producers;
mod rebuild;
mod records;
mod service;
mod support;
