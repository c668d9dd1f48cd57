//! An administrator's change, from the ledger in Redis to the tables. The command line calls it, and
//! so will every other way in.

use super::Stores;
use crate::clickhouse::Store;
use crate::config::Settings;
use crate::domain::WorkspaceId;
use crate::domain::change::{Author, Changed};
use crate::domain::change::{Change, Refusal};
use crate::domain::record::Rows;
use crate::kafka::Producer;
use crate::pipeline::decide::now;
use crate::pipeline::relay::{Relay, RelayError};
use crate::redis::RedisLedger;

/// Makes changes and sees them through.
pub struct Administration {
    stores: Stores,
    relay: Relay<RedisLedger, Store, Producer>,
}

impl Administration {
    /// Ready to make changes.
    pub fn new(stores: Stores, settings: &Settings) -> Self {
        let relay = stores.relay(&settings.kafka.topics.ledger);
        Self { stores, relay }
    }

    /// Makes one change. The inner error is a refusal: nothing happened. An outer error that says so
    /// (Kafka away) leaves the change made and its entry in the outbox, and the service relays it
    /// when it can. ClickHouse away is logged and no error.
    pub async fn change(
        &self,
        workspace: &WorkspaceId,
        change: &Change,
        author: &Author,
    ) -> anyhow::Result<Result<Changed, Refusal>> {
        // 1. Redis: check, apply, append to the outbox, all or nothing.
        let changed = match self.stores.ledger.change(workspace, change, author, now()).await? {
            Ok(changed) => changed,
            Err(refusal) => return Ok(Err(refusal)),
        };
        // 2. Kafka has the entry before anybody is told that it is done.
        match self.relay.relay_now(changed.shard).await {
            Ok(()) => {}
            Err(RelayError::InKafka(fault)) => later(&fault.to_string()),
            Err(RelayError::Waiting(fault)) => {
                let made = "the change is made, do not repeat it; the service puts it into the ledger topic";
                return Err(anyhow::anyhow!("{fault}").context(made));
            }
        }
        // 3. The tables show the accounts as they stand now.
        let (balances, pools) = (changed.effects.balances.clone(), changed.effects.pools.clone());
        let rows = Rows { balances, pools, ..Rows::default() };
        if let Err(fault) = self.stores.tables.record(&rows).await {
            later(&fault.to_string());
        }
        Ok(Ok(changed))
    }
}

/// The change is made and in the ledger; the tables show it with the next event of its accounts.
fn later(fault: &str) {
    tracing::error!(fault, "the change is made; the tables do not show it yet");
}
