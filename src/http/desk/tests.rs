//! Requests against handlers on an office that is a model: statuses, shapes, exact numbers.

mod reads;
pub mod tables;
pub mod world;
mod writes;

use std::sync::Arc;

use axum::Router;
use axum::body::to_bytes;
use serde_json::Value;

use crate::domain::event::DecodeRules;
use crate::domain::rates::RateCard;
use crate::http::{self, router};

/// The API over one office.
struct Office(Router);

impl Office {
    fn new() -> Self {
        let rates = RateCard::parse("[[rates]]\nfeature='ai_chat'\nper_1k_input_tokens='0.1'").unwrap();
        let rules = DecodeRules { rates, ..http::tests::rules() };
        Self(router(Arc::new(http::Api { rules, ..http::tests::api(world::FakeOffice::new()) })))
    }

    /// With a plan of 1,000 credits.
    async fn planned() -> Self {
        let api = Self::new();
        let (status, _) = api.ask("PUT", "/w/plan", r#"{"monthly_credits": 1000}"#).await;
        assert_eq!(status, 200);
        api
    }

    async fn raw(&self, method: &str, path: &str, body: &str, key: Option<&str>) -> (u16, String) {
        let headers: Vec<(&str, &str)> = key.into_iter().map(|key| ("idempotency-key", key)).collect();
        let path = format!("/v1/workspaces{path}");
        let response = http::tests::send(&self.0, method, &path, &headers, body).await;
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
