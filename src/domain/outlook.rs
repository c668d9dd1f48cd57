//! What a workspace's use will come to: the numbers that a [`forecast`] is made from, gathered out of
//! its books and of daily use, for the pool, every team and every user, with advice on what is idle.
//!
//! The pool's forecast is the whole workspace's: `used` and `total` are those of its summary, what
//! was overspent before is in neither. A team's stands for all that its members of now use, against
//! what is reserved for it. A user's is bounded by the limit in force, or by the accounts they draw on.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::book::{AccountState, Book};
use super::credits::Credits;
use super::forecast::{Advice, DAYS_MAX, DayUse, Forecast, Holder, Horizon, Subject, advise, forecast};
use super::ids::{TeamId, UserId};
use super::ledger::Account;
use super::period::{Day, Instant};
use super::ports::View;
use super::reports::{DayTotal, UserDay};

/// Forecasts of a workspace until the end of its running period.
#[derive(Debug, Clone, PartialEq)]
pub struct Outlook {
    /// The whole workspace's.
    pub pool: Forecast,
    /// Each team's that has a reserve or members who use something, in the order of their ids.
    pub teams: Vec<(TeamId, Forecast)>,
    /// Each user's who used something or was allocated something, who runs out first at the top.
    pub users: Vec<UserOutlook>,
    /// Which idle credits could move.
    pub advice: Advice,
}

/// One user's forecast.
#[derive(Debug, Clone, PartialEq)]
pub struct UserOutlook {
    /// Who.
    pub user: UserId,
    /// Their team.
    pub team: Option<TeamId>,
    /// Their limit, not the accounts, is what bounds them.
    pub limited: bool,
    /// The forecast.
    pub forecast: Forecast,
}

/// The half-open span of days that a forecast looks at, the running day included.
pub fn days(view: &View) -> (Day, Day) {
    let today = view.state.calendar.day_of(view.as_of).day.number();
    (Day::from_number(today - DAYS_MAX as i32), Day::from_number(today + 1))
}

/// The forecast of the whole workspace alone.
pub fn of_pool(view: &View, days: &[DayTotal]) -> Forecast {
    let use_of = |day: &DayTotal| DayUse { day: day.day, credits: day.spent, denied: day.denied };
    let days: Vec<DayUse> = days.iter().map(use_of).collect();
    pool(&horizon(view), &view.book(), &days)
}

/// The forecasts of everybody.
pub fn of_workspace(view: &View, days: &[UserDay]) -> Outlook {
    let (horizon, book) = (horizon(view), view.book());
    let mut use_of = Use::default();
    days.iter().for_each(|day| use_of.add(view, day));
    let pool = pool(&horizon, &book, &summed(&use_of.all));
    let teams = teams(&horizon, &book, &use_of);
    let mut users = users(&horizon, view, &book, &use_of);
    let advice = advice(&book, &pool, &teams, &users);
    users.sort_by(|a, b| risk(a).cmp(&risk(b)));
    Outlook { pool, teams, users, advice }
}

/// Daily use of users, of the members of teams, and of all.
#[derive(Default)]
struct Use<'a> {
    users: BTreeMap<&'a UserId, Vec<DayUse>>,
    teams: BTreeMap<&'a TeamId, BTreeMap<Day, DayUse>>,
    all: BTreeMap<Day, DayUse>,
}

impl<'a> Use<'a> {
    fn add(&mut self, view: &'a View, day: &'a UserDay) {
        let of_day = DayUse { day: day.day, credits: day.spent, denied: day.denied };
        self.users.entry(&day.user).or_default().push(of_day);
        add_to(&mut self.all, of_day);
        if let Some(team) = view.state.team_of(&day.user) {
            add_to(self.teams.entry(team).or_default(), of_day);
        }
    }
}

fn add_to(sums: &mut BTreeMap<Day, DayUse>, of_day: DayUse) {
    let nothing = DayUse { credits: Credits::ZERO, denied: Credits::ZERO, ..of_day };
    let sum = sums.entry(of_day.day).or_insert(nothing);
    sum.credits += of_day.credits;
    sum.denied = sum.denied.checked_total(of_day.denied).unwrap_or(Credits::TOTAL_MAX);
}

fn summed(days: &BTreeMap<Day, DayUse>) -> Vec<DayUse> {
    days.values().copied().collect()
}

fn horizon(view: &View) -> Horizon {
    Horizon { now: view.as_of, today: view.state.calendar.day_of(view.as_of), period: view.period }
}

fn pool(horizon: &Horizon, book: &Book, days: &[DayUse]) -> Forecast {
    // Before the first plan nothing can be used, so there is no bound to reach.
    let total = book.opened.then_some(book.total);
    forecast(horizon, &Subject { days, since: None, used: book.used, held: book.held, total })
}

fn teams(horizon: &Horizon, book: &Book, use_of: &Use<'_>) -> Vec<(TeamId, Forecast)> {
    let mut ids: Vec<&TeamId> = book.teams.keys().chain(use_of.teams.keys().copied()).collect();
    ids.sort();
    ids.dedup();
    let of_team = |id: &TeamId| {
        let days = use_of.teams.get(id).map(summed).unwrap_or_default();
        let account = book.teams.get(id).map(|team| team.account).unwrap_or_default();
        let total = (account.credited > Credits::ZERO).then_some(account.credited - account.transferred_out);
        let since = first_day(use_of);
        let subject = Subject { days: &days, since, used: account.used, held: account.held, total };
        forecast(horizon, &subject)
    };
    ids.into_iter().map(|id| (id.clone(), of_team(id))).collect()
}

/// Who was there and used nothing is known to use nothing.
fn first_day(use_of: &Use<'_>) -> Option<Day> {
    use_of.all.keys().next().copied()
}

fn users(horizon: &Horizon, view: &View, book: &Book, use_of: &Use<'_>) -> Vec<UserOutlook> {
    let credited = book.users.iter().filter(|(_, user)| user.account.credited > Credits::ZERO);
    let mut ids: Vec<&UserId> = credited.map(|(id, _)| id).chain(use_of.users.keys().copied()).collect();
    ids.sort();
    ids.dedup();
    ids.into_iter().map(|id| user(horizon, view, book, use_of, id)).collect()
}

fn user(horizon: &Horizon, view: &View, book: &Book, use_of: &Use<'_>, id: &UserId) -> UserOutlook {
    let state = book.users.get(id).copied().unwrap_or_default();
    let team = view.state.team_of(id);
    let left = |account: &AccountState| account.remaining();
    let of_team =
        team.and_then(|team| book.teams.get(team)).map_or(Credits::ZERO, |team| left(&team.account));
    let reach = state.spent + state.holding + left(&state.account) + of_team + left(&book.pool);
    let limit = view.state.effective_limit(id, state.granted);
    let limited = limit.is_some_and(|limit| limit < reach);
    let days = use_of.users.get(id).map_or(&[][..], Vec::as_slice);
    let subject = Subject {
        days,
        // The day on which a user came is not known; their first use is the nearest to it.
        since: if days.is_empty() { first_day(use_of) } else { None },
        used: state.spent,
        held: state.holding,
        total: book.opened.then_some(limit.map_or(reach, |limit| limit.min(reach))),
    };
    let forecast = forecast(horizon, &subject);
    UserOutlook { user: id.clone(), team: team.cloned(), limited, forecast }
}

/// Who runs out first, then who will lack most, then by id.
fn risk(user: &UserOutlook) -> (Instant, Instant, Reverse<Credits>, &UserId) {
    let never = Instant::from_micros(i64::MAX);
    let of = &user.forecast;
    let (exhaustion, earliest) = (of.exhaustion.unwrap_or(never), of.exhaustion_earliest.unwrap_or(never));
    (exhaustion, earliest, Reverse(of.projected_shortfall.unwrap_or_default()), &user.user)
}

fn advice(book: &Book, pool: &Forecast, teams: &[(TeamId, Forecast)], users: &[UserOutlook]) -> Advice {
    let of_users = users.iter().map(|user| Account::User(user.user.clone()));
    let of_teams = teams.iter().map(|(id, _)| Account::Team(id.clone()));
    let accounts: Vec<Account> = of_users.chain(of_teams).chain([Account::Pool]).collect();
    let forecasts = users.iter().map(|user| (user.team.as_ref(), user.limited, &user.forecast));
    let forecasts = forecasts.chain(teams.iter().map(|(_, forecast)| (None, false, forecast)));
    let forecasts = forecasts.chain([(None, false, pool)]);
    let holders: Vec<Holder<'_>> = accounts
        .iter()
        .zip(forecasts)
        .map(|(account, (team, limited, forecast))| Holder {
            account,
            team,
            remaining: remaining(book, account),
            limited,
            forecast,
        })
        .collect();
    advise(&holders)
}

fn remaining(book: &Book, account: &Account) -> Credits {
    let state = match account {
        Account::Pool => Some(&book.pool),
        Account::Team(team) => book.teams.get(team).map(|team| &team.account),
        Account::User(user) => book.users.get(user).map(|user| &user.account),
    };
    state.map_or(Credits::ZERO, AccountState::remaining)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::book::{UserSettings, Workspace};
    use crate::domain::calendar::Calendar;
    use crate::domain::change::LimitSetting;

    fn view(now: &str) -> View {
        let as_of = Instant::from_timestamp(now.parse().unwrap());
        let calendar = Calendar::default().with_plan(as_of, "UTC", 1).unwrap().0;
        let period = calendar.period_of(as_of);
        let mut state =
            Workspace { calendar, monthly_credits: Credits::whole(3_000), ..Workspace::default() };
        let limit = Some(LimitSetting::Credits(Credits::whole(400)));
        let settings = UserSettings { limit, team: Some(team()), ..UserSettings::default() };
        state.users.insert(user("ann"), settings);
        let idle = UserSettings { monthly_allocation: Credits::whole(500), ..UserSettings::default() };
        state.users.insert(user("idle"), idle);
        state.open(period.name);
        let book = state.books.get_mut(&period.name).unwrap();
        book.users.entry(user("ann")).or_default().spent = Credits::whole(300);
        book.used = Credits::whole(500);
        book.pool.used = Credits::whole(500);
        View { state, period, as_of }
    }

    fn user(id: &str) -> UserId {
        id.parse().unwrap()
    }

    fn team() -> TeamId {
        "red".parse().unwrap()
    }

    /// Ann uses 20 and Bob 10 on each of 40 days.
    fn use_of_two(view: &View) -> Vec<UserDay> {
        let today = days(view).1.number() - 1;
        let of_day = |day: i32| {
            [("ann", 20), ("bob", 10)].map(|(id, credits)| UserDay {
                day: Day::from_number(day),
                user: user(id),
                spent: Credits::whole(credits),
                denied: Credits::ZERO,
            })
        };
        (today - 40..today).flat_map(of_day).collect()
    }

    #[test]
    fn everybody_is_forecast_and_who_runs_out_stands_first() {
        let view = view("2026-11-16T00:00:00Z");
        let outlook = of_workspace(&view, &use_of_two(&view));
        let near = |forecast: &Forecast, credits: i64| {
            let projected = forecast.projected_use.unwrap().micro();
            assert!((projected - Credits::whole(credits).micro()).abs() < 2_000_000, "{forecast:?}");
        };
        near(&outlook.pool, 500 + 15 * 30);
        let order: Vec<&str> = outlook.users.iter().map(|user| user.user.as_str()).collect();
        assert_eq!(order, ["ann", "bob", "idle"]);
        assert!(outlook.users[0].limited && !outlook.users[1].limited);
        near(&outlook.users[0].forecast, 300 + 15 * 20);
        assert_eq!(outlook.users[0].forecast.total, Some(Credits::whole(400)));
        near(&outlook.users[2].forecast, 0);
        assert_eq!(outlook.teams.len(), 1);
        near(&outlook.teams[0].1, 15 * 20);
        let to_ann = outlook.advice.moves.iter().find(|step| step.to == Account::User(user("ann"))).unwrap();
        assert!(to_ann.raise_limit);
        assert!(outlook.advice.idle >= Credits::whole(500), "{:?}", outlook.advice);
    }

    #[test]
    fn the_pool_alone_is_the_same_forecast() {
        let view = view("2026-11-16T00:00:00Z");
        let mut totals: Vec<DayTotal> = Vec::new();
        for day in use_of_two(&view).chunks(2) {
            let spent = day.iter().map(|day| day.spent).sum();
            totals.push(DayTotal { day: day[0].day, spent, denied: Credits::ZERO });
        }
        assert_eq!(of_pool(&view, &totals), of_workspace(&view, &use_of_two(&view)).pool);
    }

    #[test]
    fn without_a_plan_nothing_runs_out() {
        let mut view = view("2026-11-16T00:00:00Z");
        view.state = Workspace::default();
        let outlook = of_workspace(&view, &use_of_two(&view));
        assert_eq!((outlook.pool.total, outlook.pool.exhaustion), (None, None));
        assert_eq!(outlook.advice.moves, []);
    }
}
