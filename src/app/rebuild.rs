//! Rebuilds workspaces in Redis from their two truths: the ledger topic and `usage_events`.
//!
//! Nothing is ever decided on a state that lacks something:
//!
//! - **It is noticed.** ClickHouse tells at the start, and after every fault of Redis, how far each workspace
//!   had come ([`Rebuilder::compare`]); whoever finds less in Redis refuses. Redis is always written before the
//!   tables, so less there than here is a loss, and a state that no table knows of has nothing recorded that it
//!   could forget: its events are still to be read from Kafka.
//! - **It stands still.** A workspace is taken out of use before anything is read, and its head is written last.
//! - **What is under way is waited for, and looked for twice.** Events that were decided before the loss may be
//!   recorded after it. The sums are read when all of this process are; and whoever has recorded rows then asks for the epoch of their
//!   workspaces ([`Rebuilder::recorded`]), and finding a newer one, or none, has the workspace rebuilt
//!   again: either the rows were there when the sums were read, or the newer epoch is there when it asks.

mod recover;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;

use super::Stores;
use crate::clickhouse::{Recorded, Store};
use crate::config::Settings;
use crate::domain::WorkspaceId;
use crate::domain::fold::Fold;
use crate::domain::ledger::Entry;
use crate::domain::period::{Instant, PeriodName};
use crate::domain::ports::Outbox as _;
use crate::kafka::{self, Producer, replay};
use crate::metrics;
use crate::pipeline::decide::now;
use crate::pipeline::messages;
use crate::pipeline::relay::Relay;
use crate::pipeline::under_way::UnderWay;
use crate::redis::{RedisLedger, Restored, Seen};
use recover::Wishes;

pub use recover::Guarded;

/// How often another process that rebuilds the same workspace is looked at.
const CLAIM_PAUSE: Duration = Duration::from_millis(200);

/// Said when a rebuild has come to nothing; it is repeated.
const LOST: &str = "redis lost the half that was written, or another process has taken over: to be repeated";

/// The last offset of each partition that was decided of a workspace.
type Fences = BTreeMap<i32, i64>;

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
        // 1. Out of use. From here on nothing is decided in them, and nothing is added to their ledger.
        let (mut stopped, mut fences) = (Vec::new(), Vec::new());
        for (workspace, past) in wanted {
            let started = Clock::now();
            if let Some((epoch, decided)) = self.stop(workspace, *past).await? {
                stopped.push((workspace, epoch, started));
                fences.push(decided);
            }
        }
        if stopped.is_empty() {
            return Ok(());
        }
        // 2. What was decided is recorded, what waits for Kafka and the tables goes there: both truths are whole.
        self.settled(&fences).await?;
        let shards: BTreeSet<u16> = stopped.iter().map(|(w, ..)| self.stores.ledger.shard_of(w)).collect();
        for shard in shards {
            self.relay.relay_now(shard).await.context("publishing the ledger")?;
            self.relay.record(shard).await.context("recording the ledger")?;
        }
        // 3. The ledger, read once for all of them.
        let only = stopped.iter().map(|(workspace, ..)| (*workspace).clone()).collect();
        let mut entries = self.entries(Some(only)).await?;
        // 4. One after the other back into use.
        for (workspace, epoch, started) in stopped {
            let entries = entries.remove(workspace).unwrap_or_default();
            let rebuilt = self.restore(workspace, epoch, &entries, progress).await?;
            ::metrics::counter!(metrics::REBUILDS).increment(1);
            tell(&Rebuilt { took: started.elapsed(), ..rebuilt });
        }
        Ok(())
    }

    /// Waits for what was decided of workspaces that now stand still: here to the last row, elsewhere until the
    /// offsets are committed where these are still known, else for as long as recording takes. Whoever takes
    /// longer finds the newer epoch, and has them rebuilt again.
    async fn settled(&self, fences: &[Option<Fences>]) -> anyhow::Result<()> {
        self.under_way.emptied().await;
        let deadline = Clock::now() + self.grace;
        let all_known = fences.iter().all(Option::is_some);
        while Clock::now() < deadline {
            let committed = replay::committed(&self.kafka).await?;
            let mut last = fences.iter().flatten().flatten();
            let done = last.all(|(partition, last)| committed.get(partition).is_some_and(|next| next > last));
            if all_known && done {
                break;
            }
            tokio::time::sleep(CLAIM_PAUSE).await;
        }
        Ok(())
    }

    /// Takes a workspace out of use; answers the epoch that it had, and how far it had been decided. None when it is
    /// past the epoch already.
    async fn stop(
        &self,
        workspace: &WorkspaceId,
        past: u64,
    ) -> anyhow::Result<Option<(u64, Option<Fences>)>> {
        let ledger = &self.stores.ledger;
        while !ledger.claim_rebuild(workspace).await? {
            tokio::time::sleep(CLAIM_PAUSE).await;
        }
        let epoch = ledger.epochs([workspace]).await?.get(workspace).copied();
        if epoch.is_some_and(|epoch| epoch > past) {
            ledger.give_up_rebuild(workspace).await?;
            return Ok(None);
        }
        let periods: BTreeSet<PeriodName> =
            self.stores.tables.cells(workspace).await?.into_keys().map(|(period, ..)| period).collect();
        let periods: Vec<PeriodName> = periods.into_iter().collect();
        Ok(Some(ledger.stop(workspace, &periods).await?))
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

    async fn restore(
        &self,
        workspace: &WorkspaceId,
        epoch: u64,
        entries: &[Entry],
        progress: Progress<'_>,
    ) -> anyhow::Result<Rebuilt> {
        let Stores { ledger, tables, producer } = &self.stores;
        let now = now();
        // 1. Offsets first: what lies below them is recorded, whenever the tables are read after.
        let committed = replay::committed(&self.kafka).await?;
        // 2. The ledger; what a loss kept from its table is written there, reversals marked.
        let mut fold = folded(workspace, entries)?;
        self.record_missing(workspace, entries).await?;
        // 3. Usage, by summing the record. Totals and balances are never trusted.
        let mut events = 0;
        for usage in tables.used(workspace, (u64::MAX, u64::MAX)).await? {
            events += usage.totals.events + usage.totals.denied_events;
            fold.spend(usage);
        }
        // 4. The next epoch. Kafka has its first entries before anybody decides in it, so that no loss can
        //    make it begin twice.
        let epoch = epoch.max(fold.state.epoch).max(tables.epoch(workspace).await?) + 1;
        let begun = fold.begin(epoch, now);
        let messages: Vec<_> = begun.iter().map(messages::entry).collect();
        producer.publish(&self.kafka.topics.ledger, &messages).await?;
        tables.record_entries(&begun).await?;
        // 5. Totals and balances follow.
        let there = tokio::try_join!(tables.cells(workspace), tables.accounts(workspace))?;
        tables.record(&fold.absolutes(there.0.into_keys(), there.1, now)).await?;
        // 6. By what events are recognised: marks, and offsets.
        let since = ledger.remembers_since(now);
        let mut fences = tables.floors(workspace, since).await?;
        for (partition, fence) in &mut fences {
            *fence = (*fence).max(committed.get(partition).map_or(-1, |next| next - 1));
        }
        let (beyond, marked) = self.mark(workspace, since, &fences, progress).await?;
        fences.retain(|_, fence| *fence >= 0);
        // 7. The state, its head last.
        let answers = answers(entries);
        let restored = Restored {
            workspace,
            state: &fold.state,
            users: &fold.users,
            reversed: &fold.reversed,
            fences: &fences,
            beyond: &beyond,
            answers: &answers,
        };
        anyhow::ensure!(ledger.begin(&restored, now).await?, LOST);
        let took = Duration::default();
        let (workspace, entries) = (workspace.clone(), entries.len());
        Ok(Rebuilt { workspace, epoch, entries, events, marked, took })
    }

    async fn record_missing(&self, workspace: &WorkspaceId, entries: &[Entry]) -> anyhow::Result<()> {
        let tables = &self.stores.tables;
        let (there, marked) = tokio::try_join!(tables.entry_names(workspace), tables.reversed(workspace))?;
        let missing = |entry: &&Entry| {
            let unmarked = || {
                let mut reversal = Fold::new(workspace.clone());
                let alone = Entry { epoch: 1, sequence: 1, ..(*entry).clone() };
                reversal.apply(&alone).is_ok()
                    && reversal.reversed.into_iter().any(|(period, names)| {
                        names.into_iter().any(|name| !marked.contains(&(period, name)))
                    })
            };
            !there.contains(&(entry.epoch, entry.sequence)) || (entry.kind == "reversal" && unmarked())
        };
        let missing: Vec<Entry> = entries.iter().filter(missing).cloned().collect();
        if !missing.is_empty() {
            tables.record_entries(&missing).await?;
        }
        Ok(())
    }

    /// Marks what may come again; answers which offsets above the fences are recorded, and how many were marked.
    async fn mark(
        &self,
        workspace: &WorkspaceId,
        since: Instant,
        fences: &BTreeMap<i32, i64>,
        progress: Progress<'_>,
    ) -> anyhow::Result<(BTreeMap<i32, Vec<i64>>, u64)> {
        let Stores { ledger, tables, .. } = &self.stores;
        let total = tables.count_recorded(workspace, since).await?;
        let mut beyond: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
        let (mut last, mut marked): (Option<Recorded>, u64) = (None, 0);
        loop {
            progress(workspace, marked, total.max(marked));
            let page = tables.recorded(workspace, since, last.as_ref()).await?;
            if page.is_empty() {
                return Ok((beyond, marked));
            }
            for row in &page {
                if fences.get(&row.topic_partition).is_none_or(|fence| row.topic_offset > *fence) {
                    beyond.entry(row.topic_partition).or_default().push(row.topic_offset);
                }
            }
            let seen: Vec<Seen> = page.iter().map(seen).collect();
            ledger.restore_marks(workspace, &seen, now()).await?;
            // The claim lives as long as pages come.
            anyhow::ensure!(ledger.renew_rebuild(workspace).await?, LOST);
            marked += page.len() as u64;
            last = page.into_iter().last();
        }
    }
}

fn seen(row: &Recorded) -> Seen {
    Seen {
        source: row.source.clone(),
        id: row.id.clone(),
        time: Instant::from_micros(row.time),
        arrived_at: Instant::from_micros(row.arrived_at),
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

/// What was answered under idempotency keys; the ledger in Redis drops what is too old.
fn answers(entries: &[Entry]) -> Vec<(String, String, Vec<u8>, Instant)> {
    let kept = entries.iter().filter_map(|entry| {
        let request = entry.request.as_ref()?;
        let answer = BASE64.decode(request.answer.as_ref()?).ok()?;
        Some((request.place.clone(), request.body.clone(), answer, entry.at))
    });
    kept.collect()
}
