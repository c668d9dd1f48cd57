//! Publishing: idempotent, acknowledged by all in-sync replicas, at least once. One call is one wait:
//! its messages share a counter, so that a delivery costs a decrement and not a future.

mod link;
mod receipt;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;

use self::link::{Link, client_config};
use super::{KafkaError, Settings};
use crate::domain::event::Header;

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
    pub async fn publish(&self, topic: &str, messages: &[Message]) -> Result<(), KafkaError> {
        let mut link = self.current();
        for _ in 0..REBUILDS_MAX {
            match link.publish(topic, messages, self.delivery_timeout).await {
                Err(_) if link.is_dead() => link = self.replace(&link)?,
                outcome => return outcome,
            }
        }
        link.publish(topic, messages, self.delivery_timeout).await
    }

    fn current(&self) -> Arc<Link> {
        Arc::clone(&self.lock())
    }

    /// The first caller who sees the death makes the new client; the others find it.
    fn replace(&self, dead: &Arc<Link>) -> Result<Arc<Link>, KafkaError> {
        let mut current = self.lock();
        if Arc::ptr_eq(&current, dead) {
            *current = Arc::new(Link::connect(&self.config, self.flush_deadline)?);
            dead.bury();
        }
        Ok(Arc::clone(&current))
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Link>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
