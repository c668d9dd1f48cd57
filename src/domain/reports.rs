//! What the API asks of the tables, and the rows that answer. Everything here was recorded, and is at
//! most seconds behind; balances, which are not behind, are the [`Office`](super::ports::Office)'s to
//! tell. The names of the columns stand once, beside the types: JSON and CSV take both from here.

mod lists;
mod usage;

use futures::future::BoxFuture;

use super::alert::Alert;
use super::change::Reversed;
use super::credits::Credits;
use super::decision::Outcome;
use super::ids::{FeatureId, UserId, WorkspaceId};
use super::period::{Day, Instant, Period};
use super::ports::Trouble;

pub use lists::{
    AlertPlace, AlertQuery, BlockedBy, EventPlace, EventQuery, EventRow, LedgerPlace, LedgerQuery, LedgerRow,
};
pub use usage::{Dimension, UsagePlace, UsageQuery, UsageRow};

/// Answers from the tables.
pub trait Reports: Send + Sync + 'static {
    /// Sums of usage in the order of the dimensions; what has nothing is no row.
    fn usage<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        query: &'a UsageQuery,
    ) -> BoxFuture<'a, Result<Page<UsageRow>, Trouble>>;

    /// Decided events, the denied too, newest first.
    fn events<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        query: &'a EventQuery,
    ) -> BoxFuture<'a, Result<Page<EventRow>, Trouble>>;

    /// Entries of the ledger, newest first.
    fn ledger<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        query: &'a LedgerQuery,
    ) -> BoxFuture<'a, Result<Page<LedgerRow>, Trouble>>;

    /// Alerts, newest first.
    fn alerts<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        query: &'a AlertQuery,
    ) -> BoxFuture<'a, Result<Page<Alert>, Trouble>>;

    /// What every user (or the one) who was seen in a period did last and most, in the order of their ids.
    fn activity<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        period: &'a Period,
        user: Option<&'a UserId>,
    ) -> BoxFuture<'a, Result<Vec<Activity>, Trouble>>;

    /// What each user spent on each day of a half-open span, in the order of days and ids.
    fn daily<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        from: Day,
        to: Day,
    ) -> BoxFuture<'a, Result<Vec<UserDay>, Trouble>>;

    /// The same, summed over users.
    fn daily_totals<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        from: Day,
        to: Day,
    ) -> BoxFuture<'a, Result<Vec<DayTotal>, Trouble>>;

    /// The event of that source and id; the newest, when several with different times bear it.
    fn event<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        source: &'a str,
        event_id: &'a str,
    ) -> BoxFuture<'a, Result<Option<PastEvent>, Trouble>>;
}

/// A row that has a place in its list, from which the list goes on.
pub trait Placed {
    /// The place.
    type Place;

    /// Where this row stands.
    fn place(&self) -> Self::Place;
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T: Placed> {
    /// At most as many as were asked for.
    pub items: Vec<T>,
    /// After which place it goes on; none at the end.
    pub next: Option<T::Place>,
}

impl<T: Placed> Page<T> {
    /// The page of rows of which one more than `limit` was asked for.
    pub fn cut(mut items: Vec<T>, limit: usize) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(T::place);
        Self { items, next }
    }
}

/// What a user did last and most in a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// Who.
    pub user: UserId,
    /// The time of their newest event, whatever became of it.
    pub last_active: Instant,
    /// What they spent most on, overage included; the first by id of those that are equal.
    pub top_feature: Option<FeatureId>,
}

/// What a user came to on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserDay {
    /// The day, in the workspace's zone.
    pub day: Day,
    /// Who.
    pub user: UserId,
    /// Debited from accounts, and overage.
    pub spent: Credits,
    /// What was denied.
    pub denied: Credits,
}

/// What a workspace came to on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayTotal {
    /// The day, in the workspace's zone.
    pub day: Day,
    /// Debited from accounts, and overage.
    pub spent: Credits,
    /// What was denied.
    pub denied: Credits,
}

/// An event as its row tells it, for giving its credits back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastEvent {
    /// What a reversal needs to know.
    pub event: Reversed,
    /// What became of it.
    pub outcome: Outcome,
    /// When its credits went back.
    pub reversed_at: Option<Instant>,
}
