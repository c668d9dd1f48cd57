//! What is served over HTTP: the API, and the operators' page ([`ops`]). It sees no store, only the
//! traits of [`crate::domain::ports`].
//!
//! A request's way: `front` (id, log, bounds) > `guard` (who, may they) > the handler of one resource,
//! which reads it by `ids`, `body`, `idempotency` and `page`, and answers JSON or a `problem`.
//! A resource is a file with `routes()`, which declares each route before its handler (`route`).

pub mod answer;
pub mod auth;
pub mod body;
mod checks;
mod credits;
mod desk;
mod events;
mod features;
mod front;
mod guard;
mod holds;
pub mod idempotency;
pub mod ids;
mod limit;
pub mod openapi;
pub mod ops;
pub mod page;
mod plan;
pub mod problem;
mod rates;
mod reports;
mod reversals;
pub mod route;
mod schema;
mod teams;
mod users;
pub mod value;
mod workspaces;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use serde::Deserialize;

use self::auth::Auth;
use self::front::Front;
use self::guard::Guard;
use self::problem::Problem;
use self::route::{Access, Route, Routes, Spec};
use crate::domain::event::DecodeRules;
use crate::domain::ports::{Intake, Office};
use crate::domain::reports::Reports;

/// The section `[http]`.
#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    /// Address of the API and the console.
    pub listen: SocketAddr,
    /// Longest that the head of a request may take to come, and an idle connection stays.
    pub head_timeout_ms: u64,
    /// Longest that a request may take to be answered.
    pub request_timeout_ms: u64,
    /// Requests that may run at once; others are turned away.
    pub requests_in_flight_max: usize,
    /// Largest body.
    pub body_bytes_max: usize,
    /// After how long a client that was turned away may come again.
    pub retry_after_s: u64,
}

/// What the handlers answer from.
pub struct Api {
    /// Changes, holds, checks and balances.
    pub office: Arc<dyn Office>,
    /// What was recorded.
    pub reports: Arc<dyn Reports>,
    /// Where events go.
    pub intake: Arc<dyn Intake>,
    /// What events are judged by; holds the rate card.
    pub rules: DecodeRules,
    /// Who may call.
    pub auth: Auth,
    /// Bounds.
    pub settings: Settings,
}

/// Every route, each declared with who may call it.
fn routes() -> Vec<Route> {
    let resources = [
        workspaces::routes(),
        plan::routes(),
        users::routes(),
        teams::routes(),
        features::routes(),
        credits::routes(),
        reversals::routes(),
        checks::routes(),
        holds::routes(),
        events::routes(),
        reports::routes(),
        rates::routes(),
        document_routes(),
    ];
    resources.into_iter().flat_map(|resource| resource.list).collect()
}

fn document_routes() -> Routes {
    let spec = route::get("/openapi.json", Access::Public).says("This document");
    let document = async || {
        // Made anew at each request: hardly anybody asks, and nothing has to be kept in step.
        let all = routes();
        ([(header::CONTENT_TYPE, "application/json")], openapi::printed(&openapi::document(all.iter())))
    };
    Routes::of("documentation").add(spec.gives::<openapi::Served>(200, "OpenAPI 3.1"), document)
}

/// The API. A path or method that is not declared is a problem too.
pub fn router(api: Arc<Api>) -> Router {
    router_of(api, routes())
}

fn router_of(api: Arc<Api>, routes: Vec<Route>) -> Router {
    let mut router = Router::new();
    for Route { spec, handler, .. } in routes {
        let Spec { path, .. } = spec;
        let guard = Guard { api: Arc::clone(&api), spec: Arc::new(spec) };
        router = router.route(path, handler.layer(from_fn_with_state(guard, guard::guard)));
    }
    let front = Front::new(&api.settings);
    router
        .fallback(async || {
            Problem::unknown("unknown_route", "there is nothing at this path: see /openapi.json")
        })
        .method_not_allowed_fallback(async || {
            let detail = "this path does not have this method: see Allow and /openapi.json";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
        })
        .layer(from_fn_with_state(front, front::front))
        .with_state(api)
}

#[cfg(test)]
pub(crate) mod tests;
