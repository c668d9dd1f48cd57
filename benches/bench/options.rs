//! What is to be measured, as the environment says. None of it changes what a contender does.

use super::contender::Contender;
use super::setup::number;

/// The choices of a run.
pub struct Options {
    /// Records of each data set.
    pub events: u64,
    /// How often everything is measured; the report has the medians.
    pub rounds: usize,
    /// Who takes part.
    pub contenders: Vec<Contender>,
    /// Names of the data sets.
    pub sets: Vec<String>,
    /// Events a second at which latency is measured; each in a run of its own.
    pub rates: Vec<u32>,
    /// For how long, in seconds.
    pub rate_seconds: u32,
    /// Whether checks before a call are measured too.
    pub checks: bool,
    /// Whether the files under `docs/` are written.
    pub writes: bool,
}

impl Options {
    /// Reads `TOLLGATE_BENCH_*`.
    pub fn from_environment() -> Self {
        let only = list("TOLLGATE_BENCH_ONLY", "tollgate,floor,awaited,pipelined,streams");
        Self {
            events: number("TOLLGATE_BENCH_EVENTS", 2_000_000),
            rounds: number("TOLLGATE_BENCH_ROUNDS", 5).max(1) as usize,
            contenders: only.iter().map(|name| Contender::named(name)).collect(),
            sets: list("TOLLGATE_BENCH_SETS", "zipf,flat"),
            rates: list("TOLLGATE_BENCH_RATES", "5000,20000,50000")
                .iter()
                .map(|rate| rate_of(rate))
                .collect(),
            rate_seconds: number("TOLLGATE_BENCH_RATE_SECONDS", 20) as u32,
            checks: number("TOLLGATE_BENCH_CHECKS", 1) != 0,
            writes: number("TOLLGATE_BENCH_WRITE", 0) != 0,
        }
    }
}

/// Words with commas between; `none` is none.
fn list(name: &str, default: &str) -> Vec<String> {
    let text = std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty() && *word != "none");
    words.map(str::to_owned).collect()
}

fn rate_of(text: &str) -> u32 {
    text.parse().unwrap_or_else(|_| panic!("TOLLGATE_BENCH_RATES: {text} is no rate"))
}
