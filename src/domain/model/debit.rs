//! One event against one workspace: every rule in order, then all or nothing. A settle of a hold is
//! the exception: the call has happened, so it is never refused.

use crate::domain::book::{AccountState, Book, FeatureState, UserState, Workspace};
use crate::domain::change::Enforcement;
use crate::domain::decision::{Blocked, Drawn, Outcome, Reason, Verdict};
use crate::domain::event::UsageEvent;
use crate::domain::hold::{Hold, Wish};
use crate::domain::ledger::Account;
use crate::domain::period::{Day, Period};
use crate::domain::{Credits, TeamId};

/// Decides and debits an event that was never seen before, in an opened period.
pub fn debit(state: &mut Workspace, period: &Period, event: &UsageEvent) -> Verdict {
    let team = state.team_of(&event.user).cloned();
    let wish = wish_of(event, event.credits);
    let (passes, failing) = judge(state, period, &wish);
    let day = state.calendar.day_of(event.time).day;
    let book = state.books.entry(period.name).or_default();
    let outcome = outcome_of(passes, failing.is_some());
    let drawn = if passes { draw(book, &wish, team.as_ref(), event.credits) } else { Drawn::default() };
    if passes {
        spend(book, &wish, drawn);
    }
    count(book, day, event, outcome, drawn);
    verdict(state, outcome, failing, drawn, team)
}

/// Settles a hold that is released already: what was held first, then as far as limits and accounts
/// allow, the rest is overage. The hold's period and team count, on a day of that period.
pub fn settle(state: &mut Workspace, hold: &Hold, day: Day, event: &UsageEvent) -> Verdict {
    let period = Period { name: hold.period, planned: true, ..Period::default() };
    let book = state.books.entry(hold.period).or_default();
    if let Some(failing) = past_largest_total(book, event.credits) {
        count(book, day, event, Outcome::Denied, Drawn::default());
        return verdict(state, Outcome::Denied, Some(failing), Drawn::default(), hold.team.clone());
    }
    let held = draw_held(book, hold, event.credits);
    let part = wish_of(event, held.from_accounts());
    spend(book, &part, held);
    let more = wish_of(event, event.credits - held.from_accounts());
    let failing = if more.credits > Credits::ZERO {
        first_failing(state, &period, &more, hold.team.as_ref())
    } else {
        None
    };
    let allowed = allowed_beyond(state, hold, &more, failing.as_ref());
    let book = state.books.entry(hold.period).or_default();
    let rest = draw(book, &more, hold.team.as_ref(), allowed);
    spend(book, &more, rest);
    let drawn = Drawn {
        user: held.user + rest.user,
        team: held.team + rest.team,
        pool: held.pool + rest.pool,
        overage: rest.overage,
    };
    let outcome = outcome_of(true, failing.is_some());
    count(book, day, event, outcome, drawn);
    verdict(state, outcome, failing, drawn, hold.team.clone())
}

/// Whether a wish would pass, and the first rule that fails. Under soft enforcement most rules bend.
pub fn judge(state: &Workspace, period: &Period, wish: &Wish) -> (bool, Option<(Reason, Blocked)>) {
    let failing = first_failing(state, period, wish, state.team_of(&wish.user));
    let soft = state.enforcement == Enforcement::Soft;
    let bends = |reason: Reason| soft && !matches!(reason, Reason::NoPlan | Reason::Suspended);
    if failing.is_some_and(|(reason, _)| !bends(reason)) {
        return (false, failing);
    }
    let none = Book::default();
    match past_largest_total(state.books.get(&period.name).unwrap_or(&none), wish.credits) {
        Some(largest) => (false, Some(largest)),
        None => (true, failing),
    }
}

fn wish_of(event: &UsageEvent, credits: Credits) -> Wish {
    Wish { user: event.user.clone(), feature: event.feature.clone(), credits }
}

fn outcome_of(passes: bool, fails: bool) -> Outcome {
    match (passes, fails) {
        (false, _) => Outcome::Denied,
        (true, true) => Outcome::Overage,
        (true, false) => Outcome::Allowed,
    }
}

fn verdict(
    state: &Workspace,
    outcome: Outcome,
    failing: Option<(Reason, Blocked)>,
    drawn: Drawn,
    team: Option<TeamId>,
) -> Verdict {
    let (reason, blocked) = failing.unzip();
    Verdict { outcome, reason, blocked, drawn, team, epoch: state.epoch, sequence: state.sequence }
}

fn count(book: &mut Book, day: Day, event: &UsageEvent, outcome: Outcome, drawn: Drawn) {
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
}

/// From user, team and pool in this order, at most `allowed` of it; the rest is overage.
fn draw(book: &mut Book, wish: &Wish, team: Option<&TeamId>, allowed: Credits) -> Drawn {
    let mut wanted = allowed.min(wish.credits);
    let mut take = |account: Account| {
        let state = book.account(&account);
        let taken = wanted.min(state.remaining());
        state.used += taken;
        wanted -= taken;
        taken
    };
    let user = take(Account::User(wish.user.clone()));
    let team = team.map_or(Credits::ZERO, |team| take(Account::Team(team.clone())));
    let pool = take(Account::Pool);
    Drawn { user, team, pool, overage: wish.credits - user - team - pool }
}

fn draw_held(book: &mut Book, hold: &Hold, credits: Credits) -> Drawn {
    let [user, team, pool] = hold.held;
    let from_user = credits.min(user);
    let from_team = (credits - from_user).min(team);
    let from_pool = (credits - from_user - from_team).min(pool);
    book.account(&Account::User(hold.user.clone())).used += from_user;
    if let Some(team) = &hold.team {
        book.account(&Account::Team(team.clone())).used += from_team;
    }
    book.pool.used += from_pool;
    Drawn { user: from_user, team: from_team, pool: from_pool, overage: Credits::ZERO }
}

/// Books what was drawn as used, and all of the wish as spent.
fn spend(book: &mut Book, wish: &Wish, drawn: Drawn) {
    book.used += drawn.from_accounts();
    book.overage += drawn.overage;
    book.users.entry(wish.user.clone()).or_default().spent += wish.credits;
    book.features.entry(wish.feature.clone()).or_default().spent += wish.credits;
}

/// How much of what goes beyond a hold may be drawn from accounts.
fn allowed_beyond(
    state: &Workspace,
    hold: &Hold,
    more: &Wish,
    failing: Option<&(Reason, Blocked)>,
) -> Credits {
    let soft = state.enforcement == Enforcement::Soft;
    let allowed = more.credits;
    match failing {
        None => return allowed,
        Some((Reason::Suspended, _)) => return Credits::ZERO,
        Some(_) if soft => return allowed,
        Some(_) => {}
    }
    let book = &state.books[&hold.period];
    let user = book.users.get(&more.user).copied().unwrap_or_default();
    let feature = book.features.get(&more.feature).copied().unwrap_or_default();
    let user_left =
        state.effective_limit(&more.user, user.granted).map(|limit| limit - user.spent - user.holding);
    let feature_left =
        state.features.get(&more.feature).map(|limit| *limit - feature.spent - feature.holding);
    let left = user_left.into_iter().chain(feature_left).map(Credits::at_least_zero).min();
    left.map_or(allowed, |left| allowed.min(left))
}

/// What the rule looks at of a user and a feature.
fn looked_at(
    book: &Book,
    wish: &Wish,
    team: Option<&TeamId>,
) -> (UserState, FeatureState, [AccountState; 3]) {
    let user = book.users.get(&wish.user).copied().unwrap_or_default();
    let team = team.and_then(|team| book.teams.get(team)).copied().unwrap_or_default();
    let feature = book.features.get(&wish.feature).copied().unwrap_or_default();
    (user, feature, [user.account, team.account, book.pool])
}

/// The first rule that fails, with the numbers of its level.
fn first_failing(
    state: &Workspace,
    period: &Period,
    wish: &Wish,
    team: Option<&TeamId>,
) -> Option<(Reason, Blocked)> {
    if !period.planned {
        return Some((Reason::NoPlan, Blocked::default()));
    }
    let (user, feature, accounts) = looked_at(state.books.get(&period.name)?, wish, team);
    let limit = state.effective_limit(&wish.user, user.granted);
    if state.users.get(&wish.user).is_some_and(|settings| settings.suspended) {
        let mut blocked = blocked_by(limit, user.spent, user.holding);
        if limit.is_none() {
            blocked.remaining = accounts.iter().map(AccountState::remaining).sum();
        }
        return Some((Reason::Suspended, blocked));
    }
    let feature_limit = state.features.get(&wish.feature).copied();
    if feature_limit.is_some_and(|limit| feature.spent + feature.holding + wish.credits > limit) {
        return Some((Reason::FeatureLimit, blocked_by(feature_limit, feature.spent, feature.holding)));
    }
    if limit.is_some_and(|limit| user.spent + user.holding + wish.credits > limit) {
        return Some((Reason::UserLimit, blocked_by(limit, user.spent, user.holding)));
    }
    let remaining = accounts.iter().map(AccountState::remaining).sum();
    let used = accounts.iter().map(|account| account.used).sum();
    let held = accounts.iter().map(|account| account.held).sum();
    (remaining < wish.credits)
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
