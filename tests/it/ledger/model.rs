//! The Lua against the model: the same random operations to both, the same answers, the same state.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tollgate::domain::book::{Book, Workspace};
use tollgate::domain::change::Author;
use tollgate::domain::change::{Change, Enforcement, LimitSetting, Plan};
use tollgate::domain::event::{Arrival, Position, UsageEvent};
use tollgate::domain::ledger::Account;
use tollgate::domain::model::Model;
use tollgate::domain::period::{Instant, PeriodName};
use tollgate::domain::ports::Ledger;
use tollgate::domain::{Credits, FeatureId, TeamId, UserId, WorkspaceId};
use tollgate::redis::RedisLedger;

use super::event;
use crate::support::{DEDUPE, Name, ledger};

/// 2026-11-22T00:00:00Z, a week before a month ends, and 2026-11-02T00:00:00Z, when events are late from
/// before a month, and from hours that belong to it in one zone and not in the other.
const STARTS: [i64; 2] = [1_795_305_600_000_000, 1_793_577_600_000_000];
const HOUR: i64 = 3_600_000_000;

/// An event by its numbers; `id` repeats, so that duplicates happen.
#[derive(Debug, Clone)]
struct Spend {
    workspace: u8,
    user: u8,
    feature: u8,
    id: u8,
    time_shift_hours: i64,
    micro: i64,
}

#[derive(Debug, Clone)]
enum Op {
    Events(Vec<Spend>),
    /// Delivers the last so many events again.
    Redeliver(usize),
    Change(u8, Change),
    Sleep(i64),
}

fn user(n: u8) -> UserId {
    UserId::parse(&format!("user-{n}")).unwrap()
}

fn team(n: u8) -> TeamId {
    TeamId::parse(&format!("team-{n}")).unwrap()
}

fn feature(n: u8) -> FeatureId {
    FeatureId::parse(&format!("feature-{n}")).unwrap()
}

fn workspace(n: u8) -> WorkspaceId {
    WorkspaceId::parse(&format!("workspace-{n}")).unwrap()
}

fn micro() -> impl Strategy<Value = i64> {
    prop_oneof![
        6 => 0..50_000_000_i64,
        2 => Just(1_000_000),
        1 => Just(0),
        1 => 0..=Credits::EVENT_MAX.micro(),
    ]
}

fn amount() -> impl Strategy<Value = Credits> {
    prop_oneof![
        8 => (1..200_000_000_i64).prop_map(Credits::from_micro),
        1 => Just(Credits::TOTAL_MAX),
    ]
}

fn spend() -> impl Strategy<Value = Spend> {
    let time = prop_oneof![8 => Just(0), 1 => -72_i64..=0, 1 => 0..3_i64];
    (0..3_u8, 0..4_u8, 0..3_u8, 0..60_u8, time, micro()).prop_map(
        |(workspace, user, feature, id, time_shift_hours, micro)| Spend {
            workspace,
            user,
            feature,
            id,
            time_shift_hours,
            micro,
        },
    )
}

fn account() -> impl Strategy<Value = Account> {
    prop_oneof![
        Just(Account::Pool),
        (0..2_u8).prop_map(|n| Account::Team(team(n))),
        (0..4_u8).prop_map(|n| Account::User(user(n))),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let timezone = prop_oneof![Just("UTC"), Just("America/New_York"), Just("Asia/Tokyo")];
    let monthly = prop_oneof![8 => 0..600_i64, 1 => Just(8_000_000_000)];
    (monthly, timezone, 1..=28_i8, any::<bool>(), prop::option::of(amount())).prop_map(
        |(monthly, timezone, anchor_day, soft, default_user_limit)| Plan {
            monthly_credits: Credits::whole(monthly),
            timezone: timezone.to_owned(),
            anchor_day,
            enforcement: if soft { Enforcement::Soft } else { Enforcement::Hard },
            default_user_limit,
        },
    )
}

fn change() -> impl Strategy<Value = Change> {
    let limit = prop::option::of(prop::option::of(prop_oneof![
        4 => amount().prop_map(LimitSetting::Credits),
        1 => Just(LimitSetting::Credits(Credits::ZERO)),
        1 => Just(LimitSetting::None),
    ]));
    let member = prop::option::of(prop::option::of((0..2_u8).prop_map(team)));
    prop_oneof![
        3 => plan().prop_map(Change::Plan),
        3 => ((0..4_u8).prop_map(user), limit, member, prop::option::weighted(0.2, any::<bool>()))
            .prop_map(|(user, limit, team, suspended)| Change::User { user, limit, team, suspended }),
        2 => ((0..2_u8).prop_map(team), 0..100_i64, any::<bool>(), prop::option::of(amount()))
            .prop_map(|(team, reserve, apply_now, default_user_limit)| Change::Team {
                team, monthly_reserve: Credits::whole(reserve), apply_now, default_user_limit
            }),
        1 => ((0..3_u8).prop_map(feature), prop::option::of(amount()))
            .prop_map(|(feature, limit)| Change::Feature { feature, limit }),
        1 => amount().prop_map(|credits| Change::TopUp { credits }),
        2 => (account(), account(), amount(), any::<bool>())
            .prop_map(|(from, to, credits, raise_limit)| Change::Transfer { from, to, credits, raise_limit }),
        2 => ((0..4_u8).prop_map(user), amount()).prop_map(|(user, credits)| Change::Grant { user, credits }),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => prop::collection::vec(spend(), 1..24).prop_map(Op::Events),
        1 => (1..30_usize).prop_map(Op::Redeliver),
        4 => (0..3_u8, change()).prop_map(|(workspace, change)| Op::Change(workspace, change)),
        1 => prop_oneof![1..3_i64, Just(30), Just(24 * 20)].prop_map(Op::Sleep),
    ]
}

/// Both sides, the time, and everything that was delivered. Events and changes come from two
/// processes, so that the one that decides learns of a new plan only when it decides.
struct Run<'a> {
    lua: &'a RedisLedger,
    office: &'a RedisLedger,
    model: Model,
    now: Instant,
    delivered: Vec<Arrival>,
}

impl Run<'_> {
    fn arrival(&self, spend: &Spend, offset: i64) -> Arrival {
        let time = Instant::from_micros(self.now.micros() + spend.time_shift_hours * HOUR);
        let workspace = workspace(spend.workspace);
        let event = UsageEvent {
            user: user(spend.user),
            feature: feature(spend.feature),
            credits: Credits::from_micro(spend.micro),
            ..event(&format!("id-{}", spend.id), workspace, time)
        };
        // A workspace's events come in two partitions, as after partitions were added.
        Arrival { event, position: Position { partition: offset as i32 % 2, offset }, timestamp: self.now }
    }

    async fn step(&mut self, op: &Op) {
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
                let author = Author { actor: "test".to_owned(), ..Author::default() };
                let answer = self.office.change(&id, change, &author, self.now).await.unwrap();
                assert_eq!(answer.map(drop), expected, "{change:?}");
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

    async fn compare_state(&self) {
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

type Comparable = (Vec<u64>, String, String, Vec<(PeriodName, Book)>);

fn comparable(state: Workspace) -> Comparable {
    let numbers = vec![state.epoch, state.sequence, state.ledger_sequence];
    let users: Vec<_> = state.users.iter().filter(|(_, user)| **user != Default::default()).collect();
    let settings = format!(
        "{:?} {:?} {:?} {users:?} {:?} {:?}",
        state.monthly_credits, state.enforcement, state.default_user_limit, state.teams, state.features
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
