//! Runs a target for its time, and says what it cost.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use tollgate::simulate::Rng;

/// Seconds of each target in the ordinary tests.
const SECONDS: u64 = 2;
/// Longest that one execution may take; this machine may be busy with others.
const EXECUTION_MAX: Duration = Duration::from_secs(2);
/// Peak memory of the whole test process.
const RSS_MIB_MAX: u64 = 1024;

/// What became of an input.
pub enum Fate {
    Accepted,
    Refused,
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Runs executions of rising seeds until the time is up; each makes its input from its own numbers, so
/// that one alone can be repeated.
pub fn run(target: &str, mut execute: impl FnMut(&mut Rng) -> Fate) {
    let seconds = number("TOLLGATE_FUZZ_SECONDS").unwrap_or(SECONDS);
    let first = number("TOLLGATE_FUZZ_SEED").unwrap_or(1);
    let (started, mut executions, mut accepted, mut slowest) = (Instant::now(), 0, 0_u64, Duration::ZERO);
    loop {
        let seed = first + executions;
        let begun = Instant::now();
        match catch_unwind(AssertUnwindSafe(|| execute(&mut Rng::new(seed)))) {
            Ok(fate) => accepted += u64::from(matches!(fate, Fate::Accepted)),
            Err(panic) => panic!("{target}, TOLLGATE_FUZZ_SEED={seed}: {}", words(&*panic)),
        }
        slowest = slowest.max(begun.elapsed());
        assert!(slowest < EXECUTION_MAX, "{target}, TOLLGATE_FUZZ_SEED={seed}: took {slowest:?}");
        executions += 1;
        if started.elapsed() >= Duration::from_secs(seconds) {
            break;
        }
    }
    let rss = peak_mib();
    println!(
        "{target}: {executions} executions in {seconds} s, {accepted} accepted, slowest {slowest:?}, peak {rss} MiB"
    );
    assert!(rss < RSS_MIB_MAX, "{rss} MiB");
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words").to_owned()
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}
