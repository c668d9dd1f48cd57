//! One event against one workspace: every rule in order, then all or nothing.

use crate::domain::Credits;
use crate::domain::book::{AccountState, Book, Workspace};
use crate::domain::change::Enforcement;
use crate::domain::decision::{Blocked, Drawn, Outcome, Reason, Verdict};
use crate::domain::event::UsageEvent;
use crate::domain::ledger::Account;
use crate::domain::period::Period;

/// Decides and debits an event that was never seen before, in an opened period.
pub fn debit(state: &mut Workspace, period: &Period, event: &UsageEvent) -> Verdict {
    let failing = first_failing(state, period, event);
    let team = state.team_of(&event.user).cloned();
    let day = state.calendar.day_of(event.time).day;
    let soft = state.enforcement == Enforcement::Soft;
    let (epoch, sequence) = (state.epoch, state.sequence);
    let book = state.books.entry(period.name).or_default();

    let bends = |reason: Reason| soft && !matches!(reason, Reason::NoPlan | Reason::Suspended);
    let failing = match failing {
        Some((reason, _)) if !bends(reason) => failing,
        _ => past_largest_total(book, event.credits).or(failing),
    };
    let (outcome, drawn) = match failing {
        Some((reason, _)) if reason == Reason::OverageLimit || !bends(reason) => {
            (Outcome::Denied, Drawn::default())
        }
        Some(_) => (Outcome::Overage, draw(book, event, team.as_ref().map(|t| Account::Team(t.clone())))),
        None => (Outcome::Allowed, draw(book, event, team.as_ref().map(|t| Account::Team(t.clone())))),
    };

    let cell = book.cells.entry((day, event.user.clone(), event.feature.clone())).or_default();
    if outcome == Outcome::Denied {
        cell.denied_events += 1;
        cell.denied_micro += i128::from(event.credits.micro());
    } else {
        cell.events += 1;
        cell.overage_events += u64::from(outcome == Outcome::Overage);
        cell.credits += drawn.from_accounts();
        cell.overage_credits += drawn.overage;
    }
    let (reason, blocked) = failing.unzip();
    Verdict { outcome, reason, blocked, drawn, team, epoch, sequence }
}

fn draw(book: &mut Book, event: &UsageEvent, team: Option<Account>) -> Drawn {
    let mut wanted = event.credits;
    let mut take = |book: &mut Book, account: &Account| {
        let state = book.account(account);
        let taken = wanted.min(state.remaining());
        state.used += taken;
        wanted -= taken;
        taken
    };
    let user = take(book, &Account::User(event.user.clone()));
    let team = team.map_or(Credits::ZERO, |team| take(book, &team));
    let pool = take(book, &Account::Pool);
    let drawn = Drawn { user, team, pool, overage: wanted };
    book.used += drawn.from_accounts();
    book.overage += drawn.overage;
    book.users.entry(event.user.clone()).or_default().spent += event.credits;
    book.features.entry(event.feature.clone()).or_default().spent += event.credits;
    drawn
}

/// The first rule that fails, with the numbers of its level.
fn first_failing(state: &Workspace, period: &Period, event: &UsageEvent) -> Option<(Reason, Blocked)> {
    if !period.planned {
        return Some((Reason::NoPlan, Blocked::default()));
    }
    let book = &state.books[&period.name];
    let user = book.users.get(&event.user).copied().unwrap_or_default();
    let team =
        state.team_of(&event.user).and_then(|team| book.teams.get(team)).copied().unwrap_or_default().account;
    let accounts = [user.account, team, book.pool];
    let limit = state.effective_limit(&event.user, user.granted);
    if state.users.get(&event.user).is_some_and(|settings| settings.suspended) {
        let mut blocked = blocked_by(limit, user.spent, user.holding);
        if limit.is_none() {
            blocked.remaining = accounts.iter().map(AccountState::remaining).sum();
        }
        return Some((Reason::Suspended, blocked));
    }
    let feature = book.features.get(&event.feature).copied().unwrap_or_default();
    let feature_limit = state.features.get(&event.feature).copied();
    if feature_limit.is_some_and(|limit| feature.spent + feature.holding + event.credits > limit) {
        return Some((Reason::FeatureLimit, blocked_by(feature_limit, feature.spent, feature.holding)));
    }
    if limit.is_some_and(|limit| user.spent + user.holding + event.credits > limit) {
        return Some((Reason::UserLimit, blocked_by(limit, user.spent, user.holding)));
    }
    let remaining = accounts.iter().map(AccountState::remaining).sum();
    let used = accounts.iter().map(|account| account.used).sum();
    let held = accounts.iter().map(|account| account.held).sum();
    (remaining < event.credits)
        .then_some((Reason::InsufficientCredits, Blocked { limit: None, used, held, remaining }))
}

fn blocked_by(limit: Option<Credits>, used: Credits, held: Credits) -> Blocked {
    let remaining = limit.map_or(Credits::ZERO, |limit| (limit - used - held).at_least_zero());
    Blocked { limit, used, held, remaining }
}

fn past_largest_total(book: &Book, credits: Credits) -> Option<(Reason, Blocked)> {
    let used = book.used + book.overage;
    let largest = Some(Credits::TOTAL_MAX);
    (used + book.held + credits > Credits::TOTAL_MAX)
        .then(|| (Reason::OverageLimit, blocked_by(largest, used, book.held)))
}
