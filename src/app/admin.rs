//! An administrator's change, from the ledger in Redis to the tables. The command line calls it, and
//! so will every other way in.

use anyhow::Context;

use super::Stores;
use crate::clickhouse::Store;
use crate::config::Settings;
use crate::domain::WorkspaceId;
use crate::domain::ledger::{Change, Refusal};
use crate::domain::record::Rows;
use crate::kafka::Producer;
use crate::pipeline::decide::now;
use crate::pipeline::relay::Relay;
use crate::redis::{Author, Changed, RedisLedger};

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

    /// Makes one change. The inner error is a refusal: nothing happened. An outer error after the
    /// change was made (Kafka or ClickHouse away) leaves its entry in the outbox, and the service
    /// relays it when it can.
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
        let relayed = self.relay.relay(changed.shard).await;
        let relayed = relayed.map_err(|fault| anyhow::anyhow!("{fault}"));
        relayed.context("the change is made, but not yet in the ledger topic")?;
        // 3. The tables show the accounts as they stand now.
        let (balances, pools) = (changed.effects.balances.clone(), changed.effects.pools.clone());
        let rows = Rows { balances, pools, ..Rows::default() };
        self.stores.tables.record(&rows).await.context("the change is made, but not yet in the tables")?;
        Ok(Ok(changed))
    }
}
