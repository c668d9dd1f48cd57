//! Around every request: an id, a line in the log, a bound on how many run and for how long, and an
//! answer even when a handler panics.

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use tokio::sync::Semaphore;
use tracing::Instrument;

use super::Settings;
use super::problem::Problem;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken from a client, in characters.
const ID_CHARS_MAX: usize = 128;

tokio::task_local! {
    static CURRENT: String;
}

/// The id of the request that is being answered.
pub(super) fn request_id() -> Option<String> {
    CURRENT.try_with(Clone::clone).ok()
}

/// The bounds of the whole API.
#[derive(Clone)]
pub(super) struct Front {
    places: Arc<Semaphore>,
    timeout: Duration,
    retry_after: HeaderValue,
}

impl Front {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            places: Arc::new(Semaphore::new(settings.requests_in_flight_max)),
            timeout: Duration::from_millis(settings.request_timeout_ms),
            retry_after: settings.retry_after_s.into(),
        }
    }
}

/// Runs a request inside its bounds.
pub(super) async fn front(State(front): State<Front>, request: Request, next: Next) -> Response {
    let id = given_id(request.headers()).unwrap_or_else(made_id);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let span = tracing::info_span!("request", id);
    let answer = async {
        let started = Instant::now();
        let mut response = bounded(&front, next.run(request)).await;
        let status = response.status();
        let elapsed_ms = started.elapsed().as_millis() as u64;
        tracing::debug!(%method, path, status = status.as_u16(), elapsed_ms, "answered");
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            response.headers_mut().insert(header::RETRY_AFTER, front.retry_after.clone());
        }
        response
    };
    let mut response = CURRENT.scope(id.clone(), answer.instrument(span)).await;
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

async fn bounded(front: &Front, answer: impl Future<Output = Response>) -> Response {
    let Ok(_place) = front.places.try_acquire() else {
        let detail = "as many requests run as may run at once: repeat this one a little later";
        return Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail).into_response();
    };
    match tokio::time::timeout(front.timeout, AssertUnwindSafe(answer).catch_unwind()).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            // The panic's own words are in the log already.
            tracing::error!("a handler panicked");
            let detail = "this failed in a way nobody foresaw; the log says more under the request's id";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail).into_response()
        }
        Err(_) => {
            let detail = format!(
                "no answer within {} ms: a write may have been made; repeat it with the same Idempotency-Key",
                front.timeout.as_millis()
            );
            Problem::unavailable("timeout", detail).into_response()
        }
    }
}

/// The client's own id, when it can stand in a log as it is.
fn given_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(&REQUEST_ID)?.to_str().ok()?;
    let sane = |c: char| c.is_ascii_alphanumeric() || "-_.:/+=".contains(c);
    ((1..=ID_CHARS_MAX).contains(&id.len()) && id.chars().all(sane)).then(|| id.to_owned())
}

/// Unique in this process, and hardly the same in another.
fn made_id() -> String {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0));
    static COUNT: AtomicU64 = AtomicU64::new(1);
    format!("{:016x}-{}", *PROCESS, COUNT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;
    use crate::http::tests::{json_of, settings};

    fn app(settings: &Settings) -> Router {
        async fn broken() -> &'static str {
            panic!("planted")
        }
        let slow = async || tokio::time::sleep(Duration::from_secs(3600)).await;
        let router = Router::new()
            .route("/", get(async || "ok"))
            .route("/slow", get(slow))
            .route("/panic", get(broken));
        router.layer(axum::middleware::from_fn_with_state(Front::new(settings), front))
    }

    fn ask(path: &str, id: &str) -> Request {
        Request::get(path).header("x-request-id", id).body(Body::empty()).unwrap()
    }

    #[tokio::test]
    async fn a_sane_id_is_kept_and_any_other_is_replaced() {
        let app = app(&settings());
        let response = app.clone().oneshot(ask("/", "trace-7:a/b")).await.unwrap();
        assert_eq!(response.headers()["x-request-id"], "trace-7:a/b");
        let mut seen = Vec::new();
        for strange in ["", "a b", &"x".repeat(129), "a\"b"] {
            let response = app.clone().oneshot(ask("/", strange)).await.unwrap();
            seen.push(response.headers()["x-request-id"].to_str().unwrap().to_owned());
        }
        seen.dedup();
        assert!(seen.len() == 4 && seen.iter().all(|id| id.len() >= 18), "{seen:?}");
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_that_names_the_request() {
        let response = app(&settings()).oneshot(ask("/panic", "p1")).await.unwrap();
        assert_eq!(response.status(), 500);
        let body = json_of(response).await;
        assert_eq!((&body["code"], &body["request_id"]), (&"internal".into(), &"p1".into()));
        assert!(!body.to_string().contains("planted"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_ends_with_503() {
        let response = app(&settings()).oneshot(ask("/slow", "s")).await.unwrap();
        assert_eq!(response.status(), 503);
        assert!(response.headers().contains_key("retry-after"));
        assert_eq!(json_of(response).await["code"], "timeout");
    }

    #[tokio::test]
    async fn past_the_bound_a_request_is_turned_away_and_later_let_in() {
        let app = app(&Settings { requests_in_flight_max: 1, ..settings() });
        let first = tokio::spawn(app.clone().oneshot(ask("/slow", "1")));
        tokio::task::yield_now().await;
        let second = app.clone().oneshot(ask("/", "2")).await.unwrap();
        assert_eq!(second.status(), 429);
        assert!(second.headers().contains_key("retry-after"));
        assert_eq!(json_of(second).await["code"], "too_many_requests");
        first.abort();
        assert!(first.await.is_err());
        assert_eq!(app.oneshot(ask("/", "3")).await.unwrap().status(), 200);
    }
}
