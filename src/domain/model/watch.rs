//! Alerts against the model: whatever changes an account raises its threshold, or lets it fall.

use super::Tenant;
use crate::domain::book::{Book, TeamState, UserState};
use crate::domain::change::Thresholds;
use crate::domain::period::PeriodName;
use crate::domain::{Credits, UserId};

/// The highest threshold that `used` has reached of `total`, in percent; 0 for none.
pub fn level_of(used: Credits, total: Credits, thresholds: &Thresholds) -> u8 {
    if total <= Credits::ZERO {
        return 0;
    }
    let ratio = used.micro() as f64 / total.micro() as f64;
    let reached = |percent: &&u8| ratio >= f64::from(**percent) / 100.0;
    thresholds.percents().iter().rfind(reached).copied().unwrap_or(0)
}

impl Tenant {
    /// Does something to the books of a period, and sets the alert levels of every account that it changed.
    pub(super) fn watched<T>(&mut self, period: PeriodName, work: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.state.books.get(&period).cloned().unwrap_or_default();
        let done = work(self);
        let Some(mut book) = self.state.books.get(&period).cloned() else { return done };
        let thresholds = &self.state.thresholds;
        if sums(&before) != sums(&book) {
            book.alerted = level_of(book.used + book.held, book.total, thresholds);
        }
        for (id, team) in &mut book.teams {
            if before.teams.get(id).copied().unwrap_or_default().account != team.account {
                team.alerted = team_level(team, thresholds);
            }
        }
        let calm = |user: &UserState| UserState { alerted: 0, standing: Credits::ZERO, ..*user };
        for (id, user) in &mut book.users {
            if calm(&before.users.get(id).copied().unwrap_or_default()) != calm(user) {
                user.alerted = self.user_level(id, user);
            }
        }
        self.state.books.insert(period, book);
        done
    }

    /// A user whose limit may have changed.
    pub(super) fn watch_user(&mut self, period: PeriodName, id: &UserId) {
        let user = self.state.books.entry(period).or_default().users.entry(id.clone()).or_default();
        let user = *user;
        let alerted = self.user_level(id, &user);
        if let Some(book) = self.state.books.get_mut(&period) {
            book.users.insert(id.clone(), UserState { alerted, ..user });
        }
    }

    fn user_level(&self, id: &UserId, user: &UserState) -> u8 {
        let limit = self.state.effective_limit(id, user.granted);
        limit.map_or(0, |limit| level_of(user.spent + user.holding, limit, &self.state.thresholds))
    }
}

fn sums(book: &Book) -> (crate::domain::book::AccountState, [Credits; 4]) {
    (book.pool, [book.total, book.used, book.held, book.overage])
}

fn team_level(team: &TeamState, thresholds: &Thresholds) -> u8 {
    let account = team.account;
    level_of(account.used + account.held, account.credited - account.transferred_out, thresholds)
}
