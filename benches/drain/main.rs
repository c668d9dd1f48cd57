//! How fast a backlog is drained, and what that costs each process: `cargo bench --bench drain`.
//!
//! `TOLLGATE_BENCH_EVENTS` records (a million) are published to topics of their own; then the service
//! starts and works them off, until all is recorded and committed. Every check of the load tests has
//! to hold on the result, or no number is printed. One machine runs everything, so the figures say
//! what a machine does, not what each server could do alone.
#![expect(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "shares the helpers of the tests, of which it needs a few"
)]

#[path = "../../tests/it/load/checks.rs"]
mod checks;
#[path = "../../tests/it/load/drain.rs"]
mod drain;
#[path = "../../tests/it/support/installation.rs"]
mod installation;
#[path = "../../tests/it/support/kafka.rs"]
mod kafka;
#[path = "../../tests/it/support/ledger.rs"]
mod ledger;
#[path = "../../tests/it/load/outcomes.rs"]
mod outcomes;
mod processes;
#[path = "../../tests/it/load/setup.rs"]
mod setup;
#[path = "../../tests/it/support/topics.rs"]
mod topics;

/// The names under which the tests' helpers know each other.
mod support {
    pub use crate::installation::{Installation, Service};
    pub use crate::topics::{Watch, header};
}

use std::collections::BTreeMap;
use std::time::Duration;

use self::drain::{Drain, Load};
use self::installation::Installation;
use self::kafka::remove;
use self::ledger::{forget, unique};

const RECORDS_DEFAULT: u64 = 1_000_000;

fn main() {
    // `cargo test --all-targets` runs this too, and wants no benchmark.
    if std::env::args().any(|argument| argument == "--bench") {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(bench());
    }
}

async fn bench() {
    let load = Load::prepare("bench", setup::number("TOLLGATE_BENCH_EVENTS", RECORDS_DEFAULT)).await;
    let servers = servers(&load);
    let before = processes::cpu_micros(&servers);
    let drain = Drain::start(&load).await;
    drain.until(load.spec.records);
    let service = processes::cpu_micros(&[("tollgate", drain.service.pid())]);
    let after = processes::cpu_micros(&servers);
    let drained = drain.stop();
    let checked = load.check().await;
    load.print(&drained, checked.repeats);
    let servers = after.into_iter().map(|(name, micros)| (name, micros.saturating_sub(before[name])));
    print(load.spec.records, drained.elapsed, &service.into_iter().chain(servers).collect());
    load.installation.remove().await;
}

/// The servers' processes, by the ports in the settings.
fn servers(load: &Load) -> Vec<(&'static str, u32)> {
    let settings = &load.installation.settings;
    let addresses = [
        ("kafka", &settings.kafka.brokers),
        ("redis", &settings.redis.url),
        ("clickhouse", &settings.clickhouse.url),
    ];
    addresses
        .into_iter()
        .filter_map(|(name, address)| Some((name, processes::listener(port(address)?)?)))
        .collect()
}

/// The port in `host:port`, `redis://host:port/0` or `http://host:port`.
fn port(address: &str) -> Option<u16> {
    let digits = address.rsplit_once(':')?.1;
    digits.split(['/', ',']).next()?.parse().ok()
}

fn print(records: u64, elapsed: Duration, cpu: &BTreeMap<&'static str, u64>) {
    let (events, seconds) = (records as f64, elapsed.as_secs_f64());
    println!("\n{:<12} {:>18} {:>14}", "process", "CPU us per event", "cores in use");
    for (name, micros) in cpu {
        let micros = *micros as f64;
        println!("{name:<12} {:>18.2} {:>14.2}", micros / events, micros / 1e6 / seconds);
    }
    let per_event: BTreeMap<_, f64> =
        cpu.iter().map(|(name, micros)| (name, (*micros as f64 / events * 100.0).round() / 100.0)).collect();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let line = serde_json::json!({
        "benchmark": "drain", "records": records, "seconds": (seconds * 1000.0).round() / 1000.0,
        "events_per_second": (events / seconds).round(), "cpu_micros_per_event": per_event, "cores": cores,
    });
    println!("{line}");
}
