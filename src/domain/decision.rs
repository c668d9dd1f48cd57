//! What became of an event: the outcome, its reason, who blocked it and where the credits came from.

use std::sync::Arc;

use serde::Serialize;

use super::credits::Credits;
use super::event::{Position, UsageEvent};
use super::ids::TeamId;
use super::period::{Day, Instant, PeriodName};

/// What became of a valid event. `rejected` is no decision: such a record is no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Debited in full, within every limit.
    Allowed,
    /// Soft enforcement (or a late settle): debited as far as accounts reached, past a rule.
    Overage,
    /// Over a rule: nothing debited, recorded.
    Denied,
    /// The same event again: nothing debited, no row.
    Duplicate,
}

impl Outcome {
    /// The word used in topics, tables, metrics and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Overage => "overage",
            Self::Denied => "denied",
            Self::Duplicate => "duplicate",
        }
    }
}

/// The first rule that an event failed, in the order in which rules are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DenialReason)]
pub enum Reason {
    /// The workspace has no plan at the event's time.
    NoPlan,
    /// The user is suspended.
    Suspended,
    /// The feature's limit over all users.
    FeatureLimit,
    /// The user's own, team's or workspace's default limit.
    UserLimit,
    /// User, team and pool together hold too little.
    InsufficientCredits,
    /// The overage would pass the largest total.
    OverageLimit,
}

impl Reason {
    /// Every reason, in the order of asking.
    pub const ALL: [Self; 6] = [
        Self::NoPlan,
        Self::Suspended,
        Self::FeatureLimit,
        Self::UserLimit,
        Self::InsufficientCredits,
        Self::OverageLimit,
    ];

    /// The word used in topics, tables, metrics and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoPlan => "no_plan",
            Self::Suspended => "suspended",
            Self::FeatureLimit => "feature_limit",
            Self::UserLimit => "user_limit",
            Self::InsufficientCredits => "insufficient_credits",
            Self::OverageLimit => "overage_limit",
        }
    }

    /// The level that a reason blocks at.
    pub fn level(self) -> Level {
        match self {
            Self::NoPlan | Self::OverageLimit => Level::Workspace,
            Self::Suspended | Self::UserLimit => Level::User,
            Self::FeatureLimit => Level::Feature,
            Self::InsufficientCredits => Level::Pool,
        }
    }
}

/// Where in the workspace a rule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The tenant as a whole.
    Workspace,
    /// One feature, over all users.
    Feature,
    /// One user.
    User,
    /// The accounts of user, team and pool together.
    Pool,
}

/// The numbers of the level that blocked, as they stood before the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, utoipa::ToSchema)]
pub struct Blocked {
    /// The ceiling; none for accounts, suspensions without a limit and missing plans.
    pub limit: Option<Credits>,
    /// Spent (limits) or used (accounts).
    pub used: Credits,
    /// Set aside by holds.
    pub held: Credits,
    /// What would still have fitted, never below 0.
    pub remaining: Credits,
}

/// From where an event's credits came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, utoipa::ToSchema)]
pub struct Drawn {
    /// From `user:<id>`.
    pub user: Credits,
    /// From `team:<id>`.
    pub team: Credits,
    /// From `pool`.
    pub pool: Credits,
    /// From nowhere: spent beyond what accounts held.
    pub overage: Credits,
}

impl Drawn {
    /// What accounts gave: everything but the overage.
    pub fn from_accounts(&self) -> Credits {
        self.user + self.team + self.pool
    }
}

/// The ledger's answer to one event, before it is joined with the event itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was denied, or would have been.
    pub reason: Option<Reason>,
    /// The numbers of the blocking level; present whenever there is a reason.
    pub blocked: Option<Blocked>,
    /// Where the credits came from.
    pub drawn: Drawn,
    /// The user's team when it was decided.
    pub team: Option<TeamId>,
    /// Raised by each rebuild of the workspace's state.
    pub epoch: u64,
    /// Gapless in workspace and epoch, from 1.
    pub sequence: u64,
}

/// One decided event: a row of `usage_events` and a message of the decisions topic.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The event as it was published.
    pub event: Arc<UsageEvent>,
    /// Where it lies in the input topic.
    pub position: Position,
    /// The period it counts in.
    pub period: PeriodName,
    /// The day in the workspace's zone.
    pub day: Day,
    /// When the period ends and limits start anew.
    pub resets_at: Instant,
    /// What became of it.
    pub verdict: Verdict,
    /// It named a hold that is unknown, ended or another user's.
    pub hold_ignored: bool,
    /// The record's Kafka timestamp.
    pub arrived_at: Instant,
    /// It was decided before, and this is its first answer again.
    pub redelivered: bool,
    /// When it was decided, by this process's clock.
    pub decided_at: Instant,
}
