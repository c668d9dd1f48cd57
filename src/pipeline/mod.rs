//! One event's way, written in the order it runs:
//!
//! ```text
//! batch ──> decode ──events──> decide ──decisions──> tell ──acknowledged──> record ──> finish the ticket
//!             │ rejected                               │ decisions topic      │ usage_events, then rollups
//!             └────────────────────────────────────────┘ and dead letters     └ and balances, until written
//! ```
//!
//! Two rhythms: [`decide`] works on small batches, for limits must be fresh; [`record`] on large ones,
//! for ClickHouse wants few big inserts. While one flush is recorded the next batches are decided and
//! told.
//! A ticket is finished when its decisions and dead letters are acknowledged and its rows written,
//! never before, and nothing else commits an offset. What this room does not know: which stores
//! stand behind [`Ledger`], [`Warehouse`] and [`Publish`].

pub mod absolutes;
pub mod decide;
pub mod decode;
pub mod gauges;
pub mod messages;
pub mod record;
pub mod relay;
pub mod retry;
pub mod tell;
pub mod under_way;

use std::num::NonZeroUsize;
use std::sync::Arc;

use serde::Deserialize;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::domain::event::DecodeRules;
use crate::domain::ports::{Ledger, Warehouse};
use crate::kafka::{Batch, Offsets, Publish};
use under_way::UnderWay;

/// The section `[pipeline]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// A flush to ClickHouse starts when so many rows wait ...
    pub record_rows_max: usize,
    /// ... or when the oldest has waited so long, in milliseconds.
    pub record_interval_ms: u64,
    /// Decided events that may wait for Kafka's acknowledgement and the next flush, before deciding pauses.
    pub record_rows_waiting_max: NonZeroUsize,
    /// Events of workspaces that are being rebuilt which may wait, before deciding pauses for all.
    pub waiting_events_max: usize,
    /// Longest pause between two attempts at a store that is away, in milliseconds.
    pub retry_pause_ms_max: u64,
    /// How often what a crash left of the ledger is looked for, in milliseconds.
    pub relay_interval_ms: u64,
    /// Workspaces with gauges of their own, at most.
    pub gauge_workspaces_max: usize,
    /// How often it is forecast when their credits run out, in seconds.
    pub forecast_interval_seconds: u64,
    /// How often Redis is compared with the tables, in seconds.
    pub audit_interval_seconds: u64,
}

/// Where the pipeline's messages go.
#[derive(Debug, Clone)]
pub struct Topics {
    /// Input, named in dead letters.
    pub events: String,
    /// One decision per valid event.
    pub decisions: String,
    /// Records that are no events.
    pub dead_letters: String,
    /// Largest dead letter, in bytes.
    pub dead_letter_bytes_max: usize,
}

/// Everything the pipeline works with.
pub struct Pipeline<L, W, P> {
    /// Decides.
    pub ledger: Arc<L>,
    /// Keeps the tables.
    pub warehouse: Arc<W>,
    /// Publishes decisions and dead letters.
    pub publisher: Arc<P>,
    /// The low-water marks.
    pub offsets: Arc<Offsets>,
    /// What records are judged by.
    pub rules: DecodeRules,
    /// Names of topics.
    pub topics: Topics,
    /// Numbers.
    pub settings: Settings,
    /// The pools' gauges.
    pub gauges: Arc<gauges::PoolGauges>,
    /// What was decided and is not recorded.
    pub under_way: Arc<UnderWay>,
    /// Raised when partitions are about to leave: record what waits, now.
    pub flush: Arc<Notify>,
    /// Cancelled when waiting for a store has no sense any more.
    pub abort: CancellationToken,
}

impl<L: Ledger, W: Warehouse, P: Publish> Pipeline<L, W, P> {
    /// Runs until the batches end; everything that was taken is then written. Errors: a store
    /// refused for good, or `abort` was cancelled while one was away; nothing of that is committed.
    pub async fn run(self: Arc<Self>, batches: mpsc::Receiver<Batch>) -> Result<(), Stopped> {
        let (decoded, undecided) = mpsc::channel(1);
        // Bounded by the rows of what is decided and not by number: small batches, that came while a flush was written,
        // wait for it without stopping those behind them.
        let (decided, waiting) = mpsc::unbounded_channel();
        let (told, acknowledged) = mpsc::unbounded_channel();
        let (decoder, decider, teller) = (Arc::clone(&self), Arc::clone(&self), Arc::clone(&self));
        let decoding = stage(async move { decoder.decode_all(batches, decoded).await });
        let deciding = stage(async move { decider.decide_all(undecided, decided).await });
        let telling = stage(async move { teller.tell_all(waiting, told).await });
        // The last first: a stage ends when the one before has, or for a reason of its own. Then the
        // stages before are dropped, which ends them wherever they wait.
        self.record_all(acknowledged).await?;
        telling.await.unwrap_or_else(panicked)?;
        deciding.await.unwrap_or_else(panicked)?;
        decoding.await.unwrap_or_else(panicked)
    }
}

/// A stage on its own task, for as long as the handle lives.
fn stage<F>(work: F) -> AbortOnDropHandle<Result<(), Stopped>>
where
    F: Future<Output = Result<(), Stopped>> + Send + 'static,
{
    AbortOnDropHandle::new(tokio::spawn(work))
}

fn panicked(fault: JoinError) -> Result<(), Stopped> {
    Err(Stopped::Failed(fault.to_string()))
}

/// Why the pipeline ended before its input did.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// A store refused for good.
    #[error("{0}")]
    Failed(String),
    /// The process is stopping while a store was away.
    #[error("stopped while waiting for a store")]
    Aborted,
}

#[cfg(test)]
mod tests;
