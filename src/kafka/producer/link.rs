//! One client of the driver and the thread that serves its deliveries. It dies of a fatal error and
//! does not mend itself.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError as DriverError, RDKafkaErrorCode as Code};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, PurgeConfig};

use super::Message;
use super::receipt::{Deliveries, Receipt};
use crate::domain::event::Header;
use crate::kafka::{KafkaError, Settings};

/// How long a publisher sleeps when the queue is full.
const QUEUE_FULL_WAIT: Duration = Duration::from_millis(1);
/// Messages handed over before other tasks of the thread get a turn: some 3 ms.
const TURN_MESSAGES: usize = 4096;
/// How long the polling thread waits for deliveries; bounds how long a drop waits for the thread.
const POLL: Duration = Duration::from_millis(50);

/// One client of the driver and the thread that serves its deliveries.
pub(super) struct Link {
    client: Arc<BaseProducer<Deliveries>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    flush_deadline: Duration,
}

impl Link {
    pub(super) fn connect(config: &ClientConfig, flush_deadline: Duration) -> Result<Self, KafkaError> {
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

    /// Sends all and waits until each is acknowledged or refused.
    pub(super) async fn publish(
        &self,
        topic: &str,
        messages: &[Message],
        patience: Duration,
    ) -> Result<(), KafkaError> {
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
        receipt.start();
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

    /// Whether nothing can be sent any more.
    pub(super) fn is_dead(&self) -> bool {
        self.client.client().fatal_error().is_some()
    }

    /// Gives everything under way up: whoever waits for it learns it now.
    pub(super) fn bury(&self) {
        tracing::error!(fatal = ?self.client.client().fatal_error(), "producer died, another takes over");
        self.client.purge(PurgeConfig::default().queue().inflight());
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

/// The driver's settings of every producer.
pub(super) fn client_config(settings: &Settings) -> ClientConfig {
    let producer = &settings.producer;
    let topics = &settings.topics;
    // A batch past a topic's limit is refused as a whole, so that batches stay below the smallest.
    let batch_bytes = topics.record_bytes_max.saturating_sub(16 << 10).clamp(1, 1_000_000);
    let largest = topics.names().into_iter().map(|name| topics.bytes_max(name)).max().unwrap_or_default();
    let mut config = settings.client();
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.type", "lz4")
        .set("partitioner", "murmur2_random")
        // A topic that is missing for so long is missing, not young.
        .set("topic.metadata.propagation.max.ms", "5000")
        .set("linger.ms", producer.linger_ms.to_string())
        .set("delivery.timeout.ms", producer.delivery_timeout_ms.to_string())
        .set("queue.buffering.max.messages", producer.queue_records_max.to_string())
        .set("queue.buffering.max.kbytes", producer.queue_kib_max.to_string())
        .set("batch.size", batch_bytes.to_string())
        .set("message.max.bytes", largest.to_string());
    config
}
