//! Topics from outside: where they end, what a group has committed, and everything in them.

use std::time::Duration;

use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Headers as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tollgate::kafka::Settings;

const PATIENCE: Duration = Duration::from_secs(20);

/// Looks on; is no member of the group it watches.
pub struct Watch<'a> {
    settings: &'a Settings,
    client: BaseConsumer,
}

impl<'a> Watch<'a> {
    /// Watches the group of these settings.
    pub fn new(settings: &'a Settings) -> Self {
        let client = client(&settings.brokers, &settings.group);
        Self { settings, client }
    }

    /// One past the last record of each partition.
    pub fn ends(&self, topic: &str) -> Vec<i64> {
        let end = |partition| self.client.fetch_watermarks(topic, partition, PATIENCE).expect("watermarks").1;
        (0..self.settings.topics.partitions).map(end).collect()
    }

    /// What the group has committed of the input: the next offset of each partition, 0 before the first.
    pub fn committed(&self) -> Vec<i64> {
        let mut list = TopicPartitionList::new();
        for partition in 0..self.settings.topics.partitions {
            list.add_partition(&self.settings.topics.events, partition);
        }
        let list = self.client.committed_offsets(list, PATIENCE).expect("committed offsets");
        let next = |offset| if let Offset::Offset(next) = offset { next } else { 0 };
        list.elements().iter().map(|element| next(element.offset())).collect()
    }

    /// Reads a topic from its beginning to the end that it has now; how many records that were.
    pub fn read(&self, topic: &str, mut each: impl FnMut(&BorrowedMessage<'_>)) -> u64 {
        let mut list = TopicPartitionList::new();
        for partition in 0..self.settings.topics.partitions {
            list.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
        }
        let reader = client(&self.settings.brokers, &format!("{}-reader", self.settings.group));
        reader.assign(&list).expect("assign");
        // Nothing is compacted or deleted here, so every offset is a record.
        let records = self.ends(topic).iter().sum::<i64>() as u64;
        for read in 0..records {
            let polled = reader.poll(PATIENCE).unwrap_or_else(|| panic!("{topic}: {read} of {records} came"));
            each(&polled.expect("a record"));
        }
        records
    }
}

/// The last header of a name, as text.
pub fn header<'m>(message: &'m BorrowedMessage<'_>, name: &str) -> Option<&'m str> {
    let headers = message.headers()?;
    let last = headers.iter().filter(|header| header.key == name).last()?;
    std::str::from_utf8(last.value?).ok()
}

fn client(brokers: &str, group: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", group).set("enable.auto.commit", "false");
    config.create().expect("a consumer")
}
