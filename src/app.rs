//! The only place that knows every room: settings become stores, stores become the pipeline.
//! Start and shutdown order stand here, and no rule.

pub mod admin;
pub mod outlook;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clickhouse::Store;
use crate::config::Settings;
use crate::http::ops::{self, Probe};
use crate::kafka::{self, Producer, consumer, topics};
use crate::metrics;
use crate::pipeline::relay::Relay;
use crate::pipeline::{Pipeline, Topics};
use crate::redis::RedisLedger;

/// How often histograms are folded; without it they grow for ever.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
/// How long the pipeline may write what it holds after the consumer has left.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

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

    /// A relay from the outbox to the ledger topic.
    pub fn relay(&self, topic: &str) -> Relay<RedisLedger, Store, Producer> {
        let (outbox, tables, producer) = (self.ledger.clone(), self.tables.clone(), self.producer.clone());
        Relay::new(outbox, tables, producer, topic.to_owned())
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

/// Runs the service until `shutdown` is cancelled. Errors: whatever makes a restart the right answer.
pub async fn serve(settings: &Settings, shutdown: CancellationToken) -> anyhow::Result<()> {
    // 1. What it stands on. A store that is away or unmigrated ends the start with a sentence.
    let metrics_page = metrics::install()?;
    let stores = Stores::new(settings)?;
    stores.tables.check().await?;
    topics::check(&settings.kafka).await?;
    stores.ledger.check().await.context("cannot start without redis")?;

    // 2. The way of an event: consumer thread, then pipeline.
    let flush = Arc::new(Notify::new());
    let wake = Arc::clone(&flush);
    let hook: consumer::Flush = Arc::new(move || wake.notify_one());
    let (mut input, batches) = consumer::start(&settings.kafka, hook, shutdown.child_token())?;
    let abort = CancellationToken::new();
    let pipeline = Arc::new(Pipeline {
        ledger: Arc::clone(&stores.ledger),
        warehouse: Arc::clone(&stores.tables),
        publisher: Arc::clone(&stores.producer),
        offsets: Arc::clone(input.offsets()),
        rules: settings.decode_rules()?,
        topics: topic_names(&settings.kafka),
        settings: settings.pipeline.clone(),
        flush,
        abort: abort.clone(),
    });
    let mut pipeline = tokio::spawn(pipeline.run(batches));

    // 3. The ledger's way, and the operators' page.
    let relay = stores.relay(&settings.kafka.topics.ledger);
    let relay_interval = Duration::from_millis(settings.pipeline.relay_interval_ms);
    let relay_stop = CancellationToken::new();
    let stop = relay_stop.clone();
    let relaying = tokio::spawn(async move { relay.run(relay_interval, stop).await });
    let upkeep = metrics_page.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP_INTERVAL).await;
            upkeep.run_upkeep();
        }
    });
    let page = ops::router(metrics_page, probes(&stores, input.status()));
    let listener = tokio::net::TcpListener::bind(settings.ops.listen)
        .await
        .with_context(|| format!("cannot listen on ops.listen = {}", settings.ops.listen))?;
    let page = tokio::spawn(async move { axum::serve(listener, page).await });
    tracing::info!(ops = %settings.ops.listen, topic = settings.kafka.topics.events, "tollgate is up");

    // 4. Until told to stop, or until a part ends by itself: then the rest has no sense.
    let outcome = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        ended = input.stopped() => ended.map_err(anyhow::Error::from),
        ended = &mut pipeline => return ended?.map_err(anyhow::Error::from),
    };

    // 5. Down in the order of the way: stop fetching, write what was taken, commit, then the rest.
    tracing::info!("stopping: writing what was taken");
    shutdown.cancel();
    let deadline = Duration::from_millis(settings.kafka.consumer.close_deadline_ms);
    let left = if outcome.is_ok() { input.join(deadline + DRAIN_DEADLINE).await } else { Ok(()) };
    let drained = match tokio::time::timeout(DRAIN_DEADLINE, &mut pipeline).await {
        Ok(ended) => ended?.map_err(anyhow::Error::from),
        Err(_) => {
            abort.cancel(); // a store is away: nothing of it was committed, the next owner replays it
            Ok(())
        }
    };
    relay_stop.cancel();
    relaying.await?;
    page.abort();
    outcome.and(left.map_err(anyhow::Error::from)).and(drained)
}

fn topic_names(settings: &kafka::Settings) -> Topics {
    Topics {
        events: settings.topics.events.clone(),
        decisions: settings.topics.decisions.clone(),
        dead_letters: settings.topics.dead_letters.clone(),
        dead_letter_bytes_max: settings.topics.dead_letter_bytes_max(),
    }
}

/// What readiness means: partitions assigned, and both stores answering.
fn probes(stores: &Stores, input: consumer::Status) -> Vec<Probe> {
    let (ledger, tables) = (Arc::clone(&stores.ledger), Arc::clone(&stores.tables));
    vec![
        Probe::new("kafka", move || {
            let (assigned, alive) = (input.assigned(), input.alive());
            Box::pin(async move {
                match (alive, assigned) {
                    (false, _) => Err("the consumer has ended".to_owned()),
                    (true, 0) => Err("no partition is assigned".to_owned()),
                    (true, _) => Ok(()),
                }
            })
        }),
        Probe::new("redis", move || {
            let ledger = Arc::clone(&ledger);
            Box::pin(async move { ledger.ping().await.map_err(|fault| fault.to_string()) })
        }),
        Probe::new("clickhouse", move || {
            let tables = Arc::clone(&tables);
            Box::pin(async move { tables.ping().await.map_err(|fault| fault.to_string()) })
        }),
    ]
}
