//! One run of a shape, and its figures.

use std::time::Instant as Clock;

use futures::{StreamExt as _, stream};
use tollgate::config::Settings;
use tollgate::domain::Credits;
use tollgate::domain::change::{Author, Change, Plan};
use tollgate::domain::decision::Outcome;
use tollgate::domain::period::Instant;
use tollgate::domain::ports::Ledger as _;
use tollgate::pipeline::decide::now;
use tollgate::redis::RedisLedger;

use super::ledger::{DEDUPE, forget, redis, redis_url, unique};
use super::load::{self, PARTITIONS, Shape};
use super::marks;

/// How many batches behind its deciding a batch is committed.
const BATCHES_UNCOMMITTED: usize = 4;
/// A tick of `/proc/self/stat` in microseconds.
const TICK_MICROS: f64 = 10_000.0;

/// What one run cost.
#[derive(Clone, Copy)]
pub struct Figures {
    events_per_second: f64,
    redis_micros: f64,
    own_micros: f64,
    events_per_call: f64,
    call_micros: f64,
    bytes_per_id: f64,
    time_mark_bytes: f64,
    arrival_mark_bytes: f64,
}

impl Figures {
    /// Names of the columns.
    pub const HEADER: &'static str = "load                       events/s  Redis us/event  own us/event  events/call  us/call  bytes/id  \
         by time  by arrival";

    /// The medians of some runs, as one line.
    pub fn medians(name: &str, runs: &[Self]) -> String {
        let median = |value: fn(&Self) -> f64| {
            let mut values: Vec<f64> = runs.iter().map(value).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        format!(
            "{name:<25} {:>9.0} {:>15.2} {:>13.2} {:>12.0} {:>8.0} {:>9.1} {:>8.1} {:>11.1}",
            median(|run| run.events_per_second),
            median(|run| run.redis_micros),
            median(|run| run.own_micros),
            median(|run| run.events_per_call),
            median(|run| run.call_micros),
            median(|run| run.bytes_per_id),
            median(|run| run.time_mark_bytes),
            median(|run| run.arrival_mark_bytes),
        )
    }
}

/// Decides the events of a shape under a name of its own, which is removed again.
pub async fn run(shape: &Shape, round: usize) -> Figures {
    let name = unique(&format!("fold-{round}"));
    let ledger = prepare(&name, shape).await;
    let arrivals = load::arrivals(shape, now().micros() - shape.events as i64 * shape.step);
    marks::fill(&name, shape.marks);
    let (before, started, memory) = (Usage::now(), Clock::now(), info("used_memory"));
    let mut decided = [0_usize; 2];
    for (n, batch) in arrivals.chunks(shape.batch).enumerate() {
        let committed = committed(&arrivals[..n.saturating_sub(BATCHES_UNCOMMITTED) * shape.batch]);
        let effects = ledger.decide(batch, &committed, now()).await.unwrap();
        for decision in &effects.decisions {
            decided[usize::from(decision.verdict.outcome == Outcome::Duplicate)] += 1;
        }
    }
    let (elapsed, after) = (started.elapsed().as_secs_f64(), Usage::now());
    let grown = info("used_memory") - memory;
    assert_eq!(decided[0] + decided[1], shape.events);
    assert!(decided[1] * 100 > shape.events && decided[0] * 100 > shape.events * 97);
    let events = shape.events as f64;
    let [time_mark_bytes, arrival_mark_bytes] = match shape.marks {
        0 => ["t", "a"].map(|family| marks::bytes(&name, family) / events),
        _ => [f64::NAN; 2], // they are not this run's
    };
    forget(&name);
    Figures {
        events_per_second: events / elapsed,
        redis_micros: (after.redis_micros - before.redis_micros) / events,
        own_micros: (after.own_micros - before.own_micros) / events,
        events_per_call: events / (after.calls - before.calls),
        call_micros: (after.call_micros - before.call_micros) / (after.calls - before.calls),
        bytes_per_id: grown / events,
        time_mark_bytes,
        arrival_mark_bytes,
    }
}

async fn prepare(name: &str, shape: &Shape) -> RedisLedger {
    let mut settings = Settings::load(None).unwrap().redis;
    (settings.url, settings.name) = (redis_url(), name.to_owned());
    let ledger = RedisLedger::new(&settings, DEDUPE).unwrap();
    let at = Instant::from_micros(now().micros() - 4 * 86_400_000_000);
    let planned = stream::iter(load::workspaces(shape)).map(|id| {
        let ledger = &ledger;
        async move {
            let plan = Change::Plan(Plan::monthly(Credits::whole(1_000_000_000)));
            ledger.change(&id, &plan, &Author::default(), at).await.unwrap().unwrap();
        }
    });
    planned.buffer_unordered(64).collect::<()>().await;
    ledger
}

/// The next offset of each partition behind these.
fn committed(arrivals: &[tollgate::domain::event::Arrival]) -> Vec<(i32, i64)> {
    let mut next = [None; PARTITIONS];
    for arrival in arrivals.iter().rev().take(100_000) {
        let place = &mut next[arrival.position.partition as usize];
        *place = place.or(Some(arrival.position.offset + 1));
    }
    next.iter().enumerate().filter_map(|(partition, next)| Some((partition as i32, (*next)?))).collect()
}

struct Usage {
    redis_micros: f64,
    own_micros: f64,
    calls: f64,
    call_micros: f64,
}

impl Usage {
    fn now() -> Self {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let ticks: Vec<f64> = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|n| n.parse().unwrap())
            .collect();
        let seconds = info("used_cpu_user") + info("used_cpu_sys");
        let commands: String = redis(::redis::cmd("INFO").arg("commandstats"));
        let script = commands
            .lines()
            .find_map(|line| line.strip_prefix("cmdstat_evalsha:"))
            .unwrap_or_default()
            .to_owned();
        let number = |name: &str| {
            let value =
                script.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap_or("0");
            value.parse().unwrap()
        };
        Self {
            redis_micros: seconds * 1e6,
            own_micros: (ticks[0] + ticks[1]) * TICK_MICROS,
            calls: number("calls"),
            call_micros: number("usec"),
        }
    }
}

/// A number of `INFO`.
fn info(name: &str) -> f64 {
    let all: String = redis(::redis::cmd("INFO").arg("everything"));
    all.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap().trim().parse().unwrap()
}
