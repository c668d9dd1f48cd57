//! `tollgate audit` as operators run it: equal, different with the account named, or a sentence why not.

use std::process::Output;

use serde_json::json;

use super::service::{event, publish};
use crate::support::{Api, Installation, redis, rows, until};

fn run(it: &Installation, arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = it.command(arguments).output().unwrap();
    let text = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (status.code(), text)
}

fn audit(it: &Installation) -> (Option<i32>, String) {
    run(it, &["audit", "--workspace", "acme"])
}

/// A field of a hash of Redis is overwritten.
fn plant(it: &Installation, key: &str, field: &str, from: &str) {
    let name = &it.settings.redis.name;
    let keys: Vec<String> = redis(::redis::cmd("KEYS").arg(format!("{name}:*:{key}*")));
    assert_eq!(keys.len(), 1, "{keys:?}");
    let other: Vec<u8> = redis(::redis::cmd("HGET").arg(&keys[0]).arg(from));
    redis::<i64>(::redis::cmd("HSET").arg(&keys[0]).arg(field).arg(other));
}

#[tokio::test]
async fn a_planted_difference_is_found_and_named_and_a_rebuild_mends_it() {
    let it = Installation::new("audit", "[pipeline]\naudit_interval_seconds = 1").await;
    let service = it.serve().await;
    let api = Api::of(&it);
    api.write("PUT", "/v1/workspaces/acme/plan", json!({ "monthly_credits": 40 })).await;
    api.write("PUT", "/v1/workspaces/acme/teams/red", json!({ "monthly_reserve": 10, "apply_now": true }))
        .await;
    api.write("PATCH", "/v1/workspaces/acme/users/user-1", json!({ "team": "red", "limit": 3 })).await;
    api.write("POST", "/v1/workspaces/acme/grants", json!({ "user": "user-2", "credits": 2 })).await;
    let events: Vec<_> = (0..60).map(event).collect();
    publish(&it, &events).await;
    until(&it, "SELECT toString(count()) FROM usage_events", "60").await;
    let reversal = json!({ "event_id": "e2" });
    api.write("POST", "/v1/workspaces/acme/reversals", reversal).await;
    until(&it, "SELECT toString(countIf(reversed_at IS NOT NULL)) FROM usage_events", "1").await;
    let (code, text) = audit(&it);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("acme: equal, "), "{text}");

    // A user's record is another's: used, spent and the day's cells differ.
    plant(&it, "p:acme:", "u:user-3", "u:user-1");
    let (code, text) = audit(&it);
    assert_eq!(code, Some(1), "{text}");
    for part in ["user:user-3", "spent", "usage_events", "ai_chat"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("user:user-4"), "only what differs is told: {text}");
    println!("{text}");
    // The running service tells it too.
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let page = service.get("/metrics").await.unwrap();
        let drift = page.lines().find(|line| line.starts_with("tollgate_drift_credits")).unwrap_or_default();
        if drift.rsplit(' ').next().is_some_and(|value| value.parse::<f64>().is_ok_and(|value| value != 0.0))
        {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{drift:?} {}", it.log());
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let (code, text) = run(&it, &["rebuild", "--workspace", "acme"]);
    assert_eq!(code, Some(0), "{text}");
    println!("{text}");
    assert!(text.contains("acme: epoch 2, ") && text.contains("60 events summed"), "{text}");
    let (code, text) = audit(&it);
    assert_eq!(code, Some(0), "{text}");

    // A row of the rollups is gone, then one of the events.
    rows(&it, "DELETE FROM usage_rollups_raw WHERE user = 'user-5'").await;
    let (code, text) = audit(&it);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("user:user-5"), "{text}");
    run(&it, &["rebuild"]);
    assert_eq!(audit(&it).0, Some(0));
    rows(&it, "DELETE FROM usage_events_raw WHERE id = 'e6'").await;
    let (code, text) = audit(&it);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("user:user-6") && text.contains("pool"), "{text}");
    assert!(service.stop(), "{}", it.log());
    it.remove().await;
}

#[tokio::test]
async fn what_cannot_be_told_is_said_in_a_sentence() {
    let it = Installation::new("audit-away", "").await;
    let (code, text) = audit(&it);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("redis does not know workspace acme"), "{text}");
    let mut command = it.command(&["audit"]);
    let output = command.env("TOLLGATE__REDIS__URL", "redis://127.0.0.1:1/0").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("could not tell"), "{text}");
    let (code, text) = run(&it, &["rebuild", "--workspace", "nobody"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("nobody"), "{text}");
    it.remove().await;
}
