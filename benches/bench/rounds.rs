//! All contenders on all data sets, again and again, so that what the machine does meanwhile hits
//! everybody: a round has each of them once, and each round begins with another.

use std::collections::BTreeMap;

use super::contender::Contender;
use super::options::Options;
use super::run::Run;
use super::servers::Servers;
use super::sets::Set;
use super::{ours, peers};

/// The runs of one contender on one data set, or why they do not count.
pub type Outcome = Result<Vec<Run>, String>;

/// By data set and contender.
pub type Outcomes = BTreeMap<(String, Contender), Outcome>;

/// A data set whole, and a tenth of it if somebody drains only that.
pub struct Pair {
    pub whole: Set,
    pub tenth: Option<Set>,
}

impl Pair {
    /// What a contender drains.
    pub fn of(&self, contender: Contender) -> &Set {
        self.tenth.as_ref().filter(|_| contender.drains_a_tenth()).unwrap_or(&self.whole)
    }
}

/// Measures everything.
pub async fn measure(servers: &Servers, options: &Options, pairs: &[Pair]) -> Outcomes {
    let mut outcomes = Outcomes::new();
    let mut order = options.contenders.clone();
    for round in 0..options.rounds {
        for pair in pairs {
            for contender in &order {
                let set = pair.of(*contender);
                let key = (pair.whole.name.clone(), *contender);
                // One failure is enough: a contender that is wrong sometimes has no figure.
                if outcomes.get(&key).is_some_and(Result::is_err) {
                    continue;
                }
                let run = one(servers, *contender, set).await;
                tell(round, options.rounds, &set.name, *contender, &run);
                take(outcomes.entry(key).or_insert_with(|| Ok(Vec::new())), run);
            }
        }
        if !order.is_empty() {
            order.rotate_left(1);
        }
    }
    outcomes
}

async fn one(servers: &Servers, contender: Contender, set: &Set) -> anyhow::Result<Run> {
    match contender {
        Contender::Tollgate => ours::run(servers, set).await,
        _ => peers::run(servers, contender, set).await,
    }
}

fn take(outcome: &mut Outcome, run: anyhow::Result<Run>) {
    match (&mut *outcome, run) {
        (Ok(runs), Ok(run)) => runs.push(run),
        (_, Err(fault)) => *outcome = Err(format!("{fault:#}")),
        (Err(_), Ok(_)) => {}
    }
}

fn tell(round: usize, rounds: usize, set: &str, contender: Contender, run: &anyhow::Result<Run>) {
    let name = contender.name();
    match run {
        Err(fault) => eprintln!("round {}/{rounds} {set:<5} {name:<10} FAILED: {fault:#}", round + 1),
        Ok(run) => {
            let cpu: Vec<String> = run
                .cpu
                .keys()
                .map(|process| format!("{process} {:.2}", run.cpu_micros_per_event(process)))
                .collect();
            eprintln!(
                "round {}/{rounds} {set:<5} {name:<10} {:>9.0} events/s in {:>6.2} s, us per event: {}, {} MiB",
                round + 1,
                run.events_per_second(),
                run.seconds,
                cpu.join(", "),
                run.rss_kib / 1024,
            );
        }
    }
}
