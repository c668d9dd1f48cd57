//! What is left of a benchmark: figures as medians, a table for people, JSON for programs, a picture.

mod machine;
mod picture;
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Serialize;

use super::checks::Checks;
use super::contender::{ALL, Contender};
use super::options::Options;
use super::rates::Latency;
use super::rounds::{Outcomes, Pair};
use super::run::Run;
use super::servers::Servers;
use super::sets::{Set, USERS};

const BEGIN: &str = "<!-- bench -->";
const END: &str = "<!-- /bench -->";

/// Everything that is reported.
#[derive(Serialize)]
pub struct Report {
    pub machine: machine::Machine,
    pub rounds: usize,
    pub sets: Vec<About>,
    pub drains: Vec<Drain>,
    pub latencies: Vec<Latency>,
    pub checks: Option<Checks>,
}

/// A data set.
#[derive(Serialize)]
pub struct About {
    pub name: String,
    pub events: u64,
    pub workspaces: usize,
    pub users_per_workspace: usize,
    pub bytes_per_event: f64,
    pub denied: u64,
    pub duplicates: u64,
}

/// One contender on one data set; medians of all rounds.
#[derive(Serialize)]
pub struct Drain {
    pub set: String,
    pub contender: &'static str,
    #[serde(skip)]
    pub who: Contender,
    pub records: u64,
    pub events_per_second: f64,
    pub slowest: f64,
    pub fastest: f64,
    pub cpu_micros_per_event: BTreeMap<&'static str, f64>,
    pub rss_mib: f64,
    pub redis_bytes_per_id: Option<f64>,
    /// Why there are no figures.
    pub failed: Option<String>,
}

impl Report {
    /// Gathers it.
    pub async fn new(
        servers: &Servers,
        options: &Options,
        pairs: &[Pair],
        outcomes: &Outcomes,
        latencies: Vec<Latency>,
        checks: Option<Checks>,
    ) -> anyhow::Result<Self> {
        let mut drains = Vec::new();
        for pair in pairs {
            for who in ALL {
                if let Some(outcome) = outcomes.get(&(pair.whole.name.clone(), who)) {
                    drains.push(drain(pair.of(who), who, outcome));
                }
            }
        }
        let machine = machine::Machine::read(servers).await?;
        let sets = pairs.iter().map(|pair| about(&pair.whole)).collect();
        Ok(Self { machine, rounds: options.rounds, sets, drains, latencies, checks })
    }

    /// For people.
    pub fn text(&self) -> String {
        table::text(self)
    }

    /// Puts it into `docs/`.
    pub fn write(&self) -> anyhow::Result<()> {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
        fs::write(docs.join("performance.json"), serde_json::to_string_pretty(self)? + "\n")?;
        fs::write(docs.join("performance.svg"), picture::svg(self))?;
        let page = docs.join("performance.md");
        let text = fs::read_to_string(&page)?;
        let picture = "![Events per second and CPU time per event](performance.svg)";
        let parts = text.split_once(BEGIN).and_then(|(head, rest)| Some((head, rest.split_once(END)?.1)));
        let (head, tail) =
            parts.ok_or_else(|| anyhow::anyhow!("docs/performance.md has no {BEGIN} and {END}"))?;
        fs::write(page, format!("{head}{BEGIN}\n{picture}\n\n{}{END}{tail}", self.text()))?;
        Ok(())
    }
}

fn about(set: &Set) -> About {
    About {
        name: set.name.clone(),
        events: set.spec.records,
        workspaces: set.spec.workspaces.len(),
        users_per_workspace: USERS,
        bytes_per_event: set.bytes_per_event.round(),
        denied: set.denied,
        duplicates: set.duplicates,
    }
}

fn drain(set: &Set, who: Contender, outcome: &Result<Vec<Run>, String>) -> Drain {
    let runs = outcome.as_ref().map_or(&[][..], Vec::as_slice);
    let of = |figure: &dyn Fn(&Run) -> f64| median(runs.iter().map(figure).collect());
    let rates = || runs.iter().map(Run::events_per_second);
    let processes = runs.iter().flat_map(|run| run.cpu.keys().copied());
    let ids = (set.spec.records - set.duplicates) as f64;
    Drain {
        set: set.name.clone(),
        contender: who.name(),
        who,
        records: set.spec.records,
        events_per_second: of(&Run::events_per_second).round(),
        slowest: rates().fold(f64::INFINITY, f64::min).round(),
        fastest: rates().fold(0.0, f64::max).round(),
        cpu_micros_per_event: processes
            .map(|process| (process, hundredths(of(&|run| run.cpu_micros_per_event(process)))))
            .collect(),
        rss_mib: of(&|run| run.rss_kib as f64 / 1024.0).round(),
        redis_bytes_per_id: who.remembers_in_redis().then(|| of(&|run| run.redis_bytes as f64 / ids).round()),
        failed: outcome.as_ref().err().cloned(),
    }
}

fn hundredths(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// The middle one; of an even number the lower of the two.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}
