//! Publishing a run, in chunks and at a pace. Chunks follow each other, so that a workspace's
//! records keep their order in its partition.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::generator::Generator;
use super::spec::Spec;
use super::tally::Tally;
use crate::kafka::{KafkaError, Message, Producer};

/// Records published at once when nothing paces them.
const CHUNK_RECORDS: usize = 5_000;
/// Chunks in a second when they are paced.
const PACED_CHUNKS: u32 = 20;

/// What was published.
#[derive(Debug)]
pub struct Published {
    /// What must become of it.
    pub tally: Tally,
    /// Records, all acknowledged.
    pub records: u64,
    /// Their payloads.
    pub bytes: u64,
}

/// Publishes all records of a run; `progress` hears after each chunk how many it has been. Errors:
/// Kafka refused or was away for too long; some records may be published then.
pub async fn produce(
    producer: &Producer,
    topic: &str,
    spec: &Spec,
    rate_per_second: Option<u32>,
    mut progress: impl FnMut(u64),
) -> Result<Published, KafkaError> {
    let mut published = Published { tally: Tally::new(spec), records: 0, bytes: 0 };
    let mut generator = Generator::new(spec);
    let (chunk_records, started) = (chunk_records(rate_per_second), Instant::now());
    loop {
        let chunk = take(&mut generator, chunk_records, &mut published);
        if chunk.is_empty() {
            return Ok(published);
        }
        producer.publish(topic, &chunk).await?;
        published.records += chunk.len() as u64;
        progress(published.records);
        if let Some(rate) = rate_per_second {
            let due = Duration::from_secs_f64(published.records as f64 / f64::from(rate.max(1)));
            sleep_until(started + due).await;
        }
    }
}

fn chunk_records(rate_per_second: Option<u32>) -> usize {
    rate_per_second
        .map_or(CHUNK_RECORDS, |rate| (rate / PACED_CHUNKS).clamp(1, CHUNK_RECORDS as u32) as usize)
}

fn take(generator: &mut Generator<'_>, records: usize, published: &mut Published) -> Vec<Message> {
    let counted = generator.take(records).map(|record| {
        published.tally.count(record.expectation);
        published.bytes += record.message.payload.as_ref().map_or(0, Vec::len) as u64;
        record.message
    });
    counted.collect()
}
