//! What carries the ledger in this process: the office, the relay of what it changed, the sweep of
//! expired holds, the forecasts, and the writer of balances; how they start and stop.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Stores;
use super::audit::{Auditor, Ledger};
use super::office::Desk;
use super::outlook;
use super::rebuild::Rebuilder;
use crate::config::Settings;
use crate::pipeline::absolutes;
use crate::pipeline::gauges::PoolGauges;

/// Changes whose balances may wait for the tables before the next one waits too.
const TOLD_MAX: usize = 1000;
/// How long balances may be written after the last change.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// An office that is open, and what works behind it.
pub(super) struct Backoffice {
    office: Arc<Desk>,
    rebuilder: Arc<Rebuilder>,
    stop: CancellationToken,
    working: [JoinHandle<()>; 5],
    writing: JoinHandle<()>,
}

impl Backoffice {
    /// Opens the office.
    pub(super) fn start(settings: &Settings, stores: &Stores, gauges: &Arc<PoolGauges>) -> Self {
        let relay = Arc::new(stores.relay(settings));
        let (tell, told) = mpsc::channel(TOLD_MAX);
        let interval = Duration::from_millis(settings.pipeline.record_interval_ms);
        let writing = tokio::spawn(absolutes::write_all(
            Arc::clone(&stores.tables),
            Arc::clone(gauges),
            told,
            interval,
        ));
        let rebuilder = Arc::new(Rebuilder::new(stores, settings, Arc::clone(&relay)));
        let office = Desk::new(stores, Arc::clone(&relay), tell, Arc::clone(&rebuilder));
        let office = Arc::new(office);
        let stop = CancellationToken::new();
        let (until, working) = (stop.clone(), Arc::clone(&rebuilder));
        let rebuilding = tokio::spawn(async move { working.run(until).await });
        let auditor = Auditor::new(stores, settings, Arc::clone(&rebuilder), Ledger::Table);
        let interval = Duration::from_secs(settings.pipeline.audit_interval_seconds);
        let until = stop.clone();
        let auditing = tokio::spawn(async move { auditor.run(interval, until).await });
        let interval = Duration::from_millis(settings.pipeline.relay_interval_ms);
        let (until, desk) = (stop.clone(), Arc::clone(&office));
        let relaying = tokio::spawn(async move { relay.run(interval, until).await });
        let until = stop.clone();
        let sweeping = tokio::spawn(async move { desk.sweep_all(until).await });
        let interval = Duration::from_secs(settings.pipeline.forecast_interval_seconds);
        let (until, desk, tables) = (stop.clone(), Arc::clone(&office), Arc::clone(&stores.tables));
        let gauges = Arc::clone(gauges);
        let forecasting =
            tokio::spawn(async move { outlook::refresh(&*desk, &*tables, &gauges, interval, until).await });
        let working = [relaying, sweeping, forecasting, rebuilding, auditing];
        Self { office, rebuilder, stop, working, writing }
    }

    /// Who rebuilds what Redis lost.
    pub(super) fn rebuilder(&self) -> &Arc<Rebuilder> {
        &self.rebuilder
    }

    /// Whom the API asks.
    pub(super) fn office(&self) -> Arc<Desk> {
        Arc::clone(&self.office)
    }

    /// Closes it: nobody may ask any more. Errors: a part that panicked.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        for part in self.working {
            part.await?;
        }
        drop(self.office);
        let _ = tokio::time::timeout(DRAIN_DEADLINE, self.writing).await; // what is not written, the next touch tells
        Ok(())
    }
}
