//! Events over HTTP: every encoding, every way to be refused, and the answer of a retry.

use std::collections::HashMap;
use std::sync::Mutex;

use axum::Router;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::*;
use crate::http::auth::Auth;
use crate::http::tests::{Closed, api, json_of, send};

/// Kafka and Redis in memory.
#[derive(Default)]
pub struct Memory {
    published: Mutex<Vec<(String, Vec<u8>)>>,
    answers: Mutex<HashMap<String, Claim>>,
    away: Mutex<bool>,
}

impl Memory {
    fn ids(&self) -> Vec<String> {
        let id = |(_, payload): &(String, Vec<u8>)| {
            serde_json::from_slice::<Value>(payload).unwrap()["id"].as_str().unwrap().to_owned()
        };
        self.published.lock().unwrap().iter().map(id).collect()
    }
}

impl Intake for Memory {
    fn publish(&self, events: Vec<(WorkspaceId, Vec<u8>)>) -> BoxFuture<'_, Result<(), Trouble>> {
        Box::pin(async move {
            if *self.away.lock().unwrap() {
                return Err(Trouble::Away("kafka".to_owned()));
            }
            let events = events.into_iter().map(|(workspace, payload)| (workspace.to_string(), payload));
            self.published.lock().unwrap().extend(events);
            Ok(())
        })
    }

    fn claim<'a>(&'a self, place: &'a str, request: &'a str) -> BoxFuture<'a, Result<Claim, Trouble>> {
        Box::pin(async move {
            let mut answers = self.answers.lock().unwrap();
            let running = Claim::Running(request.to_owned());
            Ok(answers.get(place).cloned().unwrap_or_else(|| {
                answers.insert(place.to_owned(), running);
                Claim::Ours
            }))
        })
    }

    fn remember<'a>(&'a self, place: &'a str, answer: &'a Remembered) -> BoxFuture<'a, Result<(), Trouble>> {
        self.answers.lock().unwrap().insert(place.to_owned(), Claim::Answered(answer.clone()));
        Box::pin(async { Ok(()) })
    }

    fn release<'a>(&'a self, place: &'a str) -> BoxFuture<'a, Result<(), Trouble>> {
        self.answers.lock().unwrap().remove(place);
        Box::pin(async { Ok(()) })
    }
}

fn app() -> (Router, Arc<Memory>) {
    let memory = Arc::new(Memory::default());
    let api = Api { intake: memory.clone(), ..api(Closed) };
    (crate::http::router(Arc::new(api)), memory)
}

fn event(id: &str) -> Value {
    json!({"id": id, "workspace": "acme", "user": "ann", "feature": "ai_chat", "credits": 1})
}

fn cloud(id: &str) -> Value {
    json!({"specversion": "1.0", "type": "ai.usage", "id": id, "source": "s",
           "data": {"workspace": "acme", "user": "ann", "feature": "ai_chat", "credits": 1}})
}

async fn post(app: &Router, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
    let response = send(app, "POST", "/v1/events", headers, body).await;
    (response.status().as_u16(), json_of(response).await)
}

#[tokio::test]
async fn every_encoding_is_published_as_it_came() {
    let (app, memory) = app();
    let structured = [("content-type", "application/cloudevents+json; charset=utf-8")];
    let batch = [("content-type", "application/cloudevents-batch+json")];
    let binary =
        [("ce-specversion", "1.0"), ("ce-type", "ai.usage"), ("ce-id", "e%20%C3%A9"), ("ce-source", "s")];
    let data = cloud("x")["data"].to_string();
    for (headers, body, accepted) in [
        (&[][..], event("a").to_string(), 1),
        (&[], json!([event("b"), cloud("c")]).to_string(), 2),
        (&structured, cloud("d").to_string(), 1),
        (&batch, json!([cloud("e"), cloud("f")]).to_string(), 2),
        (&binary, data, 1),
    ] {
        assert_eq!(post(&app, headers, &body).await, (202, json!({"accepted": accepted})), "{body}");
    }
    assert_eq!(memory.ids(), ["a", "b", "c", "d", "e", "f", "e é"]);
    assert!(memory.published.lock().unwrap().iter().all(|(workspace, _)| workspace == "acme"));
    let exact =
        format!(" {} ", r#"{"id":"z", "workspace":"acme","user":"ann","feature":"f","credits":0.10}"#);
    post(&app, &[], &exact).await;
    assert_eq!(memory.published.lock().unwrap().last().unwrap().1, exact.trim().as_bytes(), "to the byte");
}

#[tokio::test]
async fn one_broken_event_keeps_all_from_being_published() {
    let (app, memory) = app();
    let mut broken = event("b");
    broken["credits"] = json!(-1);
    let (status, body) = post(&app, &[], &json!([event("a"), broken, event("c")]).to_string()).await;
    assert_eq!((status, &body["code"], &body["index"]), (422, &json!("invalid_event"), &json!(1)));
    assert_eq!(body["reason"], "invalid_credits");
    assert!(body["detail"].as_str().unwrap().contains("credits"), "{body}");
    let mut own = event("a");
    own["source"] = json!("tollgate:holds");
    let (status, body) = post(&app, &[], &own.to_string()).await;
    assert_eq!((status, &body["reason"], &body["index"]), (422, &json!("invalid_field"), &json!(0)));
    assert_eq!(memory.ids(), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_no_list_of_events_is_refused_by_its_kind() {
    let (app, memory) = app();
    let many = json!((0..1001).map(|at| event(&at.to_string())).collect::<Vec<_>>()).to_string();
    let deep = format!("{}{}", "[".repeat(70), "]".repeat(70));
    let structured = [("content-type", "application/cloudevents+json")];
    let batch = [("content-type", "application/cloudevents-batch+json")];
    for (headers, body, status, code) in [
        (&[][..], "", 415, "unsupported_media_type"),
        (&[("content-type", "text/csv")], "a,b", 415, "unsupported_media_type"),
        (&[("content-type", "application/vnd.acme+json")], "{}", 415, "unsupported_media_type"),
        (&[], "{", 400, "malformed_json"),
        (&[], "[{]", 400, "malformed_json"),
        (&[], "[1,]", 400, "malformed_json"),
        (&[], r#"{"id": "a", "id": "b"}"#, 400, "malformed_json"),
        (&[], "[]", 422, "invalid_events"),
        (&[], &many, 422, "invalid_events"),
        (&[], "7", 422, "invalid_event"),
        (&[], "[7]", 422, "invalid_event"),
        (&[], &deep, 422, "invalid_event"),
        (&[], r#"[{"id": "a", "id": "b"}]"#, 422, "invalid_event"),
        (&structured, "[]", 422, "invalid_events"),
        (&batch, "{}", 422, "invalid_events"),
        (&structured, &event("a").to_string(), 422, "invalid_event"),
        (&[("ce-id", "a"), ("ce-id", "b")], "{}", 422, "invalid_event"),
        (&[("ce-id", "%ff")], "{}", 422, "invalid_event"),
        (&[("ce-id", "a")], "{", 400, "malformed_json"),
    ] {
        let (found, answer) = post(&app, headers, body).await;
        assert_eq!((found, &answer["code"]), (status, &json!(code)), "{body:.60} {answer}");
    }
    assert_eq!(memory.ids(), Vec::<String>::new());
}

fn auth(user: Option<&str>) -> Auth {
    let user = user.map_or(Value::Null, |user| json!(user));
    let keys = json!({"keys": [{"name": "ci", "sha256": hex(&Sha256::digest("t")), "scopes": ["ingest"],
                      "workspace": "acme", "user": user}], "oidc": crate::http::auth::tests::oidc_off()});
    Auth::new(&serde_json::from_value(keys).unwrap()).unwrap()
}

#[tokio::test]
async fn a_foreign_workspace_or_user_is_forbidden_whatever_else_is_wrong() {
    let mut foreign = event("b");
    foreign["workspace"] = json!("globex");
    let mut bob = event("c");
    bob["user"] = json!("bob");
    for (user, body, status) in [
        (None, json!([event("a"), foreign]), 403),
        (None, json!([{"id": 1}, foreign]), 403),
        (None, json!([bob]), 202),
        (Some("ann"), json!([event("a"), bob]), 403),
        (Some("ann"), json!([event("a")]), 202),
    ] {
        let memory = Arc::new(Memory::default());
        let api = Api { intake: memory.clone(), auth: auth(user), ..api(Closed) };
        let app = crate::http::router(Arc::new(api));
        let (found, answer) = post(&app, &[("authorization", "Bearer t")], &body.to_string()).await;
        assert_eq!(found, status, "{body} {answer}");
        assert_eq!(memory.ids().is_empty(), status == 403);
    }
}

#[tokio::test]
async fn a_retry_under_the_same_key_is_answered_and_not_published_again() {
    let (app, memory) = app();
    let key = [("idempotency-key", "k1")];
    let body = event("a").to_string();
    for _ in 0..2 {
        assert_eq!(post(&app, &key, &body).await, (202, json!({"accepted": 1})));
    }
    let (status, answer) = post(&app, &key, &event("b").to_string()).await;
    assert_eq!((status, &answer["code"]), (409, &json!("idempotency_conflict")));
    assert_eq!(post(&app, &[("idempotency-key", "k2")], &event("b").to_string()).await.0, 202);
    assert_eq!(memory.ids(), ["a", "b"]);
    assert_eq!(post(&app, &[("idempotency-key", "")], &body).await.1["code"], "invalid_idempotency_key");
}

#[tokio::test]
async fn two_binary_events_of_one_body_are_not_the_same_request() {
    let (app, memory) = app();
    let data = cloud("x")["data"].to_string();
    let binary = |id| {
        let kind = [("ce-specversion", "1.0"), ("ce-type", "ai.usage"), ("ce-source", "s")];
        kind.into_iter().chain([("ce-id", id), ("idempotency-key", "k1")]).collect::<Vec<_>>()
    };
    for (id, status) in [("a", 202), ("a", 202), ("b", 409)] {
        assert_eq!(post(&app, &binary(id), &data).await.0, status, "{id}");
    }
    assert_eq!(memory.ids(), ["a"]);
}

#[tokio::test]
async fn a_failure_is_503_and_leaves_the_key_free() {
    let (app, memory) = app();
    let key = [("idempotency-key", "k1")];
    *memory.away.lock().unwrap() = true;
    let (status, answer) = post(&app, &key, &event("a").to_string()).await;
    assert_eq!((status, &answer["code"]), (503, &json!("unavailable")));
    *memory.away.lock().unwrap() = false;
    assert_eq!(post(&app, &key, &event("a").to_string()).await.0, 202);
    assert_eq!(memory.ids(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn of_two_at_once_the_second_waits_for_the_first() {
    let (app, memory) = app();
    let key = [("idempotency-key", "k1")];
    let body = event("a").to_string();
    // The first has claimed the key, and is answered while the second waits.
    let sent = read::events(
        &[(header::CONTENT_TYPE, "application/json".parse().unwrap())].into_iter().collect(),
        body.as_bytes(),
    );
    let request = digest_of(&sent.unwrap());
    let place = hex(&Sha256::digest("local\nPOST\n/v1/events\nk1"));
    assert_eq!(memory.claim(&place, &request).await.unwrap(), Claim::Ours);
    let first = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(memory.ids(), Vec::<String>::new(), "nothing before the first is answered");
        let answer =
            Remembered { request: request.clone(), status: 202, body: "{\"accepted\":9}".to_owned() };
        memory.remember(&place, &answer).await.unwrap();
    };
    let (second, ()) = tokio::join!(post(&app, &key, &body), first);
    assert_eq!(second, (202, json!({"accepted": 9})));
    assert_eq!(memory.ids(), Vec::<String>::new());
}
