//! The office for a command that comes and goes: what it changes is in Kafka and in the tables when it
//! ends, as far as these are there.

use std::sync::Arc;

use super::Stores;
use super::office::Desk;
use super::rebuild::Rebuilder;
use crate::clickhouse::Store;
use crate::config::Settings;
use crate::domain::WorkspaceId;
use crate::domain::change::{Author, Change, Changed, Refusal};
use crate::domain::ledger::Effects;
use crate::domain::ports::Office;
use crate::domain::record::Rows;
use crate::kafka::Producer;
use crate::pipeline::absolutes::Absolutes;
use crate::pipeline::relay::Relay;
use crate::redis::RedisLedger;
use tokio::sync::{Mutex, mpsc};

/// What one command may tell before it ends.
const TOLD_MAX: usize = 1000;

/// Makes changes and sees them through.
pub struct Administration {
    stores: Stores,
    /// The office itself, for everything that changes no table.
    pub office: Desk,
    relay: Arc<Relay<RedisLedger, Store, Producer>>,
    told: Mutex<mpsc::Receiver<Effects>>,
}

impl Administration {
    /// Ready to make changes.
    pub fn new(stores: Stores, settings: &Settings) -> Self {
        let relay = Arc::new(stores.relay(settings));
        let (tell, told) = mpsc::channel(TOLD_MAX);
        let rebuilder = Arc::new(Rebuilder::new(&stores, settings, Arc::clone(&relay)));
        let office = Desk::new(&stores, Arc::clone(&relay), tell, rebuilder);
        Self { stores, office, relay, told: Mutex::new(told) }
    }

    /// Makes one change. The inner error is a refusal: nothing happened. ClickHouse away is logged and
    /// no error: the service writes what is missing.
    pub async fn change(
        &self,
        workspace: &WorkspaceId,
        change: &Change,
        author: &Author,
    ) -> anyhow::Result<Result<Changed, Refusal>> {
        let changed = match self.office.change(workspace, change, author).await? {
            Ok(changed) => changed,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Err(fault) = self.relay.record(changed.shard).await {
            later(&fault.to_string());
        }
        self.write_told().await;
        Ok(Ok(changed))
    }

    /// Writes the balances that were told so far.
    pub async fn write_told(&self) {
        let mut absolutes = Absolutes::default();
        let mut told = self.told.lock().await;
        while let Ok(effects) = told.try_recv() {
            absolutes.add(effects);
        }
        let mut rows = Rows::default();
        absolutes.fill(&mut rows);
        if let Err(fault) = self.stores.tables.record(&rows).await {
            later(&fault.to_string());
        }
    }
}

/// The change is made and in the ledger; the tables show it with the next event of its accounts.
fn later(fault: &str) {
    tracing::error!(fault, "the change is made; the tables do not show it yet");
}
