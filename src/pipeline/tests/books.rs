//! A ledger over the model. Like the real one it remembers the answers that are not committed yet,
//! and of the others only that they were given.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use super::trouble::{TestFault, Troubles};
use crate::domain::book::Book;
use crate::domain::decision::Decision;
use crate::domain::event::{Arrival, Position};
use crate::domain::ledger::{Account, Balance, Effects, PoolState, Rollup, version};
use crate::domain::model::Model;
use crate::domain::period::{Instant, PeriodName};
use crate::domain::ports::Ledger;
use crate::domain::{UserId, WorkspaceId};

pub struct Books {
    pub troubles: Troubles,
    /// Workspaces that are being rebuilt.
    pub still: Mutex<BTreeSet<WorkspaceId>>,
    state: Mutex<State>,
}

struct State {
    model: Model,
    decided: usize,
    /// The highest offset decided, of each workspace and partition.
    fences: BTreeMap<(WorkspaceId, i32), i64>,
    tail: BTreeSet<Position>,
}

impl Books {
    pub fn new(model: Model) -> Self {
        let state = State { model, decided: 0, fences: BTreeMap::new(), tail: BTreeSet::new() };
        Self { troubles: Troubles::default(), still: Mutex::default(), state: Mutex::new(state) }
    }

    /// How many records were ever decided.
    pub fn decided(&self) -> usize {
        self.state.lock().unwrap().decided
    }

    pub fn model(&self) -> Model {
        self.state.lock().unwrap().model.clone()
    }
}

impl Ledger for Books {
    type Error = TestFault;

    async fn decide(
        &self,
        arrivals: &[Arrival],
        committed: &[(i32, i64)],
        now: Instant,
    ) -> Result<Effects, TestFault> {
        let still = self.standing_still();
        assert!(!arrivals.iter().any(|arrival| still.contains(&arrival.event.workspace)), "told not to");
        self.troubles.meet(|| self.state.lock().unwrap().decide(arrivals, committed, now)).await
    }

    fn standing_still(&self) -> BTreeSet<WorkspaceId> {
        self.still.lock().unwrap().clone()
    }
}

impl State {
    fn decide(&mut self, arrivals: &[Arrival], committed: &[(i32, i64)], now: Instant) -> Effects {
        let mut effects = Effects::default();
        for arrival in arrivals {
            let position = arrival.position;
            let place = (arrival.event.workspace.clone(), position.partition);
            let fence = self.fences.entry(place).or_insert(-1);
            let redelivered = position.offset <= *fence;
            if redelivered && !self.tail.contains(&position) {
                effects.settled_before += 1;
                continue;
            }
            *fence = position.offset.max(*fence);
            self.decided += usize::from(self.tail.insert(position));
            effects.decisions.push(Decision { redelivered, ..self.decide_one(arrival, now) });
        }
        let floors: BTreeMap<i32, i64> = committed.iter().copied().collect();
        self.tail.retain(|at| floors.get(&at.partition).is_none_or(|next| at.offset >= *next));
        self.absolutes(&mut effects, now);
        effects
    }

    fn decide_one(&mut self, arrival: &Arrival, now: Instant) -> Decision {
        let verdict = self.model.decide(arrival);
        let calendar = &self.model.workspace(&arrival.event.workspace).unwrap().calendar;
        let period = calendar.period_of(arrival.event.time);
        Decision {
            event: arrival.event.clone(),
            position: arrival.position,
            period: period.name,
            day: calendar.day_of(arrival.event.time).day,
            resets_at: period.end,
            verdict,
            hold_ignored: false,
            arrived_at: arrival.timestamp,
            redelivered: false,
            decided_at: now,
        }
    }

    /// The states of everything that the decisions touch, as they stand now.
    fn absolutes(&self, effects: &mut Effects, now: Instant) {
        let (mut pools, mut users, mut cells) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for Decision { event, period, day, .. } in &effects.decisions {
            pools.insert((event.workspace.clone(), *period));
            users.insert((event.workspace.clone(), *period, event.user.clone()));
            cells.insert((
                event.workspace.clone(),
                *period,
                (*day, event.user.clone(), event.feature.clone()),
            ));
        }
        for (workspace, period, cell) in cells {
            let state = self.model.workspace(&workspace).unwrap();
            let Some(totals) = state.books[&period].cells.get(&cell).copied() else { continue };
            let version = version(state.epoch, state.sequence + state.ledger_sequence);
            let (day, user, feature) = cell;
            effects.rollups.push(Rollup { workspace, period, user, feature, day, totals, version });
        }
        for (workspace, period) in pools {
            effects.balances.push(balance(&self.model, &workspace, period, None));
            effects.pools.push(pool(&self.model, &workspace, period, now));
        }
        for (workspace, period, user) in users {
            effects.balances.push(balance(&self.model, &workspace, period, Some(user)));
        }
    }
}

/// What `account_balances` is to say of the pool, or of a user.
pub fn balance(model: &Model, id: &WorkspaceId, period: PeriodName, user: Option<UserId>) -> Balance {
    let state = model.workspace(id).unwrap();
    let book = &state.books[&period];
    let known = user.as_ref().and_then(|user| book.users.get(user)).copied().unwrap_or_default();
    let account = if user.is_some() { known.account } else { book.pool };
    Balance {
        workspace: id.clone(),
        period,
        limit: user.as_ref().and_then(|user| state.effective_limit(user, known.granted)),
        account: user.map_or(Account::Pool, Account::User),
        credited: account.credited,
        transferred_out: account.transferred_out,
        used: account.used,
        held: account.held,
        spent: known.spent,
        version: version(state.epoch, state.sequence + state.ledger_sequence),
    }
}

fn pool(model: &Model, id: &WorkspaceId, period: PeriodName, at: Instant) -> PoolState {
    let state = model.workspace(id).unwrap();
    let version = version(state.epoch, state.sequence + state.ledger_sequence);
    pool_state(id, period, &state.books[&period], version, at)
}

/// What is told of the pool of a book.
pub fn pool_state(id: &WorkspaceId, period: PeriodName, book: &Book, version: u64, at: Instant) -> PoolState {
    let unallocated = book.pool.remaining();
    let Book { total, used, held, .. } = *book;
    PoolState { workspace: id.clone(), period, total, used, held, unallocated, version, at }
}
