//! The Lua against the model: the same random operations to both, the same answers, the same state.

pub mod ops;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tollgate::domain::book::{Book, Workspace};
use tollgate::domain::change::{Author, Change, Reversed};
use tollgate::domain::decision::{Decision, Outcome};
use tollgate::domain::event::{Arrival, Position, UsageEvent};
use tollgate::domain::hold::Hold;
use tollgate::domain::model::{Model, SETTLES};
use tollgate::domain::period::{Instant, PeriodName};
use tollgate::domain::ports::Ledger;
use tollgate::domain::{Credits, WorkspaceId};
use tollgate::redis::RedisLedger;

use self::ops::{Op, Spend, feature, hold, op, user, workspace};
use super::event;
use crate::support::{DEDUPE, Name, ledger};

/// 2026-11-22T00:00:00Z, a week before a month ends, and 2026-11-02T00:00:00Z, when events are late from
/// before a month, and from hours that belong to it in one zone and not in the other.
const STARTS: [i64; 2] = [1_795_305_600_000_000, 1_793_577_600_000_000];
const HOUR: i64 = 3_600_000_000;

/// Both sides, the time, and everything that was delivered. Events and changes come from two
/// processes, so that the one that decides learns of a new plan only when it decides.
struct Run<'a> {
    lua: &'a RedisLedger,
    office: &'a RedisLedger,
    model: Model,
    now: Instant,
    delivered: Vec<Arrival>,
    decided: Vec<(WorkspaceId, Reversed)>,
}

impl Run<'_> {
    fn arrival(&self, spend: &Spend, offset: i64) -> Arrival {
        let time = Instant::from_micros(self.now.micros() + spend.time_shift_hours * HOUR);
        let workspace = workspace(spend.workspace);
        let event = UsageEvent {
            user: user(spend.user),
            feature: feature(spend.feature),
            credits: Credits::from_micro(spend.micro),
            hold: spend.hold.map(hold),
            ..event(&format!("id-{}", spend.id), workspace, time)
        };
        self.arrived(event, offset)
    }

    fn arrived(&self, event: UsageEvent, offset: i64) -> Arrival {
        // A workspace's events come in two partitions, as after partitions were added.
        Arrival { event, position: Position { partition: offset as i32 % 2, offset }, timestamp: self.now }
    }

    async fn step(&mut self, op: &Op) {
        self.model.sweep(self.now);
        match op {
            Op::Events(spends) => {
                let from = self.delivered.len() as i64;
                let fresh: Vec<Arrival> =
                    spends.iter().zip(from..).map(|(spend, offset)| self.arrival(spend, offset)).collect();
                self.delivered.extend(fresh.iter().cloned());
                self.decide(&fresh).await;
            }
            Op::Redeliver(count) => {
                let from = self.delivered.len().saturating_sub(*count);
                let again = self.delivered[from..].to_vec();
                self.decide(&again).await;
            }
            Op::Change(n, change) => {
                let id = workspace(*n);
                let expected = self.model.change(&id, change, self.now);
                let answer = self.office.change(&id, change, &author(), self.now).await.unwrap();
                assert_eq!(answer.map(drop), expected, "{change:?}");
            }
            Op::Reverse(n) => {
                let Some((id, event)) = self.decided.get(n % self.decided.len().max(1)).cloned() else {
                    return;
                };
                let change = Change::Reversal(event);
                let expected = self.model.change(&id, &change, self.now);
                let answer = self.office.change(&id, &change, &author(), self.now).await.unwrap();
                assert_eq!(answer.map(drop), expected, "{change:?}");
            }
            Op::Check(n, wish) => {
                let id = workspace(*n);
                let expected = self.model.check(&id, wish, self.now);
                if let Some((answer, _)) = self.office.check(&id, wish, self.now).await.unwrap() {
                    assert_eq!(answer, expected, "{wish:?}");
                }
            }
            Op::Hold(n, request) => {
                let id = workspace(*n);
                let expected = self.model.hold(&id, request, self.now);
                let answer = self.office.hold(&id, request, &author(), self.now).await.unwrap();
                assert_eq!(answer.map(|held| held.answer.hold), expected, "{request:?}");
            }
            Op::Settled(n, name) => {
                let id = workspace(*n);
                let known = self.model.workspace(&id).and_then(|state| state.holds.get(&hold(*name)));
                let Some(Hold { user, feature, settled: Some(credits), .. }) = known.cloned() else { return };
                let base = event(&format!("hold-{name}"), id, self.now);
                let event = UsageEvent {
                    user,
                    feature,
                    credits,
                    source: SETTLES.into(),
                    hold: Some(hold(*name)),
                    ..base
                };
                let arrival = self.arrived(event, self.delivered.len() as i64);
                self.delivered.push(arrival.clone());
                self.decide(&[arrival]).await;
            }
            Op::Sleep(hours) => self.now = Instant::from_micros(self.now.micros() + hours * HOUR),
        }
    }

    async fn decide(&mut self, arrivals: &[Arrival]) {
        let effects = self.lua.decide(arrivals, &[], self.now).await.unwrap();
        assert_eq!(effects.settled_before, 0);
        assert_eq!(effects.decisions.len(), arrivals.len());
        for (arrival, decision) in arrivals.iter().zip(&effects.decisions) {
            let expected = self.model.decide(arrival);
            assert_eq!(decision.verdict, expected, "{arrival:?}");
            if matches!(expected.outcome, Outcome::Allowed | Outcome::Overage) && !decision.redelivered {
                self.decided.push((arrival.event.workspace.clone(), reversed(decision)));
            }
            assert_eq!(decision.event, arrival.event);
            assert_eq!(decision.position, arrival.position);
        }
        self.compare_absolutes(&effects);
    }

    /// What the call told to be recorded is what the model holds now.
    fn compare_absolutes(&self, effects: &tollgate::domain::ledger::Effects) {
        let mut newest = std::collections::BTreeMap::new();
        for rollup in &effects.rollups {
            newest.insert(
                (&rollup.workspace, rollup.period, &rollup.user, &rollup.feature, rollup.day),
                rollup,
            );
        }
        for rollup in newest.into_values() {
            let book = &self.model.workspace(&rollup.workspace).unwrap().books[&rollup.period];
            let key = (rollup.day, rollup.user.clone(), rollup.feature.clone());
            assert_eq!(rollup.totals, book.cells[&key], "{rollup:?}");
        }
        let pools: std::collections::BTreeMap<_, _> =
            effects.pools.iter().map(|pool| ((&pool.workspace, pool.period), pool)).collect();
        for pool in pools.into_values() {
            let book = &self.model.workspace(&pool.workspace).unwrap().books[&pool.period];
            assert_eq!(
                (pool.total, pool.used, pool.unallocated),
                (book.total, book.used, book.pool.remaining())
            );
        }
    }

    async fn compare_state(&mut self) {
        self.model.sweep(self.now);
        for shard in 0..2 {
            self.lua.sweep(shard, self.now).await.unwrap();
            drop(self.lua.take_rare()); // of now: what is told later is newer
        }
        for n in 0..3 {
            let id = workspace(n);
            let Some(expected) = self.model.workspace(&id) else {
                assert!(self.lua.workspace(&id, &[]).await.unwrap().is_none());
                continue;
            };
            let periods: Vec<PeriodName> = expected.books.keys().copied().collect();
            let Some(found) = self.lua.workspace(&id, &periods).await.unwrap() else {
                assert_eq!((expected.sequence, expected.ledger_sequence), (0, 0), "{id}");
                continue;
            };
            assert_eq!(comparable(found), comparable(expected.clone()), "{id}");
        }
    }
}

fn author() -> Author {
    Author { actor: "test".to_owned(), ..Author::default() }
}

fn reversed(decision: &Decision) -> Reversed {
    Reversed {
        event_id: decision.event.id.to_string(),
        source: decision.event.source.to_string(),
        time: decision.event.time,
        period: decision.period,
        day: decision.day,
        user: decision.event.user.clone(),
        team: decision.verdict.team.clone(),
        feature: decision.event.feature.clone(),
        drawn: decision.verdict.drawn,
    }
}

type Comparable = (Vec<u64>, String, String, Vec<(PeriodName, Book)>);

fn comparable(state: Workspace) -> Comparable {
    let numbers = vec![state.epoch, state.sequence, state.ledger_sequence];
    let users: Vec<_> = state.users.iter().filter(|(_, user)| **user != Default::default()).collect();
    let settings = format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {users:?} {:?} {:?} {:?}",
        state.monthly_credits,
        state.seats,
        state.enforcement,
        state.default_user_limit,
        state.carry_over,
        state.thresholds,
        state.teams,
        state.features,
        state.holds
    );
    for book in state.books.values() {
        assert_eq!(book.conserved(), book.total, "credits are conserved");
    }
    let books = state.books.into_iter().map(|(period, book)| (period, book.tidied())).collect();
    (numbers, state.calendar.stored(), settings, books)
}

/// Cases and seed may be given: `TOLLGATE_MODEL_CASES=100000 cargo test --test it the_lua_does`.
#[test]
fn the_lua_does_what_the_model_says() {
    let cases = std::env::var("TOLLGATE_MODEL_CASES").map_or(150, |n| n.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let strategy = (prop::collection::vec(op(), 1..40), 1..40_usize, prop::sample::select(STARTS.to_vec()));
    TestRunner::new(config)
        .run(&strategy, |(ops, call_events_max, start)| {
            let name = Name::new("model");
            let (lua, office) = (ledger(&name, call_events_max), ledger(&name, 1));
            runtime.block_on(async {
                let now = Instant::from_micros(start);
                let mut run = Run {
                    lua: &lua,
                    office: &office,
                    model: Model::new(DEDUPE.window_seconds),
                    now,
                    delivered: Vec::new(),
                    decided: Vec::new(),
                };
                for op in &ops {
                    run.step(op).await;
                    run.compare_state().await;
                }
            });
            Ok(())
        })
        .unwrap();
}
