//! The producer, as the pipeline sees it.

use super::{KafkaError, Message, Producer};
use crate::domain::ports::Fault;

/// Publishes messages to a topic and returns when every one is acknowledged.
pub trait Publish: Send + Sync + 'static {
    /// What can go wrong.
    type Error: Fault;

    /// All of them, at least once.
    fn publish(
        &self,
        topic: &str,
        messages: &[Message],
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

impl Publish for Producer {
    type Error = KafkaError;

    async fn publish(&self, topic: &str, messages: &[Message]) -> Result<(), KafkaError> {
        Self::publish(self, topic, messages).await
    }
}

impl Fault for KafkaError {
    fn is_transient(&self) -> bool {
        Self::is_transient(self)
    }
}
