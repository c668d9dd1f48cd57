//! `POST /v1/events`: usage events over HTTP, for whoever cannot speak to Kafka. Each is judged by the
//! same decoder as a record, all of them before any is published; how a body becomes events is in
//! `read`. Deciding them is not done here: that is the pipeline's, once Kafka has them.

mod read;
mod schema;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use self::read::Sent;
use super::Api;
use super::auth::Caller;
use super::body::{hex, read as read_bytes};
use super::idempotency::key_of;
use super::problem::Problem;
use super::route::{Access, Personal, Routes, Scope, post};
use crate::domain::WorkspaceId;
use crate::domain::change::Refusal;
use crate::domain::event::{Header, RawRecord, Rejection, UsageEvent, decode};
use crate::domain::period::Instant;
use crate::domain::ports::{Claim, Intake, Remembered, Trouble};

/// Most events of one request.
pub(super) const EVENTS_MAX: usize = 1000;
/// Sources of this beginning are the service's own.
const OWN_SOURCES: &str = "tollgate:";
/// How often a request asks whether another under the same key has been answered.
const WAIT: Duration = Duration::from_millis(25);

/// The routes of usage events.
pub fn routes() -> Routes {
    let spec = post("/v1/events", Access::Needs(Scope::Ingest))
        .says("Publishes usage events: one, or up to 1,000, all or none")
        .personal(Personal::Handler)
        .keyed()
        .takes::<schema::EventOrEvents>()
        .takes_as::<schema::CloudEvent>(read::STRUCTURED)
        .takes_as::<schema::CloudEventBatch>(read::BATCH)
        .gives::<Accepted>(202, "Kafka has them; what becomes of each is decided within moments")
        .refuses(422, "`invalid_event` with `index` and `reason`, `invalid_events`: nothing was published");
    Routes::of("events").add(spec, accept)
}

/// Events that Kafka has acknowledged
#[derive(Debug, Serialize, ToSchema)]
struct Accepted {
    /// How many
    accepted: usize,
}

async fn accept(State(api): State<Arc<Api>>, caller: Caller, request: Request) -> Result<Response, Problem> {
    let key = key_of(request.headers())?;
    let (parts, body) = request.into_parts();
    read::check_content_type(&parts.headers)?;
    let head = Request::from_parts(parts.clone(), body);
    let bytes = read_bytes(head, api.settings.body_bytes_max).await?;
    // 1. Every event, before any is published.
    let sent = read::events(&parts.headers, &bytes)?;
    let digest = digest_of(&sent);
    let events = judged(&api, &caller, sent)?;
    // 2. Kafka, once for each key.
    let place = key.map(|key| place_of(&caller, &parts, &key));
    // A task of its own: when the client goes away or time runs out, the key is not left half answered.
    let publishing = tokio::spawn(publish_once(Arc::clone(&api.intake), place, digest, events));
    match publishing.await {
        Ok(Ok(answer)) => answered(&answer?),
        Ok(Err(trouble)) => Err(trouble.into()),
        Err(fault) => {
            tracing::error!(%fault, "publishing events panicked");
            Err(Trouble::Broken(fault.to_string()).into())
        }
    }
}

/// Per API key and path: the workspaces of the events play no part.
fn place_of(caller: &Caller, parts: &Parts, key: &str) -> String {
    hex(&Sha256::digest(format!("{}\n{}\n{}\n{key}", caller.actor(), parts.method, parts.uri.path())))
}

/// Of everything that makes the events: of a binary CloudEvent that is more than the body.
fn digest_of(sent: &[Sent]) -> String {
    let mut digest = Sha256::new();
    let mut add = |part: &[u8]| {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    };
    for Sent { payload, headers } in sent {
        add(payload);
        for Header { name, value } in headers {
            add(name.as_bytes());
            add(value.as_deref().unwrap_or_default());
        }
        add(b"");
    }
    hex(&digest.finalize())
}

type Payload = (WorkspaceId, Vec<u8>);

/// All events with their workspaces. Errors: 403 when one belongs elsewhere; else 422 for the first that
/// is none.
fn judged(api: &Api, caller: &Caller, sent: Vec<Sent>) -> Result<Vec<Payload>, Problem> {
    let now = Instant::from_timestamp(jiff::Timestamp::now());
    let mut first = None;
    let mut payloads = Vec::with_capacity(sent.len());
    for (index, Sent { payload, headers }) in sent.into_iter().enumerate() {
        let record = RawRecord { key: None, payload: Some(&payload), headers: &headers, timestamp: now };
        match decode(record, &api.rules) {
            Ok(event) => {
                check_place(caller, &event, index)?;
                first = first.or_else(|| own_source(&event, index));
                payloads.push((event.workspace, payload));
            }
            Err(rejection) => first = first.or_else(|| Some(rejected(rejection, index))),
        }
    }
    first.map_or(Ok(payloads), Err)
}

fn check_place(caller: &Caller, event: &UsageEvent, index: usize) -> Result<(), Problem> {
    if !caller.sees(&event.workspace) {
        let detail =
            format!("event {index} names workspace {}, which this key does not belong to", event.workspace);
        return Err(Problem::forbidden(detail).at_index(index));
    }
    caller.only(&event.user).map_err(|problem| problem.at_index(index))
}

fn own_source(event: &UsageEvent, index: usize) -> Option<Problem> {
    event.source.starts_with(OWN_SOURCES).then(|| {
        let detail =
            format!("event {index}: source may not begin with {OWN_SOURCES:?}, it is the service's own");
        Problem::invalid("invalid_event", detail).at_index(index).because("invalid_field")
    })
}

fn rejected(rejection: Rejection, index: usize) -> Problem {
    let detail = format!("event {index}: {}", rejection.detail);
    Problem::invalid("invalid_event", detail).at_index(index).because(rejection.reason.as_str())
}

/// Publishes, unless the same was done under the same key; then its answer again. The inner error is
/// another request under the same key.
async fn publish_once(
    intake: Arc<dyn Intake>,
    place: Option<String>,
    request: String,
    events: Vec<Payload>,
) -> Result<Result<Remembered, Problem>, Trouble> {
    let accepted = Accepted { accepted: events.len() };
    let body = serde_json::to_string(&accepted).map_err(|fault| Trouble::Broken(fault.to_string()))?;
    let answer = Remembered { request, status: StatusCode::ACCEPTED.as_u16(), body };
    let Some(place) = place else {
        intake.publish(events).await?;
        return Ok(Ok(answer));
    };
    loop {
        match intake.claim(&place, &answer.request).await? {
            Claim::Ours => break,
            Claim::Answered(earlier) if earlier.request == answer.request => return Ok(Ok(earlier)),
            Claim::Running(request) if request == answer.request => tokio::time::sleep(WAIT).await,
            Claim::Answered(_) | Claim::Running(_) => return Ok(Err(Refusal::IdempotencyConflict.into())),
        }
    }
    if let Err(trouble) = intake.publish(events).await {
        // The same key may try again; should this fail too, the claim ends by itself.
        let _ = intake.release(&place).await;
        return Err(trouble);
    }
    intake.remember(&place, &answer).await?;
    Ok(Ok(answer))
}

fn answered(answer: &Remembered) -> Result<Response, Problem> {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::ACCEPTED);
    Ok((status, [(header::CONTENT_TYPE, "application/json")], answer.body.clone()).into_response())
}

#[cfg(test)]
pub(super) mod tests;
