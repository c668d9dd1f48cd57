//! The state of a workspace: its settings, and the books of its periods. The model works on it, and
//! what stands in Redis is read back into it, so that the two can be compared whole.

use std::collections::BTreeMap;

use super::calendar::Calendar;
use super::change::{CarryOver, Enforcement, LimitSetting, Seats, Thresholds};
use super::credits::Credits;
use super::hold::Hold;
use super::ids::{FeatureId, HoldId, TeamId, UserId};
use super::ledger::{Account, Totals};
use super::period::{Day, Period, PeriodName};

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

/// A team in one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TeamState {
    /// What was reserved for the team.
    pub account: AccountState,
    /// What of it came as the monthly reserve.
    pub standing: Credits,
    /// Highest threshold that an alert was raised for, in percent; 0 for none.
    pub alerted: u8,
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
    /// What of the account came as the monthly allocation.
    pub standing: Credits,
    /// Highest threshold that an alert was raised for, in percent; 0 for none.
    pub alerted: u8,
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
    /// What of the total was topped up, in this period or carried over from before.
    pub top_ups: Credits,
    /// Highest threshold that an alert was raised for, in percent; 0 for none.
    pub alerted: u8,
    /// Teams.
    pub teams: BTreeMap<TeamId, TeamState>,
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
            Account::Team(team) => &mut self.teams.entry(team.clone()).or_default().account,
            Account::User(user) => &mut self.users.entry(user.clone()).or_default().account,
        }
    }

    /// What came to an account as its standing amount; the pool has none.
    pub fn standing_of(&mut self, account: &Account) -> &mut Credits {
        match account {
            Account::Pool => &mut self.top_ups,
            Account::Team(team) => &mut self.teams.entry(team.clone()).or_default().standing,
            Account::User(user) => &mut self.users.entry(user.clone()).or_default().standing,
        }
    }

    /// The sum over accounts of remaining, held and used: always what entered, [`Book::total`].
    pub fn conserved(&self) -> Credits {
        let users = self.users.values().map(|user| &user.account);
        let teams = self.teams.values().map(|team| &team.account);
        let accounts = users.chain(teams).chain([&self.pool]);
        accounts.map(|account| account.credited - account.transferred_out).sum()
    }

    /// Drops what says nothing, so that two books compare equal when they mean the same.
    pub fn tidied(mut self) -> Self {
        self.teams.retain(|_, team| *team != TeamState::default());
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
    /// Moved from the pool when a period opens.
    pub monthly_allocation: Credits,
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
    /// Where that comes from, when it is counted in seats.
    pub seats: Option<Seats>,
    /// What happens to an event that breaks a rule.
    pub enforcement: Enforcement,
    /// What moves from one period into the next.
    pub carry_over: CarryOver,
    /// When alerts are raised.
    pub thresholds: Thresholds,
    /// For users without a limit of their own or their team's.
    pub default_user_limit: Option<Credits>,
    /// Users with settings.
    pub users: BTreeMap<UserId, UserSettings>,
    /// Teams.
    pub teams: BTreeMap<TeamId, TeamSettings>,
    /// Features with a limit.
    pub features: BTreeMap<FeatureId, Credits>,
    /// Holds that have not ended.
    pub holds: BTreeMap<HoldId, Hold>,
    /// Periods that were ever touched.
    pub books: BTreeMap<PeriodName, Book>,
}

/// What the opening of a period moved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Opened {
    /// Out of the pool of the period before into the new one's.
    pub carried: Credits,
    /// That period before.
    pub before: Option<PeriodName>,
    /// To each account its standing amount, as far as the pool reached: moved and wanted.
    pub moved: Vec<(Account, Credits, Credits)>,
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

    /// The periods that must be opened so that this one is, in their order: itself, and before it, when
    /// credits are carried over, those since the last one opened. None when it is open or not planned.
    pub fn unopened(&self, period: &Period) -> Vec<Period> {
        if !period.planned || self.books.get(&period.name).is_some_and(|book| book.opened) {
            return Vec::new();
        }
        let last = self.last_opened_before(period.name).filter(|_| self.carry_over != CarryOver::None);
        self.calendar.chain(last, *period)
    }

    /// The last period before this one that was opened.
    pub fn last_opened_before(&self, period: PeriodName) -> Option<PeriodName> {
        self.books.range(..period).rev().find(|(_, book)| book.opened).map(|(name, _)| *name)
    }

    /// Opens the books of a period: plan and carry-over enter the pool, then standing amounts leave
    /// it, teams before users, each in order of id; the first that does not fit gets what is left.
    pub fn open(&mut self, period: PeriodName) -> Opened {
        let before = self.last_opened_before(period);
        let carried = self.carry_into(period);
        let mut opened = Opened { carried, before, moved: Vec::new() };
        let mut book = self.books.remove(&period).unwrap_or_default();
        book.opened = true;
        book.total = self.monthly_credits + carried;
        book.top_ups = carried;
        book.pool.credited = book.total;
        for (account, wanted) in self.standing() {
            let moved = wanted.min(book.pool.remaining());
            book.pool.transferred_out += moved;
            book.account(&account).credited += moved;
            *book.standing_of(&account) += moved;
            opened.moved.push((account, moved, wanted));
        }
        self.books.insert(period, book);
        opened
    }

    /// Takes out of the last opened period what moves into this one.
    fn carry_into(&mut self, period: PeriodName) -> Credits {
        let Some(before) = self.last_opened_before(period).and_then(|name| self.books.get_mut(&name)) else {
            return Credits::ZERO;
        };
        let left = before.pool.remaining();
        let carried = match self.carry_over {
            CarryOver::None => Credits::ZERO,
            CarryOver::TopUps => before.top_ups.min(left),
            CarryOver::All => left,
        };
        let carried = carried.min(Credits::TOTAL_MAX - self.monthly_credits);
        before.pool.transferred_out += carried;
        before.total -= carried;
        carried
    }

    /// Every standing amount above 0, in the order in which they are moved.
    fn standing(&self) -> Vec<(Account, Credits)> {
        let teams = self.teams.iter().map(|(id, team)| (Account::Team(id.clone()), team.monthly_reserve));
        let users = self.users.iter().map(|(id, user)| (Account::User(id.clone()), user.monthly_allocation));
        teams.chain(users).filter(|(_, credits)| *credits > Credits::ZERO).collect()
    }

    /// The limit in force: the base and what was granted in the period.
    pub fn effective_limit(&self, user: &UserId, granted: Credits) -> Option<Credits> {
        self.base_limit(user).map(|base| (base + granted).min(Credits::TOTAL_MAX))
    }
}
