//! One binary on the real servers. Tests share nothing but the servers: each makes what it needs
//! under a name of its own.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what a test's helpers cannot do ends the test"
)]

mod alerts;
mod clickhouse;
mod dashboard;
mod support;
