//! The questions that many handlers share: how does a workspace stand, and make this change.

use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;

use super::Api;
use super::answer::Written;
use super::problem::Problem;
use super::value::Date;
use crate::domain::WorkspaceId;
use crate::domain::change::{Author, Change, Changed};
use crate::domain::ports::View;

/// What a handler answers.
pub type Answer<T> = Result<(StatusCode, Json<T>), Problem>;

/// 200 with a body.
pub fn ok<T>(it: T) -> Answer<T> {
    Ok((StatusCode::OK, Json(it)))
}

impl Api {
    /// A workspace in the running period, or in the one of that name. Errors: 404.
    pub(super) async fn view(
        &self,
        workspace: &WorkspaceId,
        period: Option<Date>,
    ) -> Result<Arc<View>, Problem> {
        let name = period.map(|Date(name)| name);
        if let Some(view) = self.office.view(workspace, name).await? {
            return Ok(view);
        }
        if let Some(name) = name
            && self.office.view(workspace, None).await?.is_some()
        {
            let detail = format!("workspace {workspace} has no period that starts on {name}");
            return Err(Problem::unknown("unknown_period", detail));
        }
        Err(Problem::unknown("unknown_workspace", format!("workspace {workspace} was never seen")))
    }

    /// Makes a change, and words its answer.
    pub(super) async fn change(
        &self,
        workspace: &WorkspaceId,
        change: Change,
        author: &Author,
    ) -> Result<(Written, Changed), Problem> {
        let changed = self.office.change(workspace, &change, author).await??;
        Ok((Written::of(workspace, &change, &changed), changed))
    }

    /// The same, answered at once.
    pub(super) async fn answer(
        &self,
        status: StatusCode,
        workspace: &WorkspaceId,
        change: Change,
        author: &Author,
    ) -> Answer<Written> {
        let (written, _) = self.change(workspace, change, author).await?;
        Ok((status, Json(written)))
    }
}

#[cfg(test)]
pub(super) mod tests;
