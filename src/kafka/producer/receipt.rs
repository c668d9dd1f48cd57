//! Waiting for many deliveries at once: a counter for each call of `publish`, not a future for each
//! message.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use rdkafka::ClientContext;
use rdkafka::error::KafkaError as DriverError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use tokio::sync::Notify;

use crate::kafka::KafkaError;

/// Counts the messages of one call down.
#[derive(Debug, Default)]
pub(super) struct Receipt {
    under_way: AtomicUsize,
    failed: AtomicUsize,
    first: OnceLock<DriverError>,
    done: Notify,
}

impl Receipt {
    /// One message more is under way.
    pub(super) fn start(&self) {
        self.under_way.fetch_add(1, Ordering::AcqRel);
    }

    /// So many messages will not be acknowledged.
    pub(super) fn refuse(&self, error: DriverError, messages: usize) {
        self.failed.fetch_add(messages, Ordering::AcqRel);
        // Only the first is kept.
        let _ = self.first.set(error);
    }

    /// One message is no longer under way.
    pub(super) fn settle(&self) {
        if self.under_way.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_one();
        }
    }

    /// Returns when nothing is under way.
    pub(super) async fn wait(&self) {
        // The count may touch zero while messages are still handed over: look again.
        while self.under_way.load(Ordering::Acquire) > 0 {
            self.done.notified().await;
        }
    }

    /// Ok when every message was acknowledged.
    pub(super) fn outcome(&self, topic: &str, messages: usize) -> Result<(), KafkaError> {
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
pub(super) struct Deliveries;

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
