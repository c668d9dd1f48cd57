//! Reads what a rebuild and an audit need of Kafka: a topic from its beginning to its end of this moment,
//! and what the consumer group has committed. Joins no group, commits nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError as DriverError;
use rdkafka::message::Message as _;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};

use super::{KafkaError, Settings};

/// How long one answer may be waited for.
const POLL: Duration = Duration::from_millis(500);
/// How often a question is asked while leaders move.
const ATTEMPTS: usize = 10;
/// How long a topic may stay silent before its end.
const SILENCE_POLLS_MAX: usize = 60;

/// Hands every record of the topic to `take`, in order within each partition: key and value. Errors: Kafka
/// away, or silent before the end.
pub async fn read<T: Send + 'static>(
    settings: &Settings,
    topic: &str,
    taken: T,
    take: impl FnMut(&mut T, &[u8], &[u8]) + Send + 'static,
) -> Result<T, KafkaError> {
    read_from(settings, topic, BTreeMap::new(), taken, take).await.map(|(taken, _)| taken)
}

/// The same, from the offset of each partition that is named; answers where the next reading begins too.
pub async fn read_from<T: Send + 'static>(
    settings: &Settings,
    topic: &str,
    from: BTreeMap<i32, i64>,
    mut taken: T,
    mut take: impl FnMut(&mut T, &[u8], &[u8]) + Send + 'static,
) -> Result<(T, BTreeMap<i32, i64>), KafkaError> {
    let topic = topic.to_owned();
    with_reader(settings, move |client, timeout| {
        let next = read_until(client, &topic, timeout, &from, |key, value| take(&mut taken, key, value))?;
        Ok((taken, next))
    })
    .await
}

/// Reads from there to the end of this moment, and answers that.
fn read_until(
    client: &BaseConsumer,
    topic: &str,
    timeout: Duration,
    from: &BTreeMap<i32, i64>,
    mut take: impl FnMut(&[u8], &[u8]),
) -> Result<BTreeMap<i32, i64>, KafkaError> {
    let mut ends = patiently(|| ends(client, topic, timeout))?;
    let next = ends.clone();
    ends.retain(|partition, end| from.get(partition).is_none_or(|read| read < end));
    let mut assignment = TopicPartitionList::new();
    for partition in ends.keys() {
        let start = from.get(partition).map_or(Offset::Beginning, |read| Offset::Offset(*read));
        let added = assignment.add_partition_offset(topic, *partition, start);
        added.map_err(KafkaError::client("choosing partitions"))?;
    }
    if ends.is_empty() {
        return Ok(next);
    }
    client.assign(&assignment).map_err(KafkaError::client("choosing partitions"))?;
    let mut silent = 0;
    while !ends.is_empty() {
        let Some(message) = client.poll(POLL) else {
            silent += 1;
            ends.retain(|partition, end| !reached(client, topic, *partition, *end));
            if silent > SILENCE_POLLS_MAX {
                return Err(KafkaError::Silent(topic.to_owned()));
            }
            continue;
        };
        let Ok(message) = message else { continue }; // logged by the driver; silence ends it
        silent = 0;
        let last = ends.get(&message.partition()).is_some_and(|end| message.offset() + 1 >= *end);
        take(message.key().unwrap_or_default(), message.payload().unwrap_or_default());
        if last {
            ends.remove(&message.partition());
        }
    }
    Ok(next)
}

/// Leaders move, and of a new topic brokers learn a moment after it was made.
fn patiently<T>(mut ask: impl FnMut() -> Result<T, KafkaError>) -> Result<T, KafkaError> {
    for _ in 1..ATTEMPTS {
        match ask() {
            Err(fault) if fault.is_transient() => std::thread::sleep(POLL),
            answer => return answer,
        }
    }
    ask()
}

/// Whether the reader stands at the end: what lies before it may be no record, but a mark of the broker's.
fn reached(client: &BaseConsumer, topic: &str, partition: i32, end: i64) -> bool {
    let position =
        client.position().ok().and_then(|all| Some(all.find_partition(topic, partition)?.offset()));
    matches!(position, Some(Offset::Offset(next)) if next >= end)
}

/// Partitions with something in them, and where they end: two questions, however many there are.
fn ends(client: &BaseConsumer, topic: &str, timeout: Duration) -> Result<BTreeMap<i32, i64>, KafkaError> {
    let partitions = partitions(client, topic, timeout)?;
    if partitions.is_empty() {
        return Ok(BTreeMap::new());
    }
    let starts = offsets(client, topic, &partitions, Offset::Beginning, timeout)?;
    let mut ends = offsets(client, topic, &partitions, Offset::End, timeout)?;
    ends.retain(|partition, end| starts.get(partition) != Some(end));
    Ok(ends)
}

/// Where each of these partitions begins or ends. One of which no broker says so is an error: nothing that lies
/// in it may be missed.
fn offsets(
    client: &BaseConsumer,
    topic: &str,
    partitions: &[i32],
    edge: Offset,
    timeout: Duration,
) -> Result<BTreeMap<i32, i64>, KafkaError> {
    let asking = || KafkaError::client("asking where a topic begins and ends");
    let mut wanted = TopicPartitionList::new();
    for partition in partitions {
        // Where an instant would stand stand the two that mean an edge, as the protocol has them.
        wanted.add_partition_offset(topic, *partition, edge).map_err(asking())?;
    }
    let found = client.offsets_for_times(wanted, timeout).map_err(asking())?;
    let mut offsets = BTreeMap::new();
    for element in found.elements_for_topic(topic) {
        element.error().map_err(asking())?;
        let Offset::Offset(at) = element.offset() else {
            return Err(asking()(DriverError::OffsetFetch(Code::LeaderNotAvailable)));
        };
        offsets.insert(element.partition(), at);
    }
    Ok(offsets)
}

fn partitions(client: &BaseConsumer, topic: &str, timeout: Duration) -> Result<Vec<i32>, KafkaError> {
    let metadata = client.fetch_metadata(Some(topic), timeout);
    let metadata = metadata.map_err(KafkaError::client("asking for partitions"))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    Ok(found.map(|found| found.partitions().iter().map(|p| p.id()).collect()).unwrap_or_default())
}

/// The next offset of each partition of the events topic that the group has committed.
pub async fn committed(settings: &Settings) -> Result<BTreeMap<i32, i64>, KafkaError> {
    let topic = settings.topics.events.clone();
    with_reader(settings, move |client, timeout| {
        let mut wanted = TopicPartitionList::new();
        for partition in partitions(client, &topic, timeout)? {
            wanted.add_partition(&topic, partition);
        }
        let found = patiently(|| {
            let found = client.committed_offsets(wanted.clone(), timeout);
            found.map_err(KafkaError::client("asking for committed offsets"))
        })?;
        let offset = |(place, offset): ((String, i32), Offset)| match offset {
            Offset::Offset(next) => Some((place.1, next)),
            _ => None,
        };
        Ok(found.to_topic_map().into_iter().filter_map(offset).collect())
    })
    .await
}

/// Works with a reader of its own, on a thread that may wait. Closing it takes a tenth of a second, for which nobody
/// waits.
async fn with_reader<T: Send + 'static>(
    settings: &Settings,
    work: impl FnOnce(&BaseConsumer, Duration) -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, KafkaError> {
    let mut config = settings.client();
    config.set("group.id", &settings.group).set("enable.auto.commit", "false");
    config.set("enable.partition.eof", "false").set("auto.offset.reset", "earliest");
    let client: BaseConsumer = config.create().map_err(KafkaError::client("making a reader"))?;
    let timeout = Duration::from_millis(settings.topics.request_timeout_ms);
    let work = move || {
        let answer = work(&client, timeout);
        tokio::task::spawn_blocking(move || drop(client));
        answer
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| KafkaError::ThreadGone)?
}
