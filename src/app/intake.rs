//! Events that came over HTTP, on their way to Kafka; and in Redis what was answered to whom.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::Stores;
use crate::domain::WorkspaceId;
use crate::domain::ports::{Claim, Fault, Intake, Remembered, Trouble};
use crate::kafka::{Message, Producer};
use crate::redis::RedisLedger;

/// The topic of usage events, as the API sees it.
pub struct Topic {
    ledger: Arc<RedisLedger>,
    producer: Arc<Producer>,
    name: String,
}

impl Topic {
    /// The topic of that name.
    pub fn new(stores: &Stores, name: &str) -> Self {
        let (ledger, producer) = (Arc::clone(&stores.ledger), Arc::clone(&stores.producer));
        Self { ledger, producer, name: name.to_owned() }
    }
}

impl Intake for Topic {
    fn publish(&self, events: Vec<(WorkspaceId, Vec<u8>)>) -> BoxFuture<'_, Result<(), Trouble>> {
        let message = |(workspace, payload): (WorkspaceId, Vec<u8>)| Message {
            key: Some(workspace.as_str().into()),
            payload: Some(payload),
            headers: Vec::new(),
        };
        let messages: Vec<Message> = events.into_iter().map(message).collect();
        Box::pin(async move { self.producer.publish(&self.name, &messages).await.map_err(trouble) })
    }

    fn claim<'a>(&'a self, place: &'a str, request: &'a str) -> BoxFuture<'a, Result<Claim, Trouble>> {
        Box::pin(async move { self.ledger.claim(place, request).await.map_err(trouble) })
    }

    fn remember<'a>(&'a self, place: &'a str, answer: &'a Remembered) -> BoxFuture<'a, Result<(), Trouble>> {
        Box::pin(async move { self.ledger.remember(place, answer).await.map_err(trouble) })
    }

    fn release<'a>(&'a self, place: &'a str) -> BoxFuture<'a, Result<(), Trouble>> {
        Box::pin(async move { self.ledger.release_claim(place).await.map_err(trouble) })
    }
}

/// What passes by itself is told apart from what does not, which is logged here.
fn trouble(fault: impl Fault) -> Trouble {
    if fault.is_transient() {
        return Trouble::Away(fault.to_string());
    }
    tracing::error!(%fault, "a request could not be served");
    Trouble::Broken(fault.to_string())
}
