//! The only place that knows every room: settings become stores, stores become the pipeline, the office
//! and the API. Start and shutdown order stand in `serve`; no rule stands here.

pub mod admin;
pub mod api;
pub mod audit;
mod backoffice;
mod consuming;
pub mod intake;
pub mod office;
pub mod outlook;
pub mod rebuild;
mod serve;

use std::sync::Arc;

use crate::clickhouse::Store;
use crate::config::Settings;
use crate::kafka::{Producer, topics};
use crate::pipeline::relay::{Relay, RelayTopics};
use crate::redis::RedisLedger;

pub use serve::{Part, serve};

/// The clients of the three servers.
#[derive(Clone)]
pub struct Stores {
    /// Redis.
    pub ledger: Arc<RedisLedger>,
    /// ClickHouse.
    pub tables: Arc<Store>,
    /// Kafka.
    pub producer: Arc<Producer>,
}

impl Stores {
    /// Clients that connect by themselves, later. Errors: settings that a driver refuses.
    pub fn new(settings: &Settings) -> anyhow::Result<Self> {
        Ok(Self {
            ledger: Arc::new(RedisLedger::new(&settings.redis, settings.dedupe_windows())?),
            tables: Arc::new(Store::connect(&settings.clickhouse)?),
            producer: Arc::new(Producer::new(&settings.kafka)?),
        })
    }

    /// A relay from the outbox to the topics and tables.
    pub fn relay(&self, settings: &Settings) -> Relay<RedisLedger, Store, Producer> {
        let (outbox, tables, producer) = (self.ledger.clone(), self.tables.clone(), self.producer.clone());
        let names = &settings.kafka.topics;
        let topics = RelayTopics {
            ledger: names.ledger.clone(),
            alerts: names.alerts.clone(),
            events: names.events.clone(),
        };
        Relay::new(outbox, tables, producer, topics)
    }
}

/// Makes the tables and topics, or finds them made; says what it did, a line each.
pub async fn migrate(settings: &Settings) -> anyhow::Result<Vec<String>> {
    let tables = Store::connect(&settings.clickhouse)?;
    let mut lines: Vec<String> =
        tables.migrate().await?.into_iter().map(|name| format!("migration {name} applied")).collect();
    lines.extend(topics::ensure(&settings.kafka).await?.iter().map(ToString::to_string));
    Ok(lines)
}
