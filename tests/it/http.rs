//! Events over HTTP, in front of the real servers: published once for each key, decided like any other,
//! and by whichever process does which part.

use std::time::Duration;

use tollgate::domain::WorkspaceId;

use crate::support::{Installation, Service};

/// A key, `ingest-key`, by its SHA-256.
const KEYS: &str = r#"
[[auth.keys]]
name = "producer"
sha256 = "facd3991f687d349439575a49727ad88f56fdb0043b36744314bd2e15511c01e"
scopes = ["ingest"]
workspace = "acme"
"#;
const TOKEN: &str = "Authorization: Bearer ingest-key";

fn event(workspace: &str, id: &str) -> String {
    format!(r#"{{"id":"{id}","workspace":"{workspace}","user":"ann","feature":"ai_chat","credits":0.5}}"#)
}

async fn post(service: &Service, more: &[&str], body: &str) -> String {
    let mut head = vec!["POST /v1/events HTTP/1.1", "Content-Type: application/json"];
    head.extend(more);
    service.ask(&head, body).await.unwrap()
}

/// Waits until so many events were decided; without a plan they are denied, and recorded all the same.
async fn decided(installation: &Installation, count: u64) {
    let workspace = WorkspaceId::parse("acme").unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let months = installation.stores.tables.monthly(&workspace).await.unwrap();
        if months.first().is_some_and(|month| month.denied_events == count) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{months:?} {}", installation.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn an_event_over_http_is_published_once_for_each_key_and_decided() {
    let installation = Installation::new("http", KEYS).await;
    let service = installation.serve().await;
    let key = [TOKEN, "Idempotency-Key: k1"];
    for _ in 0..2 {
        let answer = post(&service, &key, &event("acme", "1")).await;
        assert!(answer.starts_with("HTTP/1.1 202") && answer.ends_with(r#"{"accepted":1}"#), "{answer}");
    }
    let other = post(&service, &key, &event("acme", "2")).await;
    assert!(other.starts_with("HTTP/1.1 409") && other.contains("idempotency_conflict"), "{other}");
    let list = format!("[{},{}]", event("acme", "3"), event("acme", "4"));
    assert!(post(&service, &[TOKEN], &list).await.starts_with("HTTP/1.1 202"));

    // What is refused is not published.
    for (head, body, status) in [
        (&[][..], event("acme", "5"), "401"),
        (&[TOKEN], event("globex", "5"), "403"),
        (&[TOKEN], format!("[{},7]", event("acme", "5")), "422"),
        (&[TOKEN], "{".to_owned(), "400"),
    ] {
        let answer = post(&service, head, &body).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    decided(&installation, 3).await;
    let page = service.get("/metrics").await.unwrap();
    assert!(page.contains(r#"tollgate_events_total{outcome="denied"} 3"#), "{page}");
    assert!(!page.contains(r#"outcome="duplicate"} 1"#), "the retry was answered, not published: {page}");
    assert!(service.stop(), "{}", installation.log());
    installation.remove().await;
}

#[tokio::test]
async fn the_parts_of_the_service_run_in_processes_of_their_own() {
    let installation = Installation::new("parts", KEYS).await;
    let api = installation.serve_as(&["serve", "--only", "api"]).await;
    let ready = api.get("/readyz").await.unwrap();
    assert!(ready.contains("redis") && !ready.contains("kafka"), "{ready}");
    assert!(post(&api, &[TOKEN], &event("acme", "1")).await.starts_with("HTTP/1.1 202"));
    assert!(api.stop(), "{}", installation.log());

    let consumer = installation.serve_as(&["serve", "--only", "consumer"]).await;
    assert!(consumer.get("/readyz").await.unwrap().contains("kafka"));
    assert!(consumer.ask(&["GET /v1/rates HTTP/1.1"], "").await.is_none(), "no API here");
    decided(&installation, 1).await;
    assert!(consumer.stop(), "{}", installation.log());
    installation.remove().await;
}

#[tokio::test]
async fn an_open_api_that_others_could_reach_does_not_start() {
    let installation = Installation::new("open", "").await;
    let mut command = installation.command(&["serve"]);
    let output = command.env("TOLLGATE__HTTP__LISTEN", "0.0.0.0:0").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("auth.keys"), "{said}");
    installation.remove().await;
}
