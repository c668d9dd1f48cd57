//! Every write, sent once, twice and fifty times at once under one idempotency key: applied once, one
//! entry in the ledger, and always the same answer.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{Answer, Api, Installation};

/// Method, path, body, and a kind of entry with the count that the ledger then has of it.
type Sent = (&'static str, &'static str, Value, Option<(&'static str, usize)>);

/// What is sent, and how many entries of which kind the ledger then has of it.
fn writes() -> Vec<Sent> {
    vec![
        ("PUT", "/plan", json!({"monthly_credits": 2000}), Some(("plan", 2))),
        (
            "PATCH",
            "/users/ann",
            json!({"limit": 100, "team": "t", "monthly_allocation": 5}),
            Some(("user", 1)),
        ),
        (
            "PATCH",
            "/users",
            json!({"users": [{"user": "bob", "limit": 7}, {"user": "cy", "limit": "none"}]}),
            Some(("users", 1)),
        ),
        ("PUT", "/teams/t", json!({"monthly_reserve": 10, "apply_now": true}), Some(("team", 1))),
        ("PUT", "/features/ai_chat", json!({"limit": 500}), Some(("feature", 1))),
        ("POST", "/top-ups", json!({"credits": 3.5}), Some(("top_up", 1))),
        (
            "POST",
            "/transfers",
            json!({"from": "pool", "to": "user:bob", "credits": 2}),
            Some(("transfer", 1)),
        ),
        ("POST", "/grants", json!({"user": "ann", "credits": 4}), Some(("grant", 1))),
        ("POST", "/grants", json!({"user": "ann", "credits": 4000}), Some(("grant", 1))), // refused: 409, remembered
        ("POST", "/reversals", json!({"event_id": "spent"}), Some(("reversal", 1))),
        ("POST", "/reversals", json!({"event_id": "nobody-knows"}), Some(("reversal", 1))), // 404, remembered
        ("POST", "/holds", json!({"user": "ann", "feature": "ai_chat", "credits": 1}), None),
        ("POST", "/holds", json!({"user": "ann", "feature": "ai_chat", "credits": 10_000}), None), // 402
        ("POST", "/holds/h1/settle", json!({"credits": 2}), None),
        ("POST", "/holds/unknown/settle", json!({"credits": 2}), None), // 404
        ("DELETE", "/holds/h2", Value::Null, None),
    ]
}

async fn send(api: &Api, method: &str, path: &str, key: &str, body: &Value) -> Answer {
    let body = Some(body).filter(|body| !body.is_null());
    api.send(method, &format!("/v1/workspaces/acme{path}"), &[("Idempotency-Key", key)], body).await
}

#[tokio::test]
async fn a_write_is_applied_once_and_answered_alike_however_often_it_is_sent() {
    let installation = Installation::new("again", "").await;
    let service = installation.serve().await;
    let api = Api::of(&installation);
    api.write("PUT", "/v1/workspaces/acme/plan", json!({"monthly_credits": 1000})).await;
    let event =
        json!({"id": "spent", "workspace": "acme", "user": "ann", "feature": "ai_chat", "credits": 6});
    api.write("POST", "/v1/events", event).await;
    api.until("/v1/workspaces/acme/events", "the event is decided", |list| {
        list["items"].as_array().is_some_and(|items| items.len() == 1)
    })
    .await;
    for hold in ["h1", "h2"] {
        let hold = json!({"user": "ann", "feature": "ai_chat", "credits": 1, "id": hold});
        api.write("POST", "/v1/workspaces/acme/holds", hold).await;
    }

    for (at, (method, path, body, entries)) in writes().into_iter().enumerate() {
        let key = format!("key-{at}");
        let first = send(&api, method, path, &key, &body).await;
        assert!(first.status < 410, "{method} {path}: {} {}", first.status, first.text);
        let second = send(&api, method, path, &key, &body).await;
        assert_eq!(second, first, "{method} {path}: twice");
        let many = join_all((0..50).map(|_| send(&api, method, path, &key, &body))).await;
        assert!(many.iter().all(|answer| *answer == first), "{method} {path}: fifty times");
        // Fifty at once under a key that nobody used before: one is applied.
        if let Some((kind, _)) = entries.filter(|_| first.status < 300 && kind_is_repeatable(path)) {
            let fresh_key = format!("{key}-fresh");
            let fresh = join_all((0..50).map(|_| send(&api, method, path, &fresh_key, &body))).await;
            assert!(fresh.iter().all(|answer| *answer == fresh[0]), "{method} {path}: fifty fresh");
            assert_eq!(fresh[0].status, first.status, "{}", fresh[0].text);
            assert_eq!(count(&api, kind).await, entries.unwrap().1 + 1, "{kind}");
        } else if let Some((kind, expected)) = entries {
            let already_fresh = usize::from(kind == "grant");
            assert_eq!(count(&api, kind).await, expected + already_fresh, "{kind}");
        }
        let other = json!({"credits": 1, "reason": "another body"});
        let conflict = send(&api, method, path, &key, &other).await;
        if !body.is_null() && conflict.status != 422 {
            assert_eq!(
                (conflict.status, conflict.json["code"].as_str()),
                (409, Some("idempotency_conflict")),
                "{path}"
            );
        }
    }
    assert!(service.stop(), "{}", installation.log());
    installation.remove().await;
}

/// A reversal is made once, under whichever key.
fn kind_is_repeatable(path: &str) -> bool {
    path != "/reversals"
}

/// Entries of a kind, once the ledger's table shows them.
async fn count(api: &Api, kind: &str) -> usize {
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    let list = api.get(&format!("/v1/workspaces/acme/ledger?kind={kind}")).await;
    list["items"].as_array().unwrap().len()
}
