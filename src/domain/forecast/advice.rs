//! Which idle credits could move to whom. Idle is what an account holds beyond the upper end of its
//! range, so that nobody is advised into a shortage; short is who will want more than can be used.
//! Demand follows the draw order: what a user's own account will not cover falls to the team's, what
//! that will not cover falls to the pool. Not here: moving anything.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::HashMap;

use serde::Serialize;

use super::super::credits::{Credits, MICRO};
use super::super::ids::TeamId;
use super::super::ledger::Account;
use super::Forecast;

/// Longest list of moves; past it nobody reads on.
pub const MOVES_MAX: usize = 20;

/// One account, and the forecast of whom it is for: the pool's is the whole workspace's.
#[derive(Debug, Clone, Copy)]
pub struct Holder<'a> {
    /// The account.
    pub account: &'a Account,
    /// A user's team.
    pub team: Option<&'a TeamId>,
    /// What the account itself holds and has not set aside.
    pub remaining: Credits,
    /// A user's limit, not the accounts, is what bounds the forecast.
    pub limited: bool,
    /// What will be wanted.
    pub forecast: &'a Forecast,
}

/// A transfer that an administrator could make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Move {
    /// Whose credits are idle.
    pub from: Account,
    /// Who will be short.
    pub to: Account,
    /// Whole credits, at most what is idle.
    pub credits: Credits,
    /// The limit has to go up with it, as a grant does.
    pub raise_limit: bool,
    /// For a human.
    pub because: String,
}

/// What could be moved.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, utoipa::ToSchema)]
pub struct Advice {
    /// At most [`MOVES_MAX`]: first what the pool can give, then the largest idle account.
    pub moves: Vec<Move>,
    /// Whole credits that are projected to stay unused, over all accounts.
    pub idle: Credits,
    /// Whole credits that are projected to be missing, before any move.
    pub short: Credits,
}

/// An account with credits to give, or one that lacks some; `left` counts down as moves are found.
struct Side<'a> {
    holder: &'a Holder<'a>,
    credits: Credits,
    left: Credits,
}

impl<'a> Side<'a> {
    fn of(holder: &'a Holder<'a>, credits: Credits) -> Option<Self> {
        (credits > Credits::ZERO).then_some(Self { holder, credits, left: credits })
    }

    fn is_pool(&self) -> bool {
        *self.holder.account == Account::Pool
    }
}

/// What will be drawn on an account until the period's end.
#[derive(Debug, Clone, Copy)]
struct Need {
    projected: Credits,
    high: Credits,
}

impl Need {
    /// Of what a holder will want, the part that `below` does not cover; none without a projection.
    fn of(holder: &Holder<'_>, below: Credits) -> Option<Self> {
        let forecast = holder.forecast;
        let gone = forecast.used + forecast.held + below;
        let projected = (forecast.projected_use? - gone).at_least_zero();
        Some(Self { projected, high: (forecast.range?.high - gone).at_least_zero() })
    }
}

/// Walks up the draw order and gathers who has credits to give and who lacks some.
#[derive(Default)]
struct Balance<'a> {
    /// Of each team's demand, what its members' own accounts cover.
    by_members: HashMap<&'a TeamId, Credits>,
    /// Of the workspace's demand, what users' and teams' accounts cover.
    below_pool: Credits,
    sources: Vec<Side<'a>>,
    wants: Vec<Side<'a>>,
    /// Teams that will draw on the pool: short only if the pool is.
    overdrawn: Vec<Side<'a>>,
}

impl<'a> Balance<'a> {
    /// 1. A user's own account. Who has no projection is not idle, and covers nothing.
    fn add_user(&mut self, user: &'a Holder<'a>) {
        let Some(need) = Need::of(user, Credits::ZERO) else { return };
        let cover = need.projected.min(user.remaining);
        self.below_pool += cover;
        if let Some(team) = user.team {
            *self.by_members.entry(team).or_default() += cover;
        }
        // A transfer out of a user lowers a granted limit too, so the limit has to bear it.
        let free = user.forecast.room().map_or(user.remaining, |room| room.min(user.remaining));
        self.sources.extend(Side::of(user, whole_down(free - need.high)));
        // Whose own account reaches needs a higher limit, not credits.
        let short = user.forecast.projected_shortfall.filter(|_| need.projected > user.remaining);
        self.wants.extend(short.and_then(|short| Side::of(user, whole_up(short))));
    }

    /// 2. A team's account, for what its members' do not cover.
    fn add_team(&mut self, team: &'a Holder<'a>, id: &TeamId) {
        let below = self.by_members.get(id).copied().unwrap_or_default();
        let Some(need) = Need::of(team, below) else { return };
        self.below_pool += need.projected.min(team.remaining);
        self.sources.extend(Side::of(team, whole_down(team.remaining - need.high)));
        self.overdrawn.extend(Side::of(team, whole_up(need.projected - team.remaining)));
    }

    /// 3. The pool, for the rest. What it lacks is lacking to the teams that overdraw, then to everybody.
    fn add_pool(&mut self, pool: &'a Holder<'a>) {
        let Some(need) = Need::of(pool, self.below_pool) else { return };
        self.sources.extend(Side::of(pool, whole_down(pool.remaining - need.high)));
        let mut lacking = whole_up(need.projected - pool.remaining).at_least_zero();
        self.overdrawn.sort_by(largest_first);
        for team in self.overdrawn.drain(..) {
            let share = team.credits.min(lacking);
            lacking -= share;
            self.wants.extend(Side::of(team.holder, share));
        }
        self.wants.extend(Side::of(pool, lacking));
    }

    /// The pool gives first, since that takes from nobody; then the largest idle to the largest need.
    fn into_advice(mut self) -> Advice {
        self.sources.sort_by(|a, b| b.is_pool().cmp(&a.is_pool()).then_with(|| largest_first(a, b)));
        self.wants.sort_by(largest_first);
        let total = |sides: &[Side<'_>]| sides.iter().map(|side| side.credits).sum();
        let (idle, short) = (total(&self.sources), total(&self.wants));
        Advice { moves: moves(self.sources, self.wants), idle, short }
    }
}

/// Says which idle credits could move to whom; an account is named at most once in `holders`.
pub fn advise(holders: &[Holder<'_>]) -> Advice {
    let mut balance = Balance::default();
    for holder in holders.iter().filter(|holder| matches!(holder.account, Account::User(_))) {
        balance.add_user(holder);
    }
    for holder in holders {
        if let Account::Team(id) = holder.account {
            balance.add_team(holder, id);
        }
    }
    for holder in holders.iter().filter(|holder| *holder.account == Account::Pool) {
        balance.add_pool(holder);
    }
    balance.into_advice()
}

fn moves(sources: Vec<Side<'_>>, mut wants: Vec<Side<'_>>) -> Vec<Move> {
    let mut moves = Vec::new();
    let mut wants = wants.iter_mut();
    let mut want = wants.next();
    for mut source in sources {
        while let Some(to) = want.as_mut().filter(|_| source.left > Credits::ZERO && moves.len() < MOVES_MAX)
        {
            moves.push(one_move(&mut source, to));
            if to.left == Credits::ZERO {
                want = wants.next();
            }
        }
    }
    moves
}

fn one_move(source: &mut Side<'_>, want: &mut Side<'_>) -> Move {
    let credits = source.left.min(want.left);
    source.left -= credits;
    want.left -= credits;
    let (from, to) = (source.holder.account.clone(), want.holder.account.clone());
    Move { from, to, credits, raise_limit: want.holder.limited, because: because(source, want) }
}

fn because(source: &Side<'_>, want: &Side<'_>) -> String {
    let (from, idle) = (source.holder.account, source.credits);
    let (to, short) = (want.holder.account, want.credits);
    let bound = if want.holder.limited { "its limit allows" } else { "it can draw" };
    format!(
        "{from} will keep {idle} credits even if its use runs high; {to} is projected to want {short} more than {bound}"
    )
}

/// Equal amounts in order of account, so that the same numbers give the same advice.
fn largest_first(a: &Side<'_>, b: &Side<'_>) -> Ordering {
    b.credits.cmp(&a.credits).then_with(|| a.holder.account.cmp(b.holder.account))
}

fn whole_down(credits: Credits) -> Credits {
    Credits::whole(credits.micro().div_euclid(MICRO))
}

/// A part of a credit that is missing is only made good by a whole one.
fn whole_up(credits: Credits) -> Credits {
    -whole_down(-credits)
}
