//! What answers are made of. The answer to a write is worked out of the request and of what the
//! office says was changed, and of nothing else: a repeat under the same key is equal to the byte.

pub mod alert;
pub mod hold;
pub mod plan;

use std::collections::BTreeSet;

use serde::Serialize;
use utoipa::ToSchema;

use super::page::Page;
use crate::domain::change::{Change, Changed, LimitSetting, UserStanding};
use crate::domain::ledger::{Account, Balance};
use crate::domain::period::{Instant, Period, PeriodName};
use crate::domain::ports::View;
use crate::domain::standing::{Allocation, Sums};
use crate::domain::{Credits, TeamId, UserId, WorkspaceId};

/// A billing period, half open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Span {
    /// Its start date in the workspace's zone.
    pub name: PeriodName,
    /// First instant inside.
    pub start: Instant,
    /// First instant after it.
    pub end: Instant,
}

/// How every answer about a workspace begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Head {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// The period that the answer is about.
    pub period: Span,
    /// When the period ends and limits start anew.
    pub resets_at: Instant,
    /// When it was so.
    pub as_of: Instant,
}

impl Head {
    /// The head of an answer about a period at an instant.
    pub fn new(workspace: &WorkspaceId, period: &Period, as_of: Instant) -> Self {
        let span = Span { name: period.name, start: period.start, end: period.end };
        Self { workspace: workspace.clone(), period: span, resets_at: period.end, as_of }
    }

    /// The head of an answer out of a view.
    pub fn of(workspace: &WorkspaceId, view: &View) -> Self {
        Self::new(workspace, &view.period, view.as_of)
    }
}

/// One thing about a workspace.
#[derive(Debug, Clone, Serialize)]
pub struct About<T> {
    /// Whose, and when.
    #[serde(flatten)]
    pub head: Head,
    /// The thing.
    #[serde(flatten)]
    pub it: T,
}

/// Some things of a workspace, and the cursor of those that follow.
#[derive(Debug, Clone, Serialize)]
pub struct Listed<T> {
    /// Whose, and when.
    #[serde(flatten)]
    pub head: Head,
    /// The things.
    #[serde(flatten)]
    pub page: Page<T>,
}

/// Where a change stands in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct EntryName {
    /// Raised by each rebuild.
    pub epoch: u64,
    /// Gapless in workspace and epoch.
    pub sequence: u64,
}

/// An account that a change touched, after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AccountLine {
    /// Which account.
    pub account: Account,
    /// Its sums.
    #[serde(flatten)]
    pub sums: Sums,
}

/// A user that a change touched, after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TouchedUser {
    /// Who.
    pub user: UserId,
    /// The team they belong to.
    pub team: Option<TeamId>,
    /// The limit in force; null for none.
    pub limit: Option<Credits>,
    /// What was set of the user alone: credits, `none`, or null to inherit.
    pub own_limit: Option<LimitSetting>,
    /// What was granted in this period.
    pub granted: Credits,
    /// Their own account.
    pub allocation: Allocation,
    /// What they spent, from whichever account and beyond.
    pub used: Credits,
    /// Set aside by their holds.
    pub held: Credits,
    /// Nothing is allowed to a suspended user.
    pub suspended: bool,
}

impl From<&UserStanding> for TouchedUser {
    fn from(standing: &UserStanding) -> Self {
        let UserStanding { user, settings, state, limit } = standing;
        Self {
            user: user.clone(),
            team: settings.team.clone(),
            limit: *limit,
            own_limit: settings.limit,
            granted: state.granted,
            allocation: Allocation { sums: Sums::from(&state.account), monthly: settings.monthly_allocation },
            used: state.spent,
            held: state.holding,
            suspended: settings.suspended,
        }
    }
}

/// A change that was made.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Written {
    /// Whose, and when.
    #[serde(flatten)]
    pub head: Head,
    /// The kind of its ledger entry.
    pub kind: &'static str,
    /// Its ledger entry.
    pub ledger: EntryName,
    /// The accounts that it names, after it.
    pub accounts: Vec<AccountLine>,
    /// The users that it names, after it.
    pub users: Vec<TouchedUser>,
}

impl Written {
    /// The answer to a change.
    pub fn of(workspace: &WorkspaceId, change: &Change, changed: &Changed) -> Self {
        let named = named_accounts(change);
        let period = period_of(change, changed);
        let touched = |balance: &&Balance| balance.period == period && named.contains(&balance.account);
        let mut accounts: Vec<&Balance> = changed.effects.balances.iter().filter(touched).collect();
        accounts.sort_by(|one, other| one.account.cmp(&other.account));
        Self {
            head: Head::new(workspace, &changed.period, changed.at),
            kind: change.kind(),
            ledger: EntryName { epoch: changed.epoch, sequence: changed.sequence },
            accounts: accounts.into_iter().map(AccountLine::from).collect(),
            users: changed.users.iter().map(TouchedUser::from).collect(),
        }
    }
}

impl From<&Balance> for AccountLine {
    fn from(balance: &Balance) -> Self {
        Self { account: balance.account.clone(), sums: Sums::from(balance) }
    }
}

/// A reversal works in the event's own period.
fn period_of(change: &Change, changed: &Changed) -> PeriodName {
    if let Change::Reversal(event) = change { event.period } else { changed.period.name }
}

/// What a change is about: the opening of a period may touch many more accounts along with it.
fn named_accounts(change: &Change) -> BTreeSet<Account> {
    let user = |user: &UserId| Account::User(user.clone());
    match change {
        Change::Plan(_) | Change::TopUp { .. } => BTreeSet::from([Account::Pool]),
        Change::User(change) => BTreeSet::from([Account::Pool, user(&change.user)]),
        Change::Users { users } => {
            users.iter().map(|change| user(&change.user)).chain([Account::Pool]).collect()
        }
        Change::Team { team, .. } => BTreeSet::from([Account::Pool, Account::Team(team.clone())]),
        Change::Feature { .. } => BTreeSet::new(),
        Change::Transfer { from, to, .. } => BTreeSet::from([from.clone(), to.clone()]),
        Change::Grant { user: id, .. } => BTreeSet::from([Account::Pool, user(id)]),
        Change::Reversal(event) => {
            let team = event.team.clone().map(Account::Team);
            [Account::Pool, user(&event.user)].into_iter().chain(team).collect()
        }
    }
}
