//! The pools' gauges, of a bounded number of workspaces.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use metrics::gauge;

use crate::domain::WorkspaceId;
use crate::domain::ledger::PoolState;
use crate::domain::period::PeriodName;
use crate::metrics::{POOL_RATIO, POOL_REMAINING, POOL_TOTAL, POOL_UNALLOCATED};

/// The workspaces with gauges; the process's, as the gauges themselves are.
static SHOWN: Mutex<BTreeSet<WorkspaceId>> = Mutex::new(BTreeSet::new());

/// The workspaces that have gauges in this process, in the order of their ids.
pub fn shown() -> Vec<WorkspaceId> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}

/// The newest period shown of each workspace that has gauges.
#[derive(Debug)]
pub struct PoolGauges {
    periods: HashMap<WorkspaceId, PeriodName>,
    workspaces_max: usize,
}

impl PoolGauges {
    /// Gauges for the first so many workspaces that are seen.
    pub fn new(workspaces_max: usize) -> Self {
        Self { periods: HashMap::new(), workspaces_max }
    }

    /// Shows pools as they stand now; a late event's period never hides the running one.
    pub fn show(&mut self, pools: &[PoolState]) {
        for pool in pools {
            if !self.periods.contains_key(&pool.workspace) && self.periods.len() >= self.workspaces_max {
                continue;
            }
            let newest = self.periods.entry(pool.workspace.clone()).or_insert_with(|| {
                SHOWN.lock().unwrap_or_else(PoisonError::into_inner).insert(pool.workspace.clone());
                pool.period
            });
            if pool.period < *newest {
                continue;
            }
            *newest = pool.period;
            show(pool);
        }
    }
}

fn show(pool: &PoolState) {
    let credits = |credits: crate::domain::Credits| credits.micro() as f64 / 1e6;
    let (total, remaining) = (credits(pool.total), credits(pool.remaining()));
    let workspace = pool.workspace.to_string();
    gauge!(POOL_TOTAL, "workspace" => workspace.clone()).set(total);
    gauge!(POOL_REMAINING, "workspace" => workspace.clone()).set(remaining);
    gauge!(POOL_UNALLOCATED, "workspace" => workspace.clone()).set(credits(pool.unallocated));
    gauge!(POOL_RATIO, "workspace" => workspace).set(if total > 0.0 { remaining / total } else { 0.0 });
}
