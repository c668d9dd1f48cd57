//! The operators' page: `/livez`, `/readyz` and `/metrics`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use futures::future::BoxFuture;
use metrics_exporter_prometheus::PrometheusHandle;

/// A dependency that does not answer within this is not ready.
const PROBE_DEADLINE: Duration = Duration::from_secs(2);

type Ask = dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync;

/// Asks one dependency whether it is there; the error is a sentence for the operator.
#[derive(Clone)]
pub struct Probe {
    name: &'static str,
    ask: Arc<Ask>,
}

impl Probe {
    /// A probe of that name.
    pub fn new(
        name: &'static str,
        ask: impl Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
    ) -> Self {
        Self { name, ask: Arc::new(ask) }
    }

    async fn answer(&self) -> String {
        match tokio::time::timeout(PROBE_DEADLINE, (self.ask)()).await {
            Ok(Ok(())) => "ok".to_owned(),
            Ok(Err(fault)) => fault,
            Err(_) => format!("no answer within {} s", PROBE_DEADLINE.as_secs()),
        }
    }
}

#[derive(Clone)]
struct Page {
    metrics: PrometheusHandle,
    probes: Vec<Probe>,
}

/// The routes.
pub fn router(metrics: PrometheusHandle, probes: Vec<Probe>) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(async |State(page): State<Page>| page.metrics.render()))
        .with_state(Page { metrics, probes })
}

/// 200 when every dependency is there, else 503; the body says which are.
async fn readyz(State(page): State<Page>) -> Response {
    let mut answers = BTreeMap::new();
    for probe in &page.probes {
        answers.insert(probe.name, probe.answer().await);
    }
    let ready = answers.values().all(|answer| answer == "ok");
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(answers)).into_response()
}
