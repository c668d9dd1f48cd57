//! The service's own rebuilds: how it notices that Redis has lost something, and who rebuilds when.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hashbrown::HashSet;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Rebuilder, Rebuilt};
use crate::clickhouse::{Store, Versions, WarehouseError};
use crate::domain::WorkspaceId;
use crate::domain::alert::Alert;
use crate::domain::decision::Decision;
use crate::domain::event::Arrival;
use crate::domain::ledger::{Effects, Entry};
use crate::domain::period::Instant;
use crate::domain::ports::{Ledger, Warehouse};
use crate::domain::record::Rows;
use crate::kafka::replay;
use crate::pipeline::under_way::UnderWay;
use crate::redis::{RedisError, RedisLedger};

/// Between two attempts when a server is away.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Workspaces that one question to the tables names.
const MET_AT_ONCE: usize = 500;

/// What is asked for, and what is being done.
#[derive(Default)]
pub(super) struct Wishes {
    lists: Mutex<Lists>,
    /// Told when something is wanted.
    woken: Notify,
    /// How often something was missing, and after how many of these and of failed calls all was compared.
    doubts: AtomicU64,
    settled: AtomicU64,
    comparing: tokio::sync::Mutex<()>,
    acquaintance: Mutex<Acquaintance>,
    published: tokio::sync::Mutex<Published>,
}

/// How far the ledger topic was read, and the last entry of each workspace in it, by epoch and sequence.
#[derive(Default)]
struct Published {
    next: BTreeMap<i32, i64>,
    last: Last,
}

type Last = BTreeMap<WorkspaceId, (u64, u64)>;

/// Workspaces that were compared at least once, there or not; and those that wait for it.
#[derive(Default)]
struct Acquaintance {
    met: HashSet<WorkspaceId>,
    strangers: BTreeSet<WorkspaceId>,
}

impl Acquaintance {
    /// Those of these that are strangers, who wait from now on.
    fn lacks<'a>(&mut self, workspaces: impl IntoIterator<Item = &'a WorkspaceId>) -> Vec<WorkspaceId> {
        let Self { met, strangers } = self;
        // A batch names the same one often: each is copied once.
        let lacking: BTreeSet<&WorkspaceId> =
            workspaces.into_iter().filter(|workspace| !met.contains(*workspace)).collect();
        let lacking: Vec<WorkspaceId> = lacking.into_iter().cloned().collect();
        strangers.extend(lacking.iter().cloned());
        lacking
    }

    fn met<'a>(&mut self, workspaces: impl IntoIterator<Item = &'a WorkspaceId>) {
        for workspace in workspaces {
            self.strangers.remove(workspace);
            self.met.insert(workspace.clone());
        }
    }
}

/// Workspaces that must get past the epoch beside them.
#[derive(Default)]
struct Lists {
    wanted: BTreeMap<WorkspaceId, u64>,
    running: BTreeMap<WorkspaceId, u64>,
}

impl Wishes {
    fn lock(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn acquaintance(&self) -> MutexGuard<'_, Acquaintance> {
        self.acquaintance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lists {
    /// What is wanted now; wanted again meanwhile, it is done again.
    fn take(&mut self) -> BTreeMap<WorkspaceId, u64> {
        self.running = std::mem::take(&mut self.wanted);
        self.running.clone()
    }

    fn finish(&mut self, well: bool) {
        let running = std::mem::take(&mut self.running);
        if well {
            return;
        }
        for (workspace, past) in running {
            let above = self.wanted.entry(workspace).or_default();
            *above = (*above).max(past);
        }
    }
}

impl Rebuilder {
    /// Compares what the tables and the ledger topic know with what Redis has, and asks for the rebuild of what
    /// Redis lacks. From then on nothing older is used by this process. The topic is asked too, because its table
    /// may be behind: a sequence that was told to somebody must never be given to another entry.
    pub async fn compare(&self) -> anyhow::Result<()> {
        let versions = self.stores.tables.versions().await?;
        self.expect(&versions, &self.published().await?).await
    }

    /// The same of workspaces that this process meets for the first time: it would not miss what it never saw.
    async fn meet(&self, strangers: &BTreeSet<WorkspaceId>) -> anyhow::Result<()> {
        let names: Vec<WorkspaceId> = strangers.iter().cloned().collect();
        let mut versions = Versions::new();
        for some in names.chunks(MET_AT_ONCE) {
            versions.extend(self.stores.tables.versions_of(some).await?);
        }
        let mut published = self.published().await?;
        published.retain(|workspace, _| strangers.contains(workspace));
        self.expect(&versions, &published).await?;
        self.wishes.acquaintance().met(strangers);
        Ok(())
    }

    async fn expect(&self, versions: &Versions, published: &Last) -> anyhow::Result<()> {
        let mut behind = self.stores.ledger.expect(versions).await?;
        behind.extend(self.stores.ledger.expect_entries(published).await?);
        if !behind.is_empty() {
            tracing::warn!(workspaces = behind.len(), "redis lacks what was recorded");
        }
        behind.iter().for_each(|(workspace, epoch)| self.want(workspace, *epoch));
        self.wishes.acquaintance().met(versions.keys().chain(published.keys()));
        Ok(())
    }

    /// The last entry of each workspace in the ledger topic; only what is new is read.
    async fn published(&self) -> anyhow::Result<Last> {
        let mut published = self.wishes.published.lock().await;
        let take = |last: &mut Last, _: &[u8], value: &[u8]| {
            // One that cannot be read is found by whoever folds the ledger.
            let Ok(entry) = serde_json::from_slice::<Entry>(value) else { return };
            let known = last.entry(entry.workspace).or_default();
            *known = (*known).max((entry.epoch, entry.sequence));
        };
        let (topic, next, last) = (&self.kafka.topics.ledger, published.next.clone(), published.last.clone());
        let (last, ends) = replay::read_from(&self.kafka, topic, next, last, take).await?;
        published.next.extend(ends);
        published.last = last;
        Ok(published.last.clone())
    }

    /// Redis lacks something: who knows what else.
    fn doubt(&self) {
        self.wishes.doubts.fetch_add(1, Ordering::AcqRel);
    }

    /// Returns when Redis has been compared with the tables and the ledger topic since it last failed, and as to these
    /// workspaces at least once.
    pub async fn sure<'a>(
        &self,
        workspaces: impl IntoIterator<Item = &'a WorkspaceId>,
    ) -> anyhow::Result<()> {
        let strange = self.wishes.acquaintance().lacks(workspaces);
        let Wishes { doubts, settled, comparing, .. } = &self.wishes;
        // Those too that a relay or a sweep met: the connection that was made after may lead to another server.
        let doubts = || doubts.load(Ordering::Acquire) + self.stores.ledger.faults();
        if strange.is_empty() && settled.load(Ordering::Acquire) == doubts() {
            return Ok(());
        }
        let _one = comparing.lock().await;
        let now = doubts();
        if settled.load(Ordering::Acquire) != now {
            self.compare().await?;
            settled.store(now, Ordering::Release);
        }
        // All that wait, for whomever: they are many when somebody sets up many. Whose own were met by then has done.
        let strangers = {
            let mut acquaintance = self.wishes.acquaintance();
            if acquaintance.lacks(&strange).is_empty() {
                return Ok(());
            }
            acquaintance.strangers.clone()
        };
        self.meet(&strangers).await
    }

    /// A call has met this fault: what it says of Redis is looked into.
    pub fn met(self: &Arc<Self>, fault: &RedisError) {
        let RedisError::NeedsRebuild(lost) = fault else { return };
        let Ok(workspace) = WorkspaceId::parse(lost) else { return };
        let rebuilder = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(fault) = rebuilder.want_lost(&workspace).await {
                let fault = format!("{fault:#}");
                tracing::warn!(%workspace, fault, "lost, and cannot be rebuilt now: the next call asks again");
            }
        });
    }

    /// What the pipeline of this process has under way.
    pub fn under_way(&self) -> &Arc<UnderWay> {
        &self.under_way
    }

    /// Asks for a rebuild past an epoch; it is made by [`Rebuilder::run`].
    pub fn want(&self, workspace: &WorkspaceId, past: u64) {
        let mut lists = self.wishes.lock();
        let above = lists.wanted.entry(workspace.clone()).or_default();
        *above = (*above).max(past);
        self.wishes.woken.notify_one();
    }

    /// Asks for a rebuild of a workspace whose state is missing or stale.
    pub async fn want_lost(&self, workspace: &WorkspaceId) -> anyhow::Result<()> {
        let epoch = self.stores.ledger.epochs([workspace]).await?.get(workspace).copied().unwrap_or(0);
        self.want(workspace, epoch);
        Ok(())
    }

    /// These rows are in the table. Those of an epoch that is over may have come too late for the sums of
    /// the next: then their workspace is rebuilt again.
    pub async fn recorded(&self, decisions: &[Decision]) -> anyhow::Result<()> {
        let mut oldest: BTreeMap<&WorkspaceId, u64> = BTreeMap::new();
        for decision in decisions {
            let epoch = oldest.entry(&decision.event.workspace).or_insert(u64::MAX);
            *epoch = (*epoch).min(decision.verdict.epoch);
        }
        let current = self.stores.ledger.epochs(oldest.keys().copied()).await?;
        for (workspace, epoch) in oldest {
            match current.get(workspace) {
                Some(current) if *current == epoch => {}
                Some(current) => self.want(workspace, *current),
                None => self.want(workspace, u64::MAX),
            }
        }
        Ok(())
    }

    /// Makes the rebuilds that are asked for, until the process stops.
    pub async fn run(&self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let wanted = self.wishes.lock().take();
            let work = async {
                if wanted.is_empty() {
                    self.wishes.woken.notified().await;
                    return Ok(());
                }
                self.rebuild_past(&wanted, &|_, _, _| (), &log).await
            };
            let outcome = tokio::select! {
                outcome = work => outcome,
                () = shutdown.cancelled() => return,
            };
            self.wishes.lock().finish(outcome.is_ok());
            if let Err(fault) = outcome {
                let fault = format!("{fault:#}");
                tracing::warn!(fault, "cannot rebuild now, trying again");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

fn log(rebuilt: &Rebuilt) {
    let Rebuilt { workspace, epoch, entries, events, marked, took } = rebuilt;
    let seconds = took.as_secs_f64();
    tracing::warn!(%workspace, epoch, entries, events, marked, seconds, "workspace rebuilt");
}

/// The ledger and the tables as the pipeline uses them: a state that is missing is rebuilt while others go on,
/// and rows that came too late for a rebuild are found.
pub struct Guarded {
    ledger: Arc<RedisLedger>,
    tables: Arc<Store>,
    rebuilder: Arc<Rebuilder>,
}

impl Guarded {
    /// Both, looked after.
    pub fn new(rebuilder: &Arc<Rebuilder>) -> Self {
        let (ledger, tables) = (Arc::clone(&rebuilder.stores.ledger), Arc::clone(&rebuilder.stores.tables));
        Self { ledger, tables, rebuilder: Arc::clone(rebuilder) }
    }
}

impl Ledger for Guarded {
    type Error = RedisError;

    async fn decide(
        &self,
        arrivals: &[Arrival],
        committed: &[(i32, i64)],
        now: Instant,
    ) -> Result<Effects, RedisError> {
        let workspaces = arrivals.iter().map(|arrival| &arrival.event.workspace);
        if let Err(fault) = self.rebuilder.sure(workspaces).await {
            return Err(RedisError::Unsure(format!("{fault:#}")));
        }
        let outcome = self.ledger.decide(arrivals, committed, now).await;
        if let Err(RedisError::NeedsRebuild(lost)) = &outcome {
            let Ok(workspace) = WorkspaceId::parse(lost) else { return outcome };
            tracing::warn!(%workspace, "redis lacks the state of a workspace: rebuilding");
            if let Err(fault) = self.rebuilder.want_lost(&workspace).await {
                return Err(RedisError::Unsure(format!("{fault:#}")));
            }
            // Many may be lost at once: the others are found without meeting each of them.
            self.rebuilder.doubt();
        }
        outcome
    }

    fn standing_still(&self) -> BTreeSet<WorkspaceId> {
        let lists = self.rebuilder.wishes.lock();
        lists.wanted.keys().chain(lists.running.keys()).cloned().collect()
    }
}

impl Warehouse for Guarded {
    type Error = WarehouseError;

    async fn record(&self, rows: &Rows) -> Result<(), WarehouseError> {
        self.tables.record(rows).await?;
        // Only then may their offsets be committed.
        while let Err(fault) = self.rebuilder.recorded(&rows.events).await {
            tracing::warn!(%fault, "cannot tell whether these rows came in time, trying again");
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        Ok(())
    }

    async fn record_entries(&self, entries: &[Entry]) -> Result<(), WarehouseError> {
        self.tables.record_entries(entries).await
    }

    async fn record_alerts(&self, alerts: &[Alert]) -> Result<(), WarehouseError> {
        self.tables.record_alerts(alerts).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_never_compared_waits_until_it_is() {
        let [acme, umbrella] = ["acme", "umbrella"].map(|name| WorkspaceId::parse(name).unwrap());
        let mut acquaintance = Acquaintance::default();
        acquaintance.met([&acme]);
        assert_eq!(acquaintance.lacks([&acme]), []);
        assert_eq!(acquaintance.lacks([&acme, &umbrella]), std::slice::from_ref(&umbrella));
        assert_eq!(acquaintance.strangers, [umbrella.clone()].into());
        assert_eq!(acquaintance.lacks([&umbrella]).len(), 1, "as long as nobody has compared it");
        acquaintance.met([&umbrella]);
        assert!(acquaintance.lacks([&umbrella]).is_empty() && acquaintance.strangers.is_empty());
    }
}
