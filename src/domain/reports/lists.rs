//! Lists of what happened, newest first: events, entries of the ledger and alerts. Each list has a
//! question, a row, and the place of a row, which a client hands back to go on.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::Placed;
use crate::domain::alert::{Alert, Scope};
use crate::domain::credits::Credits;
use crate::domain::decision::{Blocked, Drawn, Level, Outcome, Reason};
use crate::domain::ids::{FeatureId, HoldId, TeamId, UserId};
use crate::domain::ledger::{Account, Posting};
use crate::domain::period::{Day, Instant, PeriodName};

/// Which events.
#[derive(Debug, Clone, Default)]
pub struct EventQuery {
    /// Of whom.
    pub user: Option<UserId>,
    /// Of what.
    pub feature: Option<FeatureId>,
    /// With which outcome; a duplicate is no row.
    pub outcome: Option<Outcome>,
    /// From this instant on.
    pub from: Option<Instant>,
    /// Before this instant.
    pub to: Option<Instant>,
    /// Below this place.
    pub after: Option<EventPlace>,
    /// At most so many.
    pub limit: usize,
}

/// Where an event stands in the list: newest first, then by source and id, each falling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventPlace {
    /// Its time, in microseconds.
    pub micros: i64,
    /// Its producer.
    pub source: String,
    /// Its id.
    pub id: String,
}

/// One decided event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = DecidedEvent)]
pub struct EventRow {
    /// The producer's id.
    pub event_id: String,
    /// The producer.
    pub source: String,
    /// When it happened.
    pub time: Instant,
    /// Who.
    pub user: UserId,
    /// What on.
    pub feature: FeatureId,
    /// What it asked for.
    pub credits: Credits,
    /// The model that was used, when it was named.
    pub model: Option<String>,
    /// Tokens in, when they were counted.
    pub input_tokens: Option<u64>,
    /// Tokens out, when they were counted.
    pub output_tokens: Option<u64>,
    /// Units, when they were counted.
    pub quantity: Option<u64>,
    /// The hold that it named.
    pub hold: Option<HoldId>,
    /// That hold was unknown, ended or another user's.
    pub hold_ignored: bool,
    /// The user's team when it was decided.
    pub team: Option<TeamId>,
    /// The period that it counts in.
    pub period: PeriodName,
    /// The day that it counts on.
    pub day: Day,
    /// What became of it.
    pub outcome: Outcome,
    /// The first rule that failed.
    pub reason: Option<Reason>,
    /// The level of that rule.
    pub blocked_by: Option<BlockedBy>,
    /// Where its credits came from.
    pub drawn: Drawn,
    /// When its credits went back.
    pub reversed_at: Option<Instant>,
    /// The rate card that priced it.
    pub rate_version: Option<String>,
    /// When it was decided.
    pub decided_at: Instant,
    /// Where it lies in the input topic.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Epoch of its decision.
    pub epoch: u64,
    /// Sequence of its decision.
    pub sequence: u64,
}

/// The level that an event failed at, with its numbers before the event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = EventBlockedBy)]
pub struct BlockedBy {
    /// Which level.
    pub level: Level,
    /// Of whom: the user, the feature or the workspace.
    pub id: String,
    /// Its numbers.
    #[serde(flatten)]
    pub numbers: Blocked,
}

impl Placed for EventRow {
    type Place = EventPlace;

    fn place(&self) -> EventPlace {
        EventPlace { micros: self.time.micros(), source: self.source.clone(), id: self.event_id.clone() }
    }
}

/// Which entries of the ledger.
#[derive(Debug, Clone, Default)]
pub struct LedgerQuery {
    /// Made by whom.
    pub actor: Option<String>,
    /// Of which kind.
    pub kind: Option<String>,
    /// With a posting on this account.
    pub account: Option<Account>,
    /// Made from this instant on.
    pub from: Option<Instant>,
    /// Made before this instant.
    pub to: Option<Instant>,
    /// Below this place.
    pub after: Option<LedgerPlace>,
    /// At most so many.
    pub limit: usize,
}

/// Where an entry stands in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerPlace {
    /// Its epoch.
    pub epoch: u64,
    /// Its sequence.
    pub sequence: u64,
}

/// One entry of the ledger, under the names of its topic.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = LedgerEntry)]
pub struct LedgerRow {
    /// Raised by each rebuild.
    pub epoch: u64,
    /// Gapless in workspace and epoch, from 1.
    pub sequence: u64,
    /// Of which kind.
    pub kind: String,
    /// Who did it.
    pub actor: String,
    /// Why, in their words.
    pub reason: Option<String>,
    /// The key under which a retry is recognised.
    pub idempotency_key: Option<String>,
    /// The period that it belongs to.
    pub period: PeriodName,
    /// When it was made.
    pub at: Instant,
    /// What was moved, as it was written.
    #[schema(value_type = Vec<Posting>)]
    pub postings: Box<RawValue>,
    /// The change itself, as it was written.
    #[schema(value_type = Object)]
    pub change: Box<RawValue>,
}

impl Placed for LedgerRow {
    type Place = LedgerPlace;

    fn place(&self) -> LedgerPlace {
        LedgerPlace { epoch: self.epoch, sequence: self.sequence }
    }
}

/// Which alerts.
#[derive(Debug, Clone, Default)]
pub struct AlertQuery {
    /// Of pools, teams or users.
    pub scope: Option<Scope>,
    /// Of which workspace, team or user.
    pub id: Option<String>,
    /// Below this place.
    pub after: Option<AlertPlace>,
    /// At most so many.
    pub limit: usize,
}

/// Where an alert stands in the list: the newest first, those of one change by the rest, falling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertPlace {
    /// Its epoch.
    pub epoch: u64,
    /// Its sequence.
    pub sequence: u64,
    /// The start date of its period.
    pub period: Day,
    /// Whose total.
    pub scope: String,
    /// The workspace, team or user.
    pub id: String,
    /// The percentage.
    pub threshold: u8,
    /// Up or down.
    pub state: String,
}

impl Placed for Alert {
    type Place = AlertPlace;

    fn place(&self) -> AlertPlace {
        AlertPlace {
            epoch: self.epoch,
            sequence: self.sequence,
            period: self.period,
            scope: self.scope.as_str().to_owned(),
            id: self.id.clone(),
            threshold: self.threshold,
            state: self.state.as_str().to_owned(),
        }
    }
}
