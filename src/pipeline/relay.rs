//! From the outbox to Kafka, and from there to the tables: ledger entries, alerts and the events of
//! settles. It runs after each change, and by itself for what a crash left. One process relays a shard
//! at a time, so entries stand in the topic in their order; after a crash one may stand there twice,
//! and its epoch and sequence tell. Whoever waits for an answer waits for Kafka, never for the tables.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::messages;
use crate::crash;
use crate::domain::ledger::{Outgoing, Pending};
use crate::domain::ports::{Fault, Outbox, Warehouse};
use crate::kafka::{Message, Publish};
use crate::metrics;

/// Items taken from a queue at once.
const ITEMS_MAX: usize = 500;
/// How often a shard that another process relays is asked for.
const CLAIM_PAUSE: Duration = Duration::from_millis(20);
/// How often the right to a shard is renewed while Kafka is waited for.
const CLAIM_RENEWAL: Duration = Duration::from_secs(3);

/// Where each kind of item goes.
#[derive(Debug, Clone)]
pub struct RelayTopics {
    /// Ledger entries.
    pub ledger: String,
    /// Alerts.
    pub alerts: String,
    /// The usage of holds that are settling.
    pub events: String,
}

/// Publishes and records what scripts leave behind, in its order.
pub struct Relay<O, W, P> {
    outbox: Arc<O>,
    warehouse: Arc<W>,
    publisher: Arc<P>,
    topics: RelayTopics,
    /// One relaying of a shard at a time.
    relaying: Vec<tokio::sync::Mutex<()>>,
}

impl<O: Outbox, W: Warehouse, P: Publish> Relay<O, W, P> {
    /// A relay that has published nothing yet.
    pub fn new(outbox: Arc<O>, warehouse: Arc<W>, publisher: Arc<P>, topics: RelayTopics) -> Self {
        let relaying = (0..outbox.shards()).map(|_| tokio::sync::Mutex::default()).collect();
        Self { outbox, warehouse, publisher, topics, relaying }
    }

    /// Publishes what waits in one shard, when no other process does; false when another has the shard.
    pub async fn relay(&self, shard: u16) -> Result<bool, RelayError> {
        let _one = self.relaying[usize::from(shard)].lock().await;
        if !self.outbox.claim(shard).await.map_err(failed)? {
            return Ok(false);
        }
        let relayed = self.drain(shard).await;
        // Not given back, the right ends by itself.
        let released = self.outbox.release(shard).await.map_err(failed);
        relayed.and(released).map(|()| true)
    }

    /// Publishes one shard; after it, Kafka has everything that waited when it was called.
    pub async fn relay_now(&self, shard: u16) -> Result<(), RelayError> {
        while !self.relay(shard).await? {
            tokio::time::sleep(CLAIM_PAUSE).await;
        }
        Ok(())
    }

    async fn drain(&self, shard: u16) -> Result<(), RelayError> {
        loop {
            let pending = self.outbox.pending(shard, ITEMS_MAX).await.map_err(failed)?;
            if pending.is_empty() {
                return Ok(());
            }
            // 1. Kafka, the durable truth. A failure leaves the outbox as it is.
            self.publish_claimed(shard, &pending).await?;
            crash::point("after_kafka_ack");
            // 2. Out of the outbox. A failure publishes them once more.
            let ids: Vec<String> = pending.iter().map(|pending| pending.id.clone()).collect();
            self.outbox.published(shard, &ids).await.map_err(failed)?;
            pending.iter().for_each(count);
        }
    }

    /// Publishes, and keeps the right to this shard for as long as it takes.
    async fn publish_claimed(&self, shard: u16, pending: &[Pending]) -> Result<(), RelayError> {
        let mut publishing = std::pin::pin!(self.publish(pending));
        loop {
            match tokio::time::timeout(CLAIM_RENEWAL, &mut publishing).await {
                Ok(published) => return published,
                // Redis away: whoever takes the shard meanwhile publishes the same once more.
                Err(_) => drop(self.outbox.claim(shard).await),
            }
        }
    }

    async fn publish(&self, pending: &[Pending]) -> Result<(), RelayError> {
        let (mut ledger, mut alerts, mut events) = (Vec::new(), Vec::new(), Vec::new());
        for Pending { item, .. } in pending {
            match item {
                Outgoing::Entry(entry) => ledger.push(messages::entry(entry)),
                Outgoing::Alert(alert) => alerts.push(messages::alert(alert)),
                Outgoing::Settle(settle) => events.push(messages::settle(settle)),
            }
        }
        let RelayTopics { ledger: to_ledger, alerts: to_alerts, events: to_events } = &self.topics;
        tokio::try_join!(
            self.send(to_ledger, ledger),
            self.send(to_alerts, alerts),
            self.send(to_events, events)
        )?;
        Ok(())
    }

    async fn send(&self, topic: &str, messages: Vec<Message>) -> Result<(), RelayError> {
        if messages.is_empty() {
            return Ok(());
        }
        self.publisher.publish(topic, &messages).await.map_err(failed)
    }

    /// Writes what Kafka has into the tables. A failure leaves it where it is, to be written again.
    pub async fn record(&self, shard: u16) -> Result<(), RelayError> {
        loop {
            let pending = self.outbox.unrecorded(shard, ITEMS_MAX).await.map_err(failed)?;
            if pending.is_empty() {
                return Ok(());
            }
            let (mut ids, mut entries, mut alerts) = (Vec::new(), Vec::new(), Vec::new());
            for Pending { id, item } in pending {
                ids.push(id);
                match item {
                    Outgoing::Entry(entry) => entries.push(entry),
                    Outgoing::Alert(alert) => alerts.push(alert),
                    Outgoing::Settle(_) => {} // its event is recorded by the pipeline
                }
            }
            self.warehouse.record_entries(&entries).await.map_err(failed)?;
            self.warehouse.record_alerts(&alerts).await.map_err(failed)?;
            self.outbox.recorded(shard, &ids).await.map_err(failed)?;
        }
    }

    /// Relays and records all shards again and again, until the process stops.
    pub async fn run(&self, interval: Duration, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            for shard in 0..self.outbox.shards() {
                // A shard that fails keeps no other from its turn, nor do tables keep entries from Kafka.
                if let Err(fault) = self.relay(shard).await {
                    tracing::warn!(%fault, shard, "cannot publish the ledger now, trying again");
                }
                if let Err(fault) = self.record(shard).await {
                    tracing::warn!(%fault, shard, "cannot record the ledger now, trying again");
                }
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep(interval) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }
}

fn count(pending: &Pending) {
    if let Outgoing::Alert(alert) = &pending.item {
        let labels = [("scope", alert.scope.as_str()), ("state", alert.state.as_str())];
        ::metrics::counter!(metrics::ALERTS, &labels).increment(1);
    }
}

/// A server that was needed is away: what waited is still where it was.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RelayError(Box<dyn Fault>);

fn failed<E: Fault>(fault: E) -> RelayError {
    RelayError(Box::new(fault))
}
