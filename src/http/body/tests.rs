//! What a body may look like, and what is said of each that may not.

use axum::Router;
use axum::body::to_bytes;
use axum::response::IntoResponse;
use axum::routing::post;
use serde_json::{Value, json};

use super::*;
use crate::domain::UserId;
use crate::domain::credits::Credits;
use crate::http::tests::{Closed, api, json_of, send, settings};
use crate::http::value::{self, Amount, Date, Id, Moment, Reason};
use crate::http::{Api, Settings};

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    user: Id<UserId>,
    #[serde(default, deserialize_with = "value::sent")]
    limit: Option<Option<Amount>>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    credits: Amount,
    count: Option<u32>,
    users: Option<Vec<Object<Item>>>,
    reason: Option<Reason>,
    day: Option<Date>,
    at: Option<Moment>,
}

fn fault(text: &str) -> (u16, &'static str, String) {
    let problem = parse::<Sample>(text.as_bytes()).unwrap_err();
    (problem.status().as_u16(), problem.code(), format!("{problem:?}"))
}

#[test]
fn a_body_is_read_exactly() {
    let text = r#"{"credits": 0.000001, "users": [{"user": "ann", "limit": null}, {"user": "bob"}], "day": "2026-11-01"}"#;
    let body: Sample = parse(text.as_bytes()).unwrap();
    assert_eq!(body.credits, Amount(Credits::from_micro(1)));
    let users = body.users.unwrap();
    assert_eq!((users[0].0.limit, users[1].0.limit), (Some(None), None));
    let text = r#"{"credits": 1e3, "at": "2026-11-01T02:00:00+02:00"}"#;
    let body: Sample = parse(text.as_bytes()).unwrap();
    assert_eq!(body.credits, Amount(Credits::whole(1000)));
    assert_eq!(body.at.unwrap().0.to_string(), "2026-11-01T00:00:00Z");
}

#[test]
fn what_is_not_json_is_malformed() {
    for text in [
        "",
        " ",
        "{",
        "{'credits': 1}",
        "{\"credits\": NaN}",
        "{\"credits\": 01}",
        "{\"credits\": 1,}",
        "{\"credits\": 1} {}",
        "{\"credits\": 1, \"credits\": 1}",
        "{\"credits\": 1, \"users\": [{\"user\": \"a\", \"user\": \"b\"}]}",
        "\u{feff}{}",
        &"[".repeat(10_000),
    ] {
        let (status, code, words) = fault(text);
        assert_eq!((status, code), (400, "malformed_json"), "{text:.40} {words}");
    }
    assert_eq!(parse::<Sample>(b"{\"credits\": \"\xff\"}").unwrap_err().code(), "malformed_json");
}

#[test]
fn json_of_another_shape_names_field_and_value() {
    for (text, code, parts) in [
        ("[]", "invalid_field", ["the body", "[]"]),
        ("null", "invalid_field", ["the body", "null"]),
        ("{}", "missing_field", ["the body", "`credits`"]),
        (r#"{"credits": 1, "creditz": 1}"#, "unknown_field", ["creditz", "`credits`"]),
        (r#"{"credits": -1}"#, "invalid_credits", ["credits: must not be below 0", "-1"]),
        (r#"{"credits": "1"}"#, "invalid_credits", ["credits", "\"1\""]),
        (r#"{"credits": null}"#, "invalid_credits", ["credits", "null"]),
        (r#"{"credits": 0.0000001}"#, "invalid_credits", ["6 decimals", "0.0000001"]),
        (r#"{"credits": 8000000000.1}"#, "too_many_credits", ["credits", "8000000000.1"]),
        (r#"{"credits": 1e999}"#, "too_many_credits", ["credits", "1e999"]),
        (r#"{"credits": 1, "count": -1}"#, "invalid_field", ["count", "-1"]),
        (r#"{"credits": 1, "count": 1e999}"#, "invalid_field", ["count", "out of range"]),
        (r#"{"credits": 1, "count": "\ud800"}"#, "invalid_field", ["count", "escape"]),
        (r#"{"credits": 1, "users": [{"user": "a b"}]}"#, "invalid_id", ["users[0].user", "\"a b\""]),
        (r#"{"credits": 1, "users": [{"user": 7}]}"#, "invalid_field", ["users[0].user", "7"]),
        (r#"{"credits": 1, "users": [["ann", 1]]}"#, "invalid_field", ["users[0]", "[\"ann\", 1]"]),
        (r#"{"credits": 1, "users": [{}]}"#, "missing_field", ["users[0]", "`user`"]),
        (
            r#"{"credits": 1, "users": [{"user": "a", "limit": -2}]}"#,
            "invalid_credits",
            ["users[0].limit", "-2"],
        ),
        (r#"{"credits": 1, "day": "2026-02-30"}"#, "invalid_date", ["day", "2026-02-30"]),
        (r#"{"credits": 1, "at": "2026-02-01T00:00:00"}"#, "invalid_time", ["at", "offset"]),
    ] {
        let (status, found, words) = fault(text);
        assert_eq!((status, found), (422, code), "{text} {words}");
        let words = words.replace("\\\"", "\"");
        assert!(parts.iter().all(|part| words.contains(part)), "{parts:?} in {words}");
        assert!(!words.contains(" at line "), "{words}");
    }
    let long = format!(r#"{{"credits": 1, "reason": "{}"}}"#, "x".repeat(501));
    assert_eq!(fault(&long).1, "invalid_field");
    assert!(fault(&long).2.len() < 400, "a value is quoted short");
}

#[test]
fn a_fault_of_the_domains_own_types_has_its_code_too() {
    type Named = HashMap<String, UserId>;
    for (id, code) in
        [("", "invalid_id"), ("..", "invalid_id"), ("a b", "invalid_id"), (&"x".repeat(129), "invalid_id")]
    {
        let problem = parse::<Named>(json!({"user": id}).to_string().as_bytes()).unwrap_err();
        assert_eq!(problem.code(), code, "{id}");
    }
    type Priced = HashMap<String, Credits>;
    for (amount, code) in [
        ("9e9", "too_many_credits"),
        ("1e-7", "invalid_credits"),
        ("true", "invalid_credits"),
        ("{}", "invalid_credits"),
    ] {
        let problem = parse::<Priced>(format!("{{\"credits\": {amount}}}").as_bytes()).unwrap_err();
        assert_eq!(problem.code(), code, "{amount}");
    }
}

async fn echo(body: Body<Value>) -> impl IntoResponse {
    body.bytes
}

fn app(settings: Settings) -> Router {
    Router::new().route("/", post(echo)).with_state(Arc::new(Api { settings, ..api(Closed) }))
}

#[tokio::test]
async fn the_bytes_are_kept_as_they_came() {
    let response = send(&app(settings()), "POST", "/", &[], "{ }").await;
    assert_eq!(to_bytes(response.into_body(), 10).await.unwrap(), "{ }");
}

#[tokio::test]
async fn another_content_type_is_refused() {
    let app = app(settings());
    for (kind, status) in [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("application/merge-patch+json", 200),
        ("text/plain", 415),
        ("text/json+json", 415),
        ("", 415),
    ] {
        let response = send(&app, "POST", "/", &[("content-type", kind)], "{}").await;
        assert_eq!(response.status(), status, "{kind}");
    }
}

#[tokio::test]
async fn a_body_past_the_bound_is_not_read() {
    let app = app(Settings { body_bytes_max: 10, ..settings() });
    assert_eq!(send(&app, "POST", "/", &[], "{\"a\": 123}").await.status(), 200);
    let response = send(&app, "POST", "/", &[], "{\"a\": 1234}").await;
    assert_eq!(response.status(), 413);
    assert_eq!(json_of(response).await["code"], "too_large");
    let response = send(&app, "POST", "/", &[("content-length", "11")], "{}").await;
    assert_eq!(response.status(), 413, "by what was announced");
}
