//! One user: the limit and where it comes from, what was spent, and what may still be.

use serde::Serialize;
use utoipa::ToSchema;

use super::Sums;
use crate::domain::book::{Book, UserState, Workspace};
use crate::domain::ports::View;
use crate::domain::{Credits, TeamId, UserId};

/// Which setting a user's limit comes from; the most specific wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitSource {
    /// Their own, also when it says that there is none.
    User,
    /// Their team's default.
    Team,
    /// The plan's default.
    Workspace,
    /// Nobody set one.
    None,
}

impl LimitSource {
    /// Where the limit of a user comes from.
    pub fn of(state: &Workspace, user: &UserId) -> Self {
        let team = state.team_of(user).and_then(|team| state.teams.get(team));
        if state.users.get(user).is_some_and(|settings| settings.limit.is_some()) {
            Self::User
        } else if team.is_some_and(|team| team.default_user_limit.is_some()) {
            Self::Team
        } else if state.default_user_limit.is_some() {
            Self::Workspace
        } else {
            Self::None
        }
    }
}

/// A user's own account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Allocation {
    /// Its sums.
    #[serde(flatten)]
    pub sums: Sums,
    /// What is moved into it when a period opens.
    pub monthly: Credits,
}

/// A user in one period.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct UserLine {
    /// Who.
    pub user: UserId,
    /// The team they belong to now.
    pub team: Option<TeamId>,
    /// The limit in force: the base and what was granted. None for none.
    pub limit: Option<Credits>,
    /// The limit before grants.
    pub base_limit: Option<Credits>,
    /// What was granted in this period.
    pub granted: Credits,
    /// Where the base comes from.
    pub limit_source: LimitSource,
    /// Their own account.
    pub allocation: Allocation,
    /// What they spent, from whichever account and beyond.
    pub used: Credits,
    /// Set aside by their holds, from whichever account.
    pub held: Credits,
    /// What they may still spend: the smaller of what the limit and what the accounts leave.
    pub remaining: Credits,
    /// Used over the limit; none without one, or when it is 0.
    pub utilization: Option<f64>,
    /// Nothing is allowed to a suspended user.
    pub suspended: bool,
}

/// A user of a view; none when nobody ever saw or named them.
pub fn user(view: &View, id: &UserId) -> Option<UserLine> {
    let known = view.state.users.contains_key(id)
        || view.state.books.values().any(|book| book.users.contains_key(id));
    known.then(|| UserLine::of(&view.state, &view.book(), id))
}

impl UserLine {
    /// A user as settings and book tell.
    pub fn of(state: &Workspace, book: &Book, id: &UserId) -> Self {
        let user = book.users.get(id).copied().unwrap_or_default();
        let settings = state.users.get(id);
        let limit = state.effective_limit(id, user.granted);
        Self {
            user: id.clone(),
            team: state.team_of(id).cloned(),
            limit,
            base_limit: state.base_limit(id),
            granted: user.granted,
            limit_source: LimitSource::of(state, id),
            allocation: Allocation {
                sums: Sums::from(&user.account),
                monthly: settings.map_or(Credits::ZERO, |settings| settings.monthly_allocation),
            },
            used: user.spent,
            held: user.holding,
            remaining: may_still_spend(state, book, id, &user, limit),
            utilization: utilization(limit, user.spent),
            suspended: settings.is_some_and(|settings| settings.suspended),
        }
    }
}

/// The smaller of what the limit and what user's, team's and pool's accounts leave.
pub(super) fn may_still_spend(
    state: &Workspace,
    book: &Book,
    id: &UserId,
    user: &UserState,
    limit: Option<Credits>,
) -> Credits {
    let team = state.team_of(id).and_then(|team| book.teams.get(team)).copied().unwrap_or_default();
    let accounts = user.account.remaining() + team.account.remaining() + book.pool.remaining();
    limit.map_or(accounts, |limit| accounts.min((limit - user.spent - user.holding).at_least_zero()))
}

/// Used over the limit.
pub(super) fn utilization(limit: Option<Credits>, used: Credits) -> Option<f64> {
    let limit = limit.filter(|limit| *limit > Credits::ZERO)?;
    Some(used.micro() as f64 / limit.micro() as f64)
}
