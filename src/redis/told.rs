//! The absolutes that scripts tell, as the domain has them.

use super::codec::{Malformed, Unpacker};
use crate::domain::book::{AccountState, UserSettings, UserState};
use crate::domain::change::{LimitSetting, UserStanding};
use crate::domain::ids::IdError;
use crate::domain::ledger::{self, Account, Balance, Effects, PoolState, Rollup, Totals};
use crate::domain::period::{Day, Instant, PeriodName};
use crate::domain::{Credits, FeatureId, TeamId, UserId, WorkspaceId};

/// Whose absolutes they are, and as of when.
#[derive(Clone, Copy)]
pub struct Told<'a> {
    /// The tenant.
    pub workspace: &'a WorkspaceId,
    /// The period.
    pub period: PeriodName,
    /// [`crate::domain::ledger::version`] of the state.
    pub version: u64,
    /// The caller's clock.
    pub now: Instant,
}

impl Told<'_> {
    /// The state of one account; `sums` are credited, transferred out, used and held.
    pub fn balance(&self, account: Account, sums: [i64; 4], spent: i64, limit: i64) -> Balance {
        let [credited, transferred_out, used, held] = sums.map(Credits::from_micro);
        Balance {
            workspace: self.workspace.clone(),
            period: self.period,
            account,
            credited,
            transferred_out,
            used,
            held,
            spent: Credits::from_micro(spent),
            limit: limit_of(limit),
            version: self.version,
        }
    }

    /// The pool's record: its own sums, then total, used, held and overage of the whole workspace.
    pub fn pool(&self, sums: [i64; 4], [total, used, held, _overage]: [i64; 4]) -> PoolState {
        let [credited, transferred_out, own_used, own_held] = sums;
        PoolState {
            workspace: self.workspace.clone(),
            period: self.period,
            total: Credits::from_micro(total),
            used: Credits::from_micro(used),
            held: Credits::from_micro(held),
            unallocated: Credits::from_micro(credited - transferred_out - own_used - own_held),
            version: self.version,
            at: self.now,
        }
    }

    fn rollup(&self, input: &mut Unpacker<'_>) -> Result<Rollup, Malformed> {
        Ok(Rollup {
            workspace: self.workspace.clone(),
            period: self.period,
            user: id(UserId::parse(input.text()?))?,
            feature: id(FeatureId::parse(input.text()?))?,
            day: Day::from_number(input.int()? as i32),
            totals: read_totals(input.ints()?),
            version: self.version,
        })
    }
}

/// What `books.lua` tells, one book after the other; the users are those of all books.
pub fn read_books(
    input: &mut Unpacker<'_>,
    now: Instant,
    effects: &mut Effects,
) -> Result<Vec<UserStanding>, Malformed> {
    let mut users = Vec::new();
    for _ in 0..input.array()? {
        input.array()?;
        let workspace = id(WorkspaceId::parse(input.text()?))?;
        let [epoch, count] = input.ints()?;
        let period = read_day(input.text()?)?;
        let version = ledger::version(epoch as u64, count as u64);
        read_book(input, &Told { workspace: &workspace, period, version, now }, effects, &mut users)?;
    }
    Ok(users)
}

fn read_book(
    input: &mut Unpacker<'_>,
    told: &Told<'_>,
    effects: &mut Effects,
    users: &mut Vec<UserStanding>,
) -> Result<(), Malformed> {
    if input.array()? > 0 {
        let (own, whole) = (input.ints()?, input.ints()?);
        effects.balances.push(told.balance(Account::Pool, own, 0, -1));
        effects.pools.push(told.pool(own, whole));
    }
    for _ in 0..input.array()? / 5 {
        let team = id(TeamId::parse(input.text()?))?;
        effects.balances.push(told.balance(Account::Team(team), input.ints()?, 0, -1));
    }
    for _ in 0..input.array()? / 14 {
        let standing = read_user(input)?;
        let AccountState { credited, transferred_out, used, held } = standing.state.account;
        let sums = [credited, transferred_out, used, held].map(Credits::micro);
        let limit = standing.limit.map_or(-1, Credits::micro);
        let account = Account::User(standing.user.clone());
        effects.balances.push(told.balance(account, sums, standing.state.spent.micro(), limit));
        users.push(standing);
    }
    for _ in 0..input.array()? / 10 {
        effects.rollups.push(told.rollup(input)?);
    }
    Ok(())
}

fn read_user(input: &mut Unpacker<'_>) -> Result<UserStanding, Malformed> {
    let user = id(UserId::parse(input.text()?))?;
    let [credited, transferred_out, used, held] = input.ints()?.map(Credits::from_micro);
    let [spent, holding, granted, standing] = input.ints()?.map(Credits::from_micro);
    let account = AccountState { credited, transferred_out, used, held };
    let limit = limit_of(input.int()?);
    let settings = read_user_settings(input)?;
    let state = UserState { account, spent, holding, granted, standing, alerted: 0 };
    Ok(UserStanding { user, settings, state, limit })
}

/// A user's own limit, team, suspension and allocation.
pub fn read_user_settings(input: &mut Unpacker<'_>) -> Result<UserSettings, Malformed> {
    let limit = match input.int()? {
        -1 => None,
        -2 => Some(LimitSetting::None),
        micro => Some(LimitSetting::Credits(Credits::from_micro(micro))),
    };
    let team = read_team(input)?;
    let [suspended, allocation] = input.ints()?;
    let monthly_allocation = Credits::from_micro(allocation);
    Ok(UserSettings { limit, team, suspended: suspended == 1, monthly_allocation })
}

/// A team's id, or none.
pub fn read_team(input: &mut Unpacker<'_>) -> Result<Option<TeamId>, Malformed> {
    let team = Some(input.text()?).filter(|team| !team.is_empty());
    team.map(|team| id(TeamId::parse(team))).transpose()
}

/// The totals of a cell as the scripts keep them.
pub fn read_totals(cell: [i64; 7]) -> Totals {
    let [credits, overage, events, overage_events, denied_events, denied_credits, denied_micro] = cell;
    Totals {
        credits: Credits::from_micro(credits),
        overage_credits: Credits::from_micro(overage),
        events: events as u64,
        overage_events: overage_events as u64,
        denied_events: denied_events as u64,
        denied_micro: i128::from(denied_credits) * 1_000_000 + i128::from(denied_micro),
    }
}

/// A day as the scripts name periods.
pub fn read_day(text: &str) -> Result<Day, Malformed> {
    text.parse().map_err(|_| Malformed(format!("day {text:?}")))
}

/// An id that a script gives back.
pub fn id<T>(parsed: Result<T, IdError>) -> Result<T, Malformed> {
    parsed.map_err(|fault| Malformed(format!("an id {fault}")))
}

/// A limit as the scripts write it: below 0 is none.
pub fn limit_of(micro: i64) -> Option<Credits> {
    (micro >= 0).then(|| Credits::from_micro(micro))
}
