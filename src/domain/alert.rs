//! What an operator or an administrator is warned of: a threshold crossed, and crossed back.

use serde::Serialize;

use super::credits::Credits;
use super::ids::WorkspaceId;
use super::period::{Instant, PeriodName};

/// Whose total was crossed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AlertScope)]
pub enum Scope {
    /// The whole workspace against everything that entered it.
    Pool,
    /// A team's account against what was moved into it.
    Team,
    /// A user's spending against their effective limit.
    User,
}

impl Scope {
    /// The word used in topics, tables and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::Team => "team",
            Self::User => "user",
        }
    }
}

/// What happened at a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// Used and held together reached it.
    Crossed,
    /// They are below it again.
    Recovered,
    /// A standing amount did not fit when the period opened; used is what it got, total what it should be.
    Shortfall,
}

impl AlertState {
    /// The word used in topics, tables and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Crossed => "crossed",
            Self::Recovered => "recovered",
            Self::Shortfall => "shortfall",
        }
    }
}

/// One alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// Whose total.
    pub scope: Scope,
    /// The workspace, team or user.
    pub id: String,
    /// The percentage, 1..=100.
    pub threshold: u8,
    /// Used and held.
    pub used: Credits,
    /// Of how much.
    pub total: Credits,
    /// The period.
    pub period: PeriodName,
    /// By the clock of the process that made the call.
    pub at: Instant,
    /// Up or down.
    pub state: AlertState,
    /// Raised by each rebuild.
    pub epoch: u64,
    /// [`super::ledger::version`]'s count when it was raised.
    pub sequence: u64,
}

impl Alert {
    /// Used and held over the total.
    pub fn ratio(&self) -> f64 {
        let total = self.total.micro();
        if total > 0 { self.used.micro() as f64 / total as f64 } else { 0.0 }
    }
}
