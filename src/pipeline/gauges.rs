//! The pools' gauges, of a bounded number of workspaces.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use metrics::gauge;

use crate::domain::WorkspaceId;
use crate::domain::ledger::PoolState;
use crate::domain::period::PeriodName;
use crate::metrics::{POOL_RATIO, POOL_REMAINING, POOL_TOTAL, POOL_UNALLOCATED};

/// What is shown of each workspace that has gauges: the newest period, its newest version.
#[derive(Debug)]
pub struct PoolGauges {
    newest: Mutex<HashMap<WorkspaceId, (PeriodName, u64)>>,
    workspaces_max: usize,
}

impl PoolGauges {
    /// Gauges for the first so many workspaces that are seen.
    pub fn new(workspaces_max: usize) -> Self {
        Self { newest: Mutex::default(), workspaces_max }
    }

    /// The workspaces that have gauges.
    pub fn shown(&self) -> Vec<WorkspaceId> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Shows pools; neither a late event's period nor an older state ever hides a newer one.
    pub fn show(&self, pools: &[PoolState]) {
        // A panic while it was held leaves a map that is still right.
        let mut shown = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        for pool in pools {
            let (state, known) = ((pool.period, pool.version), shown.get(&pool.workspace));
            let is_new = known.map_or(shown.len() < self.workspaces_max, |known| *known <= state);
            if is_new {
                shown.insert(pool.workspace.clone(), state);
                show(pool);
            }
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
