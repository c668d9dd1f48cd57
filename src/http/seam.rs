//! What handlers are given and give back: ids from the path, bodies, who asks, answers and problems.

pub mod page;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};

use super::answer::BlockedBy;
use super::form::Invalid;
use crate::domain::change::{Author, IdempotencyKey, Refusal};
use crate::domain::period::Instant;
use crate::domain::ports::Trouble;
use crate::domain::{Credits, WorkspaceId};

/// A status and what is said with it.
#[derive(Debug)]
pub struct Answer<T>(pub StatusCode, pub T);

impl<T> Answer<T> {
    /// 200.
    pub fn ok(it: T) -> Self {
        Self(StatusCode::OK, it)
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

/// Why a request is not answered as it was meant.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    status: u16,
    code: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<Credits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked_by: Option<BlockedBy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resets_at: Option<Instant>,
}

impl Problem {
    /// A problem of that status and code.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let (status, detail) = (status.as_u16(), detail.into());
        Self { status, code, detail, remaining: None, reason: None, blocked_by: None, resets_at: None }
    }

    /// 404.
    pub fn unknown(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// 422.
    pub fn invalid(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }
}

impl From<Invalid> for Problem {
    fn from(fault: Invalid) -> Self {
        Self::invalid(fault.code, fault.detail)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match &refusal {
            Refusal::UnknownEvent | Refusal::UnknownHold => StatusCode::NOT_FOUND,
            Refusal::Denied(_) => StatusCode::PAYMENT_REQUIRED,
            Refusal::HoldExpired(_) => StatusCode::GONE,
            Refusal::NotPositive | Refusal::TooManyCredits => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::CONFLICT,
        };
        let mut problem = Self::new(status, refusal.code(), refusal.to_string());
        match &refusal {
            Refusal::InsufficientCredits { remaining, .. } => problem.remaining = Some(*remaining),
            Refusal::LimitWithoutCredits { .. } => problem.remaining = Some(Credits::ZERO),
            Refusal::Denied(denial) => {
                problem.reason = Some(denial.reason.as_str());
                problem.blocked_by = Some(BlockedBy::from(&**denial));
                problem.resets_at = Some(denial.resets_at);
            }
            _ => {}
        }
        problem
    }
}

impl From<Trouble> for Problem {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Away(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "try again later"),
            Trouble::Broken(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "see the log"),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(header::CONTENT_TYPE, "application/problem+json")], Json(self)).into_response()
    }
}

/// Ids out of the path.
#[derive(Debug)]
pub struct Place<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Place<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(it)| Self(it)).map_err(|fault| Problem::invalid("invalid_id", fault.body_text()))
    }
}

/// Parameters of a query.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(it)| Self(it)).map_err(|fault| Problem::invalid("invalid_query", fault.body_text()))
    }
}

/// Who asks.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    workspace: Option<WorkspaceId>,
}

impl Caller {
    /// Whether the workspace is one of theirs.
    pub fn may_see(&self, workspace: &WorkspaceId) -> bool {
        self.workspace.as_ref().is_none_or(|own| own == workspace)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;
    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self::default())
    }
}

fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    format!("{:x}", hash.finalize())
}

fn author(parts: &Parts, body: &[u8]) -> Author {
    let key = parts.headers.get("idempotency-key").and_then(|key| key.to_str().ok());
    let place =
        |key: &str| digest(&[parts.method.as_str().as_bytes(), parts.uri.path().as_bytes(), key.as_bytes()]);
    let key =
        key.map(|key| IdempotencyKey { key: key.to_owned(), place: place(key), request: digest(&[body]) });
    Author { actor: "local".to_owned(), reason: String::new(), key }
}

/// Who writes, without a body.
#[derive(Debug)]
pub struct Sign(pub Author);

impl<S: Send + Sync> FromRequestParts<S> for Sign {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(author(parts, b"")))
    }
}

/// The body of a question.
#[derive(Debug)]
pub struct Ask<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Ask<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Write::from_request(request, state).await.map(|Write { body, .. }| Self(body))
    }
}

/// The body of a write, and who writes.
#[derive(Debug)]
pub struct Write<T> {
    /// With the idempotency key; the reason comes from the body.
    pub author: Author,
    /// What they ask for.
    pub body: T,
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Write<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let request = Request::from_parts(parts.clone(), body);
        let bytes = axum::body::Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|fault| Problem::invalid("malformed_json", fault.body_text()))?;
        let mut input = serde_json::Deserializer::from_slice(&bytes);
        let body = serde_path_to_error::deserialize(&mut input);
        let body = body.map_err(|fault| Problem::invalid("invalid_field", fault.to_string()))?;
        Ok(Self { author: author(&parts, &bytes), body })
    }
}

fn problems(codes: &[(&str, &str)]) -> std::collections::BTreeMap<String, RefOr<utoipa::openapi::Response>> {
    let content = || ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let response = |words: &str| {
        ResponseBuilder::new().description(words).content("application/problem+json", content()).build()
    };
    codes.iter().map(|(code, words)| ((*code).to_owned(), RefOr::T(response(words)))).collect()
}

const READ: [(&str, &str); 6] = [
    ("401", "No key"),
    ("403", "Another's"),
    ("404", "Unknown"),
    ("422", "Invalid"),
    ("500", "Broken"),
    ("503", "A server is away"),
];

const WRITE: [(&str, &str); 6] = [
    ("400", "No JSON"),
    ("402", "Does not fit"),
    ("409", "Conflict"),
    ("410", "Expired"),
    ("413", "Too large"),
    ("415", "No JSON by its type"),
];

/// What every read may answer besides its own.
#[derive(Debug)]
pub struct ReadProblems;

impl utoipa::IntoResponses for ReadProblems {
    fn responses() -> std::collections::BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        problems(&READ)
    }
}

/// What every write may answer besides its own.
#[derive(Debug)]
pub struct WriteProblems;

impl utoipa::IntoResponses for WriteProblems {
    fn responses() -> std::collections::BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        problems(&READ).into_iter().chain(problems(&WRITE)).collect()
    }
}
