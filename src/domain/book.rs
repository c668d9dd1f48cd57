//! The state of a workspace: its settings, and the books of its periods. The model works on it, and
//! what stands in Redis is read back into it, so that the two can be compared whole.

use std::collections::BTreeMap;

use super::calendar::Calendar;
use super::credits::Credits;
use super::ids::{FeatureId, TeamId, UserId};
use super::ledger::{Account, Enforcement, LimitSetting, Totals};
use super::period::{Day, PeriodName};

/// Sums of one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AccountState {
    /// Everything that ever came in, gross.
    pub credited: Credits,
    /// Everything that was moved away, gross.
    pub transferred_out: Credits,
    /// Drawn by usage.
    pub used: Credits,
    /// Set aside by holds.
    pub held: Credits,
}

impl AccountState {
    /// What is left; never negative.
    pub fn remaining(&self) -> Credits {
        self.credited - self.transferred_out - self.used - self.held
    }
}

/// A user in one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UserState {
    /// What was allocated to the user.
    pub account: AccountState,
    /// What the user spent, from whichever account and beyond.
    pub spent: Credits,
    /// Set aside by the user's holds, from whichever account.
    pub holding: Credits,
    /// Granted in this period: raises the limit.
    pub granted: Credits,
}

/// A feature in one period, over all users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FeatureState {
    /// Spent on it.
    pub spent: Credits,
    /// Set aside for it.
    pub holding: Credits,
}

/// The books of one period.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Book {
    /// Whether the plan entered: a period without a plan has users and cells alone.
    pub opened: bool,
    /// The shared pool.
    pub pool: AccountState,
    /// Everything that entered the workspace.
    pub total: Credits,
    /// Drawn by usage, from whichever account.
    pub used: Credits,
    /// Set aside by holds, from whichever account.
    pub held: Credits,
    /// Spent beyond accounts.
    pub overage: Credits,
    /// Accounts of teams.
    pub teams: BTreeMap<TeamId, AccountState>,
    /// Users.
    pub users: BTreeMap<UserId, UserState>,
    /// Features.
    pub features: BTreeMap<FeatureId, FeatureState>,
    /// Usage by day, user and feature.
    pub cells: BTreeMap<(Day, UserId, FeatureId), Totals>,
}

impl Book {
    /// The account of that name, made at first sight.
    pub fn account(&mut self, account: &Account) -> &mut AccountState {
        match account {
            Account::Pool => &mut self.pool,
            Account::Team(team) => self.teams.entry(team.clone()).or_default(),
            Account::User(user) => &mut self.users.entry(user.clone()).or_default().account,
        }
    }

    /// The sum over accounts of remaining, held and used: always what entered, [`Book::total`].
    pub fn conserved(&self) -> Credits {
        let users = self.users.values().map(|user| &user.account);
        let accounts = users.chain(self.teams.values()).chain([&self.pool]);
        accounts.map(|account| account.credited - account.transferred_out).sum()
    }

    /// Drops what says nothing, so that two books compare equal when they mean the same.
    pub fn tidied(mut self) -> Self {
        self.teams.retain(|_, team| *team != AccountState::default());
        self.users.retain(|_, user| *user != UserState::default());
        self.features.retain(|_, feature| *feature != FeatureState::default());
        self.cells.retain(|_, totals| *totals != Totals::default());
        self
    }
}

/// Settings of a user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserSettings {
    /// Their own limit; none inherits.
    pub limit: Option<LimitSetting>,
    /// The team they belong to.
    pub team: Option<TeamId>,
    /// Nothing is allowed to a suspended user.
    pub suspended: bool,
}

/// Settings of a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TeamSettings {
    /// For members without a limit of their own.
    pub default_user_limit: Option<Credits>,
    /// Moved from the pool when a period opens.
    pub monthly_reserve: Credits,
}

/// A workspace: settings, and the books of its periods.
#[derive(Debug, Clone, Default)]
pub struct Workspace {
    /// Raised by each rebuild, from 1.
    pub epoch: u64,
    /// Of the last decision.
    pub sequence: u64,
    /// Of the last ledger entry.
    pub ledger_sequence: u64,
    /// Where instants belong.
    pub calendar: Calendar,
    /// What enters the pool with each period.
    pub monthly_credits: Credits,
    /// What happens to an event that breaks a rule.
    pub enforcement: Enforcement,
    /// For users without a limit of their own or their team's.
    pub default_user_limit: Option<Credits>,
    /// Users with settings.
    pub users: BTreeMap<UserId, UserSettings>,
    /// Teams.
    pub teams: BTreeMap<TeamId, TeamSettings>,
    /// Features with a limit.
    pub features: BTreeMap<FeatureId, Credits>,
    /// Periods that were ever touched.
    pub books: BTreeMap<PeriodName, Book>,
}

impl Workspace {
    /// The team of a user.
    pub fn team_of(&self, user: &UserId) -> Option<&TeamId> {
        self.users.get(user)?.team.as_ref()
    }

    /// The user's base limit: own > team's default > workspace's default > none.
    pub fn base_limit(&self, user: &UserId) -> Option<Credits> {
        match self.users.get(user).and_then(|settings| settings.limit) {
            Some(LimitSetting::Credits(limit)) => Some(limit),
            Some(LimitSetting::None) => None,
            None => {
                let team = self.team_of(user).and_then(|team| self.teams.get(team));
                team.and_then(|team| team.default_user_limit).or(self.default_user_limit)
            }
        }
    }

    /// The books of a period as its first touch opens them: the plan enters the pool, then standing
    /// reserves leave it in order; the first that does not fit gets what is left.
    pub fn opened(&self, mut book: Book) -> Book {
        book.opened = true;
        book.total = self.monthly_credits;
        book.pool.credited = self.monthly_credits;
        for (team, settings) in &self.teams {
            let moved = settings.monthly_reserve.min(book.pool.remaining());
            book.pool.transferred_out += moved;
            book.teams.entry(team.clone()).or_default().credited += moved;
        }
        book
    }

    /// The limit in force: the base and what was granted in the period.
    pub fn effective_limit(&self, user: &UserId, granted: Credits) -> Option<Credits> {
        self.base_limit(user).map(|base| (base + granted).min(Credits::TOTAL_MAX))
    }
}
