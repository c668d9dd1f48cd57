//! The check before a call: how many a second 64 connections get, beside what Redis gives when its own
//! benchmark calls a script from as many; and how long one takes at a fixed rate while events drain.

mod bare;
mod client;
mod load;

use std::time::Duration;

use serde::Serialize;
use tollgate::simulate::{Generator, Spec};

use self::bare::Bare;
use self::load::{Asked, Kind};
use super::rates::{Percentiles, ToSend, percentiles, sender};
use super::servers::Servers;
use super::{Installation, ours, sets};

const CONNECTIONS: usize = 64;
/// How long one measurement at full speed takes.
const FULL_SPEED: Duration = Duration::from_secs(5);
/// Beside the most checks.
const EVENTS_PER_SECOND: u32 = 20_000;
/// Checks a second at fixed rates, and of which data set how many events a second meanwhile.
const OPEN: [(u32, &str, u32); 5] = [
    (10_000, "flat", 0),
    (2_000, "flat", 5_000),
    (2_000, "zipf", 5_000),
    (10_000, "flat", EVENTS_PER_SECOND),
    (10_000, "zipf", EVENTS_PER_SECOND),
];
/// What is asked at the beginning is not counted.
const WARM: Duration = Duration::from_secs(2);

/// What was seen.
#[derive(Debug, Clone, Serialize)]
pub struct Checks {
    pub connections: usize,
    /// A second, of 64 connections; medians of the rounds.
    pub bare_three_reads: f64,
    pub bare_same_script: f64,
    pub checks: f64,
    pub holds: f64,
    /// `hold.lua` calls for each check.
    pub calls_per_check: f64,
    /// At a fixed rate.
    pub open: Vec<Open>,
}

/// Latencies of a fixed rate, from the instant at which a request was to be sent.
#[derive(Debug, Clone, Serialize)]
pub struct Open {
    pub requests_per_second: u32,
    /// Published meanwhile.
    pub events_per_second: u32,
    /// Of which data set.
    pub set: &'static str,
    pub milliseconds: Percentiles,
}

/// Measures everything, round after round.
pub async fn measure(servers: &Servers, rounds: usize, seconds: u32) -> anyhow::Result<Checks> {
    let spec = sets::spec("zipf", u64::from(EVENTS_PER_SECOND) * u64::from(seconds));
    let installation = ours::prepare("bench-checks", &spec).await?;
    let service = installation.serve().await;
    let bare = Bare::prepare(servers, &installation, &spec).await?;
    let api = installation.settings.http.listen;
    let (mut three, mut same, mut checks, mut holds, mut calls) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        servers.rest();
        three.push(bare.three_reads(CONNECTIONS)?);
        same.push(bare.same_script(CONNECTIONS)?);
        let before = servers.script_calls()?;
        let asked = load::full_speed(api, &spec, Kind::Checks, CONNECTIONS, FULL_SPEED).await?;
        calls.push((servers.script_calls()? - before) as f64 / asked.len() as f64);
        checks.push(asked.len() as f64 / FULL_SPEED.as_secs_f64());
        let asked = load::full_speed(api, &spec, Kind::Holds, CONNECTIONS, FULL_SPEED).await?;
        holds.push(asked.len() as f64 / FULL_SPEED.as_secs_f64());
        eprintln!(
            "checks {}/{rounds}: three reads {:.0}, the same script {:.0}, checks {:.0} ({:.2} calls each), holds {:.0}",
            round + 1,
            three[round],
            same[round],
            checks[round],
            calls[round],
            holds[round],
        );
    }
    let mut open = Vec::new();
    for (requests, set, events) in OPEN {
        servers.rest();
        open.push(fixed(&installation, requests, set, seconds, events).await?);
    }
    anyhow::ensure!(service.stop(), "the service ended with an error: {}", installation.log());
    installation.remove().await;
    let median = super::report::median;
    Ok(Checks {
        connections: CONNECTIONS,
        bare_three_reads: median(three).round(),
        bare_same_script: median(same).round(),
        checks: median(checks).round(),
        holds: median(holds).round(),
        calls_per_check: (median(calls) * 100.0).round() / 100.0,
        open,
    })
}

/// Checks at a fixed rate, while so many events a second of a data set are published.
async fn fixed(
    installation: &Installation,
    requests: u32,
    set: &'static str,
    seconds: u32,
    events: u32,
) -> anyhow::Result<Open> {
    let spec = &sets::live(set, events, seconds);
    let (api, duration) = (installation.settings.http.listen, Duration::from_secs(u64::from(seconds)));
    let publishing = publish(installation, spec, events);
    let asking = load::open(api, spec, requests, CONNECTIONS, duration);
    let (published, asked) = tokio::join!(publishing, asking);
    published?;
    let counted = asked?.into_iter().filter(|asked: &Asked| asked.due >= WARM);
    let milliseconds = percentiles(counted.map(|asked| asked.took.as_secs_f64() * 1e3).collect());
    let open = Open { requests_per_second: requests, events_per_second: events, set, milliseconds };
    eprintln!("{open:?}");
    Ok(open)
}

async fn publish(installation: &Installation, spec: &Spec, rate: u32) -> anyhow::Result<()> {
    if rate == 0 {
        return Ok(());
    }
    let records: Vec<ToSend> = Generator::new(spec).map(ToSend::from).collect();
    let kafka = &installation.settings.kafka;
    let (brokers, topic) = (kafka.brokers.clone(), kafka.topics.events.clone());
    tokio::task::spawn_blocking(move || sender::send(&brokers, &topic, records, rate)).await??;
    Ok(())
}
