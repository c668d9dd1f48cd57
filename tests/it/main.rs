//! One binary on the real servers. Tests share nothing but the servers: each makes what it needs
//! under a name of its own.

mod clickhouse;
mod support;
