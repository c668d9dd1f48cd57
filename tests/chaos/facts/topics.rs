//! Topics, read whole, and what the group has committed of them.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::message::{BorrowedMessage, Headers as _};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use serde_json::Value;

use super::{Decision, Entry, Facts, micro};
use crate::workers::NAME;
use crate::workload::identity;

const PATIENCE: Duration = Duration::from_secs(10);
const EVENTS: &str = "ai.usage.events";

/// Reads the four topics to their ends.
pub fn read_topics(brokers: &str, facts: &mut Facts) -> Result<(), String> {
    read(brokers, EVENTS, |message| {
        let identity = identity(message.payload().unwrap_or_default());
        facts.records.insert((message.partition(), message.offset()), identity);
    })?;
    read(brokers, "ai.usage.decisions", |message| facts.decisions.push(decision(&json(message))))?;
    read(brokers, "ai.usage.dead-letters", |message| {
        let number =
            |name: &str| header(message, name).and_then(|text| text.parse::<i64>().ok()).unwrap_or(-1);
        facts.letters.insert((number("partition") as i32, number("offset")));
    })?;
    read(brokers, "ai.credits.ledger", |message| facts.ledger.push(entry(&json(message))))
}

fn json(message: &BorrowedMessage<'_>) -> Value {
    serde_json::from_slice(message.payload().unwrap_or_default()).unwrap_or_default()
}

fn header(message: &BorrowedMessage<'_>, name: &str) -> Option<String> {
    let last = message.headers()?.iter().filter(|header| header.key == name).last()?;
    Some(String::from_utf8_lossy(last.value?).into_owned())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn decision(value: &Value) -> Decision {
    let drawn = ["user", "team", "pool", "overage"].map(|part| micro(&value["drawn"][part]));
    Decision {
        position: (value["partition"].as_i64().unwrap_or(-1) as i32, value["offset"].as_i64().unwrap_or(-1)),
        identity: (text(&value["workspace"]), text(&value["source"]), text(&value["event_id"])),
        epoch: value["epoch"].as_u64().unwrap_or_default(),
        sequence: value["sequence"].as_u64().unwrap_or_default(),
        outcome: text(&value["outcome"]),
        drawn,
    }
}

fn entry(value: &Value) -> Entry {
    let number = |name: &str| value[name].as_u64().unwrap_or_default();
    let postings = value["postings"].as_array().into_iter().flatten();
    let postings = postings.map(|one| (text(&one["account"]), text(&one["period"]), micro(&one["credits"])));
    Entry {
        name: (text(&value["workspace"]), number("epoch"), number("sequence")),
        kind: text(&value["kind"]),
        key: value["idempotency_key"].as_str().map(str::to_owned),
        postings: postings.collect(),
        text: value.to_string(),
    }
}

fn client(brokers: &str, group: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", group).set("enable.auto.commit", "false");
    config.create().unwrap()
}

fn ends(client: &BaseConsumer, topic: &str) -> Result<Vec<(i32, i64)>, String> {
    let metadata = client.fetch_metadata(Some(topic), PATIENCE).map_err(|fault| fault.to_string())?;
    let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions()).map(|one| one.id());
    let end = |partition| {
        let marks = client.fetch_watermarks(topic, partition, PATIENCE).map_err(|fault| fault.to_string())?;
        Ok((partition, marks.1))
    };
    partitions.map(end).collect()
}

fn read(brokers: &str, topic: &str, mut each: impl FnMut(&BorrowedMessage<'_>)) -> Result<(), String> {
    let client = client(brokers, "reader");
    let ends = ends(&client, topic)?;
    let mut list = TopicPartitionList::new();
    for (partition, _) in &ends {
        list.add_partition_offset(topic, *partition, Offset::Beginning).map_err(|fault| fault.to_string())?;
    }
    client.assign(&list).map_err(|fault| fault.to_string())?;
    let mut left: i64 = ends.iter().map(|(_, end)| end).sum();
    let mut heard = Instant::now();
    while left > 0 {
        match client.poll(Duration::from_millis(500)) {
            Some(Ok(message)) => {
                // Nothing is deleted or compacted here: every offset is a record.
                each(&message);
                left -= 1;
                heard = Instant::now();
            }
            _ if heard.elapsed() > 3 * PATIENCE => {
                return Err(format!("{topic}: {left} records do not come"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The consumer group of the workers, from outside.
pub struct Group(BaseConsumer);

impl Group {
    /// Looks on; is no member.
    pub fn new(brokers: &str) -> Self {
        Self(client(brokers, NAME))
    }

    /// Records that are not committed yet; an error when Kafka does not tell.
    pub fn lag(&self) -> Result<i64, String> {
        let ends = ends(&self.0, EVENTS)?;
        let mut list = TopicPartitionList::new();
        for (partition, _) in &ends {
            list.add_partition(EVENTS, *partition);
        }
        let list = self.0.committed_offsets(list, PATIENCE).map_err(|fault| fault.to_string())?;
        let next = |offset| if let Offset::Offset(next) = offset { next } else { 0 };
        let committed: i64 = list.elements().iter().map(|element| next(element.offset())).sum();
        Ok(ends.iter().map(|(_, end)| end).sum::<i64>() - committed)
    }

    /// Takes the group back to the beginning; refused while it has members.
    pub fn rewind(&self) -> Result<(), String> {
        let mut list = TopicPartitionList::new();
        for (partition, _) in ends(&self.0, EVENTS)? {
            list.add_partition_offset(EVENTS, partition, Offset::Offset(0))
                .map_err(|fault| fault.to_string())?;
        }
        self.0.commit(&list, CommitMode::Sync).map_err(|fault| fault.to_string())
    }
}
