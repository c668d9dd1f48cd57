//! Administrative changes against the model.

use super::{Model, Tenant};
use crate::domain::book::TeamSettings;
use crate::domain::change::{Change, Plan, Refusal, Reversed, UserChange};
use crate::domain::ledger::Account;
use crate::domain::period::{Instant, Period};
use crate::domain::{Credits, TeamId, WorkspaceId};

impl Model {
    /// Makes one change, all or nothing. A plan's time zone and anchor day must be valid.
    pub fn change(&mut self, id: &WorkspaceId, change: &Change, now: Instant) -> Result<(), Refusal> {
        let mut tenant = self.tenant(id).clone();
        let opened = tenant.change(change, now);
        if opened.is_err() {
            // What is refused has opened its period all the same.
            let period = self.tenant(id).state.calendar.period_of(now);
            if !matches!(change, Change::Reversal(_)) {
                self.tenant(id).open(&period);
            }
            return opened;
        }
        self.tenants.insert(id.clone(), tenant);
        Ok(())
    }
}

impl Tenant {
    fn change(&mut self, change: &Change, now: Instant) -> Result<(), Refusal> {
        if let Change::Plan(plan) = change {
            return self.put_plan(plan, now);
        }
        let period = self.state.calendar.period_of(now);
        let moves = matches!(change, Change::TopUp { .. } | Change::Transfer { .. } | Change::Grant { .. });
        if moves && !period.planned {
            return Err(Refusal::NoPlan);
        }
        if !matches!(change, Change::Reversal(_)) {
            self.open(&period);
        }
        let touched = if let Change::Reversal(event) = change { event.period } else { period.name };
        self.watched(touched, |tenant| tenant.apply(change, &period))?;
        match change {
            Change::User(user) => self.watch_user(period.name, &user.user),
            Change::Users { users } => users.iter().for_each(|user| self.watch_user(period.name, &user.user)),
            _ => {}
        }
        self.state.ledger_sequence += 1;
        Ok(())
    }

    fn apply(&mut self, change: &Change, period: &Period) -> Result<(), Refusal> {
        match change {
            Change::Plan(_) => Ok(()),
            Change::User(user) => self.put_user(period, user),
            Change::Users { users } => users.iter().try_for_each(|user| self.put_user(period, user)),
            Change::Team { team, monthly_reserve, apply_now, default_user_limit } => {
                let settings = TeamSettings {
                    default_user_limit: *default_user_limit,
                    monthly_reserve: *monthly_reserve,
                };
                self.put_team(period, team, settings, *apply_now)
            }
            Change::Feature { feature, limit } => {
                self.state.features.remove(feature);
                self.state.features.extend(limit.map(|limit| (feature.clone(), limit)));
                Ok(())
            }
            Change::TopUp { credits } => {
                self.enter(period, *credits)?;
                self.book(period).top_ups += *credits;
                Ok(())
            }
            Change::Transfer { from, to, credits, raise_limit } => {
                self.transfer(period, from, to, *credits, *raise_limit)
            }
            Change::Grant { user, credits } => {
                self.transfer(period, &Account::Pool, &Account::User(user.clone()), *credits, true)
            }
            Change::Reversal(event) => self.reverse(event),
        }
    }

    fn put_plan(&mut self, plan: &Plan, now: Instant) -> Result<(), Refusal> {
        let first = self.state.calendar.version() == 0;
        let before = self.state.monthly_credits;
        if !first {
            // It may end here: a plan that has not begun had stretched it, and this one takes its place.
            let running = self.state.calendar.period_of(now);
            self.open(&running);
        }
        if let Ok((calendar, _)) = self.state.calendar.with_plan(now, &plan.timezone, plan.anchor_day) {
            self.state.calendar = calendar;
        }
        let period = self.state.calendar.period_of(now);
        if !first {
            self.open(&period); // with the plan that was in force so far
        }
        self.state.monthly_credits = plan.monthly_credits;
        self.state.seats = plan.seats;
        self.state.enforcement = plan.enforcement;
        self.state.default_user_limit = plan.default_user_limit;
        self.state.carry_over = plan.carry_over;
        self.state.thresholds = plan.thresholds.clone();
        if first {
            self.open(&period);
        } else {
            let more = plan.monthly_credits - before;
            self.watched(period.name, |tenant| tenant.enter(&period, more))?;
        }
        self.state.ledger_sequence += 1;
        Ok(())
    }

    fn put_user(&mut self, period: &Period, change: &UserChange) -> Result<(), Refusal> {
        let settings = self.state.users.entry(change.user.clone()).or_default();
        settings.limit = change.limit.unwrap_or(settings.limit);
        settings.team = change.team.clone().unwrap_or_else(|| settings.team.clone());
        settings.suspended = change.suspended.unwrap_or(settings.suspended);
        settings.monthly_allocation = change.monthly_allocation.unwrap_or(settings.monthly_allocation);
        let standing = settings.monthly_allocation;
        let account = Account::User(change.user.clone());
        if change.apply_now { self.apply_standing(period, &account, standing) } else { Ok(()) }
    }

    fn put_team(
        &mut self,
        period: &Period,
        team: &TeamId,
        settings: TeamSettings,
        apply_now: bool,
    ) -> Result<(), Refusal> {
        self.state.teams.insert(team.clone(), settings);
        let account = Account::Team(team.clone());
        if apply_now { self.apply_standing(period, &account, settings.monthly_reserve) } else { Ok(()) }
    }

    /// Moves what the period lacks of a standing amount, or has too much.
    fn apply_standing(&mut self, period: &Period, account: &Account, wanted: Credits) -> Result<(), Refusal> {
        if !period.planned {
            return Err(Refusal::NoPlan);
        }
        let standing = self.book(period).standing_of(account);
        let lacking = wanted - *standing;
        *standing = wanted;
        if lacking > Credits::ZERO {
            self.transfer(period, &Account::Pool, account, lacking, false)
        } else if lacking < Credits::ZERO {
            self.transfer(period, account, &Account::Pool, -lacking, false)
        } else {
            Ok(())
        }
    }

    /// Brings credits into the pool, or takes them out when below 0.
    fn enter(&mut self, period: &Period, credits: Credits) -> Result<(), Refusal> {
        let book = self.book(period);
        let remaining = book.pool.remaining();
        if remaining < -credits {
            return Err(Refusal::InsufficientCredits { account: Account::Pool, remaining, wanted: -credits });
        }
        if book.total + credits > Credits::TOTAL_MAX || book.pool.credited + credits > Credits::TOTAL_MAX {
            return Err(Refusal::TooManyCredits);
        }
        book.total += credits;
        book.pool.credited += credits;
        Ok(())
    }

    fn transfer(
        &mut self,
        period: &Period,
        from: &Account,
        to: &Account,
        credits: Credits,
        raise_limit: bool,
    ) -> Result<(), Refusal> {
        if from == to {
            return Err(Refusal::SameAccount(from.clone()));
        }
        let remaining = self.book(period).account(from).remaining();
        if remaining < credits {
            return Err(self.too_little(period, from, remaining, credits));
        }
        let book = self.book(period);
        if book.account(to).credited + credits > Credits::TOTAL_MAX {
            return Err(Refusal::TooManyCredits);
        }
        book.account(from).transferred_out += credits;
        book.account(to).credited += credits;
        if let Account::User(user) = from {
            let source = book.users.entry(user.clone()).or_default();
            source.granted = (source.granted - credits).at_least_zero();
        }
        if let (Account::User(user), true) = (to, raise_limit) {
            book.users.entry(user.clone()).or_default().granted += credits;
        }
        Ok(())
    }

    /// A user with a limit and no credits of their own is told so.
    fn too_little(&self, period: &Period, from: &Account, remaining: Credits, wanted: Credits) -> Refusal {
        if let Account::User(id) = from {
            let book = self.state.books.get(&period.name);
            let user = book.and_then(|book| book.users.get(id)).copied().unwrap_or_default();
            let capped = self.state.effective_limit(id, user.granted).is_some();
            if capped && user.account.credited == Credits::ZERO {
                return Refusal::LimitWithoutCredits { account: from.clone(), wanted };
            }
        }
        Refusal::InsufficientCredits { account: from.clone(), remaining, wanted }
    }

    fn reverse(&mut self, event: &Reversed) -> Result<(), Refusal> {
        let credits = event.credits();
        if credits == Credits::ZERO {
            return Err(Refusal::NothingToReverse);
        }
        let name = (event.source.clone(), event.event_id.clone(), event.time);
        if !self.reversed.insert(name) {
            return Err(Refusal::AlreadyReversed);
        }
        let book = self.state.books.entry(event.period).or_default();
        book.account(&Account::User(event.user.clone())).used -= event.drawn.user;
        if let Some(team) = &event.team {
            book.account(&Account::Team(team.clone())).used -= event.drawn.team;
        }
        book.pool.used -= event.drawn.pool;
        book.used -= event.drawn.from_accounts();
        book.overage -= event.drawn.overage;
        book.users.entry(event.user.clone()).or_default().spent -= credits;
        book.features.entry(event.feature.clone()).or_default().spent -= credits;
        let cell = book.cells.entry((event.day, event.user.clone(), event.feature.clone())).or_default();
        cell.credits -= event.drawn.from_accounts();
        cell.overage_credits -= event.drawn.overage;
        Ok(())
    }
}
