//! Publishing: idempotent, acknowledged by all in-sync replicas, at least once. One call is one wait:
//! its messages share a [`Receipt`], so that a delivery costs a counter and not a future.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError as DriverError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext, PurgeConfig};
use tokio::sync::Notify;

use super::{KafkaError, Settings};
use crate::domain::event::Header;

/// How long a publisher sleeps when the queue is full.
const QUEUE_FULL_WAIT: Duration = Duration::from_millis(1);
/// Messages handed over before other tasks of the thread get a turn.
const TURN_MESSAGES: usize = 512;
/// How long the polling thread waits for deliveries; bounds how long a drop waits for the thread.
const POLL: Duration = Duration::from_millis(50);
/// How often a batch outlives a producer that died of a fatal error.
const REBUILDS_MAX: usize = 3;

/// What is published.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// Chooses the partition, as Java's clients do (murmur2); none spreads at random.
    pub key: Option<Vec<u8>>,
    /// The content.
    pub payload: Option<Vec<u8>>,
    /// In order; of the same name the last wins.
    pub headers: Vec<Header>,
}

/// A producer for any topic. One for the whole process is enough; share it in an [`Arc`].
#[derive(Debug)]
pub struct Producer {
    config: ClientConfig,
    delivery_timeout: Duration,
    flush_deadline: Duration,
    link: Mutex<Arc<Link>>,
}

impl Producer {
    /// Makes the client; it connects by itself, later. Errors: settings that the driver refuses.
    pub fn new(settings: &Settings) -> Result<Self, KafkaError> {
        let config = client_config(settings);
        let flush_deadline = Duration::from_millis(settings.producer.flush_deadline_ms);
        let link = Mutex::new(Arc::new(Link::connect(&config, flush_deadline)?));
        let delivery_timeout = Duration::from_millis(settings.producer.delivery_timeout_ms);
        Ok(Self { config, delivery_timeout, flush_deadline, link })
    }

    /// Publishes all messages and returns when every one of them is acknowledged. After an error some
    /// may have been: a retry repeats them. A client that died of a fatal error is replaced and the
    /// whole call is sent again.
    pub async fn publish(&self, topic: &str, messages: Vec<Message>) -> Result<(), KafkaError> {
        let mut link = self.current();
        for _ in 0..REBUILDS_MAX {
            match link.publish(topic, &messages, self.delivery_timeout).await {
                Err(_) if link.is_dead() => link = self.replace(&link)?,
                outcome => return outcome,
            }
        }
        link.publish(topic, &messages, self.delivery_timeout).await
    }

    fn current(&self) -> Arc<Link> {
        Arc::clone(&self.lock())
    }

    /// The first caller who sees the death makes the new client; the others find it.
    fn replace(&self, dead: &Arc<Link>) -> Result<Arc<Link>, KafkaError> {
        let mut current = self.lock();
        if Arc::ptr_eq(&current, dead) {
            tracing::error!(fatal = ?dead.client.client().fatal_error(), "producer died, making another");
            *current = Arc::new(Link::connect(&self.config, self.flush_deadline)?);
            // Whoever waits for the dead one learns it now and comes here too.
            dead.client.purge(PurgeConfig::default().queue().inflight());
        }
        Ok(Arc::clone(&current))
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Link>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One client of the driver and the thread that serves its deliveries.
struct Link {
    client: Arc<BaseProducer<Deliveries>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    flush_deadline: Duration,
}

impl Link {
    fn connect(config: &ClientConfig, flush_deadline: Duration) -> Result<Self, KafkaError> {
        let client =
            config.create_with_context(Deliveries).map_err(KafkaError::client("making a producer"))?;
        let client = Arc::new(client);
        let stop = Arc::new(AtomicBool::new(false));
        let (served, stopping) = (Arc::clone(&client), Arc::clone(&stop));
        let thread = std::thread::Builder::new()
            .name("kafka-producer".to_owned())
            .spawn(move || serve(&served, &stopping, flush_deadline))
            .map_err(|_| KafkaError::ThreadGone)?;
        Ok(Self { client, stop, thread, flush_deadline })
    }

    async fn publish(&self, topic: &str, messages: &[Message], patience: Duration) -> Result<(), KafkaError> {
        let receipt = Arc::new(Receipt::default());
        let deadline = Instant::now() + patience;
        let mut sent = 0;
        for message in messages {
            if let Err(refusal) = self.send(topic, message, &receipt, deadline).await {
                receipt.refuse(refusal, messages.len() - sent);
                break;
            }
            sent += 1;
            if sent.is_multiple_of(TURN_MESSAGES) {
                tokio::task::yield_now().await;
            }
        }
        receipt.wait().await;
        receipt.outcome(topic, messages.len())
    }

    /// Hands one message to the driver; a full queue is waited for.
    async fn send(
        &self,
        topic: &str,
        message: &Message,
        receipt: &Arc<Receipt>,
        deadline: Instant,
    ) -> Result<(), DriverError> {
        receipt.under_way.fetch_add(1, Ordering::AcqRel);
        let mut record = record(topic, message, Arc::clone(receipt));
        loop {
            let (error, back) = match self.client.send(record) {
                Ok(()) => return Ok(()),
                Err(refused) => refused,
            };
            let full = error.rdkafka_error_code() == Some(Code::QueueFull);
            if !full || Instant::now() >= deadline {
                receipt.settle();
                return Err(error);
            }
            record = back;
            tokio::time::sleep(QUEUE_FULL_WAIT).await;
        }
    }

    fn is_dead(&self) -> bool {
        self.client.client().fatal_error().is_some()
    }
}

impl Drop for Link {
    /// Waits for the thread, which flushes: nobody else would before the process ends.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let deadline = Instant::now() + self.flush_deadline + POLL;
        while !self.thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(QUEUE_FULL_WAIT);
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("in_flight", &self.client.in_flight_count()).finish()
    }
}

fn serve(client: &BaseProducer<Deliveries>, stop: &AtomicBool, flush_deadline: Duration) {
    while !stop.load(Ordering::Acquire) {
        client.poll(POLL);
    }
    if let Err(error) = client.flush(flush_deadline) {
        let lost = client.in_flight_count();
        tracing::error!(%error, lost, "producer closed before everything was acknowledged");
    }
}

fn record<'a>(
    topic: &'a str,
    message: &'a Message,
    receipt: Arc<Receipt>,
) -> BaseRecord<'a, [u8], [u8], Arc<Receipt>> {
    let mut record = BaseRecord::with_opaque_to(topic, receipt);
    record.key = message.key.as_deref();
    record.payload = message.payload.as_deref();
    record.headers = (!message.headers.is_empty()).then(|| headers(&message.headers));
    record
}

fn headers(headers: &[Header]) -> OwnedHeaders {
    let room = OwnedHeaders::new_with_capacity(headers.len());
    headers.iter().fold(room, |all, header| {
        all.insert(rdkafka::message::Header { key: &header.name, value: header.value.as_ref() })
    })
}

fn client_config(settings: &Settings) -> ClientConfig {
    let producer = &settings.producer;
    let topics = &settings.topics;
    // A batch past a topic's limit is refused as a whole, so that batches stay below the smallest.
    let batch_bytes = topics.record_bytes_max.saturating_sub(16 << 10).clamp(1, 1_000_000);
    let mut config = settings.client();
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.type", "lz4")
        .set("partitioner", "murmur2_random")
        .set("linger.ms", producer.linger_ms.to_string())
        .set("delivery.timeout.ms", producer.delivery_timeout_ms.to_string())
        .set("queue.buffering.max.messages", producer.queue_records_max.to_string())
        .set("queue.buffering.max.kbytes", producer.queue_kib_max.to_string())
        .set("batch.size", batch_bytes.to_string())
        .set("message.max.bytes", topics.dead_letter_bytes_max().to_string());
    config
}

/// Counts the messages of one call down.
#[derive(Debug, Default)]
struct Receipt {
    under_way: AtomicUsize,
    failed: AtomicUsize,
    first: OnceLock<DriverError>,
    done: Notify,
}

impl Receipt {
    fn refuse(&self, error: DriverError, messages: usize) {
        self.failed.fetch_add(messages, Ordering::AcqRel);
        // Only the first is kept.
        let _ = self.first.set(error);
    }

    fn settle(&self) {
        if self.under_way.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_one();
        }
    }

    async fn wait(&self) {
        // The count may touch zero while messages are still handed over: look again.
        while self.under_way.load(Ordering::Acquire) > 0 {
            self.done.notified().await;
        }
    }

    fn outcome(&self, topic: &str, messages: usize) -> Result<(), KafkaError> {
        let failed = self.failed.load(Ordering::Acquire);
        match self.first.get() {
            None => Ok(()),
            Some(source) => {
                Err(KafkaError::Publish { topic: topic.to_owned(), messages, failed, source: source.clone() })
            }
        }
    }
}

/// Where the driver reports deliveries.
struct Deliveries;

impl ClientContext for Deliveries {
    fn error(&self, error: DriverError, reason: &str) {
        tracing::warn!(%error, reason, "kafka producer");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Arc<Receipt>;

    fn delivery(&self, result: &DeliveryResult<'_>, receipt: Arc<Receipt>) {
        if let Err((error, _)) = result {
            receipt.refuse(error.clone(), 1);
        }
        receipt.settle();
    }
}
