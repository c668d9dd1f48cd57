//! How fast a backlog is drained and what that costs, by Tollgate and by others on the same records; and
//! how long one event takes at fixed rates: `make bench`, or `cargo bench --bench bench`.
//!
//! The data sets are published once. Then each contender drains them as a process of its own, from offset
//! 0 until everything is recorded and committed, several rounds of all of them in turn. What it recorded
//! must have the checksum that the generator counted, or its number is not printed. One machine runs
//! everything, so the figures say what a machine does, not what each server could do alone.
//! `TOLLGATE_BENCH_*` choose: see `options.rs`.
#![expect(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "shares the helpers of the tests, of which it needs a few"
)]

mod checks;
mod checksum;
mod contender;
#[path = "../contenders/mod.rs"]
mod contenders;
#[path = "../../tests/it/support/installation.rs"]
mod installation;
#[path = "../../tests/it/support/kafka.rs"]
mod kafka;
#[path = "../../tests/it/support/ledger.rs"]
mod ledger;
mod options;
mod ours;
mod peers;
mod processes;
mod rates;
mod report;
mod rounds;
mod run;
mod servers;
mod sets;
#[path = "../../tests/it/load/setup.rs"]
mod setup;
mod streams;
#[path = "../../tests/it/support/topics.rs"]
mod topics;

use self::contender::Contender;
use self::installation::Installation;
use self::kafka::remove;
use self::ledger::{forget, unique};
use self::options::Options;
use self::report::Report;
use self::rounds::Pair;
use self::servers::Servers;
use self::sets::Set;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [word, name, job] if word == "contender" => contenders::run(name, job),
        // `cargo test --all-targets` runs this too, and wants no benchmark.
        _ if arguments.iter().any(|argument| argument == "--bench") => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(bench(&Options::from_environment())).unwrap();
        }
        _ => {}
    }
}

async fn bench(options: &Options) -> anyhow::Result<()> {
    let servers = Servers::find()?;
    if options.contenders.contains(&Contender::Streams) {
        streams::build()?;
    }
    let pairs = publish(&servers, options).await?;
    let outcomes = rounds::measure(&servers, options, &pairs).await;
    let mut latencies = Vec::new();
    let rates = options.sets.iter().flat_map(|set| options.rates.iter().map(move |rate| (set, *rate)));
    for (set, rate) in rates {
        match rates::measure(&servers, set, rate, options.rate_seconds).await {
            Ok(latency) => {
                eprintln!("{latency:?}");
                latencies.push(latency);
            }
            Err(fault) => eprintln!("{rate} events/s FAILED: {fault:#}"),
        }
    }
    let checks = match options.checks {
        true => Some(checks::measure(&servers, options.rounds, options.rate_seconds).await?),
        false => None,
    };
    let report = Report::new(&servers, options, &pairs, &outcomes, latencies, checks).await?;
    println!("\n{}", report.text());
    if options.writes {
        report.write()?;
    }
    for Pair { whole, tenth } in pairs {
        whole.remove(&servers.settings.kafka).await;
        if let Some(tenth) = tenth {
            tenth.remove(&servers.settings.kafka).await;
        }
    }
    Ok(())
}

async fn publish(servers: &Servers, options: &Options) -> anyhow::Result<Vec<Pair>> {
    let (mut pairs, kafka) = (Vec::new(), &servers.settings.kafka);
    let tenths = options.contenders.iter().any(|contender| contender.drains_a_tenth());
    for name in &options.sets {
        let whole = Set::publish(kafka, name, options.events).await?;
        let tenth = if tenths { Some(Set::publish(kafka, name, options.events / 10).await?) } else { None };
        pairs.push(Pair { whole, tenth });
    }
    Ok(pairs)
}
