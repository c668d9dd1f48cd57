//! What the pipeline needs from the world, as traits: it runs on Redis, ClickHouse and Kafka, and
//! in tests without any of them.

use std::future::Future;

use super::event::Arrival;
use super::ledger::{Effects, Entry, Pending};
use super::period::Instant;
use super::record::Rows;

/// An error that may pass by itself.
pub trait Fault: std::error::Error + Send + Sync + 'static {
    /// Whether the same call may succeed a moment later.
    fn is_transient(&self) -> bool;
}

/// Decides and debits.
pub trait Ledger: Send + Sync + 'static {
    /// What can go wrong.
    type Error: Fault;

    /// Decides events in their order, all of them or none; repeated, it gives the first answers
    /// again. `committed` are next offsets of partitions: what lies below may be forgotten.
    fn decide(
        &self,
        arrivals: &[Arrival],
        committed: &[(i32, i64)],
        now: Instant,
    ) -> impl Future<Output = Result<Effects, Self::Error>> + Send;
}

/// Keeps the tables.
pub trait Warehouse: Send + Sync + 'static {
    /// What can go wrong.
    type Error: Fault;

    /// Writes rows; written twice they change nothing.
    fn record(&self, rows: &Rows) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Writes ledger entries; written twice they change nothing.
    fn record_entries(&self, entries: &[Entry]) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// Ledger entries between the change that made them and Kafka's acknowledgement.
pub trait Outbox: Send + Sync + 'static {
    /// What can go wrong.
    type Error: Fault;

    /// How many outboxes there are.
    fn shards(&self) -> u16;

    /// Takes the right to relay a shard, for a bounded time; false when another process has it.
    fn claim(&self, shard: u16) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Gives the right back, if it is still ours.
    fn release(&self, shard: u16) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The oldest entries of an outbox, in order.
    fn pending(
        &self,
        shard: u16,
        max: usize,
    ) -> impl Future<Output = Result<Vec<Pending>, Self::Error>> + Send;

    /// Forgets entries.
    fn acknowledged(
        &self,
        shard: u16,
        ids: &[String],
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}
