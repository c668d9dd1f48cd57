//! What administrators change, and what comes of it: an entry in the ledger, or a refusal that
//! says by how much. Also the absolute states that deciding and changing leave behind.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::alert::Alert;
use super::credits::Credits;
use super::decision::Decision;
use super::event::shorten;
use super::hold::Settle;
use super::ids::{FeatureId, TeamId, UserId, WorkspaceId};
use super::period::{Day, Instant, PeriodName};

/// Holds credits inside a workspace and period.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Account {
    /// The shared pool.
    Pool,
    /// Reserved for a team.
    Team(TeamId),
    /// Allocated to a user.
    User(UserId),
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pool => f.write_str("pool"),
            Self::Team(team) => write!(f, "team:{team}"),
            Self::User(user) => write!(f, "user:{user}"),
        }
    }
}

/// A text that names no account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no account: write pool, team:<id> or user:<id>")]
pub struct AccountError(String);

impl std::str::FromStr for Account {
    type Err = AccountError;
    fn from_str(text: &str) -> Result<Self, AccountError> {
        let fault = |_| AccountError(shorten(text));
        match text.split_once(':') {
            None if text == "pool" => Ok(Self::Pool),
            Some(("team", id)) => TeamId::parse(id).map(Self::Team).map_err(fault),
            Some(("user", id)) => UserId::parse(id).map(Self::User).map_err(fault),
            _ => Err(AccountError(shorten(text))),
        }
    }
}

impl Serialize for Account {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Account {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        String::deserialize(input)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Credits that entered (+) or left (-) an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Posting {
    /// Which account.
    pub account: Account,
    /// Of which period.
    pub period: PeriodName,
    /// Signed.
    pub credits: Credits,
}

/// One entry of the ledger, as it stands in the topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// Raised by each rebuild.
    pub epoch: u64,
    /// Gapless in workspace and epoch, from 1.
    pub sequence: u64,
    /// [`super::change::Change::kind`], or `opening`.
    pub kind: String,
    /// Who did it.
    pub actor: String,
    /// Why, in their words.
    pub reason: Option<String>,
    /// The key under which a retry is recognised.
    pub idempotency_key: Option<String>,
    /// What was asked for under that key, so that a rebuild keeps the promise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Request>,
    /// The period that it belongs to.
    pub period: PeriodName,
    /// The server's time.
    pub at: Instant,
    /// Signed; together they sum to what entered or left the workspace.
    pub postings: Vec<Posting>,
    /// The change itself.
    pub change: serde_json::Value,
}

/// A request under an idempotency key, as digests, and what was answered to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Of method, path and key.
    pub place: String,
    /// Of the body.
    pub body: String,
    /// The script's answer in Base64, so that the same request is answered alike after a rebuild too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

/// What a script leaves for Kafka and the tables.
#[derive(Debug, Clone, PartialEq)]
pub enum Outgoing {
    /// For the ledger.
    Entry(Entry),
    /// For whoever is to be warned.
    Alert(Alert),
    /// For the events topic: the usage of a hold that is settling.
    Settle(Settle),
}

/// What waits for Kafka's acknowledgement, or for its row.
#[derive(Debug, Clone, PartialEq)]
pub struct Pending {
    /// Its place in the queue.
    pub id: String,
    /// What it is.
    pub item: Outgoing,
}

/// One version number out of the epoch and the count of decisions and entries in it: a later state
/// has the higher one. A row of `usage_events` takes the sequence of its decision, which is never higher.
pub fn version(epoch: u64, count: u64) -> u64 {
    (epoch << 40) | count
}

/// The absolute state of an account after a version; writing it twice changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// The period.
    pub period: PeriodName,
    /// Which account.
    pub account: Account,
    /// Everything that ever came in, gross.
    pub credited: Credits,
    /// Everything that was moved away, gross.
    pub transferred_out: Credits,
    /// Drawn by usage.
    pub used: Credits,
    /// Set aside by holds.
    pub held: Credits,
    /// What the user spent from whichever account; 0 for pool and teams.
    pub spent: Credits,
    /// The user's effective limit; none for pool and teams.
    pub limit: Option<Credits>,
    /// See [`version`].
    pub version: u64,
}

impl Balance {
    /// What is left; never negative.
    pub fn remaining(&self) -> Credits {
        self.credited - self.transferred_out - self.used - self.held
    }
}

/// Sums of usage of one cell of the rollups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Debited from accounts.
    pub credits: Credits,
    /// Spent beyond them.
    pub overage_credits: Credits,
    /// Allowed and overage.
    pub events: u64,
    /// Overage alone.
    pub overage_events: u64,
    /// Denied.
    pub denied_events: u64,
    /// What the denied asked for, in microcredits; their sum has no largest total.
    pub denied_micro: i128,
}

impl Totals {
    /// Adds another cell's.
    pub fn add(&mut self, other: &Self) {
        self.credits += other.credits;
        self.overage_credits += other.overage_credits;
        self.events += other.events;
        self.overage_events += other.overage_events;
        self.denied_events += other.denied_events;
        self.denied_micro += other.denied_micro;
    }
}

/// The absolute totals of one cell after a version; writing it twice changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollup {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// The period.
    pub period: PeriodName,
    /// Who.
    pub user: UserId,
    /// What on.
    pub feature: FeatureId,
    /// The day in the workspace's zone.
    pub day: Day,
    /// The sums.
    pub totals: Totals,
    /// See [`version`].
    pub version: u64,
}

/// The whole workspace's credits after a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolState {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// The period.
    pub period: PeriodName,
    /// Everything that entered the workspace.
    pub total: Credits,
    /// Drawn by usage, from whichever account.
    pub used: Credits,
    /// Set aside by holds.
    pub held: Credits,
    /// Of the pool account alone: what nobody was allocated.
    pub unallocated: Credits,
    /// See [`version`].
    pub version: u64,
    /// When it was so, by the clock of who asked.
    pub at: Instant,
}

impl PoolState {
    /// What is left of the whole workspace.
    pub fn remaining(&self) -> Credits {
        self.total - self.used - self.held
    }
}

/// What one round of deciding (or one change) left behind, ready to be recorded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effects {
    /// One for each event that has an answer, in the order of the events.
    pub decisions: Vec<Decision>,
    /// Redelivered events whose decision was recorded and committed before: nothing left to do.
    pub settled_before: usize,
    /// Accounts touched.
    pub balances: Vec<Balance>,
    /// Cells touched.
    pub rollups: Vec<Rollup>,
    /// Workspaces touched.
    pub pools: Vec<PoolState>,
    /// Holds that were found to have expired.
    pub holds_expired: usize,
}

impl Effects {
    /// Adds what happened after.
    pub fn extend(&mut self, later: Self) {
        self.decisions.extend(later.decisions);
        self.settled_before += later.settled_before;
        self.balances.extend(later.balances);
        self.rollups.extend(later.rollups);
        self.pools.extend(later.pools);
        self.holds_expired += later.holds_expired;
    }
}
