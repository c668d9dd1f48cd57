//! One binary on the real servers. Tests share nothing but the servers: each makes what it needs
//! under a name of its own.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]

mod clickhouse;
mod support;
