//! The stage of the demo: publishes events as a producer would, reads decisions as a consumer
//! would, and changes things as an administrator would.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rdkafka::ClientConfig;
use rdkafka::Message as _;
use rdkafka::consumer::{Consumer, StreamConsumer};
use serde_json::{Value, json};

use super::FEATURES;
use crate::app::Stores;
use crate::app::admin::Administration;
use crate::clickhouse::Store;
use crate::config::Settings;
use crate::domain::book::Book;
use crate::domain::change::{Author, Changed};
use crate::domain::change::{Change, Refusal};
use crate::domain::period::PeriodName;
use crate::domain::{Credits, UserId, WorkspaceId};
use crate::kafka::Message;
use crate::pipeline::decide::now;

/// A decision that takes longer than this is a step that did not hold.
const DECISION_DEADLINE: Duration = Duration::from_secs(20);

/// A workspace, and everything that acts on it.
pub struct Story {
    /// A workspace that nobody used before.
    pub workspace: WorkspaceId,
    settings: Settings,
    stores: Stores,
    administration: Administration,
    decisions: StreamConsumer,
    published: u64,
    decided: u64,
}

/// An id of a user.
pub fn user(text: &str) -> anyhow::Result<UserId> {
    UserId::parse(text).with_context(|| format!("user {text:?}"))
}

impl Story {
    /// A new workspace, with the decisions topic read from its end.
    pub async fn begin(settings: &Settings) -> anyhow::Result<Self> {
        let stores = Stores::new(settings)?;
        stores.tables.check().await?;
        let name = format!("demo-{}", now().millis() / 1000);
        let decisions: StreamConsumer = ClientConfig::new()
            .set("bootstrap.servers", &settings.kafka.brokers)
            .set("group.id", &name)
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "20")
            .create()?;
        assign_from_end(&decisions, &settings.kafka.topics.decisions)?;
        let administration = Administration::new(stores.clone(), settings);
        let workspace = WorkspaceId::parse(&name)?;
        let settings = settings.clone();
        Ok(Self { workspace, settings, stores, administration, decisions, published: 0, decided: 0 })
    }

    /// A step that held.
    pub fn held(&self, sentence: &str) {
        println!("✓ {sentence}");
    }

    /// Makes a change that must not be refused.
    pub async fn change(&self, change: &Change) -> anyhow::Result<()> {
        self.try_change(change).await?.map_err(anyhow::Error::from).map(drop)
    }

    /// Makes a change, or is refused.
    pub async fn try_change(&self, change: &Change) -> anyhow::Result<Result<Changed, Refusal>> {
        let author = Author { actor: "demo".to_owned(), ..Author::default() };
        self.administration.change(&self.workspace, change, &author).await
    }

    /// Publishes the work of a morning: what it costs together. The limited users rest.
    pub async fn work(&mut self, events: u64) -> anyhow::Result<Credits> {
        let mut messages = Vec::new();
        let mut sum = Credits::ZERO;
        for n in 0..events {
            let user = format!("user-{:02}", 4 + n * n % 67);
            let (feature, credits) = FEATURES[(n % 7 % 5) as usize];
            sum += Credits::whole(credits);
            messages.push(self.message(&user, feature, credits));
        }
        self.stores.producer.publish(&self.settings.kafka.topics.events, &messages).await?;
        Ok(sum)
    }

    /// Publishes one event and answers its decision.
    pub async fn spend(&mut self, user: &str, feature: &str, credits: i64) -> anyhow::Result<Value> {
        let message = self.message(user, feature, credits);
        self.stores.producer.publish(&self.settings.kafka.topics.events, &[message]).await?;
        self.wait_for_decision().await
    }

    /// How many of our events are decided.
    pub fn decided(&self) -> u64 {
        self.decided
    }

    /// The next decision about this workspace.
    pub async fn wait_for_decision(&mut self) -> anyhow::Result<Value> {
        loop {
            let received = tokio::time::timeout(DECISION_DEADLINE, self.decisions.recv()).await;
            let Ok(received) = received else { bail!("no decision within 20 s: is the service running?") };
            let message = received?;
            if message.key() != Some(self.workspace.as_str().as_bytes()) {
                continue;
            }
            let decision: Value = serde_json::from_slice(message.payload().unwrap_or_default())?;
            self.decided += 1;
            ensure!(decision["sequence"] == self.decided, "a gap before decision {decision}");
            return Ok(decision);
        }
    }

    /// The books of the running period, from Redis.
    pub async fn book(&self) -> anyhow::Result<Book> {
        Ok(self.stores.ledger.book(&self.workspace, self.period()).await?)
    }

    /// The running period; the plan of the demo starts on the first, in Berlin.
    pub fn period(&self) -> PeriodName {
        let calendar = crate::domain::calendar::Calendar::default();
        calendar
            .with_plan(now(), "Europe/Berlin", 1)
            .map_or_else(|_| calendar.period_of(now()).name, |(calendar, _)| calendar.period_of(now()).name)
    }

    /// The tables.
    pub fn tables(&self) -> &Store {
        &self.stores.tables
    }

    /// Waits until ClickHouse shows so many credits used.
    pub async fn recorded(&self, used: Credits, patience: Duration) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let months = self.stores.tables.monthly(&self.workspace).await?;
            let found: Credits = months.iter().map(|row| row.credits).sum();
            if found == used {
                return Ok(());
            }
            ensure!(tokio::time::Instant::now() < deadline, "ClickHouse shows {found}, not {used}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Where a person looks next.
    pub fn addresses(&self) -> [(&'static str, String); 4] {
        let (ops, url) = (&self.settings.ops.listen, &self.settings.clickhouse.url);
        let query = "SELECT+*+FROM+usage_monthly+FORMAT+PrettyCompact";
        [
            ("readiness", format!("http://{ops}/readyz")),
            ("metrics", format!("http://{ops}/metrics")),
            ("the month", format!("{url}/?database={}&query={query}", self.settings.clickhouse.database)),
            ("the workspace", format!("tollgate admin show {}", self.workspace)),
        ]
    }

    fn message(&mut self, user: &str, feature: &str, credits: i64) -> Message {
        self.published += 1;
        let event = json!({
            "id": format!("event-{}", self.published), "workspace": self.workspace, "user": user,
            "feature": feature, "credits": credits, "time": now(),
        });
        let key = Some(self.workspace.as_str().as_bytes().to_vec());
        Message { key, payload: Some(event.to_string().into_bytes()), headers: Vec::new() }
    }
}

fn assign_from_end(consumer: &StreamConsumer, topic: &str) -> anyhow::Result<()> {
    let timeout = Duration::from_secs(10);
    let metadata = consumer.fetch_metadata(Some(topic), timeout)?;
    let mut assignment = rdkafka::TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        // The end as it is now: what is decided from here on is not missed, however late it is fetched.
        let (_, end) = consumer.fetch_watermarks(topic, partition.id(), timeout)?;
        assignment.add_partition_offset(topic, partition.id(), rdkafka::Offset::Offset(end))?;
    }
    consumer.assign(&assignment)?;
    Ok(())
}
