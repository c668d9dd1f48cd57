//! Everything that must hold, on the real servers that `make stack` starts. One binary; tests share
//! nothing but the servers: each makes what it needs under a name of its own, so that all run side by side.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]

mod clickhouse;
mod kafka;
mod ledger;
mod support;
