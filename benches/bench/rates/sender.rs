//! Sends each record at its instant, or as soon after it as it can.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::Message as _;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode as Code;

use super::super::kafka::client;
use super::{Places, ToSend};

/// How long is slept when nothing is due.
const NAP: Duration = Duration::from_millis(1);
const FLUSH_MAX: Duration = Duration::from_secs(30);

/// Where everything went.
pub struct Sent {
    /// The first record's instant.
    pub started: Instant,
    pub places: Places,
}

/// How long after the first a record is due.
pub fn due(number: usize, rate: u32) -> Duration {
    Duration::from_secs_f64(number as f64 / f64::from(rate))
}

/// Sends all.
pub fn send(brokers: &str, topic: &str, records: Vec<ToSend>, rate: u32) -> anyhow::Result<Sent> {
    let delivered = Delivered::default();
    let mut config = client(brokers);
    config
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "5")
        .set("queue.buffering.max.messages", "2000000");
    let producer: ThreadedProducer<Delivered> = config.create_with_context(delivered.clone())?;
    let started = Instant::now();
    for (number, record) in records.iter().enumerate() {
        let at = started + due(number, rate);
        while Instant::now() < at {
            std::thread::sleep(NAP);
        }
        push(&producer, topic, record, number)?;
    }
    producer.flush(FLUSH_MAX)?;
    let places = std::mem::take(&mut *delivered.0.lock().unwrap());
    anyhow::ensure!(places.len() == records.len(), "{} of {} were delivered", places.len(), records.len());
    Ok(Sent { started, places })
}

fn push(
    producer: &ThreadedProducer<Delivered>,
    topic: &str,
    record: &ToSend,
    number: usize,
) -> anyhow::Result<()> {
    let mut message = BaseRecord::with_opaque_to(topic, number).key(&record.key).payload(&record.payload);
    loop {
        match producer.send(message) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(Code::QueueFull), back)) => message = back,
            Err((fault, _)) => return Err(fault.into()),
        }
        std::thread::sleep(NAP);
    }
}

/// Where each record went, and when Kafka acknowledged that.
#[derive(Clone, Default)]
struct Delivered(Arc<Mutex<Places>>);

impl ClientContext for Delivered {}

impl ProducerContext for Delivered {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        if let Ok(message) = result {
            let place = (message.partition(), message.offset());
            self.0.lock().unwrap().insert(place, (number, Instant::now()));
        }
    }
}
