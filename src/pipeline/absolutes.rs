//! Absolute states on their way to the tables: of each key only the newest version. And the writer of
//! those that no batch carries: what administrators change, and what holds set aside.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use tokio::sync::mpsc;

use super::gauges::PoolGauges;
use crate::domain::WorkspaceId;
use crate::domain::ids::{FeatureId, UserId};
use crate::domain::ledger::{Account, Balance, Effects, PoolState, Rollup};
use crate::domain::period::{Day, PeriodName};
use crate::domain::ports::Warehouse;
use crate::domain::record::Rows;

type CellKey = (WorkspaceId, PeriodName, UserId, FeatureId, Day);

/// The newest of each.
#[derive(Debug, Default)]
pub struct Absolutes {
    rollups: HashMap<CellKey, Rollup>,
    balances: HashMap<(WorkspaceId, PeriodName, Account), Balance>,
    pools: HashMap<(WorkspaceId, PeriodName), PoolState>,
}

impl Absolutes {
    /// Adds what was told; decisions are nobody's business here.
    pub fn add(&mut self, effects: Effects) {
        newest(&mut self.rollups, effects.rollups, rollup_key, |rollup| rollup.version);
        newest(&mut self.balances, effects.balances, balance_key, |balance| balance.version);
        newest(
            &mut self.pools,
            effects.pools,
            |pool| (pool.workspace.clone(), pool.period),
            |pool| pool.version,
        );
    }

    /// Moves all of it into rows.
    pub fn fill(self, rows: &mut Rows) {
        rows.rollups = self.rollups.into_values().collect();
        rows.balances = self.balances.into_values().collect();
        rows.pools = self.pools.into_values().collect();
    }

    fn is_empty(&self) -> bool {
        self.rollups.is_empty() && self.balances.is_empty() && self.pools.is_empty()
    }
}

fn rollup_key(rollup: &Rollup) -> CellKey {
    let Rollup { workspace, period, user, feature, day, .. } = rollup;
    (workspace.clone(), *period, user.clone(), feature.clone(), *day)
}

fn balance_key(balance: &Balance) -> (WorkspaceId, PeriodName, Account) {
    (balance.workspace.clone(), balance.period, balance.account.clone())
}

/// Keeps the newest version of each key.
fn newest<K: Hash + Eq, T>(
    kept: &mut HashMap<K, T>,
    states: Vec<T>,
    key: impl Fn(&T) -> K,
    version: impl Fn(&T) -> u64,
) {
    for state in states {
        match kept.entry(key(&state)) {
            hashbrown::hash_map::Entry::Occupied(mut entry) => {
                if version(entry.get()) <= version(&state) {
                    entry.insert(state);
                }
            }
            hashbrown::hash_map::Entry::Vacant(entry) => {
                entry.insert(state);
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
