//! Reversals: an event's credits go back to the accounts that they came from.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::answer::Written;
use super::desk::Desk;
use super::form::with_reason;
use super::seam::{Answer, Place, Problem, Write, WriteProblems};
use crate::domain::WorkspaceId;
use crate::domain::change::{Change, Refusal};

/// Which event.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReversalBody {
    /// The producer's id.
    event_id: String,
    /// The producer; empty (or left out) for events that name none.
    source: Option<String>,
    /// Why, for the ledger.
    reason: Option<String>,
}

/// Gives an event's credits back.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace}/reversals", tag = "credits",
    params(("workspace" = WorkspaceId, Path)), request_body = ReversalBody,
    responses((status = 201, description = "Done", body = Written), WriteProblems)
)]
pub async fn post(
    State(desk): State<Desk>,
    Place(workspace): Place<WorkspaceId>,
    Write { author, body }: Write<ReversalBody>,
) -> Result<Answer<Written>, Problem> {
    let author = with_reason(author, body.reason.as_deref())?;
    let source = body.source.as_deref().unwrap_or_default();
    let found = desk.reports.event(&workspace, source, &body.event_id).await?;
    let past = found.ok_or(Refusal::UnknownEvent)?;
    // Also what was reversed before goes to the office: it knows the first answer under the same key.
    let (written, _) = desk.change(&workspace, Change::Reversal(past.event), &author).await?;
    Ok(Answer(StatusCode::CREATED, written))
}
