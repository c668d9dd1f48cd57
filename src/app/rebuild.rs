//! Rebuilds workspaces in Redis from their two truths: the ledger topic and `usage_events`.
//!
//! Nothing is ever decided on a state that lacks something:
//!
//! - **It is noticed.** ClickHouse and the ledger topic tell at the start, after every fault of Redis, and when this
//!   process meets a workspace ([`Rebuilder::sure`]), how far it had come; whoever finds less in Redis refuses.
//!   Redis is always written before the two, so less there than here is a loss, and a state that neither knows of
//!   has nothing recorded that it could forget: its events are still to be read from Kafka.
//! - **It stands still.** A workspace is taken out of use before anything is read, and its head is written last.
//! - **What is under way is waited for, and looked for twice.** Events that were decided before the loss may be
//!   recorded after it. The sums are read when all of this process are; and whoever has recorded rows then asks
//!   for the epoch of their workspaces ([`Rebuilder::recorded`]), and finding a newer one, or none, has the
//!   workspace rebuilt again: either the rows were there when the sums were read, or the newer epoch is there
//!   when it asks.

mod recover;
mod restore;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use anyhow::Context as _;

use super::Stores;
use crate::clickhouse::Store;
use crate::config::Settings;
use crate::domain::WorkspaceId;
use crate::domain::fold::Fold;
use crate::domain::ledger::Entry;
use crate::domain::period::PeriodName;
use crate::domain::ports::Outbox as _;
use crate::kafka::{self, Producer, replay};
use crate::pipeline::relay::Relay;
use crate::pipeline::under_way::UnderWay;
use crate::redis::RedisLedger;
use recover::Wishes;

pub use recover::Guarded;

/// How often another process that rebuilds the same workspace is looked at.
const CLAIM_PAUSE: Duration = Duration::from_millis(200);

/// Said when a rebuild has come to nothing; it is repeated.
const LOST: &str = "redis lost the half that was written, or another process has taken over: to be repeated";

/// Workspaces that are rebuilt together: most of the work is asking, and asking for many costs as much as for one.
const AT_ONCE: usize = 200;

/// The last offset of each partition that was decided of a workspace.
type Fences = BTreeMap<i32, i64>;

/// A workspace that is out of use.
struct Stopped {
    workspace: WorkspaceId,
    /// The epoch that it had; 0 when it is lost.
    epoch: u64,
    /// How far it had been decided; none when that is lost too.
    fences: Option<Fences>,
    started: Clock,
}

/// Entries of the ledger topic, by workspace.
pub(super) type Entries = BTreeMap<WorkspaceId, Vec<Entry>>;

/// What was rebuilt.
#[derive(Debug, Clone)]
pub struct Rebuilt {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// The epoch that began.
    pub epoch: u64,
    /// Ledger entries folded.
    pub entries: usize,
    /// Events summed.
    pub events: u64,
    /// Of these so many may come again, and are recognised.
    pub marked: u64,
    /// From out of use until in use again.
    pub took: Duration,
}

/// How far a rebuild is, of how much: events that are recognised again.
pub type Progress<'a> = &'a (dyn Fn(&WorkspaceId, u64, u64) + Send + Sync);

/// Rebuilds, one process a workspace at a time.
pub struct Rebuilder {
    stores: Stores,
    kafka: kafka::Settings,
    relay: Arc<Relay<RedisLedger, Store, Producer>>,
    wishes: Wishes,
    under_way: Arc<UnderWay>,
    /// How long rows that another process decided may take until they are recorded, when all is well.
    grace: Duration,
}

impl Rebuilder {
    /// A rebuilder that has nothing to do.
    pub fn new(
        stores: &Stores,
        settings: &Settings,
        relay: Arc<Relay<RedisLedger, Store, Producer>>,
    ) -> Self {
        let grace = 2 * Duration::from_millis(settings.pipeline.record_interval_ms);
        let (wishes, under_way) = (Wishes::default(), Arc::default());
        Self { stores: stores.clone(), kafka: settings.kafka.clone(), relay, wishes, under_way, grace }
    }

    /// Every workspace that Redis, the tables or the ledger know.
    pub async fn workspaces(&self) -> anyhow::Result<BTreeSet<WorkspaceId>> {
        let mut all: BTreeSet<WorkspaceId> = self.stores.ledger.workspaces().await?.into_iter().collect();
        all.extend(self.stores.tables.versions().await?.into_keys());
        all.extend(self.entries(None).await?.into_keys());
        Ok(all)
    }

    /// Rebuilds these, whatever their state; a line each to `tell`.
    pub async fn rebuild(
        &self,
        workspaces: &BTreeSet<WorkspaceId>,
        progress: Progress<'_>,
        tell: &(dyn Fn(&Rebuilt) + Send + Sync),
    ) -> anyhow::Result<()> {
        let wanted = workspaces.iter().map(|workspace| (workspace.clone(), u64::MAX)).collect();
        self.rebuild_past(&wanted, progress, tell).await
    }

    async fn rebuild_past(
        &self,
        wanted: &BTreeMap<WorkspaceId, u64>,
        progress: Progress<'_>,
        tell: &(dyn Fn(&Rebuilt) + Send + Sync),
    ) -> anyhow::Result<()> {
        let mut left: BTreeMap<&WorkspaceId, u64> = wanted.iter().map(|(name, past)| (name, *past)).collect();
        while !left.is_empty() {
            // Nobody waits for others with something in his hands: his rights would end meanwhile.
            let mine = self.claim(&left).await?;
            left.retain(|workspace, _| !mine.iter().any(|(name, _)| name == workspace));
            if mine.is_empty() {
                tokio::time::sleep(CLAIM_PAUSE).await;
            } else if let Err(fault) = self.rebuild_some(&mine, progress, tell).await {
                self.give_up(&mine).await;
                return Err(fault);
            }
        }
        Ok(())
    }

    /// The right to rebuild some of them, those that nobody else is at.
    async fn claim<'a>(
        &self,
        left: &BTreeMap<&'a WorkspaceId, u64>,
    ) -> anyhow::Result<Vec<(&'a WorkspaceId, u64)>> {
        let mut mine = Vec::new();
        for (workspace, past) in left {
            if mine.len() < AT_ONCE && self.stores.ledger.claim_rebuild(workspace).await? {
                mine.push((*workspace, *past));
            }
        }
        Ok(mine)
    }

    /// Others need not wait until the rights end by themselves. Redis away: they do.
    async fn give_up(&self, mine: &[(&WorkspaceId, u64)]) {
        for (workspace, _) in mine {
            if let Err(fault) = self.stores.ledger.give_up_rebuild(workspace).await {
                tracing::warn!(%workspace, %fault, "cannot give up a rebuild, its claim ends by itself");
                return;
            }
        }
    }

    async fn rebuild_some(
        &self,
        mine: &[(&WorkspaceId, u64)],
        progress: Progress<'_>,
        tell: &(dyn Fn(&Rebuilt) + Send + Sync),
    ) -> anyhow::Result<()> {
        // 1. Out of use. From here on nothing is decided in them, and nothing is added to their ledger.
        let stopped = self.stop(mine).await?;
        if stopped.is_empty() {
            return Ok(());
        }
        // 2. What was decided is recorded, what waits for Kafka and the tables goes there: both truths are whole.
        self.settled(&stopped).await?;
        let shards: BTreeSet<u16> =
            stopped.iter().map(|one| self.stores.ledger.shard_of(&one.workspace)).collect();
        for shard in shards {
            self.relay.relay_now(shard).await.context("publishing the ledger")?;
            self.relay.record(shard).await.context("recording the ledger")?;
            self.keep(&stopped).await?; // a relay that died holds its shard for a while
        }
        // 3. The ledger, read once for all of them.
        let entries = self.entries(Some(stopped.iter().map(|one| one.workspace.clone()).collect())).await?;
        self.keep(&stopped).await?;
        // 4. Back into use.
        self.restore(&stopped, &entries, progress, tell).await
    }

    /// Takes workspaces out of use, but those that are past the epoch beside them already.
    async fn stop(&self, mine: &[(&WorkspaceId, u64)]) -> anyhow::Result<Vec<Stopped>> {
        let Stores { ledger, tables, .. } = &self.stores;
        let names: Vec<WorkspaceId> = mine.iter().map(|(workspace, _)| (*workspace).clone()).collect();
        let epochs = ledger.epochs(&names).await?;
        let mut books = tables.cells(&names).await?;
        let mut stopped = Vec::new();
        for (workspace, past) in mine {
            if epochs.get(*workspace).is_some_and(|epoch| epoch > past) {
                ledger.give_up_rebuild(workspace).await?;
                continue;
            }
            let started = Clock::now();
            let cells = books.remove(*workspace).unwrap_or_default();
            let periods: BTreeSet<PeriodName> = cells.into_keys().map(|(period, ..)| period).collect();
            let periods: Vec<PeriodName> = periods.into_iter().collect();
            let (epoch, fences) = ledger.stop(workspace, &periods).await?;
            stopped.push(Stopped { workspace: (*workspace).clone(), epoch, fences, started });
        }
        Ok(stopped)
    }

    /// Keeps the right to rebuild them, which lives for a while only.
    async fn keep(&self, stopped: &[Stopped]) -> anyhow::Result<()> {
        for one in stopped {
            anyhow::ensure!(self.stores.ledger.renew_rebuild(&one.workspace).await?, LOST);
        }
        Ok(())
    }

    /// Waits for what was decided of workspaces that now stand still: here to the last row, elsewhere until the
    /// offsets are committed where these are still known, else for as long as recording takes. Whoever takes
    /// longer finds the newer epoch, and has them rebuilt again.
    async fn settled(&self, stopped: &[Stopped]) -> anyhow::Result<()> {
        self.under_way.emptied().await;
        let deadline = Clock::now() + self.grace;
        let mut fences = Fences::new(); // the highest of each partition
        for (partition, last) in stopped.iter().filter_map(|one| one.fences.as_ref()).flatten() {
            let highest = fences.entry(*partition).or_insert(*last);
            *highest = (*highest).max(*last);
        }
        let all_known = stopped.iter().all(|one| one.fences.is_some());
        while Clock::now() < deadline {
            let committed = replay::committed(&self.kafka).await?;
            let is_recorded = |(partition, last)| committed.get(partition).is_some_and(|next| next > last);
            let done = fences.iter().all(is_recorded);
            if all_known && done {
                break;
            }
            tokio::time::sleep(CLAIM_PAUSE).await;
        }
        Ok(())
    }

    /// The entries of the ledger topic, of these workspaces or of all. One that cannot be read is an error: a ledger
    /// with a hole is no truth.
    pub(super) async fn entries(&self, only: Option<BTreeSet<WorkspaceId>>) -> anyhow::Result<Entries> {
        let wanted = move |key: &[u8]| {
            only.as_ref().is_none_or(|only| only.iter().any(|id| id.as_str().as_bytes() == key))
        };
        type Read = (Entries, Option<String>);
        let take = move |(entries, fault): &mut Read, key: &[u8], value: &[u8]| {
            if !wanted(key) {
                return;
            }
            match serde_json::from_slice::<Entry>(value) {
                Ok(entry) => entries.entry(entry.workspace.clone()).or_default().push(entry),
                Err(error) => *fault = Some(error.to_string()),
            }
        };
        let (mut entries, fault) =
            replay::read(&self.kafka, &self.kafka.topics.ledger, Read::default(), take).await?;
        if let Some(fault) = fault {
            anyhow::bail!("the ledger topic holds what is no entry: {fault}");
        }
        // A crash may have published some twice; each epoch's are in order.
        entries.values_mut().for_each(|list| list.sort_by_key(|entry| (entry.epoch, entry.sequence)));
        Ok(entries)
    }
}

/// A ledger, folded.
pub(super) fn folded(workspace: &WorkspaceId, entries: &[Entry]) -> anyhow::Result<Fold> {
    let mut fold = Fold::new(workspace.clone());
    for entry in entries {
        fold.apply(entry)?;
    }
    Ok(fold)
}
