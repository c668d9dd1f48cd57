//! Credits set aside for a call that is about to run, and the questions before it.

use serde::Serialize;

use super::change::Denial;
use super::credits::Credits;
use super::ids::{FeatureId, HoldId, TeamId, UserId, WorkspaceId};
use super::period::{Instant, Period, PeriodName};

/// What somebody is about to spend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Who.
    pub user: UserId,
    /// What on.
    pub feature: FeatureId,
    /// How much.
    pub credits: Credits,
}

/// What is asked of the holds of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HoldRequest {
    /// Sets credits aside.
    Make {
        /// The hold's name, from the client or made for it.
        hold: HoldId,
        /// For what.
        wish: Wish,
        /// For how long, in seconds.
        ttl_seconds: u32,
    },
    /// The call has happened and took so much.
    Settle {
        /// Which hold.
        hold: HoldId,
        /// What the call took; 0 or more.
        credits: Credits,
        /// Who asks, when they may know of their own holds alone.
        owner: Option<UserId>,
    },
    /// The call does not happen.
    Void {
        /// Which hold.
        hold: HoldId,
        /// Who asks, when they may know of their own holds alone.
        owner: Option<UserId>,
    },
}

/// Where a hold is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HoldState {
    /// Its credits are set aside until it expires.
    Open,
    /// Settled over HTTP; its event is on its way, its credits stay set aside until it is decided.
    Settling,
    /// Its event was decided.
    Settled,
    /// Given back.
    Voided,
    /// Ended by itself.
    Expired,
}

impl HoldState {
    /// Every state, in the order in which the scripts number them from 0.
    pub const ALL: [Self; 5] = [Self::Open, Self::Settling, Self::Settled, Self::Voided, Self::Expired];
}

/// A hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Its name, unique in the workspace.
    pub id: HoldId,
    /// Who is about to spend.
    pub user: UserId,
    /// What on.
    pub feature: FeatureId,
    /// The user's team when it was made: the account it may draw on.
    pub team: Option<TeamId>,
    /// The period that it belongs to.
    pub period: PeriodName,
    /// What was asked for.
    pub credits: Credits,
    /// What was set aside, from user, team and pool; less than was asked for only under soft enforcement.
    pub held: [Credits; 3],
    /// When it was made.
    pub made_at: Instant,
    /// When its credits are free again by themselves.
    pub expires_at: Instant,
    /// Where it is in its life.
    pub state: HoldState,
    /// What the call took, once that was said.
    pub settled: Option<Credits>,
    /// When its end was asked for or came; the answer to its end is of that instant, however often it is given.
    pub ended_at: Option<Instant>,
}

impl Hold {
    /// Whether its credits are set aside.
    fn is_live(&self) -> bool {
        matches!(self.state, HoldState::Open | HoldState::Settling)
    }

    /// What is still set aside, from user, team and pool: nothing once it has ended.
    pub fn set_aside(&self) -> [Credits; 3] {
        if self.is_live() { self.held } else { Default::default() }
    }

    /// What was set aside from all accounts.
    pub fn held(&self) -> Credits {
        self.held.into_iter().sum()
    }
}

/// The usage of a hold that was settled over HTTP, on its way to the events topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settle {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// Which hold.
    pub hold: HoldId,
    /// Who spent.
    pub user: UserId,
    /// What on.
    pub feature: FeatureId,
    /// What the call took.
    pub credits: Credits,
    /// When that was said.
    pub at: Instant,
}

/// The answer to a [`HoldRequest`] that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldAnswer {
    /// The hold as it stands after the request.
    pub hold: Hold,
    /// Why it would not have passed under hard enforcement; only for holds that were made under soft.
    pub bends: Option<Denial>,
    /// The hold's period.
    pub period: Period,
    /// When the request was first done.
    pub at: Instant,
}

/// The answer to a check: whether it would pass now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckAnswer {
    /// Whether the call may run. Under soft enforcement also when a rule fails.
    pub allowed: bool,
    /// The first rule that fails.
    pub denial: Option<Denial>,
    /// The period it would count in.
    pub period: Period,
    /// When it was asked.
    pub at: Instant,
}
