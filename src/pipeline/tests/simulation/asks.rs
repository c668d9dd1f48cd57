//! What administrators and clients ask while events flow, and how they ask again until they know.

use std::sync::atomic::{AtomicBool, Ordering};

use super::laws::{Law, holds};
use super::world::State;
use super::{FEATURES, USERS, WORKSPACES, workspace};
use crate::domain::change::{CarryOver, Change, Enforcement, LimitSetting, Plan, UserChange};
use crate::domain::hold::{HoldRequest, Wish};
use crate::domain::ledger::{Account, Effects};
use crate::domain::{Credits, FeatureId, HoldId, TeamId, UserId, WorkspaceId};
use crate::simulate::Rng;

pub enum Request {
    Change(Change),
    Hold(HoldRequest),
}

/// A request under an idempotency key.
pub struct Ask {
    pub workspace: WorkspaceId,
    key: String,
    request: Request,
    answered: AtomicBool,
}

impl Ask {
    pub fn new(workspace: WorkspaceId, number: usize, request: Request) -> Self {
        Self { workspace, key: format!("k{number}"), request, answered: AtomicBool::new(false) }
    }

    pub fn name(&self) -> &'static str {
        match &self.request {
            Request::Change(_) => "change",
            Request::Hold(_) => "hold",
        }
    }

    /// Whether somebody has had the answer.
    pub fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    pub fn put(&self, state: &mut State) -> (bool, Effects) {
        let now = state.now();
        let (done, effects) = match &self.request {
            Request::Change(change) => state.books.change(&self.workspace, change, &self.key, now),
            Request::Hold(request) => state.books.hold(&self.workspace, request, &self.key, now),
        };
        let kind = match &self.request {
            Request::Change(change) => change.kind(),
            Request::Hold(HoldRequest::Make { .. }) => "hold",
            Request::Hold(HoldRequest::Settle { .. }) => "settle",
            Request::Hold(HoldRequest::Void { .. }) => "void",
        };
        state.saw(format!("ask: {kind} {}", if done { "done" } else { "refused" }));
        state.balance(&self.workspace);
        (done, effects)
    }

    /// A change that is answered is in the ledger.
    pub fn answered(&self, state: &mut State, done: bool) {
        self.answered.store(true, Ordering::Relaxed);
        let key = &self.key;
        state.trace(|| format!("answered {key}: {done}"));
        if let (Request::Change(_), true) = (&self.request, done) {
            let times = state.laws.keys.get(key).copied().unwrap_or(0);
            let judged = holds(Law::OnceUnderAKey, times == 1, || {
                format!("{key} was answered, and is in it {times} times")
            });
            state.judge(judged);
        }
    }
}

pub fn plan(dice: &mut Rng) -> Plan {
    Plan {
        timezone: "Europe/Berlin".to_owned(),
        enforcement: if dice.chance(7000) { Enforcement::Hard } else { Enforcement::Soft },
        default_user_limit: dice.chance(8000).then(|| Credits::whole(20 + dice.below(60) as i64)),
        carry_over: CarryOver::ALL[dice.below(3) as usize],
        ..Plan::monthly(Credits::whole(60 + dice.below(120) as i64))
    }
}

pub fn user(number: u64) -> UserId {
    UserId::parse(&format!("u{number}")).unwrap()
}

fn team(number: u64) -> TeamId {
    TeamId::parse(&format!("t{number}")).unwrap()
}

pub fn feature(number: u64) -> FeatureId {
    FeatureId::parse(&format!("f{number}")).unwrap()
}

pub fn hold(number: u64) -> HoldId {
    HoldId::parse(&format!("h{number}")).unwrap()
}

/// Something to ask of somebody.
pub fn drawn(dice: &mut Rng, number: usize) -> Ask {
    let request = if dice.chance(4500) { Request::Hold(held(dice)) } else { Request::Change(change(dice)) };
    Ask::new(workspace(dice.below(WORKSPACES)), number, request)
}

fn held(dice: &mut Rng) -> HoldRequest {
    let hold = hold(dice.below(6));
    match dice.below(5) {
        0 | 1 => HoldRequest::Settle { hold, owner: None, credits: Credits::whole(dice.below(9) as i64) },
        2 => HoldRequest::Void { hold, owner: None },
        _ => HoldRequest::Make {
            hold,
            wish: Wish {
                user: user(dice.below(USERS)),
                feature: feature(dice.below(FEATURES)),
                credits: Credits::whole(1 + dice.below(8) as i64),
            },
            ttl_seconds: 2 + dice.below(30) as u32,
        },
    }
}

fn account(dice: &mut Rng) -> Account {
    match dice.below(3) {
        0 => Account::Pool,
        1 => Account::Team(team(dice.below(2))),
        _ => Account::User(user(dice.below(USERS))),
    }
}

fn change(dice: &mut Rng) -> Change {
    let credits = Credits::whole(1 + dice.below(20) as i64);
    match dice.below(9) {
        0 => Change::Plan(plan(dice)),
        1 => Change::TopUp { credits },
        2 => Change::Grant { user: user(dice.below(USERS)), credits },
        3 => Change::Feature {
            feature: feature(dice.below(FEATURES)),
            limit: dice.chance(6000).then(|| Credits::whole(30 + dice.below(50) as i64)),
        },
        4 => Change::Team {
            team: team(dice.below(2)),
            monthly_reserve: Credits::whole(dice.below(15) as i64),
            apply_now: dice.chance(5000),
            default_user_limit: dice.chance(3000).then(|| Credits::whole(10 + dice.below(40) as i64)),
        },
        5 | 6 => Change::User(user_change(dice)),
        _ => {
            let (from, to) = (account(dice), account(dice));
            Change::Transfer { from, to, credits, raise_limit: dice.chance(5000) }
        }
    }
}

fn user_change(dice: &mut Rng) -> UserChange {
    let mut change = UserChange::of(user(dice.below(USERS)));
    match dice.below(4) {
        0 => {
            change.limit = Some(match dice.below(3) {
                0 => None,
                1 => Some(LimitSetting::None),
                _ => Some(LimitSetting::Credits(Credits::whole(dice.below(40) as i64))),
            });
        }
        1 => change.team = Some(dice.chance(7000).then(|| team(dice.below(2)))),
        2 => change.suspended = Some(dice.chance(4000)),
        _ => {
            change.monthly_allocation = Some(Credits::whole(dice.below(10) as i64));
            change.apply_now = dice.chance(5000);
        }
    }
    change
}
