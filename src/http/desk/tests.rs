//! Requests against handlers on an office that is a model: statuses, shapes, exact numbers.

mod reads;
mod tables;
mod world;
mod writes;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::routing::{get, post};
use serde_json::Value;
use tower::ServiceExt;

use super::Desk;
use crate::domain::rates::RateCard;
use crate::http::{checks, credits, features, holds, plan, reversals, teams, users, workspaces};

fn routes() -> Router<Desk> {
    let one = "/v1/workspaces/{workspace}";
    let under = |rest: &str| format!("{one}/{rest}");
    Router::new()
        .route("/v1/workspaces", get(workspaces::list))
        .route(one, get(workspaces::get))
        .route(&under("plan"), get(plan::get).put(plan::put))
        .route(&under("users"), get(users::list).patch(users::patch_many))
        .route(&under("users/{user}"), get(users::get).patch(users::patch))
        .route(&under("teams"), get(teams::list))
        .route(&under("teams/{team}"), get(teams::get).put(teams::put))
        .route(&under("features"), get(features::list))
        .route(&under("features/{feature}"), get(features::get).put(features::put))
        .route(&under("top-ups"), post(credits::top_up))
        .route(&under("transfers"), post(credits::transfer))
        .route(&under("grants"), post(credits::grant))
        .route(&under("reversals"), post(reversals::post))
        .route(&under("check"), post(checks::post))
        .route(&under("holds"), get(holds::list).post(holds::post))
        .route(&under("holds/{hold}"), axum::routing::delete(holds::void))
        .route(&under("holds/{hold}/settle"), post(holds::settle))
}

/// The API over one office.
struct Api(Router);

impl Api {
    fn new() -> Self {
        let rates = "[[rates]]\nfeature='ai_chat'\nper_1k_input_tokens='0.1'";
        let rates = Arc::new(RateCard::parse(rates).unwrap());
        Self(routes().with_state(Desk {
            office: world::FakeOffice::new(),
            reports: Arc::new(tables::FakeReports),
            rates,
        }))
    }

    /// With a plan of 1,000 credits.
    async fn planned() -> Self {
        let api = Self::new();
        let (status, _) = api.ask("PUT", "/w/plan", r#"{"monthly_credits": 1000}"#).await;
        assert_eq!(status, 200);
        api
    }

    async fn raw(&self, method: &str, path: &str, body: &str, key: Option<&str>) -> (u16, String) {
        let request = Request::builder().method(method).uri(format!("/v1/workspaces{path}"));
        let request = request.header("content-type", "application/json");
        let request = key.into_iter().fold(request, |request, key| request.header("idempotency-key", key));
        let response =
            self.0.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let (status, text) = self.raw(method, path, body, None).await;
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, "").await
    }

    /// Status and code of what is refused.
    async fn refused(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let (status, body) = self.ask(method, path, body).await;
        (status, body["code"].as_str().unwrap_or_default().to_owned())
    }
}
