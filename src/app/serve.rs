//! The service: in which order its parts start, what ends it, and in which order they stop.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Stores;
use super::backoffice::Backoffice;
use super::consuming::Consuming;
use super::{api, api::serve_api};
use crate::config::Settings;
use crate::http::Api;
use crate::http::ops::{self, Probe};
use crate::kafka::{consumer, topics};
use crate::metrics;
use crate::pipeline::gauges::PoolGauges;

/// How often histograms are folded; without it they grow for ever.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// A part of the service that may run in a process of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Decides events and keeps the tables.
    Consumer,
    /// Answers over HTTP.
    Api,
}

/// Runs the service, or only a part of it, until `shutdown` is cancelled. Errors: whatever makes a
/// restart the right answer.
pub async fn serve(
    settings: &Settings,
    only: Option<Part>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    // 1. What it stands on. A store that is away or unmigrated ends the start with a sentence.
    let metrics_page = metrics::install()?;
    let stores = Stores::new(settings)?;
    stores.tables.check().await?;
    topics::check(&settings.kafka).await?;
    stores.ledger.verify().await.context("cannot start without redis")?;

    // 2. The ledger's way, and the API's port: taken before anything is fetched, served at the end.
    let gauges = Arc::new(PoolGauges::new(settings.pipeline.gauge_workspaces_max));
    let backoffice = Backoffice::start(settings, &stores, &gauges);
    // What Redis lost while nobody looked is found before anybody asks it.
    backoffice.rebuilder().compare().await.context("cannot compare redis with clickhouse")?;
    let opened = match only {
        Some(Part::Consumer) => None,
        _ => {
            let api = api::api(settings, &stores, backoffice.office())?;
            Some((api::listen(&api).await?, api))
        }
    };

    // 3. The way of an event: consumer thread, then pipeline.
    let mut consuming = match only {
        Some(Part::Api) => None,
        _ => {
            let (rebuilder, publisher) = (backoffice.rebuilder(), &stores.producer);
            Some(Consuming::start(settings, rebuilder, publisher, &gauges, shutdown.child_token())?)
        }
    };

    // 4. What others see.
    let status = consuming.as_ref().map(Consuming::status);
    let page = serve_ops(settings, metrics_page, probes(&stores, status)).await?;
    let mut serving = opened.map(|(listener, api)| serve_in_task(listener, api, shutdown.child_token()));
    let http = serving.is_some().then(|| settings.http.listen.to_string());
    tracing::info!(http, ops = %settings.ops.listen, topic = settings.kafka.topics.events, "tollgate is up");

    // 5. Until told to stop, or until a part ends by itself: then the rest has no sense.
    let outcome = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        ended = consuming_ended(&mut consuming) => ended,
        ended = serving_ended(&mut serving) => ended,
    };

    // 6. Down in the order of the way: no new requests, no new records; write what was taken, commit;
    // then what carries the ledger, and last the page.
    tracing::info!("stopping: writing what was taken");
    shutdown.cancel();
    let (answered, drained) =
        tokio::join!(serving_ended_or_none(serving), consuming_stopped(consuming, outcome.is_ok()));
    backoffice.stop().await?;
    page.abort();
    outcome.and(answered).and(drained)
}

type Serving = JoinHandle<anyhow::Result<()>>;

fn serve_in_task(listener: TcpListener, api: Arc<Api>, shutdown: CancellationToken) -> Serving {
    tokio::spawn(serve_api(listener, api, shutdown))
}

async fn consuming_ended(consuming: &mut Option<Consuming>) -> anyhow::Result<()> {
    match consuming {
        Some(consuming) => consuming.ended().await,
        None => pending().await,
    }
}

async fn consuming_stopped(consuming: Option<Consuming>, healthy: bool) -> anyhow::Result<()> {
    match consuming {
        Some(consuming) => consuming.stop(healthy).await,
        None => Ok(()),
    }
}

async fn serving_ended(serving: &mut Option<Serving>) -> anyhow::Result<()> {
    let Some(task) = serving else { return pending().await };
    let ended = task.await;
    *serving = None; // it is awaited once
    ended?
}

async fn serving_ended_or_none(serving: Option<Serving>) -> anyhow::Result<()> {
    match serving {
        Some(task) => task.await?,
        None => Ok(()),
    }
}

async fn serve_ops(
    settings: &Settings,
    metrics_page: PrometheusHandle,
    probes: Vec<Probe>,
) -> anyhow::Result<JoinHandle<std::io::Result<()>>> {
    let upkeep = metrics_page.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP_INTERVAL).await;
            upkeep.run_upkeep();
        }
    });
    let page = ops::router(metrics_page, probes);
    let listener = TcpListener::bind(settings.ops.listen)
        .await
        .with_context(|| format!("cannot listen on ops.listen = {}", settings.ops.listen))?;
    Ok(tokio::spawn(async move { axum::serve(listener, page).await }))
}

/// What readiness means: both stores answering, and where events are decided, partitions assigned.
fn probes(stores: &Stores, input: Option<consumer::Status>) -> Vec<Probe> {
    let (ledger, tables) = (Arc::clone(&stores.ledger), Arc::clone(&stores.tables));
    let kafka = input.map(|input| {
        Probe::new("kafka", move || {
            let (assigned, alive) = (input.assigned(), input.alive());
            Box::pin(async move {
                match (alive, assigned) {
                    (false, _) => Err("the consumer has ended".to_owned()),
                    (true, 0) => Err("no partition is assigned".to_owned()),
                    (true, _) => Ok(()),
                }
            })
        })
    });
    let stores = [
        Probe::new("redis", move || {
            let ledger = Arc::clone(&ledger);
            Box::pin(async move { ledger.ping().await.map_err(|fault| fault.to_string()) })
        }),
        Probe::new("clickhouse", move || {
            let tables = Arc::clone(&tables);
            Box::pin(async move { tables.ping().await.map_err(|fault| fault.to_string()) })
        }),
    ];
    kafka.into_iter().chain(stores).collect()
}
