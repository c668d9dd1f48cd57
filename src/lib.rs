//! Tollgate checks and debits every AI call against a workspace's credits.

pub mod app;
pub mod cli;
pub mod clickhouse;
pub mod config;
pub mod domain;
pub mod http;
pub mod kafka;
pub mod metrics;
pub mod pipeline;
pub mod redis;
pub mod simulate;
