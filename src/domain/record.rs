//! What is written to the tables in one go, and what went to the dead letters.

use super::decision::Decision;
use super::event::{Header, Position, RejectReason};
use super::ledger::{Balance, PoolState, Rollup};
use super::period::Instant;

/// A record that is no event, on its way to the dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The one reason.
    pub reason: RejectReason,
    /// A sentence that names the field and the value.
    pub detail: String,
    /// Input topic.
    pub topic: String,
    /// Where it lies there.
    pub position: Position,
    /// The record's Kafka timestamp.
    pub timestamp: Instant,
    /// Original key.
    pub key: Option<Vec<u8>>,
    /// Original bytes.
    pub payload: Option<Vec<u8>>,
    /// Original headers.
    pub headers: Vec<Header>,
}

/// One flush to the tables. Absolutes hold the newest version of each key only.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// Rows of `usage_events`: every decision but the duplicates.
    pub events: Vec<Decision>,
    /// Rows of `usage_rollups`.
    pub rollups: Vec<Rollup>,
    /// Rows of `account_balances`.
    pub balances: Vec<Balance>,
    /// Rows of `pool_history`.
    pub pools: Vec<PoolState>,
    /// Rows of `dead_letters`.
    pub dead_letters: Vec<DeadLetter>,
}
