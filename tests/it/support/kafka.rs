//! Settings that point at the local Kafka, with topics of the test's own.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::OwnedMessage;
use rdkafka::{Offset, TopicPartitionList};
use tollgate::kafka::Settings;

use super::{Installation, unique};

/// Where `make stack` puts Kafka.
pub const BROKERS: &str = "127.0.0.1:19092";

/// Settings with topics and a group of this test alone, and deadlines of a few seconds.
pub fn kafka(what: &str) -> Settings {
    let name = unique(&format!("it-{what}"));
    let topic = |of: &str| format!("{name}-{of}");
    let settings = serde_json::json!({
        "brokers": BROKERS,
        "group": name,
        "topics": {
            "events": topic("events"), "decisions": topic("decisions"), "ledger": topic("ledger"),
            "dead_letters": topic("dead-letters"), "alerts": topic("alerts"),
            "partitions": 4, "replication_factor": 1, "retention_hours": 1,
            "record_bytes_max": 1_048_576, "dead_letter_extra_bytes": 131_072, "request_timeout_ms": 20_000,
        },
        "consumer": {
            "assignment_strategy": "range", "batch_records_max": 500, "batch_bytes_max": 4_194_304,
            "batch_linger_ms": 5, "batches_in_flight_max": 4, "pause_after_ms": 200,
            "fetch_bytes_min": 1, "fetch_wait_ms_max": 100, "prefetch_kib_max": 4096,
            "commit_interval_ms": 200, "session_timeout_ms": 6000, "max_poll_interval_ms": 6000,
            "revoke_deadline_ms": 2000, "close_deadline_ms": 2000, "statistics_interval_ms": 500,
            "stall_exit_after_s": 60,
        },
        "producer": {
            "linger_ms": 5, "delivery_timeout_ms": 20_000, "queue_records_max": 5000, "queue_kib_max": 16_384,
            "flush_deadline_ms": 2000,
        },
    });
    serde_json::from_value(settings).unwrap()
}

/// The driver's configuration with nothing but its brokers.
pub fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

/// Deletes the topics of a test that has succeeded; those of a failed one stay to be looked at.
pub async fn remove(settings: &Settings) {
    let admin: AdminClient<DefaultClientContext> = client(&settings.brokers).create().unwrap();
    let _ = admin.delete_topics(&settings.topics.names(), &AdminOptions::new()).await;
}

/// Waits until something holds; fails the test after 30 s.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Reads a topic until `count` messages have come and nothing follows for a moment.
pub async fn read_to_end(installation: &Installation, topic: &str, count: usize) -> Vec<OwnedMessage> {
    let consumer: StreamConsumer =
        client(&installation.settings.kafka.brokers).set("group.id", unique("reader")).create().unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(10)).unwrap();
    let mut assignment = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        assignment.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut messages = Vec::new();
    loop {
        let patience =
            if messages.len() < count { Duration::from_secs(60) } else { Duration::from_millis(500) };
        match tokio::time::timeout(patience, consumer.recv()).await {
            Ok(message) => messages.push(message.unwrap().detach()),
            Err(_) if messages.len() >= count => return messages,
            Err(_) => panic!("{topic}: {} of {count} messages; {}", messages.len(), installation.log()),
        }
    }
}
