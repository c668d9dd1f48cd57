//! Every route, every scope, own and foreign and all workspaces, no token and a bad one.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::*;
use crate::http::body::hex;
use crate::http::ids::{Ids, Query};
use crate::http::route::{Access, Personal, Route, Routes, Spec, get, patch, post, put};
use crate::http::tests::{Closed, api, json_of, send};
use crate::http::{Api, router_of, routes};

/// No provider.
pub fn oidc_off() -> Value {
    json!({"issuer": "", "audience": "", "jwks_url": "", "jwks_file": "",
           "jwks_refetch_s_min": 30, "jwks_age_s_max": 3600, "jwks_timeout_ms": 5000, "leeway_s": 30})
}

fn key(name: &str, scopes: &[&str], workspace: &str, user: Option<&str>) -> Value {
    let mut key =
        json!({"name": name, "sha256": hex(&Sha256::digest(name)), "scopes": scopes, "workspace": workspace});
    if let Some(user) = user {
        key["user"] = json!(user);
    }
    key
}

#[derive(serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct OfUser {
    user: Option<String>,
}

/// One route of each kind, so that the matrix does not depend on what is served at the moment.
fn samples() -> Vec<Route> {
    async fn of_workspace(_: Ids<WorkspaceId>) {}
    async fn of_user(_: Ids<(WorkspaceId, UserId)>) {}
    async fn of_query(_: Ids<WorkspaceId>, Query(of): Query<OfUser>) -> String {
        of.user.unwrap_or_default()
    }
    let needs = Access::Needs;
    let samples = Routes::of("samples")
        .add(get("/v1/samples/{workspace}", needs(Scope::Read)), of_workspace)
        .add(put("/v1/samples/{workspace}", needs(Scope::Admin)).keyed(), of_workspace)
        .add(
            get("/v1/samples/{workspace}/users/{user}", needs(Scope::Read)).personal(Personal::Path),
            of_user,
        )
        .add(patch("/v1/samples/{workspace}/users/{user}", needs(Scope::Admin)).keyed(), of_user)
        .add(
            get("/v1/samples/{workspace}/usage", needs(Scope::Read))
                .personal(Personal::Query)
                .query::<OfUser>(),
            of_query,
        )
        .add(
            post("/v1/samples/{workspace}/holds", needs(Scope::Check)).personal(Personal::Handler),
            of_workspace,
        );
    samples.list
}

fn every_route() -> Vec<Route> {
    routes().into_iter().chain(samples()).collect()
}

fn app(keys: Vec<Value>) -> Router {
    let settings = serde_json::from_value(json!({"keys": keys, "oidc": oidc_off()})).unwrap();
    let api = Api { auth: Auth::new(&settings).unwrap(), ..api(Closed) };
    router_of(Arc::new(api), every_route())
}

/// A path of the route in workspace `acme`, about user `ann`.
fn path_of(spec: &Spec) -> String {
    let mut path = spec.path.replace("{workspace}", "acme").replace("{user}", "ann");
    while let (Some(start), Some(end)) = (path.find('{'), path.find('}')) {
        path.replace_range(start..=end, "x");
    }
    if spec.personal == Personal::Query { format!("{path}?user=ann") } else { path }
}

/// Sent without a body: what passes the guard fails later, and never with 401 or 403.
async fn status(app: &Router, spec: &Spec, token: Option<&str>) -> u16 {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    send(app, spec.method.as_str(), &path_of(spec), &headers, "").await.status().as_u16()
}

fn is_let_in(status: u16) -> bool {
    status != 401 && status != 403
}

#[tokio::test]
async fn the_whole_matrix_of_routes_scopes_and_workspaces() {
    let mut keys = Vec::new();
    for workspace in ["acme", "globex", "*"] {
        for scope in Scope::ALL {
            keys.push(key(&format!("{}-{workspace}", scope.as_str()), &[scope.as_str()], workspace, None));
        }
    }
    let app = app(keys);
    let mut asked = 0;
    for route in every_route() {
        let spec = route.spec;
        let Access::Needs(needed) = spec.access else {
            assert!(is_let_in(status(&app, &spec, None).await), "{} is public", spec.path);
            continue;
        };
        for token in [None, Some("nobody"), Some("")] {
            assert_eq!(status(&app, &spec, token).await, 401, "{} {} {token:?}", spec.method, spec.path);
        }
        for workspace in ["acme", "globex", "*"] {
            for scope in Scope::ALL {
                let covered = scope == needed || (needed, scope) == (Scope::Read, Scope::Admin);
                let here = workspace != "globex" || !spec.path.contains("{workspace}");
                let token = format!("{}-{workspace}", scope.as_str());
                let found = status(&app, &spec, Some(&token)).await;
                let expected = covered && here;
                assert_eq!(is_let_in(found), expected, "{} {} with {token}: {found}", spec.method, spec.path);
                assert!(expected || found == 403, "{} {} with {token}: {found}", spec.method, spec.path);
                asked += 1;
            }
        }
    }
    assert!(asked >= 8 * 12, "{asked}");
}

#[tokio::test]
async fn a_key_of_one_user_reaches_only_what_is_declared_so() {
    let scopes = ["read", "admin", "check", "ingest"];
    let app = app(vec![key("ann", &scopes, "acme", Some("ann")), key("bob", &scopes, "acme", Some("bob"))]);
    for route in every_route() {
        let spec = route.spec;
        let (own, foreign) = (status(&app, &spec, Some("ann")).await, status(&app, &spec, Some("bob")).await);
        let expected = match (spec.access, spec.personal) {
            (Access::Public, _) | (_, Personal::Handler) => (true, true),
            (_, Personal::No) => (false, false),
            (_, Personal::Path | Personal::Query) => (true, false),
        };
        assert_eq!((is_let_in(own), is_let_in(foreign)), expected, "{} {}", spec.method, spec.path);
    }
}

#[test]
fn every_get_needs_read_and_no_write_does() {
    for route in every_route() {
        let spec = route.spec;
        let Access::Needs(scope) = spec.access else {
            assert_eq!(spec.method, Method::GET, "{} is public", spec.path);
            continue;
        };
        // Holds are listed by whoever makes them.
        let may_read = spec.method == Method::GET;
        assert_eq!(scope == Scope::Read, may_read, "{} {}", spec.method, spec.path);
        let personal_write = spec.personal != Personal::No && !may_read;
        assert!(!personal_write || matches!(scope, Scope::Check | Scope::Ingest), "{}", spec.path);
    }
}

#[tokio::test]
async fn a_key_of_one_user_may_not_leave_the_user_out() {
    let app = app(vec![key("ann", &["read"], "acme", Some("ann")), key("all", &["read"], "acme", None)]);
    for (path, own, whole) in [
        ("/v1/samples/acme/usage", 403, 200),
        ("/v1/samples/acme/usage?user=bob", 403, 200),
        ("/v1/samples/acme/usage?user=ann", 200, 200),
        ("/v1/samples/acme/usage?user=ann&user=bob", 403, 422),
        ("/v1/samples/acme/usage?user=ann&x=1", 403, 422),
        ("/v1/samples/globex/usage?user=ann", 403, 403),
        ("/v1/samples/acme/users/%61nn", 200, 200),
        ("/v1/samples/acme/users/ann%2F", 403, 422),
    ] {
        for (token, expected) in [("Bearer ann", own), ("Bearer all", whole)] {
            let found = send(&app, "GET", path, &[("authorization", token)], "").await;
            assert_eq!(found.status(), expected, "{path} {token}");
        }
    }
}

#[tokio::test]
async fn a_path_that_is_no_text_or_no_id_is_a_problem_after_the_token() {
    let app = app(vec![key("one", &["read"], "acme", None), key("all", &["read"], "*", None)]);
    for path in
        ["/v1/samples/%ff", "/v1/samples/a%20b", "/v1/samples/a%2Fb", "/v1/samples/%2E%2E", "/v1/samples/%00"]
    {
        for (token, expected) in [("", 401), ("Bearer one", 403), ("Bearer all", 422)] {
            let headers = [("authorization", token)];
            let headers = if token.is_empty() { &[][..] } else { &headers };
            let response = send(&app, "GET", path, headers, "").await;
            assert_eq!(response.status(), expected, "{path} {token}");
            assert_eq!(response.headers()["content-type"], "application/problem+json");
            let code = json_of(response).await["code"].clone();
            assert!(expected != 422 || code == "invalid_id", "{path} {code}");
        }
    }
    let long = format!("/v1/samples/{}", "x".repeat(129));
    let response = send(&app, "GET", &long, &[("authorization", "Bearer all")], "").await;
    assert_eq!(json_of(response).await["code"], "invalid_id");
}

#[tokio::test]
async fn what_is_said_of_a_token_depends_only_on_whether_there_is_one() {
    let app = app(vec![key("t", &["read"], "acme", None)]);
    let mut details = Vec::new();
    for value in ["Bearer x", "Basic dDp0", "Bearer", "t", "Bearer a.b.c"] {
        let response = send(&app, "GET", "/v1/rates", &[("authorization", value)], "").await;
        assert_eq!(response.status(), 401, "{value}");
        assert_eq!(response.headers()["www-authenticate"], "Bearer error=\"invalid_token\"");
        details.push(json_of(response).await["detail"].clone());
    }
    details.dedup();
    assert_eq!(details.len(), 1);
    let response = send(&app, "GET", "/v1/rates", &[], "").await;
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
    for value in ["Bearer t", "bearer t", "BEARER  t"] {
        let response = send(&app, "GET", "/v1/rates", &[("authorization", value)], "").await;
        assert_eq!(response.status(), 200, "{value}");
    }
}

#[test]
fn an_open_api_listens_to_this_machine_only() {
    let open = Auth::new(&serde_json::from_value(json!({"keys": [], "oidc": oidc_off()})).unwrap()).unwrap();
    for (address, fits) in [
        ("127.0.0.1:8080", true),
        ("127.9.9.9:1", true),
        ("[::1]:8080", true),
        ("[::ffff:127.0.0.1]:1", true),
        ("0.0.0.0:8080", false),
        ("[::]:8080", false),
        ("10.0.0.7:8080", false),
    ] {
        let found = open.check_listen(address.parse::<SocketAddr>().unwrap());
        assert_eq!(found.is_ok(), fits, "{address}");
    }
    let keys = json!({"keys": [key("t", &["read"], "*", None)], "oidc": oidc_off()});
    let closed = Auth::new(&serde_json::from_value(keys).unwrap()).unwrap();
    assert!(!closed.is_open() && closed.check_listen("0.0.0.0:8080".parse().unwrap()).is_ok());
}
