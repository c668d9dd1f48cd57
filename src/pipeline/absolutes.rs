//! Absolute states on their way to the tables: of each key only the newest version. And the writer of
//! those that no batch carries: what administrators change, and what holds set aside.

use std::hash::{BuildHasher as _, Hash};
use std::sync::Arc;
use std::time::Duration;

use hashbrown::{DefaultHashBuilder, HashTable};
use tokio::sync::mpsc;

use super::gauges::PoolGauges;
use crate::domain::WorkspaceId;
use crate::domain::ids::{FeatureId, UserId};
use crate::domain::ledger::{Account, Balance, Effects, PoolState, Rollup};
use crate::domain::period::{Day, PeriodName};
use crate::domain::ports::Warehouse;
use crate::domain::record::Rows;

/// The newest of each.
#[derive(Debug, Default)]
pub struct Absolutes {
    rollups: Newest<Rollup>,
    balances: Newest<Balance>,
    pools: Newest<PoolState>,
}

impl Absolutes {
    /// Adds what was told; decisions are nobody's business here.
    pub fn add(&mut self, effects: Effects) {
        self.rollups.add(effects.rollups);
        self.balances.add(effects.balances);
        self.pools.add(effects.pools);
    }

    /// Moves all of it into rows.
    pub fn fill(self, rows: &mut Rows) {
        rows.rollups = self.rollups.states;
        rows.balances = self.balances.states;
        rows.pools = self.pools.states;
    }

    fn is_empty(&self) -> bool {
        self.rollups.states.is_empty() && self.balances.states.is_empty() && self.pools.states.is_empty()
    }
}

/// An absolute state: of two with the same key the higher version holds.
trait Absolute {
    /// What it is the state of.
    type Key<'a>: Hash + Eq
    where
        Self: 'a;

    fn key(&self) -> Self::Key<'_>;
    fn version(&self) -> u64;
}

impl Absolute for Rollup {
    type Key<'a> = (&'a UserId, &'a WorkspaceId, &'a FeatureId, PeriodName, Day);

    fn key(&self) -> Self::Key<'_> {
        (&self.user, &self.workspace, &self.feature, self.period, self.day)
    }

    fn version(&self) -> u64 {
        self.version
    }
}

impl Absolute for Balance {
    type Key<'a> = (&'a Account, &'a WorkspaceId, PeriodName);

    fn key(&self) -> Self::Key<'_> {
        (&self.account, &self.workspace, self.period)
    }

    fn version(&self) -> u64 {
        self.version
    }
}

impl Absolute for PoolState {
    type Key<'a> = (&'a WorkspaceId, PeriodName);

    fn key(&self) -> Self::Key<'_> {
        (&self.workspace, self.period)
    }

    fn version(&self) -> u64 {
        self.version
    }
}

/// States in the order in which their keys came first, and by the hash of its key the place of each.
#[derive(Debug)]
struct Newest<T> {
    states: Vec<T>,
    places: HashTable<usize>,
    hasher: DefaultHashBuilder,
}

impl<T> Default for Newest<T> {
    fn default() -> Self {
        Self { states: Vec::new(), places: HashTable::new(), hasher: DefaultHashBuilder::default() }
    }
}

impl<T: Absolute> Newest<T> {
    fn add(&mut self, states: Vec<T>) {
        let Self { states: kept, places, hasher } = self;
        places.reserve(states.len(), |at| hasher.hash_one(kept[*at].key()));
        for state in states {
            let hash = hasher.hash_one(state.key());
            let found = places.find(hash, |at| kept[*at].key() == state.key()).copied();
            match found {
                Some(at) if kept[at].version() <= state.version() => kept[at] = state,
                Some(_) => {}
                None => {
                    places.insert_unique(hash, kept.len(), |at| hasher.hash_one(kept[*at].key()));
                    kept.push(state);
                }
            }
        }
    }
}

/// Writes what it is told, gathered for a moment; ends, after a last attempt, when nobody can tell more.
/// ClickHouse away: kept, newest only, and tried again with what came since.
pub async fn write_all<W: Warehouse>(
    warehouse: Arc<W>,
    gauges: Arc<PoolGauges>,
    mut told: mpsc::Receiver<Effects>,
    interval: Duration,
) {
    let mut waiting = Absolutes::default();
    let mut open = true;
    while open {
        tokio::select! {
            biased; // no dice: a simulated run must replay to the byte
            effects = told.recv() => match effects {
                Some(effects) => {
                    waiting.add(effects);
                    tokio::time::sleep(interval).await;
                    while let Ok(more) = told.try_recv() {
                        waiting.add(more);
                    }
                }
                None => open = false,
            },
            () = tokio::time::sleep(interval), if !waiting.is_empty() => {}
        }
        waiting = write(&*warehouse, &gauges, waiting).await;
    }
}

/// What could not be written, to be tried again.
async fn write<W: Warehouse>(warehouse: &W, gauges: &PoolGauges, waiting: Absolutes) -> Absolutes {
    let mut rows = Rows::default();
    waiting.fill(&mut rows);
    if rows.rollups.is_empty() && rows.balances.is_empty() && rows.pools.is_empty() {
        return Absolutes::default();
    }
    gauges.show(&rows.pools);
    let Err(fault) = warehouse.record(&rows).await else { return Absolutes::default() };
    tracing::warn!(%fault, "the tables do not show the latest changes yet, trying again");
    let mut kept = Absolutes::default();
    let Rows { rollups, balances, pools, .. } = rows;
    kept.add(Effects { rollups, balances, pools, ..Effects::default() });
    kept
}
