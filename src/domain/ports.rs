//! What the pipeline needs from the world, as traits: it runs on Redis, ClickHouse and Kafka, and
//! in tests without any of them.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::WorkspaceId;
use super::alert::Alert;
use super::book::{Book, Workspace};
use super::change::{Author, Change, Changed, Refusal};
use super::event::Arrival;
use super::hold::{CheckAnswer, Hold, HoldAnswer, HoldRequest, Wish};
use super::ledger::{Effects, Entry, Pending};
use super::period::{Instant, Period, PeriodName};
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

    /// Workspaces whose state is being rebuilt: their events wait, those of others need not.
    fn standing_still(&self) -> BTreeSet<WorkspaceId> {
        BTreeSet::new()
    }
}

/// Keeps the tables.
pub trait Warehouse: Send + Sync + 'static {
    /// What can go wrong.
    type Error: Fault;

    /// Writes rows; written twice they change nothing.
    fn record(&self, rows: &Rows) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Writes ledger entries; written twice they change nothing.
    fn record_entries(&self, entries: &[Entry]) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Writes alerts; written twice they change nothing.
    fn record_alerts(&self, alerts: &[Alert]) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// What scripts leave for Kafka and the tables, in order.
pub trait Outbox: Send + Sync + 'static {
    /// What can go wrong.
    type Error: Fault;

    /// How many outboxes there are.
    fn shards(&self) -> u16;

    /// The outbox of a workspace.
    fn shard_of(&self, workspace: &WorkspaceId) -> u16;

    /// Takes the right to relay a shard, for a bounded time; false when another process has it.
    fn claim(&self, shard: u16) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Gives the right back, if it is still ours.
    fn release(&self, shard: u16) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The oldest items that Kafka does not have.
    fn pending(
        &self,
        shard: u16,
        max: usize,
    ) -> impl Future<Output = Result<Vec<Pending>, Self::Error>> + Send;

    /// Kafka has these: they wait for their rows, if they have any.
    fn published(&self, shard: u16, ids: &[String]) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The oldest items that are in Kafka and in no table.
    fn unrecorded(
        &self,
        shard: u16,
        max: usize,
    ) -> impl Future<Output = Result<Vec<Pending>, Self::Error>> + Send;

    /// These are in their tables: they are forgotten.
    fn recorded(&self, shard: u16, ids: &[String]) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// What an administrator or a client asks of the ledger, answered at once and exactly. It sees every
/// write that was answered before.
pub trait Office: Send + Sync + 'static {
    /// Makes one change. It is in the ledger topic when this answers. The inner error is a refusal:
    /// nothing happened.
    fn change<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        change: &'a Change,
        author: &'a Author,
    ) -> BoxFuture<'a, Result<Result<Changed, Refusal>, Trouble>>;

    /// Keeps a refusal that was found outside of the ledger under the author's idempotency key, and
    /// answers it; or what was answered under that key before.
    fn refuse<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        refusal: Refusal,
        author: &'a Author,
    ) -> BoxFuture<'a, Result<Result<Changed, Refusal>, Trouble>>;

    /// Makes, settles or voids a hold. A settle has been published when this answers.
    fn hold<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        request: &'a HoldRequest,
        author: &'a Author,
    ) -> BoxFuture<'a, Result<Result<HoldAnswer, Refusal>, Trouble>>;

    /// Whether something would pass now; changes nothing.
    fn check<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        wish: &'a Wish,
    ) -> BoxFuture<'a, Result<CheckAnswer, Trouble>>;

    /// The holds that have not ended, in the order of their ids.
    fn holds<'a>(&'a self, workspace: &'a WorkspaceId) -> BoxFuture<'a, Result<Vec<Hold>, Trouble>>;

    /// A workspace with the books of one period, as its first touch would open it: the running period,
    /// or the one of that name. None when the workspace was never seen, or the period never was.
    fn view<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        period: Option<PeriodName>,
    ) -> BoxFuture<'a, Result<Option<Arc<View>>, Trouble>>;

    /// Every workspace, in the order of their ids.
    fn workspaces(&self) -> BoxFuture<'_, Result<Vec<WorkspaceId>, Trouble>>;
}

/// Where events go that came over HTTP, and what was answered to whom.
pub trait Intake: Send + Sync + 'static {
    /// Publishes events; every one is acknowledged when this answers.
    fn publish(&self, events: Vec<(WorkspaceId, Vec<u8>)>) -> BoxFuture<'_, Result<(), Trouble>>;

    /// Takes the right to answer under a key, for a bounded time. `place` is a digest of caller, method,
    /// path and key; `request` one of the body.
    fn claim<'a>(&'a self, place: &'a str, request: &'a str) -> BoxFuture<'a, Result<Claim, Trouble>>;

    /// Keeps the answer for 24 hours.
    fn remember<'a>(&'a self, place: &'a str, answer: &'a Remembered) -> BoxFuture<'a, Result<(), Trouble>>;

    /// Gives the right back: nothing was done.
    fn release<'a>(&'a self, place: &'a str) -> BoxFuture<'a, Result<(), Trouble>>;
}

/// Who may answer under an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Whoever asked.
    Ours,
    /// Nobody: it was answered.
    Answered(Remembered),
    /// Another request that runs; the digest of its body.
    Running(String),
}

/// An answer that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Digest of the body that it answers.
    pub request: String,
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// A workspace as it stood at an instant.
#[derive(Debug, Clone)]
pub struct View {
    /// Settings; the books of the period stand under its name.
    pub state: Workspace,
    /// The period.
    pub period: Period,
    /// When it stood so.
    pub as_of: Instant,
}

impl View {
    /// The books of the period.
    pub fn book(&self) -> Cow<'_, Book> {
        self.state.books.get(&self.period.name).map_or_else(|| Cow::Owned(Book::default()), Cow::Borrowed)
    }
}

/// Why an answer could not be had: the world is broken, and the same call may go through later.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Trouble {
    /// A server is away. Nothing happened, or at most once: the same idempotency key tells.
    #[error("{0}")]
    Away(String),
    /// What cannot be, logged where it was found.
    #[error("{0}")]
    Broken(String),
}
