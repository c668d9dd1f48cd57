//! How long one event takes at a fixed rate, seen from outside: from the instant at which it was to be
//! sent to its decision in Kafka, and to its row in ClickHouse.
//!
//! The load is open: each record has its instant, whatever became of the ones before, and a sender that
//! comes late makes the record's latency longer, not the rate smaller. Sender and readers run on the same
//! machine and take their share of it.

mod readers;
pub mod sender;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use tollgate::simulate::{Expectation, Generator};

use self::readers::{Decided, Recorded};
use super::servers::Servers;
use super::{ours, sets};

/// What is sent at the beginning is not counted, in seconds.
const WARM_SECONDS: u32 = 2;
/// How long after the last record's instant the last answer is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// Partition and offset.
type Position = (i32, i64);

/// Of one rate.
#[derive(Debug, Clone, Serialize)]
pub struct Latency {
    pub set: String,
    pub events_per_second: u32,
    pub seconds: u32,
    pub acknowledged_ms: Percentiles,
    pub decided_ms: Percentiles,
    pub recorded_ms: Percentiles,
}

/// Half of all, and all but one in a hundred, are not above.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Percentiles {
    pub p50: f64,
    pub p99: f64,
}

/// A record that is to be sent.
pub struct ToSend {
    pub key: Vec<u8>,
    pub payload: Vec<u8>,
    /// A resend is decided but has no row.
    pub has_row: bool,
}

/// Sends at a rate to an installation of its own, and looks on.
pub async fn measure(servers: &Servers, set: &str, rate: u32, seconds: u32) -> anyhow::Result<Latency> {
    let spec = sets::live(set, rate, seconds + WARM_SECONDS);
    let to_send: Vec<ToSend> = Generator::new(&spec).map(ToSend::from).collect();
    let installation = ours::prepare("bench-rate", &spec).await?;
    servers.rest();
    let service = installation.serve().await;
    let topics = &installation.settings.kafka.topics;
    let deadline = Instant::now() + Duration::from_secs(u64::from(seconds + WARM_SECONDS)) + PATIENCE;
    let decided = Decided::start(&installation.settings.kafka, spec.records, deadline)?;
    let rows = to_send.iter().filter(|record| record.has_row).count() as u64;
    let recorded =
        Recorded::start(servers.tables(&installation.settings.clickhouse.database), rows, deadline);
    let brokers = installation.settings.kafka.brokers.clone();
    let (topic, has_row): (_, Vec<bool>) =
        (topics.events.clone(), to_send.iter().map(|r| r.has_row).collect());
    let sent = tokio::task::spawn_blocking(move || sender::send(&brokers, &topic, to_send, rate)).await??;
    let (decided, recorded) = (decided.join()?, recorded.await??);
    anyhow::ensure!(service.stop(), "the service ended with an error: {}", installation.log());
    installation.remove().await;

    let from = u64::from(rate) * u64::from(WARM_SECONDS);
    let counted = || sent.places.iter().filter(|(_, (number, _))| *number as u64 >= from);
    let due = |number: usize| sent.started + sender::due(number, rate);
    let acknowledged_ms = counted().map(|(_, (number, at))| millis(Some(*at), due(*number)));
    let decided_ms =
        counted().map(|(position, (number, _))| millis(decided.get(position).copied(), due(*number)));
    let rows = counted().filter(|(_, (number, _))| has_row[*number]);
    let recorded_ms =
        rows.map(|(position, (number, _))| millis(readers::seen(&recorded, *position), due(*number)));
    Ok(Latency {
        set: set.to_owned(),
        events_per_second: rate,
        seconds,
        acknowledged_ms: percentiles(acknowledged_ms.collect::<anyhow::Result<_>>()?),
        decided_ms: percentiles(decided_ms.collect::<anyhow::Result<_>>()?),
        recorded_ms: percentiles(recorded_ms.collect::<anyhow::Result<_>>()?),
    })
}

impl From<tollgate::simulate::Produced> for ToSend {
    fn from(record: tollgate::simulate::Produced) -> Self {
        let has_row = matches!(record.expectation, Expectation::First { .. });
        let (key, payload) =
            (record.message.key.unwrap_or_default(), record.message.payload.unwrap_or_default());
        Self { key, payload, has_row }
    }
}

/// Where each record stands: its number, and when Kafka had it.
type Places = HashMap<Position, (usize, Instant)>;

fn millis(seen: Option<Instant>, due: Instant) -> anyhow::Result<f64> {
    let seen = seen.ok_or_else(|| anyhow::anyhow!("a record without an answer"))?;
    Ok(seen.saturating_duration_since(due).as_secs_f64() * 1e3)
}

/// Of so many milliseconds.
pub fn percentiles(mut millis: Vec<f64>) -> Percentiles {
    millis.sort_by(f64::total_cmp);
    let at = |share: f64| millis.get(((millis.len() as f64 * share).ceil() as usize).max(1) - 1).copied();
    let rounded = |share| (at(share).unwrap_or(f64::NAN) * 10.0).round() / 10.0;
    Percentiles { p50: rounded(0.5), p99: rounded(0.99) }
}
