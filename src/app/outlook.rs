//! When credits will run out, as a gauge: the pools of the workspaces that have gauges are forecast
//! again and again. Nothing waits for it, and a forecast that cannot be had keeps its last value.

use std::time::Duration;

use metrics::gauge;
use tokio_util::sync::CancellationToken;

use crate::domain::WorkspaceId;
use crate::domain::outlook;
use crate::domain::ports::{Office, Trouble};
use crate::domain::reports::Reports;
use crate::metrics::POOL_EXHAUSTION;
use crate::pipeline::gauges::PoolGauges;

/// Sets the gauges every `interval`, the first time after one, until the process stops. One workspace
/// at a time: there is no hurry, and the stores have other work.
pub async fn refresh(
    office: &dyn Office,
    reports: &dyn Reports,
    gauges: &PoolGauges,
    interval: Duration,
    shutdown: CancellationToken,
) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = shutdown.cancelled() => return,
        }
        let shown = async {
            for workspace in gauges.shown() {
                show(office, reports, &workspace).await;
            }
        };
        tokio::select! {
            () = shown => {}
            () = shutdown.cancelled() => return,
        }
    }
}

async fn show(office: &dyn Office, reports: &dyn Reports, workspace: &WorkspaceId) {
    match seconds_left(office, reports, workspace).await {
        Ok(seconds) => gauge!(POOL_EXHAUSTION, "workspace" => workspace.to_string()).set(seconds),
        Err(fault) => tracing::warn!(%fault, %workspace, "cannot forecast now, trying again"),
    }
}

/// Seconds until the workspace's credits are spent; 0 when they outlast the period, or when nothing
/// can be said: alerts ask for values above 0.
async fn seconds_left(
    office: &dyn Office,
    reports: &dyn Reports,
    workspace: &WorkspaceId,
) -> Result<f64, Trouble> {
    let Some(view) = office.view(workspace, None).await? else { return Ok(0.0) };
    let (from, to) = outlook::days(&view);
    let days = reports.daily_totals(workspace, from, to).await?;
    let forecast = outlook::of_pool(&view, &days);
    Ok(forecast.exhaustion_seconds(view.as_of).unwrap_or(0) as f64)
}
