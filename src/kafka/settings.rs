//! What an operator may set of Kafka. Defaults live in `config/default.toml`, never here.

use std::num::NonZeroUsize;
use std::time::Duration;

use rdkafka::ClientConfig;
use serde::Deserialize;

/// Largest entry of the ledger, in bytes: the opening of a period names every standing amount, in about 80.
const LEDGER_BYTES_MAX: usize = 16 << 20;

/// The section `[kafka]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Bootstrap servers, `host:port` with commas between.
    pub brokers: String,
    /// Consumer group.
    pub group: String,
    /// Names and properties of the five topics.
    pub topics: TopicSettings,
    /// The consumer thread.
    pub consumer: ConsumerSettings,
    /// Every producer.
    pub producer: ProducerSettings,
}

/// The section `[kafka.topics]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicSettings {
    /// In: usage events.
    pub events: String,
    /// Out: a decision per valid event.
    pub decisions: String,
    /// Out: records that are no events.
    pub dead_letters: String,
    /// Out, and durable truth: administrative changes.
    pub ledger: String,
    /// Out: thresholds crossed.
    pub alerts: String,
    /// Partitions of each topic that `migrate` creates.
    pub partitions: i32,
    /// Copies of each partition; at 3 or more a write needs two of them.
    pub replication_factor: i32,
    /// How long records are kept, in hours; the ledger is kept for ever.
    pub retention_hours: u32,
    /// Largest record (Kafka: record batch) of the topics, in bytes.
    pub record_bytes_max: usize,
    /// What dead letters may have beyond that for their headers, in bytes.
    pub dead_letter_extra_bytes: usize,
    /// How long an administrative request may take, in milliseconds.
    pub request_timeout_ms: u64,
}

/// The section `[kafka.consumer]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsumerSettings {
    /// `range`, `roundrobin` (both eager) or `cooperative-sticky`; eager has had the fewer faults.
    pub assignment_strategy: String,
    /// Most records in a batch.
    pub batch_records_max: NonZeroUsize,
    /// Most bytes in a batch, but for its last record.
    pub batch_bytes_max: NonZeroUsize,
    /// How long the first record of a batch waits for others, in milliseconds; longer while the pipeline has no room.
    pub batch_linger_ms: u64,
    /// Batches that may wait for the pipeline before fetching pauses.
    pub batches_in_flight_max: NonZeroUsize,
    /// How long a full pipeline is waited for before partitions are paused, in milliseconds: a pause
    /// throws prefetched records away, so a short wait is cheaper.
    pub pause_after_ms: u64,
    /// The broker answers a fetch when it has this many bytes ...
    pub fetch_bytes_min: usize,
    /// ... or after this long, in milliseconds. Part of every decision's latency.
    pub fetch_wait_ms_max: u64,
    /// Prefetched records kept in memory, in KiB.
    pub prefetch_kib_max: usize,
    /// How often finished offsets are committed, in milliseconds.
    pub commit_interval_ms: u64,
    /// After so long without a heartbeat the group takes the partitions away, in milliseconds.
    pub session_timeout_ms: u64,
    /// After so long without a poll the group takes the partitions away, in milliseconds.
    pub max_poll_interval_ms: u64,
    /// How long a rebalance waits for batches in flight, in milliseconds; below `max_poll_interval_ms`.
    pub revoke_deadline_ms: u64,
    /// How long a shutdown waits for batches in flight, in milliseconds.
    pub close_deadline_ms: u64,
    /// How often lag is measured, in milliseconds; 0 is never, and no stall is noticed then.
    pub statistics_interval_ms: u64,
    /// The consumer gives up when records wait and none was fetched for so long, in seconds; never
    /// before it has measured four times.
    pub stall_exit_after_s: u64,
}

/// The section `[kafka.producer]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProducerSettings {
    /// How long a message waits for others, in milliseconds.
    pub linger_ms: u64,
    /// How long a message may take until it is acknowledged, in milliseconds.
    pub delivery_timeout_ms: u64,
    /// Messages waiting in memory; at the limit publishers wait.
    pub queue_records_max: usize,
    /// Their bytes, in KiB.
    pub queue_kib_max: usize,
    /// How long dropping a producer waits for what is under way, in milliseconds.
    pub flush_deadline_ms: u64,
}

impl TopicSettings {
    /// Largest dead letter, in bytes.
    pub fn dead_letter_bytes_max(&self) -> usize {
        self.record_bytes_max + self.dead_letter_extra_bytes
    }

    /// Largest message of a topic, in bytes.
    pub fn bytes_max(&self, name: &str) -> usize {
        match name {
            _ if name == self.ledger => LEDGER_BYTES_MAX.max(self.record_bytes_max),
            _ if name == self.dead_letters => self.dead_letter_bytes_max(),
            _ => self.record_bytes_max,
        }
    }

    /// Every topic's name.
    pub fn names(&self) -> [&str; 5] {
        [&self.events, &self.decisions, &self.dead_letters, &self.ledger, &self.alerts]
    }
}

impl ConsumerSettings {
    /// How long nothing may be fetched while records wait.
    pub(super) fn stall_patience(&self) -> Duration {
        let measured = Duration::from_millis(self.statistics_interval_ms) * 4;
        Duration::from_secs(self.stall_exit_after_s).max(measured)
    }
}

impl Settings {
    /// What every client needs.
    pub(super) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "tollgate")
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.max.ms", "2000")
            // Ours is the only telemetry that is wanted.
            .set("enable.metrics.push", "false");
        config
    }
}
