//! From the outbox to the ledger topic: what a change left behind is published, written to
//! `credit_ledger`, and only then forgotten. It runs after each change, and by itself for what a
//! crash left. One process relays a shard at a time, so entries stand in the topic in their order;
//! after a crash one may stand there twice, and its epoch and sequence tell.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::messages;
use crate::domain::ledger::{Entry, Pending};
use crate::domain::ports::{Fault, Outbox, Warehouse};
use crate::kafka::{Message, Publish};

/// Entries taken from an outbox at once.
const ENTRIES_MAX: usize = 500;
/// How often a shard that another process relays is asked for.
const CLAIM_PAUSE: Duration = Duration::from_millis(20);

/// Publishes ledger entries in their order.
pub struct Relay<O, W, P> {
    /// Where entries wait.
    pub outbox: Arc<O>,
    /// Keeps `credit_ledger`.
    pub warehouse: Arc<W>,
    /// Publishes.
    pub publisher: Arc<P>,
    /// The ledger topic.
    pub topic: String,
    /// The last entry of each shard that Kafka has, and one relaying at a time.
    published: Mutex<HashMap<u16, String>>,
}

impl<O: Outbox, W: Warehouse, P: Publish> Relay<O, W, P> {
    /// A relay that has published nothing yet.
    pub fn new(outbox: Arc<O>, warehouse: Arc<W>, publisher: Arc<P>, topic: String) -> Self {
        Self { outbox, warehouse, publisher, topic, published: Mutex::default() }
    }

    /// Relays what waits in one shard, when no other process does; how many entries that were, or
    /// none when another has the shard.
    pub async fn relay(&self, shard: u16) -> Result<Option<usize>, RelayError> {
        let mut published = self.published.lock().await;
        if !self.outbox.claim(shard).await.map_err(waiting)? {
            return Ok(None);
        }
        let relayed = self.drain(shard, &mut published).await;
        // Not given back, the right ends by itself.
        let released = self.outbox.release(shard).await.map_err(waiting);
        let relayed = relayed?;
        released.map(|()| Some(relayed))
    }

    /// Relays one shard; after it, Kafka has everything that waited when it was called.
    pub async fn relay_now(&self, shard: u16) -> Result<(), RelayError> {
        while self.relay(shard).await?.is_none() {
            tokio::time::sleep(CLAIM_PAUSE).await;
        }
        Ok(())
    }

    async fn drain(&self, shard: u16, published: &mut HashMap<u16, String>) -> Result<usize, RelayError> {
        let mut relayed = 0;
        loop {
            let pending = self.outbox.pending(shard, ENTRIES_MAX).await.map_err(waiting)?;
            let Some(last) = pending.last() else { return Ok(relayed) };
            // 1. Kafka, the durable truth. A failure leaves the outbox as it is.
            let known = published.get(&shard);
            let fresh = |entry: &&Pending| known.is_none_or(|known| place(&entry.id) > place(known));
            let messages: Vec<Message> =
                pending.iter().filter(fresh).map(|pending| messages::entry(&pending.entry)).collect();
            if !messages.is_empty() {
                self.publisher.publish(&self.topic, &messages).await.map_err(waiting)?;
                published.insert(shard, last.id.clone());
            }
            // 2. The table that is read. A failure leaves the outbox, but is not published again.
            let (ids, entries): (Vec<String>, Vec<Entry>) =
                pending.into_iter().map(|p| (p.id, p.entry)).unzip();
            self.warehouse.record_entries(&entries).await.map_err(in_kafka)?;
            // 3. Forget.
            self.outbox.acknowledged(shard, &ids).await.map_err(in_kafka)?;
            relayed += ids.len();
        }
    }

    /// Relays all shards again and again, until the process stops.
    pub async fn run(&self, interval: Duration, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            for shard in 0..self.outbox.shards() {
                if let Err(fault) = self.relay(shard).await {
                    tracing::warn!(%fault, shard, "cannot relay the ledger now, trying again");
                    break;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }
}

/// Why entries are still in the outbox.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// Kafka does not have all of them.
    #[error("{0}")]
    Waiting(Box<dyn Fault>),
    /// Kafka has them, the table does not yet.
    #[error("{0}")]
    InKafka(Box<dyn Fault>),
}

fn waiting<E: Fault>(fault: E) -> RelayError {
    RelayError::Waiting(Box::new(fault))
}

fn in_kafka<E: Fault>(fault: E) -> RelayError {
    RelayError::InKafka(Box::new(fault))
}

/// A stream id as numbers, for comparing.
fn place(id: &str) -> (u64, u64) {
    let (millis, number) = id.split_once('-').unwrap_or((id, "0"));
    (millis.parse().unwrap_or(0), number.parse().unwrap_or(0))
}
