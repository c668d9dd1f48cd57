//! Errors as every route answers them: RFC 9457 with a stable `code`, and what helps to go on.
//! Which refusal of the ledger becomes which status stands in `refusal`.

mod refusal;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::front;
use super::value::{Amount, BlockedBy, Moment};

/// The content type of errors.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// An error as it is sent; what is unknown or makes no sense is left out.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct Details {
    /// Names the code as a URI
    #[serde(rename = "type")]
    kind: String,
    /// The code in words
    title: String,
    /// The status of the answer
    status: u16,
    /// What was wrong, where, and what to do
    detail: String,
    /// Stable, for programs
    code: &'static str,
    /// To be named when asking the operator; only with 5xx, `X-Request-Id` has it always
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    request_id: Option<String>,
    #[serde(flatten)]
    more: More,
}

#[derive(Debug, Clone, Default, Serialize, ToSchema)]
struct More {
    /// What the source of a transfer still holds
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    remaining: Option<Amount>,
    /// The level that blocks, with its numbers
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    blocked_by: Option<BlockedBy>,
    /// When limits start anew
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    resets_at: Option<Moment>,
    /// Which item of a list is meant, from 0
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    index: Option<usize>,
    /// Why it was denied or rejected, in one word
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<&'static str>,
}

/// Why a request is not answered as it was meant.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    challenge: Option<&'static str>,
    more: Box<More>,
}

impl Problem {
    /// An error of that status and code; `detail` says what was wrong, where, and what to do.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), challenge: None, more: Box::default() }
    }

    /// 400: not what its content type says.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed_json", detail)
    }

    /// 403: known, but not allowed.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// 404 with a code that names what is unknown.
    pub fn unknown(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// 422: well-formed, but not what is asked for.
    pub fn invalid(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    /// 401 with its challenge.
    pub fn unauthorized(challenge: &'static str, detail: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail);
        Self { challenge: Some(challenge), ..problem }
    }

    /// 503: the same request may go through later.
    pub fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
    }

    /// Which item of a list is meant, from 0.
    pub fn at_index(mut self, index: usize) -> Self {
        self.more.index = Some(index);
        self
    }

    /// Why, in one word.
    pub fn because(mut self, reason: &'static str) -> Self {
        self.more.reason = Some(reason);
        self
    }

    /// The status that it is answered with.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    fn details(self) -> Details {
        Details {
            kind: format!("urn:tollgate:problem:{}", self.code),
            title: title(self.code),
            status: self.status.as_u16(),
            detail: self.detail,
            code: self.code,
            // Only where it is our fault: a refusal that is repeated under one key is equal to the byte.
            request_id: front::request_id().filter(|_| self.status.is_server_error()),
            more: *self.more,
        }
    }
}

fn title(code: &str) -> String {
    let mut title = code.replace('_', " ");
    title.get_mut(..1).map(str::make_ascii_uppercase);
    title
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, challenge) = (self.status, self.challenge);
        let body = serde_json::to_vec(&self.details()).unwrap_or_default(); // strings and numbers only
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(challenge) = challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::json_of;

    #[tokio::test]
    async fn a_problem_names_its_code_in_every_form() {
        let problem =
            Problem::invalid("invalid_id", "workspace must not be empty").at_index(3).because("empty");
        let response = problem.into_response();
        assert_eq!(response.status(), 422);
        assert_eq!(response.headers()["content-type"], PROBLEM_JSON);
        let expected = serde_json::json!({
            "type": "urn:tollgate:problem:invalid_id", "title": "Invalid id", "status": 422,
            "detail": "workspace must not be empty", "code": "invalid_id", "index": 3, "reason": "empty"
        });
        assert_eq!(json_of(response).await, expected);
    }

    #[test]
    fn only_a_challenge_asks_for_a_token() {
        let response = Problem::unauthorized("Bearer", "no token").into_response();
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        assert!(!Problem::forbidden("no").into_response().headers().contains_key("www-authenticate"));
    }
}
