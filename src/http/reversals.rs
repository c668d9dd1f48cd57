//! Reversals: an event's credits go back to the accounts that they came from.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Api;
use super::answer::Written;
use super::body::Body;
use super::desk::Answer;
use super::idempotency::Write;
use super::ids::Ids;
use super::route::{Access, Routes, Scope, post};
use super::value::Reason;
use crate::domain::WorkspaceId;
use crate::domain::change::{Change, Refusal};

/// Which event.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReversalBody {
    /// The producer's id.
    event_id: String,
    /// The producer; empty (or left out) for events that name none.
    source: Option<String>,
    /// Why, for the ledger.
    reason: Option<Reason>,
}

/// The routes of reversals.
pub fn routes() -> Routes {
    let spec = post("/v1/workspaces/{workspace}/reversals", Access::Needs(Scope::Admin))
        .says("Gives an event's credits back to the accounts that they came from")
        .keyed()
        .takes::<ReversalBody>()
        .gives::<Written>(201, "Given back, in the event's own period and day")
        .refuses(404, "`unknown_event`")
        .refuses(409, "`already_reversed`, `nothing_to_reverse`");
    Routes::of("credits").add(spec, reverse)
}

async fn reverse(
    State(api): State<Arc<Api>>,
    Ids(workspace): Ids<WorkspaceId>,
    write: Write,
    Body { value, bytes }: Body<ReversalBody>,
) -> Answer<Written> {
    let author = write.author(&bytes, value.reason);
    let source = value.source.unwrap_or_default();
    let Some(past) = api.reports.event(&workspace, &source, &value.event_id).await? else {
        // Through the office, so that the answer is remembered under the key.
        let answer = api.office.refuse(&workspace, Refusal::UnknownEvent, &author).await?;
        return Err(answer.err().unwrap_or(Refusal::UnknownEvent).into());
    };
    // Also what was reversed before goes to the office: it knows the first answer under the same key.
    api.answer(StatusCode::CREATED, &workspace, Change::Reversal(past.event), &author).await
}
