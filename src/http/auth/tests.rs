//! Every route, every scope, own and foreign and all workspaces, no token and a bad one.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::*;
use crate::http::body::hex;
use crate::http::route::{Access, Personal, Spec};
use crate::http::tests::{Closed, api, json_of, send};
use crate::http::{Api, router, routes};

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

fn app(keys: Vec<Value>) -> Router {
    let settings = serde_json::from_value(json!({"keys": keys, "oidc": oidc_off()})).unwrap();
    router(Arc::new(Api { auth: Auth::new(&settings).unwrap(), ..api(Closed) }))
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
    for route in routes() {
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
    assert!(asked >= 2 * 12, "{asked}");
}

#[tokio::test]
async fn a_key_of_one_user_reaches_only_what_is_declared_so() {
    let scopes = ["read", "admin", "check", "ingest"];
    let app = app(vec![key("ann", &scopes, "acme", Some("ann")), key("bob", &scopes, "acme", Some("bob"))]);
    for route in routes() {
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
    for route in routes() {
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
