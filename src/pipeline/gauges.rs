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

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;
    use crate::domain::Credits;
    use crate::domain::period::Instant;

    fn pool(workspace: &str, period: &str, version: u64, total: i64) -> PoolState {
        PoolState {
            workspace: WorkspaceId::parse(workspace).unwrap(),
            period: period.parse().unwrap(),
            total: Credits::whole(total),
            used: Credits::ZERO,
            held: Credits::ZERO,
            unallocated: Credits::ZERO,
            version,
            at: Instant::default(),
        }
    }

    #[test]
    fn what_is_older_never_hides_what_is_newer() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let (page, _guard) = (recorder.handle(), ::metrics::set_default_local_recorder(&recorder));
        let gauges = PoolGauges::new(1);
        for (period, version, total, shown) in [
            ("2026-11-01", 10, 1, 1),
            ("2026-11-01", 20, 2, 2),
            ("2026-11-01", 10, 1, 2),
            ("2026-10-01", 30, 3, 2),
            ("2026-12-01", 15, 4, 4),
        ] {
            gauges.show(&[pool("acme", period, version, total), pool("globex", period, version, 9)]);
            let line = format!("{POOL_TOTAL}{{workspace=\"acme\"}} {shown}\n");
            assert!(page.render().contains(&line), "{period} {version}: {}", page.render());
        }
        assert_eq!(gauges.shown().len(), 1, "no more than were asked for");
    }
}
