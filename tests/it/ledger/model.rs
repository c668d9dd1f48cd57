//! The Lua against the model: the same random operations to both, the same answers, the same state. What
//! is compared has a name, a [`Law`], so that a planted bug can show that each law sees something.

mod bugs;
pub mod compare;
mod loss;
pub mod ops;
mod run;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Runtime;
use tollgate::domain::period::Instant;
use tollgate::redis::Scripts;

use self::ops::{Op, largest_total, op, operations, short_opening};
use self::run::Run;
use crate::support::{Name, ledger_of};

/// 2026-11-22T00:00:00Z, a week before a month ends, and 2026-11-02T00:00:00Z, when events are late from
/// before a month, and from hours that belong to it in one zone and not in the other.
const STARTS: [i64; 2] = [1_795_305_600_000_000, 1_793_577_600_000_000];

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Law {
    /// An event is decided as the model decides it: outcome, reason, level, accounts drawn on, sequence.
    Verdict,
    /// What is to be recorded is what stands there.
    Told,
    /// A change, a check or a hold is answered as the model answers it.
    Answer,
    /// The same request under the same key gets its first answer, another one is a conflict.
    Once,
    /// Over all accounts remaining + held + used is what entered.
    Conservation,
    /// Settings, books and holds are the model's.
    State,
    /// A state that changed has a higher version.
    Grows,
    /// What is missing or stale is never used.
    Refuses,
    /// The entries are gapless.
    Gapless,
    /// Redis is what the entries fold into and the events sum up to.
    Audit,
}

const LAWS: [Law; 10] = [
    Law::Verdict,
    Law::Told,
    Law::Answer,
    Law::Once,
    Law::Conservation,
    Law::State,
    Law::Grows,
    Law::Refuses,
    Law::Gapless,
    Law::Audit,
];

/// What a run reports besides its end: the law that is being asked, and how often each rare path ran.
#[derive(Default)]
struct Notes {
    law: Cell<Option<Law>>,
    /// The place of the operation, and its words.
    step: RefCell<(usize, String)>,
    paths: RefCell<BTreeMap<String, u64>>,
}

impl Notes {
    fn asks(&self, law: Law) {
        self.law.set(Some(law));
    }

    fn passed(&self, path: &str) {
        *self.paths.borrow_mut().entry(path.to_owned()).or_default() += 1;
    }
}

/// A law that was broken, and by what.
#[derive(Debug)]
struct Broken {
    law: Law,
    words: String,
}

/// Lives through these operations from an instant on, over scripts that may have a bug.
async fn live(scripts: &Scripts, call_events_max: usize, start: i64, ops: &[Op], notes: &Notes) {
    let name = Name::new("model");
    let make = |events_max| ledger_of(&name, events_max, scripts);
    let lua = make(call_events_max);
    let offices = [make(1), make(1)];
    let stranger = || make(call_events_max);
    let mut run = Run::new(&name, &lua, &offices, &stranger, Instant::from_micros(start), notes);
    for (at, op) in ops.iter().enumerate() {
        *notes.step.borrow_mut() = (at, format!("{op:?}"));
        run.step(op).await;
        // What has expired meanwhile is left for the next operation to find.
        if !matches!(op, Op::Sleep(_)) {
            run.compare_state().await;
        }
    }
    run.compare_state().await;
    run.compare_ledger().await;
}

/// The life of a seed. Errors: the law that was broken first.
fn life(runtime: &Runtime, scripts: &Scripts, seed: u64, notes: &Notes) -> Result<(), Broken> {
    let (mut ops, start) = (operations(seed, LIFE_OPS), STARTS[seed as usize % 2]);
    // Where random operations hardly ever come.
    match seed % 8 {
        3 => drop(ops.splice(3..3, largest_total(2))),
        5 => drop(ops.splice(3..3, short_opening(1))),
        _ => {}
    }
    let calls = [40, 1, 7][seed as usize % 3];
    let lived = catch_unwind(AssertUnwindSafe(|| runtime.block_on(live(scripts, calls, start, &ops, notes))));
    lived.map_err(|panic| {
        let (at, op) = notes.step.borrow().clone();
        let words = format!("seed {seed}, operation {at}: {op}: {}", words(&*panic));
        Broken { law: notes.law.get().unwrap(), words }
    })
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words").to_owned()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

const LIFE_OPS: usize = 60;

/// Cases and seed may be given: `TOLLGATE_MODEL_CASES=100000 cargo test --test it the_lua_does`.
#[test]
fn the_lua_does_what_the_model_says() {
    let cases = std::env::var("TOLLGATE_MODEL_CASES").map_or(150, |n| n.parse().unwrap());
    let (runtime, notes, scripts) = (runtime(), Notes::default(), Scripts::default());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let strategy = (prop::collection::vec(op(), 1..40), 1..40_usize, prop::sample::select(STARTS.to_vec()));
    TestRunner::new(config)
        .run(&strategy, |(ops, call_events_max, start)| {
            runtime.block_on(live(&scripts, call_events_max, start, &ops, &notes));
            Ok(())
        })
        .unwrap();
    println!("{cases} cases");
    notes.paths.borrow().iter().for_each(|(path, count)| println!("{count:>7} {path}"));
}

/// Lives of fixed seeds in the test, unless `TOLLGATE_MODEL_LIVES` says more.
const LIVES: u64 = 48;

/// What must have happened in them, or they show little.
const PATHS: [&str; 28] = [
    "duplicate by its arrival mark",
    "duplicate by its time mark alone",
    "redelivered from the tail",
    "event of another period than the running one",
    "overage",
    "denied: no_plan",
    "denied: suspended",
    "denied: feature_limit",
    "denied: user_limit",
    "denied: insufficient_credits",
    "denied: overage_limit",
    "hold expired",
    "hold made",
    "hold voided",
    "settle within the hold",
    "settle beyond the hold",
    "opening",
    "carry-over",
    "shortfall",
    "standing amount moved",
    "reversal",
    "reversal of overage",
    "reversal refused",
    "idempotent answer",
    "idempotency conflict",
    "lost",
    "stale",
    "check",
];

#[test]
fn every_rare_path_is_run_and_no_law_is_broken() {
    let (runtime, notes, scripts) = (runtime(), Notes::default(), Scripts::default());
    let lives = std::env::var("TOLLGATE_MODEL_LIVES").map_or(LIVES, |n| n.parse().unwrap());
    for seed in 0..lives {
        life(&runtime, &scripts, seed, &notes)
            .unwrap_or_else(|Broken { law, words }| panic!("{law:?} is broken: {words}"));
    }
    let paths = notes.paths.borrow();
    paths.iter().for_each(|(path, count)| println!("{count:>6} {path}"));
    let never: Vec<_> = PATHS.into_iter().filter(|path| !paths.contains_key(*path)).collect();
    assert!(never.is_empty(), "never in {lives} lives: {never:?}");
}
