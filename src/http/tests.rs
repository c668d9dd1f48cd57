//! What the tests of this room share: an office that answers nothing, and requests to a router.

use axum::body::Body;
use axum::http::{Method, Request};
use axum::response::Response;
use futures::future::BoxFuture;
use serde_json::Value;
use tower::ServiceExt;

use super::desk::tests::tables::FakeReports;
use super::*;
use crate::domain::WorkspaceId;
use crate::domain::change::{Author, Change, Changed, Refusal};
use crate::domain::hold::{CheckAnswer, Hold, HoldAnswer, HoldRequest, Wish};
use crate::domain::period::PeriodName;
use crate::domain::ports::{Trouble, View};
use crate::domain::rates::RateCard;

/// An office whose servers are away.
pub struct Closed;

fn away<'a, T: Send + 'a>() -> BoxFuture<'a, Result<T, Trouble>> {
    Box::pin(async { Err(Trouble::Away("closed".to_owned())) })
}

impl Office for Closed {
    fn change<'a>(
        &'a self,
        _: &'a WorkspaceId,
        _: &'a Change,
        _: &'a Author,
    ) -> BoxFuture<'a, Result<Result<Changed, Refusal>, Trouble>> {
        away()
    }

    fn refuse<'a>(
        &'a self,
        _: &'a WorkspaceId,
        _: Refusal,
        _: &'a Author,
    ) -> BoxFuture<'a, Result<Result<Changed, Refusal>, Trouble>> {
        away()
    }

    fn hold<'a>(
        &'a self,
        _: &'a WorkspaceId,
        _: &'a HoldRequest,
        _: &'a Author,
    ) -> BoxFuture<'a, Result<Result<HoldAnswer, Refusal>, Trouble>> {
        away()
    }

    fn check<'a>(&'a self, _: &'a WorkspaceId, _: &'a Wish) -> BoxFuture<'a, Result<CheckAnswer, Trouble>> {
        away()
    }

    fn holds<'a>(&'a self, _: &'a WorkspaceId) -> BoxFuture<'a, Result<Vec<Hold>, Trouble>> {
        away()
    }

    fn view<'a>(
        &'a self,
        _: &'a WorkspaceId,
        _: Option<PeriodName>,
    ) -> BoxFuture<'a, Result<Option<Arc<View>>, Trouble>> {
        away()
    }

    fn workspaces(&self) -> BoxFuture<'_, Result<Vec<WorkspaceId>, Trouble>> {
        away()
    }
}

/// Settings that no test runs into by chance.
pub fn settings() -> Settings {
    Settings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        head_timeout_ms: 30_000,
        request_timeout_ms: 30_000,
        requests_in_flight_max: 64,
        body_bytes_max: 8 * 1024 * 1024,
        retry_after_s: 1,
    }
}

/// What events are judged by when nothing is configured.
pub fn rules() -> DecodeRules {
    DecodeRules {
        age_micros_max: 72 * 3_600_000_000,
        ahead_micros_max: 300_000_000,
        payload_bytes_max: 262_144,
        rates: RateCard::default(),
    }
}

/// An API that is open to everybody, in front of this office.
pub fn api(office: impl Office) -> Api {
    let auth = Auth::new(&auth::Settings::default()).unwrap();
    let intake = Arc::new(events::tests::Memory::default());
    Api {
        office: Arc::new(office),
        reports: Arc::new(FakeReports),
        intake,
        rules: rules(),
        auth,
        settings: settings(),
    }
}

/// The body of an answer, as JSON.
pub async fn json_of(response: Response) -> Value {
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// Sends one request with a JSON body, empty for none, and more headers.
pub async fn send(
    router: &Router,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Response {
    let mut request = Request::builder().method(method).uri(path);
    if !body.is_empty() && !headers.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap()
}

#[tokio::test]
async fn what_is_not_declared_is_a_problem() {
    let router = router(Arc::new(api(Closed)));
    let response = send(&router, "GET", "/v1/nothing", &[], "").await;
    assert_eq!(response.status(), 404);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let response_id = response.headers().get("x-request-id").cloned();
    let body = json_of(response).await;
    assert_eq!(body["code"], "unknown_route");
    assert!(body["request_id"].is_null() && response_id.is_some());

    let response = send(&router, "DELETE", "/v1/rates", &[], "").await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["allow"]),
        (405, &"GET,HEAD".parse().unwrap())
    );
    assert_eq!(json_of(response).await["code"], "method_not_allowed");
}

#[tokio::test]
async fn a_parameter_that_a_route_does_not_have_is_refused() {
    let router = router(Arc::new(api(Closed)));
    let response = send(&router, "GET", "/v1/rates?verbose=1", &[], "").await;
    assert_eq!(response.status(), 422);
    let body = json_of(response).await;
    assert_eq!(body["code"], "invalid_parameter");
    assert!(body["detail"].as_str().unwrap().contains("verbose"));
}

#[tokio::test]
async fn the_rate_card_names_its_version_and_every_rate() {
    let card =
        "version = \"v7\"\n[[rates]]\nfeature = \"ai_chat\"\nmodel = \"gpt-*\"\nper_1k_input_tokens = 0.5\n";
    let rules = DecodeRules { rates: RateCard::parse(card).unwrap(), ..rules() };
    let router = router(Arc::new(Api { rules, ..api(Closed) }));
    let response = send(&router, "GET", "/v1/rates", &[], "").await;
    let expected = serde_json::json!({"version": "v7", "rates": [{
        "feature": "ai_chat", "model": "gpt-*", "per_event": null, "per_quantity": null,
        "per_1k_input_tokens": 0.5, "per_1k_output_tokens": null
    }]});
    assert_eq!(json_of(response).await, expected);
}

#[tokio::test]
async fn the_document_is_served() {
    let router = router(Arc::new(api(Closed)));
    let served = json_of(send(&router, "GET", "/openapi.json", &[], "").await).await;
    let all = routes();
    assert_eq!(served, serde_json::to_value(openapi::document(all.iter())).unwrap());
    assert!(served["paths"]["/v1/events"]["post"].is_object());
}

#[test]
fn every_declared_path_is_the_contracts() {
    for Route { spec, .. } in routes() {
        assert!(spec.path == "/openapi.json" || spec.path.starts_with("/v1/"), "{}", spec.path);
        assert!(
            !spec.path.contains("workspaces/{") || spec.path.contains("workspaces/{workspace}"),
            "{}",
            spec.path
        );
        let writes = spec.method != Method::GET;
        assert!(
            !writes || spec.keyed || spec.path.ends_with("/check"),
            "{} takes no Idempotency-Key",
            spec.path
        );
    }
}
