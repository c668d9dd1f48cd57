//! Who looks on: one reads the decisions as they come, one asks ClickHouse how far the rows are.

use std::collections::{BTreeMap, HashMap};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clickhouse::Client;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use serde::Deserialize;
use tollgate::kafka::Settings;

use super::Position;
use crate::kafka::client;

const POLL: Duration = Duration::from_millis(100);
/// How often the rows are counted; that much too late a row is seen at most.
const COUNT_INTERVAL: Duration = Duration::from_millis(50);

/// Which record a decision is about.
#[derive(Deserialize)]
struct Decision {
    partition: i32,
    offset: i64,
}

/// Reads the decisions in a thread of its own.
pub struct Decided(JoinHandle<anyhow::Result<HashMap<Position, Instant>>>);

impl Decided {
    /// Until so many have come.
    pub fn start(settings: &Settings, records: u64, deadline: Instant) -> anyhow::Result<Self> {
        let mut config = client(&settings.brokers);
        let consumer: BaseConsumer =
            config.set("group.id", "bench-reader").set("fetch.wait.max.ms", "10").create()?;
        let mut assignment = TopicPartitionList::new();
        for partition in 0..settings.topics.partitions {
            assignment.add_partition_offset(&settings.topics.decisions, partition, Offset::Beginning)?;
        }
        consumer.assign(&assignment)?;
        Ok(Self(std::thread::spawn(move || read(&consumer, records, deadline))))
    }

    /// When each was seen.
    pub fn join(self) -> anyhow::Result<HashMap<Position, Instant>> {
        self.0.join().map_err(|_| anyhow::anyhow!("the reader of decisions died"))?
    }
}

fn read(
    consumer: &BaseConsumer,
    records: u64,
    deadline: Instant,
) -> anyhow::Result<HashMap<Position, Instant>> {
    let mut seen = HashMap::with_capacity(records as usize);
    while (seen.len() as u64) < records {
        anyhow::ensure!(Instant::now() < deadline, "{} of {records} decisions came", seen.len());
        if let Some(message) = consumer.poll(POLL) {
            let (now, message) = (Instant::now(), message?);
            let decision: Decision = serde_json::from_slice(message.payload().unwrap_or_default())?;
            seen.entry((decision.partition, decision.offset)).or_insert(now);
        }
    }
    Ok(seen)
}

/// For each partition: up to which offset rows were there, and when that was seen.
pub type Progress = BTreeMap<i32, Vec<(i64, Instant)>>;

/// Counts the rows.
pub struct Recorded;

impl Recorded {
    /// Until there are so many.
    pub fn start(
        tables: Client,
        rows: u64,
        deadline: Instant,
    ) -> tokio::task::JoinHandle<anyhow::Result<Progress>> {
        tokio::spawn(watch(tables, rows, deadline))
    }
}

/// Counting costs ClickHouse next to nothing; which offsets they are is asked only when there are more.
/// Rows are written in the order of their partition.
async fn watch(tables: Client, rows: u64, deadline: Instant) -> anyhow::Result<Progress> {
    let (mut progress, mut before) = (Progress::new(), 0);
    while before < rows {
        anyhow::ensure!(Instant::now() < deadline, "{before} of {rows} rows came");
        tokio::time::sleep(COUNT_INTERVAL).await;
        let count: u64 = tables.query("SELECT count() FROM usage_events_raw").fetch_one().await?;
        if count > before {
            let now = Instant::now();
            let sql =
                "SELECT topic_partition, max(topic_offset) FROM usage_events_raw GROUP BY topic_partition";
            for (partition, offset) in tables.query(sql).fetch_all::<(i32, i64)>().await? {
                progress.entry(partition).or_default().push((offset, now));
            }
        }
        before = count;
    }
    Ok(progress)
}

/// When a record's row was there.
pub fn seen(progress: &Progress, (partition, offset): Position) -> Option<Instant> {
    let steps = progress.get(&partition)?;
    let at = steps.partition_point(|(reached, _)| *reached < offset);
    steps.get(at).map(|(_, when)| *when)
}
