//! The pools' gauges, of a bounded number of workspaces.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use metrics::gauge;

use crate::domain::WorkspaceId;
use crate::domain::ledger::PoolState;
use crate::domain::period::PeriodName;
use crate::metrics::{POOL_RATIO, POOL_REMAINING, POOL_TOTAL, POOL_UNALLOCATED};

/// The newest period shown of each workspace that has gauges.
#[derive(Debug)]
pub struct PoolGauges {
    periods: Mutex<HashMap<WorkspaceId, PeriodName>>,
    workspaces_max: usize,
}

impl PoolGauges {
    /// Gauges for the first so many workspaces that are seen.
    pub fn new(workspaces_max: usize) -> Self {
        Self { periods: Mutex::default(), workspaces_max }
    }

    /// The workspaces that have gauges.
    pub fn shown(&self) -> Vec<WorkspaceId> {
        self.periods.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Shows pools as they stand now; a late event's period never hides the running one.
    pub fn show(&self, pools: &[PoolState]) {
        // A panic while it was held leaves a map that is still right.
        let mut periods = self.periods.lock().unwrap_or_else(PoisonError::into_inner);
        for pool in pools {
            if !periods.contains_key(&pool.workspace) && periods.len() >= self.workspaces_max {
                continue;
            }
            let newest = periods.entry(pool.workspace.clone()).or_insert(pool.period);
            if pool.period < *newest {
                continue;
            }
            *newest = pool.period;
            show(pool);
        }
    }

    /// The workspaces that have gauges.
    pub fn workspaces(&self) -> Vec<WorkspaceId> {
        self.periods.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
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
