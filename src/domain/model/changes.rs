//! Administrative changes against the model.

use super::{Model, Tenant};
use crate::domain::book::TeamSettings;
use crate::domain::change::{Change, Plan, Refusal, UserChange};
use crate::domain::ledger::Account;
use crate::domain::period::{Instant, Period};
use crate::domain::{Credits, TeamId, WorkspaceId};

impl Model {
    /// Makes one change, all or nothing. A plan's time zone and anchor day must be valid.
    pub fn change(&mut self, id: &WorkspaceId, change: &Change, now: Instant) -> Result<(), Refusal> {
        let mut tenant = self.tenant(id).clone();
        tenant.change(change, now)?;
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
        self.open(&period);
        match change {
            Change::Plan(_) => {}
            Change::User(UserChange { user, limit, team, suspended, .. }) => {
                let settings = self.state.users.entry(user.clone()).or_default();
                settings.limit = limit.unwrap_or(settings.limit);
                settings.team = team.clone().unwrap_or_else(|| settings.team.clone());
                settings.suspended = suspended.unwrap_or(settings.suspended);
            }
            Change::Team { team, monthly_reserve, apply_now, default_user_limit } => {
                let settings = TeamSettings {
                    default_user_limit: *default_user_limit,
                    monthly_reserve: *monthly_reserve,
                };
                self.put_team(&period, team, settings, *apply_now)?;
            }
            Change::Feature { feature, limit } => {
                self.state.features.remove(feature);
                self.state.features.extend(limit.map(|limit| (feature.clone(), limit)));
            }
            Change::TopUp { credits } => self.enter(&period, *credits)?,
            Change::Transfer { from, to, credits, raise_limit } => {
                self.transfer(&period, from, to, *credits, *raise_limit)?;
            }
            Change::Users { .. } | Change::Reversal(_) => {}
            Change::Grant { user, credits } => {
                self.transfer(&period, &Account::Pool, &Account::User(user.clone()), *credits, true)?;
            }
        }
        self.state.ledger_sequence += 1;
        Ok(())
    }

    fn put_plan(&mut self, plan: &Plan, now: Instant) -> Result<(), Refusal> {
        let first = self.state.calendar.version() == 0;
        let before = self.state.monthly_credits;
        if let Ok((calendar, _)) = self.state.calendar.with_plan(now, &plan.timezone, plan.anchor_day) {
            self.state.calendar = calendar;
        }
        let period = self.state.calendar.period_of(now);
        if !first {
            self.open(&period); // with the plan that was in force so far
        }
        self.state.monthly_credits = plan.monthly_credits;
        self.state.enforcement = plan.enforcement;
        self.state.default_user_limit = plan.default_user_limit;
        if first {
            self.open(&period);
        } else {
            self.enter(&period, plan.monthly_credits - before)?;
        }
        self.state.ledger_sequence += 1;
        Ok(())
    }

    fn put_team(
        &mut self,
        period: &Period,
        team: &TeamId,
        settings: TeamSettings,
        apply_now: bool,
    ) -> Result<(), Refusal> {
        let before = self.state.teams.insert(team.clone(), settings).unwrap_or_default().monthly_reserve;
        let difference = settings.monthly_reserve - before;
        if !apply_now || difference == Credits::ZERO {
            return Ok(());
        }
        if !period.planned {
            return Err(Refusal::NoPlan);
        }
        let account = Account::Team(team.clone());
        if difference > Credits::ZERO {
            self.transfer(period, &Account::Pool, &account, difference, false)
        } else {
            self.transfer(period, &account, &Account::Pool, -difference, false)
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
        let book = self.book(period);
        let remaining = book.account(from).remaining();
        if remaining < credits {
            return Err(Refusal::InsufficientCredits { account: from.clone(), remaining, wanted: credits });
        }
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
}
