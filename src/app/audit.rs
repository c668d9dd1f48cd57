//! The audit over the real servers: a workspace in Redis at one moment, and its truths at the same one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::Stores;
use super::rebuild::{Entries, Rebuilder};
use crate::clickhouse::WarehouseError;
use crate::config::Settings;
use crate::domain::WorkspaceId;
use crate::domain::audit::{Audit, Difference, audit};
use crate::domain::credits::Credits;
use crate::domain::ledger::{self, Entry};
use crate::domain::period::PeriodName;
use crate::kafka::{self, replay};
use crate::metrics;

/// How long tables may lag behind Redis before a difference is one.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// Workspaces that are compared in one round.
const AT_ONCE: usize = 20;

/// Why a look says nothing.
#[derive(Debug, thiserror::Error)]
pub enum Untold {
    /// What was decided is not recorded yet.
    #[error("{0}")]
    Waiting(String),
    /// A server is away, or holds what cannot be.
    #[error("{0:#}")]
    Fault(#[from] anyhow::Error),
}

/// Which of the two copies of the ledger is folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ledger {
    /// The topic, which is the truth: all of it is read.
    Topic,
    /// Its table: a workspace's part is read alone.
    Table,
}

/// Compares workspaces.
pub struct Auditor {
    stores: Stores,
    kafka: kafka::Settings,
    rebuilder: Arc<Rebuilder>,
    ledger: Ledger,
    /// The topic as it was last read.
    entries: Mutex<Entries>,
}

impl Auditor {
    /// An auditor that changes nothing.
    pub fn new(stores: &Stores, settings: &Settings, rebuilder: Arc<Rebuilder>, ledger: Ledger) -> Self {
        let (stores, kafka) = (stores.clone(), settings.kafka.clone());
        Self { stores, kafka, rebuilder, ledger, entries: Mutex::default() }
    }

    /// The ledger of a workspace up to an entry, at least.
    async fn entries(&self, workspace: &WorkspaceId, until: (u64, u64)) -> Result<Vec<Entry>, Untold> {
        if self.ledger == Ledger::Table {
            return self.stores.tables.entries(workspace).await.map_err(fault);
        }
        let mut read = self.entries.lock().await;
        let last = read.get(workspace).and_then(|list| list.last());
        if last.is_none_or(|last| (last.epoch, last.sequence) < until) {
            *read = self.rebuilder.entries(None).await?;
        }
        Ok(read.get(workspace).cloned().unwrap_or_default())
    }

    /// Compares a workspace, again and again until it is equal or time is up: tables may lag.
    pub async fn audit(&self, workspace: &WorkspaceId) -> Result<Audit, Untold> {
        let started = Clock::now();
        loop {
            let found = self.look(workspace).await;
            let settled = match &found {
                Ok(audit) => audit.differences.is_empty(),
                Err(Untold::Waiting(_)) => false,
                Err(Untold::Fault(_)) => true,
            };
            if settled || started.elapsed() > PATIENCE {
                return found;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn look(&self, workspace: &WorkspaceId) -> Result<Audit, Untold> {
        let Stores { ledger, tables, .. } = &self.stores;
        let alone = std::slice::from_ref(workspace);
        let everything = of(workspace, tables.cells(alone).await)?;
        // 1. Redis, all of one moment.
        let mut periods: BTreeSet<PeriodName> = everything.keys().map(|(period, ..)| *period).collect();
        let accounts = of(workspace, tables.accounts(alone).await)?;
        periods.extend(accounts.into_iter().map(|(period, _)| period));
        let periods: Vec<PeriodName> = periods.into_iter().collect();
        let snapshot = ledger.snapshot(workspace, &periods).await.map_err(fault)?;
        let Some(snapshot) = snapshot else {
            return Err(Untold::Fault(anyhow::anyhow!("redis does not know workspace {workspace}")));
        };
        let (epoch, sequence) = (snapshot.state.epoch, snapshot.state.sequence);
        // 2. The tables have what was decided until then, when its offsets are committed.
        self.committed(&snapshot.fences).await?;
        // 3. The ledger until then, and what was used until then.
        let name = (epoch, snapshot.state.ledger_sequence);
        let mut until = self.entries(workspace, name).await?;
        until.retain(|entry| (entry.epoch, entry.sequence) <= name);
        let mut truth = super::rebuild::folded(workspace, &until)?;
        if (truth.state.epoch, truth.state.ledger_sequence) != name && name.1 > 0 {
            let (last, lacks) = (truth.state.ledger_sequence, name.1);
            return Err(Untold::Waiting(format!("the ledger ends at entry {last}, redis at {lacks}")));
        }
        let marked = of(workspace, tables.reversed(alone).await)?;
        let named: BTreeSet<_> = truth
            .reversed
            .iter()
            .flat_map(|(period, names)| names.iter().map(|name| (*period, name.clone())))
            .collect();
        if !marked.is_subset(&named) {
            return Err(Untold::Waiting("events were reversed meanwhile".to_owned()));
        }
        for usage in of(workspace, tables.used(alone, (epoch, sequence)).await)? {
            truth.spend(usage);
        }
        // 4. The rollups, read last: those that are newer than this moment are left out.
        let rollups = of(workspace, tables.cells(alone).await)?;
        let version = ledger::version(snapshot.version.0, snapshot.version.1);
        Ok(audit(&snapshot.state, &truth, &rollups, version))
    }

    /// Waits until what lies up to these offsets is recorded.
    async fn committed(&self, fences: &BTreeMap<i32, i64>) -> Result<(), Untold> {
        let started = Clock::now();
        loop {
            let committed = replay::committed(&self.kafka).await.map_err(fault)?;
            let next = |partition| committed.get(partition).copied().unwrap_or(0);
            let Some((partition, last)) = fences.iter().find(|(partition, last)| next(partition) <= **last)
            else {
                return Ok(());
            };
            if started.elapsed() > PATIENCE {
                let next = next(partition);
                return Err(Untold::Waiting(format!(
                    "events up to offset {last} of partition {partition} are decided, and committed only up to \
                     {next}: is the service running?"
                )));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Compares every so often, and shows the widest drift; also notices what Redis lost without any fault
    /// of its own. Until the process stops.
    pub async fn run(&self, interval: Duration, shutdown: CancellationToken) {
        let mut rounds = Rounds::default();
        loop {
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                () = shutdown.cancelled() => return,
            }
            let round = async {
                self.rebuilder.compare().await?;
                self.round(&mut rounds).await
            };
            let outcome = tokio::select! {
                outcome = round => outcome,
                () = shutdown.cancelled() => return,
            };
            match outcome {
                Ok(()) => ::metrics::gauge!(metrics::DRIFT).set(rounds.widest().micro() as f64 / 1e6),
                Err(fault) => {
                    let fault = format!("{fault:#}");
                    tracing::warn!(fault, "cannot compare redis with the tables now");
                }
            }
        }
    }

    /// Compares some of the workspaces, in turn.
    async fn round(&self, rounds: &mut Rounds) -> anyhow::Result<()> {
        let all = self.stores.ledger.workspaces().await?.into_iter().collect();
        for workspace in rounds.next(&all) {
            match self.audit(&workspace).await {
                Ok(audit) => {
                    for difference in &audit.differences {
                        tracing::error!(%workspace, ?difference, "redis and the tables differ");
                    }
                    let widest = audit.differences.iter().map(Difference::amount);
                    rounds.compared(workspace, widest.max_by_key(|amount| amount.micro().abs()));
                }
                Err(fault) => tracing::debug!(%workspace, %fault, "not compared"),
            }
        }
        Ok(())
    }
}

/// Whose turn it is: a comparison asks much of the tables, so each round makes a few.
#[derive(Default)]
struct Rounds {
    /// The last one that had its turn.
    last: Option<WorkspaceId>,
    /// The widest difference of those that differ, signed: above 0 when Redis says more.
    different: BTreeMap<WorkspaceId, Credits>,
}

impl Rounds {
    /// Those that differ are looked at every time, for it is to be seen when they are mended; then some more.
    fn next(&mut self, all: &BTreeSet<WorkspaceId>) -> Vec<WorkspaceId> {
        self.different.retain(|workspace, _| all.contains(workspace));
        let is_later = |workspace: &&WorkspaceId| Some(*workspace) > self.last.as_ref();
        let later = all.iter().filter(is_later);
        let turns = later.chain(all.iter().filter(|workspace| !is_later(workspace)));
        let turns: Vec<WorkspaceId> = turns.take(AT_ONCE).cloned().collect();
        self.last = turns.last().cloned();
        let again = self.different.keys().filter(|workspace| !turns.contains(workspace)).cloned();
        again.chain(turns.iter().cloned()).collect()
    }

    fn compared(&mut self, workspace: WorkspaceId, widest: Option<Credits>) {
        match widest {
            Some(widest) => drop(self.different.insert(workspace, widest)),
            None => drop(self.different.remove(&workspace)),
        }
    }

    fn widest(&self) -> Credits {
        self.different.values().copied().max_by_key(|amount| amount.micro().abs()).unwrap_or_default()
    }
}

/// What was read of one workspace alone.
fn of<T: Default>(
    workspace: &WorkspaceId,
    read: Result<BTreeMap<WorkspaceId, T>, WarehouseError>,
) -> Result<T, Untold> {
    Ok(read.map_err(fault)?.remove(workspace).unwrap_or_default())
}

fn fault(fault: impl std::error::Error + Send + Sync + 'static) -> Untold {
    Untold::Fault(fault.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> WorkspaceId {
        WorkspaceId::parse(&format!("w{n:02}")).unwrap()
    }

    #[test]
    fn everybody_has_a_turn_and_who_differs_has_every_turn() {
        let mut rounds = Rounds::default();
        let all: BTreeSet<_> = (0..45).map(id).collect();
        let mut round = |differs: &[usize]| {
            let due = rounds.next(&all);
            for workspace in &due {
                let widest = differs.iter().find(|n| *workspace == id(**n));
                rounds.compared(workspace.clone(), widest.map(|n| Credits::whole(-(*n as i64))));
            }
            (due.len(), due.first().cloned(), due.last().cloned(), rounds.widest())
        };
        assert_eq!(round(&[]), (20, Some(id(0)), Some(id(19)), Credits::ZERO));
        assert_eq!(round(&[30]), (20, Some(id(20)), Some(id(39)), Credits::whole(-30)));
        assert_eq!(round(&[30]), (21, Some(id(30)), Some(id(14)), Credits::whole(-30)), "looked at again");
        assert_eq!(round(&[]), (20, Some(id(15)), Some(id(34)), Credits::ZERO), "mended");
        assert_eq!(round(&[]), (20, Some(id(35)), Some(id(9)), Credits::ZERO), "and round it goes");
    }
}
