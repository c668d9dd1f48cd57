//! The Kafka room against a real broker.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant as Clock};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tollgate::domain::event::{Header, Position, RejectReason};
use tollgate::domain::period::Instant;
use tollgate::domain::record::DeadLetter;
use tollgate::kafka::consumer::{Handle, Status, start};
use tollgate::kafka::{Batch, KafkaError, Message, Producer, Record, Settings, dead_letter, topics};

use crate::support::{client, eventually, kafka, remove};

const RECORDS: usize = 20_000;
const LONG: Duration = Duration::from_secs(30);

/// A consumer under test and how to stop it.
struct Running {
    handle: Handle,
    batches: Receiver<Batch>,
    shutdown: CancellationToken,
    flushed: Arc<AtomicUsize>,
}

impl Running {
    fn start(settings: &Settings) -> Self {
        let flushed = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&flushed);
        let flush = Arc::new(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        let shutdown = CancellationToken::new();
        let (handle, batches) = start(settings, flush, shutdown.clone()).unwrap();
        Self { handle, batches, shutdown, flushed }
    }

    async fn batch(&mut self) -> Batch {
        tokio::time::timeout(LONG, self.batches.recv()).await.expect("a batch in time").expect("no end")
    }

    /// Finishes every batch until so many records have come.
    async fn read(&mut self, records: usize) -> Vec<Record> {
        let mut all = Vec::new();
        while all.len() < records {
            let batch = self.batch().await;
            self.handle.offsets().finish(batch.ticket);
            all.extend(batch.records);
        }
        all
    }

    /// Stops gracefully while finishing whatever still comes; returns that.
    async fn stop(mut self) -> Vec<Record> {
        self.shutdown.cancel();
        let mut rest = Vec::new();
        while let Some(batch) = self.batches.recv().await {
            self.handle.offsets().finish(batch.ticket);
            rest.extend(batch.records);
        }
        let status = self.handle.status();
        self.handle.join(LONG).await.unwrap();
        assert!(!status.alive());
        assert_eq!(status.assigned(), 0);
        rest
    }
}

fn positions(records: &[Record]) -> BTreeSet<Position> {
    records.iter().map(|record| record.position).collect()
}

fn message(number: usize) -> Message {
    Message {
        key: Some(format!("workspace-{}", number % 97).into_bytes()),
        payload: Some(format!("{{\"id\":\"{number}\"}}").into_bytes()),
        headers: vec![],
    }
}

async fn publish(settings: &Settings, records: usize) {
    let producer = Producer::new(settings).unwrap();
    let messages: Vec<Message> = (0..records).map(message).collect();
    producer.publish(&settings.topics.events, &messages).await.unwrap();
}

async fn prepared(what: &str) -> Settings {
    let settings = kafka(what);
    topics::ensure(&settings).await.unwrap();
    settings
}

/// What the broker has as the group's offsets; partitions without a commit are absent.
fn committed(settings: &Settings) -> BTreeMap<i32, i64> {
    let client: BaseConsumer = client(&settings.brokers).set("group.id", &settings.group).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_range(&settings.topics.events, 0, settings.topics.partitions - 1);
    let offsets = client.committed_offsets(list, LONG).unwrap();
    let known = offsets.elements().into_iter().filter_map(|element| match element.offset() {
        Offset::Offset(next) => Some((element.partition(), next)),
        _ => None,
    });
    known.collect()
}

/// One past the last offset of each partition.
fn ends(settings: &Settings) -> BTreeMap<i32, i64> {
    let client: BaseConsumer = client(&settings.brokers).create().unwrap();
    let end = |n| client.fetch_watermarks(&settings.topics.events, n, LONG).unwrap().1;
    (0..settings.topics.partitions).map(|n| (n, end(n))).collect()
}

#[tokio::test]
async fn topics_are_created_once_and_compared_afterwards() {
    let mut settings = kafka("topics");
    let missing = topics::check(&settings).await.unwrap_err();
    assert!(matches!(&missing, KafkaError::MissingTopics(names) if names.len() == 5), "{missing}");
    assert!(missing.to_string().contains("tollgate migrate") && !missing.is_transient());

    let made = topics::ensure(&settings).await.unwrap();
    assert!(made.iter().all(|topic| topic.created && topic.differences.is_empty()), "{made:?}");
    topics::check(&settings).await.unwrap();

    let again = topics::ensure(&settings).await.unwrap();
    assert!(again.iter().all(|topic| !topic.created && topic.differences.is_empty()), "{again:?}");

    settings.topics.partitions = 6;
    settings.topics.retention_hours = 2;
    let changed = topics::ensure(&settings).await.unwrap();
    let told: Vec<usize> = changed.iter().map(|topic| topic.differences.len()).collect();
    // The ledger keeps for ever, whatever the retention is.
    assert_eq!(told, [2, 2, 2, 1, 2], "{changed:?}");
    remove(&settings).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_comes_as_it_was_published() {
    let settings = prepared("whole").await;
    let sent = Message {
        key: Some(b"acme".to_vec()),
        payload: Some(vec![0, 159, 255]),
        headers: vec![
            Header { name: "reason".to_owned(), value: Some(b"first".to_vec()) },
            Header { name: "reason".to_owned(), value: None },
            Header { name: "empty".to_owned(), value: Some(vec![]) },
        ],
    };
    let bare = Message { key: None, payload: None, headers: vec![] };
    let producer = Producer::new(&settings).unwrap();
    producer.publish(&settings.topics.events, &[sent.clone(), bare.clone()]).await.unwrap();

    let mut consumer = Running::start(&settings);
    let came = consumer.read(2).await;
    let message = |record: &Record| Message {
        key: record.key.clone(),
        payload: record.payload.clone(),
        headers: record.headers.clone(),
    };
    let messages: Vec<Message> = came.iter().map(message).collect();
    assert!(messages.contains(&sent) && messages.contains(&bare), "{messages:?}");
    let now = jiff::Timestamp::now().as_millisecond();
    assert!(came.iter().all(|record| (now - record.timestamp.millis()).abs() < 60_000));
    consumer.stop().await;
    remove(&settings).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn publish_acknowledges_every_message_past_a_full_queue() {
    // The queue holds a quarter of it.
    let settings = prepared("publish").await;
    publish(&settings, RECORDS).await;
    assert_eq!(ends(&settings).values().sum::<i64>(), RECORDS as i64);
    remove(&settings).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_too_large_is_an_error_and_harms_nobody_else() {
    let settings = prepared("large").await;
    let producer = Producer::new(&settings).unwrap();
    // Past the client's limit, and past the topic's alone.
    for bytes in [3 << 20, 1_100_000] {
        let large = Message { payload: Some(noise(bytes)), ..Message::default() };
        let began = Clock::now();
        let error = producer.publish(&settings.topics.events, &[message(0), large]).await.unwrap_err();
        assert!(began.elapsed() < Duration::from_secs(10));
        assert!(matches!(&error, KafkaError::Publish { failed: 1, messages: 2, .. }), "{error}");
        assert!(!error.is_transient(), "{error}");
    }
    producer.publish(&settings.topics.events, &[message(1)]).await.unwrap();
    remove(&settings).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_of_any_size_is_accepted() {
    let settings = prepared("letters").await;
    let producer = Producer::new(&settings).unwrap();
    let letter = |bytes: usize, header: usize| DeadLetter {
        reason: RejectReason::TooLarge,
        detail: "the record is too large".to_owned(),
        topic: settings.topics.events.clone(),
        position: Position { partition: 0, offset: 7 },
        timestamp: Instant::from_millis(0),
        key: Some(b"acme".to_vec()),
        payload: Some(noise(bytes)),
        headers: vec![Header { name: "theirs".to_owned(), value: Some(noise(header)) }],
    };
    for letter in [letter(1_040_000, 4), letter(1_040_000, 100_000), letter(5 << 20, 4), letter(9, 5 << 20)] {
        let message = dead_letter::message(&letter, settings.topics.dead_letter_bytes_max());
        producer.publish(&settings.topics.dead_letters, &[message]).await.unwrap();
    }
    remove(&settings).await;
}

/// Bytes that do not compress.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..bytes).map(next).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_dies_is_replaced_and_the_call_is_sent_again() {
    let (cluster, settings) = mocked("fatal");
    let topic = &settings.topics.events;
    let producer = Producer::new(&settings).unwrap();
    producer.publish(topic, &[message(0)]).await.unwrap();

    let fatal = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    cluster.request_errors(RDKafkaApiKey::Produce, &[fatal]);
    let calls = [[message(1), message(2)], [message(3), message(4)]];
    let (one, two) = tokio::join!(producer.publish(topic, &calls[0]), producer.publish(topic, &calls[1]));
    one.unwrap();
    two.unwrap();
}

/// A consumer whose batches take a while each, working by itself.
struct Worker {
    status: Status,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

type Seen = Arc<Mutex<BTreeSet<Position>>>;

impl Worker {
    fn start(settings: &Settings, seen: &Seen) -> Self {
        let mut running = Running::start(settings);
        let (status, shutdown) = (running.handle.status(), running.shutdown.clone());
        let seen = Arc::clone(seen);
        let work = async move {
            while let Some(batch) = running.batches.recv().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
                seen.lock().unwrap().extend(positions(&batch.records));
                running.handle.offsets().finish(batch.ticket);
            }
            running.handle.join(LONG).await.unwrap();
            assert!(running.flushed.load(Ordering::Relaxed) > 0, "asked to flush before it left");
        };
        Self { status, shutdown, task: tokio::spawn(work) }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}

async fn two_consumers_hand_over(strategy: &str) {
    let mut settings = prepared("group").await;
    settings.consumer.assignment_strategy = strategy.to_owned();
    settings.consumer.batch_records_max = NonZeroUsize::MIN.saturating_add(99);
    let seen = Seen::default();
    publish(&settings, RECORDS / 2).await;
    let first = Worker::start(&settings, &seen);
    eventually("the first has all", || first.status.assigned() == 4).await;
    let second = Worker::start(&settings, &seen);
    eventually("both have some", || first.status.assigned() == 2 && second.status.assigned() == 2).await;
    publish(&settings, RECORDS / 2).await;
    eventually("midway", || seen.lock().unwrap().len() > RECORDS * 5 / 8).await;
    first.stop().await;
    eventually("every record", || seen.lock().unwrap().len() == RECORDS).await;
    second.stop().await;
    assert_eq!(committed(&settings), ends(&settings));
    remove(&settings).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_consumers_share_and_one_that_stops_hands_over() {
    two_consumers_hand_over("range").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_holds_for_the_cooperative_assignment() {
    two_consumers_hand_over("cooperative-sticky").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_committed_past_an_unfinished_ticket() {
    let settings = prepared("floor").await;
    publish(&settings, RECORDS).await;
    let mut consumer = Running::start(&settings);
    let before = consumer.read(5000).await;
    let held = consumer.batch().await;
    consumer.read(RECORDS - before.len() - held.records.len()).await;
    let held: Vec<Record> = held.records;
    consumer.stop().await;

    // Each partition is committed up to the held batch, and to its end where that has no part.
    let mut floor = ends(&settings);
    for Position { partition, offset } in positions(&held).into_iter().rev() {
        floor.insert(partition, offset);
    }
    assert_eq!(committed(&settings), floor);

    let mut again = Running::start(&settings);
    let rest: i64 = ends(&settings).iter().map(|(number, end)| end - floor[number]).sum();
    let redelivered = positions(&again.read(usize::try_from(rest).unwrap()).await);
    assert_eq!(redelivered.len() as i64, rest);
    assert!(positions(&held).is_subset(&redelivered));
    again.stop().await;
    assert_eq!(committed(&settings), ends(&settings));
    remove(&settings).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_receiver_pauses_the_consumer_and_loses_and_repeats_nothing() {
    let mut settings = prepared("slow").await;
    settings.consumer.batches_in_flight_max = NonZeroUsize::MIN;
    publish(&settings, RECORDS).await;
    let mut consumer = Running::start(&settings);
    let mut records = consumer.batch().await.records;
    // Longer than the group lets a member go without a poll.
    tokio::time::sleep(Duration::from_millis(settings.consumer.max_poll_interval_ms + 3000)).await;
    assert!(consumer.handle.status().alive());
    assert_eq!((consumer.handle.status().assigned(), consumer.batches.len()), (4, 1));
    // Many pauses: each forgets what was prefetched and fetches it again.
    for _ in 0..4 {
        records.extend(consumer.batch().await.records);
        tokio::time::sleep(Duration::from_millis(settings.consumer.pause_after_ms * 2)).await;
    }
    let left = RECORDS - records.len();
    records.extend(consumer.read(left).await);
    assert_eq!(positions(&records).len(), RECORDS);
    for pair in records.windows(2).filter(|pair| pair[0].position.partition == pair[1].position.partition) {
        assert!(pair[0].position.offset < pair[1].position.offset);
    }
    assert!(consumer.stop().await.is_empty());
    remove(&settings).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_grows_while_the_receiver_is_busy() {
    let mut settings = prepared("grows").await;
    settings.consumer.batches_in_flight_max = NonZeroUsize::MIN;
    let mut consumer = Running::start(&settings);
    publish(&settings, 20).await;
    eventually("a batch waits", || consumer.batches.len() == 1).await;
    // Far apart, compared with the 5 ms that a batch lingers.
    for _ in 0..3 {
        publish(&settings, 20).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let (first, second) = (consumer.batch().await, consumer.batch().await);
    assert_eq!(first.records.len() + second.records.len(), 80);
    for batch in [first, second] {
        consumer.handle.offsets().finish(batch.ticket);
    }
    consumer.stop().await;
    assert_eq!(committed(&settings), ends(&settings));
    remove(&settings).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_without_a_receiver_ends_with_an_error() {
    let settings = prepared("orphan").await;
    publish(&settings, 1).await;
    let Running { mut handle, batches, .. } = Running::start(&settings);
    drop(batches);
    let ended = tokio::time::timeout(LONG, handle.stopped()).await.unwrap();
    assert!(matches!(ended, Err(KafkaError::ReceiverGone)), "{ended:?}");
    // Asked again, after the news is out.
    handle.stopped().await.unwrap();
    assert!(!handle.status().alive());
    remove(&settings).await;
}

/// A broker of the driver's own making, which can be told to misbehave.
fn mocked(what: &str) -> (MockCluster<'static, DefaultProducerContext>, Settings) {
    let cluster = MockCluster::new(1).unwrap();
    let mut settings = kafka(what);
    settings.brokers = cluster.bootstrap_servers();
    settings.topics.partitions = 1;
    cluster.create_topic(&settings.topics.events, 1, 1).unwrap();
    (cluster, settings)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_comes_back_is_read_again() {
    let (cluster, settings) = mocked("away");
    publish(&settings, 100).await;
    let mut consumer = Running::start(&settings);
    consumer.read(100).await;
    cluster.broker_down(1).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (sent, came) = tokio::join!(
        async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            cluster.broker_up(1)
        },
        async {
            publish(&settings, 100).await;
            consumer.read(100).await
        },
    );
    sent.unwrap();
    assert_eq!(came.len(), 100);
    consumer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_fetches_nothing_although_there_is_something_gives_up() {
    let (cluster, mut settings) = mocked("stall");
    settings.consumer.stall_exit_after_s = 3;
    publish(&settings, 10).await;
    let mut consumer = Running::start(&settings);
    consumer.read(10).await;
    // Longer than the patience: nothing waits, so nothing is wrong.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(consumer.handle.status().alive());
    let failing = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN; 1000];
    cluster.request_errors(RDKafkaApiKey::Fetch, &failing);
    publish(&settings, 10).await;
    let ended = tokio::time::timeout(LONG, consumer.handle.stopped()).await.unwrap();
    assert!(matches!(ended, Err(KafkaError::Stalled { partition: 0, seconds: 3 })), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_ends_at_its_deadline_when_the_broker_is_away() {
    let (cluster, settings) = mocked("close");
    publish(&settings, 10).await;
    let mut consumer = Running::start(&settings);
    consumer.read(10).await;
    cluster.broker_down(1).unwrap();
    consumer.shutdown.cancel();
    let began = Clock::now();
    let ended = consumer.handle.join(Duration::from_secs(3)).await;
    assert!(matches!(ended, Ok(()) | Err(KafkaError::CloseTimeout(3000))), "{ended:?}");
    assert!(began.elapsed() < Duration::from_secs(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_missing_is_an_error() {
    let settings = kafka("missing");
    let producer = Producer::new(&settings).unwrap();
    let error = producer.publish(&settings.topics.events, &[message(0)]).await.unwrap_err();
    assert!(matches!(&error, KafkaError::Publish { failed: 1, .. }), "{error}");
    assert!(!error.is_transient(), "{error}");
}
