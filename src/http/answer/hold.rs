//! Holds as they are shown.

use serde::Serialize;
use utoipa::ToSchema;

use super::{About, Head};
use crate::domain::decision::Reason;
use crate::domain::hold::{Hold, HoldAnswer, HoldState};
use crate::domain::period::{Instant, PeriodName};
use crate::domain::{Credits, FeatureId, HoldId, TeamId, UserId, WorkspaceId};
use crate::http::page::Page;
use crate::http::value::BlockedBy;

/// From which accounts credits are set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct HeldFrom {
    /// From `user:<id>`.
    pub user: Credits,
    /// From `team:<id>`.
    pub team: Credits,
    /// From `pool`.
    pub pool: Credits,
}

/// A hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HoldLine {
    /// Its name.
    pub id: HoldId,
    /// Who is about to spend.
    pub user: UserId,
    /// What on.
    pub feature: FeatureId,
    /// The user's team when it was made.
    pub team: Option<TeamId>,
    /// What was asked for.
    pub credits: Credits,
    /// What is set aside, nothing once it has ended; less than was asked for only under soft enforcement.
    pub held: Credits,
    /// From which accounts.
    pub held_from: HeldFrom,
    /// Where it is in its life.
    pub state: HoldState,
    /// What the call took, once that was said.
    pub settled: Option<Credits>,
    /// When it was made.
    pub made_at: Instant,
    /// When its credits are free again by themselves.
    pub expires_at: Instant,
}

impl From<&Hold> for HoldLine {
    fn from(hold: &Hold) -> Self {
        let [user, team, pool] = hold.set_aside();
        Self {
            id: hold.id.clone(),
            user: hold.user.clone(),
            feature: hold.feature.clone(),
            team: hold.team.clone(),
            credits: hold.credits,
            held: user + team + pool,
            held_from: HeldFrom { user, team, pool },
            state: hold.state,
            settled: hold.settled,
            made_at: hold.made_at,
            expires_at: hold.expires_at,
        }
    }
}

/// A hold in a list: it may be of a period before the running one.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct HoldItem {
    /// The hold.
    #[serde(flatten)]
    pub line: HoldLine,
    /// The period that it belongs to.
    pub period: PeriodName,
}

/// What became of a hold.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct HoldWritten {
    /// The hold, as it stands after the request.
    #[serde(flatten)]
    pub line: HoldLine,
    /// The rule that it breaks under soft enforcement.
    pub reason: Option<Reason>,
    /// The level of that rule, with its numbers.
    pub blocked_by: Option<BlockedBy>,
}

impl HoldItem {
    /// A page of holds, in the order of their ids.
    pub fn page(holds: &[Hold], rows: usize) -> Page<Self> {
        let items = holds.iter().map(|hold| Self { line: HoldLine::from(hold), period: hold.period });
        Page::cut(items.collect(), rows, |item: &Self| item.line.id.clone())
    }
}

impl HoldWritten {
    /// The answer to a request about a hold.
    pub fn of(workspace: &WorkspaceId, answer: &HoldAnswer) -> About<Self> {
        About {
            head: Head::new(workspace, &answer.period, answer.at),
            it: Self {
                line: HoldLine::from(&answer.hold),
                reason: answer.bends.as_ref().map(|denial| denial.reason),
                blocked_by: answer.bends.as_ref().map(BlockedBy::from),
            },
        }
    }
}
