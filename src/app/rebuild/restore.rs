//! Workspaces that are out of use, back into use: both truths are read, what the tables lack is written there, and
//! then the state, its head last.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;

use super::{Entries, Fences, LOST, Progress, Rebuilder, Rebuilt, Stopped, folded};
use crate::app::Stores;
use crate::clickhouse::Recorded;
use crate::domain::WorkspaceId;
use crate::domain::book::Workspace;
use crate::domain::calendar::Calendar;
use crate::domain::fold::Fold;
use crate::domain::ledger::Entry;
use crate::domain::period::{Instant, PeriodName};
use crate::domain::record::Rows;
use crate::kafka::replay;
use crate::metrics;
use crate::pipeline::decide::now;
use crate::pipeline::messages;
use crate::redis::{Restored, Seen};

/// How far ahead of now no event lies that was decided.
const AHEAD_MICROS: i64 = 86_400_000_000;

/// By what the events of a workspace are recognised.
#[derive(Default)]
struct Memory {
    /// The epoch that begins.
    epoch: u64,
    /// Up to here everything is recorded.
    fences: Fences,
    /// Offsets beyond that are recorded too.
    beyond: BTreeMap<i32, Vec<i64>>,
    /// Events that were marked.
    marked: u64,
}

impl Rebuilder {
    pub(super) async fn restore(
        &self,
        stopped: &[Stopped],
        entries: &Entries,
        progress: Progress<'_>,
        tell: &(dyn Fn(&Rebuilt) + Send + Sync),
    ) -> anyhow::Result<()> {
        let Stores { ledger, tables, .. } = &self.stores;
        let now = now();
        let names: Vec<WorkspaceId> = stopped.iter().map(|one| one.workspace.clone()).collect();
        // 1. Offsets first: what lies below them is recorded, whenever the tables are read after.
        let committed = replay::committed(&self.kafka).await?;
        // 2. The ledger; what a loss kept from its table is written there, reversals marked.
        let none = Vec::new();
        let entries_of = |workspace: &WorkspaceId| entries.get(workspace).unwrap_or(&none);
        let mut folds =
            names.iter().map(|name| folded(name, entries_of(name))).collect::<anyhow::Result<Vec<Fold>>>()?;
        self.record_missing(&names, entries).await?;
        // 3. Usage, by summing the record. Totals and balances are never trusted.
        let mut used = tables.used(&names, (u64::MAX, u64::MAX)).await?;
        let mut events = Vec::new();
        for (name, fold) in names.iter().zip(&mut folds) {
            let used = used.remove(name).unwrap_or_default();
            events.push(used.iter().map(|usage| usage.totals.events + usage.totals.denied_events).sum());
            used.into_iter().for_each(|usage| fold.spend(usage));
        }
        // 4. The next epoch, and all that follows from the sums.
        self.begin(stopped, &mut folds, now).await?;
        self.keep(stopped).await?;
        // 5. By what events are recognised: marks, and offsets.
        let memories = self.remember((stopped, &folds), &committed, now, progress).await?;
        crate::crash::point("in_rebuild");
        // 6. The state, its head last. Books that were begun after the loss, before it was noticed, count nowhere; what
        //    forgets them takes the workspace out of use as well, should somebody else have put it back meanwhile.
        for (((one, fold), memory), events) in stopped.iter().zip(&folds).zip(memories).zip(events) {
            let workspace = &one.workspace;
            let entries = entries_of(workspace);
            ledger.stop(workspace, &begun(&fold.state, ledger.remembers_since(now), now)).await?;
            let restored = Restored {
                workspace,
                state: &fold.state,
                users: &fold.users,
                reversed: &fold.reversed,
                fences: &memory.fences,
                beyond: &memory.beyond,
                answers: &answers(entries),
            };
            anyhow::ensure!(ledger.begin(&restored, now).await?, LOST);
            ::metrics::counter!(metrics::REBUILDS).increment(1);
            tell(&Rebuilt {
                workspace: workspace.clone(),
                epoch: fold.state.epoch,
                entries: entries.len(),
                events,
                marked: memory.marked,
                took: one.started.elapsed(),
            });
        }
        Ok(())
    }

    /// Kafka has the first entries of an epoch before anybody decides in it, so that no loss can make it begin
    /// twice. Totals and balances follow.
    async fn begin(&self, stopped: &[Stopped], folds: &mut [Fold], now: Instant) -> anyhow::Result<()> {
        let Stores { tables, producer, .. } = &self.stores;
        let names: Vec<WorkspaceId> = stopped.iter().map(|one| one.workspace.clone()).collect();
        let versions = tables.versions_of(&names).await?;
        let mut begun: Vec<Entry> = Vec::new();
        for (one, fold) in stopped.iter().zip(folds.iter_mut()) {
            let seen = versions.get(&one.workspace).map_or(0, |(epoch, _)| *epoch);
            begun.extend(fold.begin(one.epoch.max(fold.state.epoch).max(seen) + 1, now));
        }
        let messages: Vec<_> = begun.iter().map(messages::entry).collect();
        producer.publish(&self.kafka.topics.ledger, &messages).await?;
        tables.record_entries(&begun).await?;
        let (mut cells, mut accounts) = tokio::try_join!(tables.cells(&names), tables.accounts(&names))?;
        let mut rows = Rows::default();
        for (name, fold) in names.iter().zip(folds) {
            let cells = cells.remove(name).unwrap_or_default().into_keys();
            let more = fold.absolutes(cells, accounts.remove(name).unwrap_or_default(), now);
            rows.rollups.extend(more.rollups);
            rows.balances.extend(more.balances);
            rows.pools.extend(more.pools);
        }
        Ok(tables.record(&rows).await?)
    }

    async fn record_missing(&self, names: &[WorkspaceId], entries: &Entries) -> anyhow::Result<()> {
        let tables = &self.stores.tables;
        let (there, marked) = tokio::try_join!(tables.entry_names(names), tables.reversed(names))?;
        let missing = |entry: &&Entry| {
            let name = (entry.epoch, entry.sequence);
            let is_there = there.get(&entry.workspace).is_some_and(|names| names.contains(&name));
            let marked = |name| marked.get(&entry.workspace).is_some_and(|names| names.contains(name));
            !is_there || (entry.kind == "reversal" && !reversed_by(entry).iter().all(marked))
        };
        let missing: Vec<Entry> = entries.values().flatten().filter(missing).cloned().collect();
        if !missing.is_empty() {
            tables.record_entries(&missing).await?;
        }
        Ok(())
    }

    /// Marks what may come again, and finds which offsets are recorded.
    async fn remember(
        &self,
        (stopped, folds): (&[Stopped], &[Fold]),
        committed: &Fences,
        now: Instant,
        progress: Progress<'_>,
    ) -> anyhow::Result<Vec<Memory>> {
        let Stores { ledger, tables, .. } = &self.stores;
        let names: Vec<WorkspaceId> = stopped.iter().map(|one| one.workspace.clone()).collect();
        let since = ledger.remembers_since(now);
        let mut floors = tables.floors(&names, since).await?;
        let memory = |(name, fold): (&WorkspaceId, &Fold)| {
            let mut fences = floors.remove(name).unwrap_or_default();
            for (partition, fence) in &mut fences {
                *fence = (*fence).max(committed.get(partition).map_or(-1, |next| next - 1));
            }
            (name.clone(), Memory { epoch: fold.state.epoch, fences, ..Memory::default() })
        };
        let mut memories: BTreeMap<WorkspaceId, Memory> = names.iter().zip(folds).map(memory).collect();
        let total = tables.count_recorded(&names, since).await?;
        let (mut last, mut done): (Option<Recorded>, u64) = (None, 0);
        loop {
            let page = tables.recorded(&names, since, last.as_ref()).await?;
            let mut events = Vec::with_capacity(page.len());
            for row in &page {
                let workspace = WorkspaceId::parse(&row.workspace)?;
                if let Some(memory) = memories.get_mut(&workspace) {
                    memory.add(row);
                    events.push((workspace, seen(row, memory.epoch)));
                }
            }
            let Some((workspace, _)) = events.last() else { break };
            done += page.len() as u64;
            progress(workspace, done, total.max(done));
            ledger.restore_marks(&events, now).await?;
            self.keep(stopped).await?;
            last = page.into_iter().last();
        }
        for memory in memories.values_mut() {
            memory.fences.retain(|_, fence| *fence >= 0);
        }
        Ok(names.iter().map(|name| memories.remove(name).unwrap_or_default()).collect())
    }
}

impl Memory {
    fn add(&mut self, row: &Recorded) {
        self.marked += 1;
        if self.fences.get(&row.topic_partition).is_none_or(|fence| row.topic_offset > *fence) {
            self.beyond.entry(row.topic_partition).or_default().push(row.topic_offset);
        }
    }
}

/// The periods whose books a state has, and those into which events fell that were decided without it: by its calendar,
/// or by the one that holds before any plan.
fn begun(state: &Workspace, since: Instant, now: Instant) -> Vec<PeriodName> {
    let until = Instant::from_micros(now.micros() + AHEAD_MICROS);
    let recent =
        [&Calendar::default(), &state.calendar].map(|calendar| calendar.periods_between(since, until));
    let all: BTreeSet<PeriodName> = state.books.keys().copied().chain(recent.into_iter().flatten()).collect();
    all.into_iter().collect()
}

fn seen(row: &Recorded, epoch: u64) -> Seen {
    Seen {
        epoch,
        source: row.source.clone(),
        id: row.id.clone(),
        time: Instant::from_micros(row.time),
        arrived_at: Instant::from_micros(row.arrived_at),
    }
}

/// The events that a reversal names.
fn reversed_by(entry: &Entry) -> BTreeSet<(PeriodName, String)> {
    let mut alone = Fold::new(entry.workspace.clone());
    let read = alone.apply(&Entry { epoch: 1, sequence: 1, ..entry.clone() });
    let named =
        alone.reversed.into_iter().flat_map(|(period, names)| names.into_iter().map(move |n| (period, n)));
    if read.is_ok() { named.collect() } else { BTreeSet::new() }
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
