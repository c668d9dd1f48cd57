//! What handlers ask: the office, the tables, the rate card; and the questions that many of them share.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::answer::Written;
use super::seam::Problem;
use crate::domain::WorkspaceId;
use crate::domain::change::{Author, Change, Changed};
use crate::domain::period::PeriodName;
use crate::domain::ports::{Office, View};
use crate::domain::rates::RateCard;
use crate::domain::reports::Reports;

/// Everything that handlers need.
#[derive(Clone)]
pub struct Desk {
    /// Changes, holds and balances.
    pub office: Arc<dyn Office>,
    /// What was recorded.
    pub reports: Arc<dyn Reports>,
    /// Prices what comes without credits.
    pub rates: Arc<RateCard>,
}

impl Desk {
    /// A workspace in the running period, or in the one of that name. Errors: 404.
    pub async fn view(
        &self,
        workspace: &WorkspaceId,
        period: Option<PeriodName>,
    ) -> Result<Arc<View>, Problem> {
        if let Some(view) = self.office.view(workspace, period).await? {
            return Ok(view);
        }
        let known = period.is_some() && self.office.view(workspace, None).await?.is_some();
        Err(match period.filter(|_| known) {
            Some(name) => Problem::unknown(
                "unknown_period",
                format!("workspace {workspace} has no period that starts on {name}"),
            ),
            None => Problem::unknown("unknown_workspace", format!("workspace {workspace} was never seen")),
        })
    }

    /// Makes a change, and words its answer.
    pub async fn change(
        &self,
        workspace: &WorkspaceId,
        change: Change,
        author: &Author,
    ) -> Result<(Written, Changed), Problem> {
        let changed = self.office.change(workspace, &change, author).await??;
        Ok((Written::of(workspace, &change, &changed), changed))
    }
}
