//! The running service: it notices by itself that Redis lost something, rebuilds, and goes on.

use std::time::Duration;

use serde_json::json;
use tollgate::domain::WorkspaceId;
use tollgate::kafka::Message;

use crate::support::{Api, Installation, Service, forget, redis, rows, until};

pub fn event(id: usize) -> Message {
    let user = format!("user-{}", id % 7);
    let payload = format!(
        r#"{{"id":"e{id}","workspace":"acme","user":"{user}","feature":"ai_chat","credits":1,"time":"{}"}}"#,
        tollgate::pipeline::decide::now()
    );
    Message { key: Some("acme".into()), payload: Some(payload.into_bytes()), headers: Vec::new() }
}

pub async fn publish(it: &Installation, events: &[Message]) {
    it.stores.producer.publish(&it.settings.kafka.topics.events, events).await.unwrap();
}

async fn metric(service: &Service, name: &str) -> f64 {
    let page = service.get("/metrics").await.unwrap();
    let line = page.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).unwrap_or(0.0)
}

/// Redis loses everything that names the workspace.
pub fn lose(it: &Installation, workspace: &str) {
    use tollgate::domain::ports::Outbox as _;
    let name = &it.settings.redis.name;
    let shard = it.stores.ledger.shard_of(&WorkspaceId::parse(workspace).unwrap());
    redis::<i64>(::redis::cmd("HDEL").arg(format!("{name}:{{s{shard:02}}}:heads")).arg(workspace));
    let keys: Vec<String> = redis(::redis::cmd("KEYS").arg(format!("{name}:*:{workspace}*")));
    if !keys.is_empty() {
        redis::<i64>(::redis::cmd("DEL").arg(keys));
    }
}

/// What Redis and the tables say was used, and that both say the same.
async fn used(it: &Installation, api: &Api) -> i64 {
    let shown = api.get("/v1/workspaces/acme").await;
    let sums = "SELECT toString(toInt64(sum(drawn_pool))), toString(toInt64(sumIf(credits, outcome = 'allowed'))) \
                FROM usage_events";
    let used = shown["used"].as_i64().unwrap();
    assert_eq!(rows(it, sums).await, format!("{used}\t{used}"), "{shown:#}");
    let rollups = "SELECT toString(toInt64(sum(credits))) FROM usage_rollups";
    until(it, rollups, &used.to_string()).await;
    used
}

#[tokio::test]
async fn keys_that_vanish_in_mid_load_are_noticed_and_nothing_is_allowed_wrongly() {
    let it = Installation::new("rebuild-load", "").await;
    let service = it.serve().await;
    let api = Api::of(&it);
    api.write("PUT", "/v1/workspaces/acme/plan", json!({ "monthly_credits": 1500 })).await;
    let events: Vec<Message> = (0..2400).map(event).collect();
    for (n, chunk) in events.chunks(100).enumerate() {
        publish(&it, chunk).await;
        if n == 8 || n == 16 {
            lose(&it, "acme");
        }
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while n == 15 && metric(&service, "tollgate_rebuilds_total").await < 1.0 {
            assert!(tokio::time::Instant::now() < deadline, "{}", it.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    until(&it, "SELECT toString(count()) FROM usage_events", "2400").await;
    // Once more, all of them: duplicates.
    publish(&it, &events).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while metric(&service, "tollgate_events_total{outcome=\"duplicate\"}").await < 2400.0 {
        assert!(tokio::time::Instant::now() < deadline, "{}", it.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(used(&it, &api).await, 1500, "all of the pool, and no more");
    assert_eq!(rows(&it, "SELECT toString(countIf(reason != 'insufficient_credits' AND outcome = 'denied')) FROM usage_events").await, "0");
    assert!(metric(&service, "tollgate_rebuilds_total").await >= 2.0);
    let ledger = api.get("/v1/workspaces/acme/ledger").await;
    let rebuilt =
        ledger["items"].as_array().unwrap().iter().filter(|entry| entry["kind"] == "rebuilt").count();
    assert!(rebuilt >= 2, "{ledger:#}");
    assert!(service.stop(), "{}", it.log());
    it.remove().await;
}

#[tokio::test]
async fn a_fresh_process_notices_that_redis_lost_everything() {
    let it = Installation::new("rebuild-fresh", "").await;
    let mut service = it.serve().await;
    let api = Api::of(&it);
    api.write("PUT", "/v1/workspaces/acme/plan", json!({ "monthly_credits": 50, "default_user_limit": 30 }))
        .await;
    let key = [("Idempotency-Key", "once")];
    let body = json!({ "credits": 7 });
    let first = api.send("POST", "/v1/workspaces/acme/top-ups", &key, Some(&body)).await;
    assert_eq!(first.status, 201, "{}", first.text);
    let events: Vec<Message> = (0..40).map(event).collect();
    publish(&it, &events).await;
    until(&it, "SELECT toString(count()) FROM usage_events", "40").await;
    until(&it, "SELECT toString(count()) FROM credit_ledger", "3").await;
    let before = api.get("/v1/workspaces/acme/users").await;
    service.kill();
    forget(&it.settings.redis.name);

    let service = it.serve().await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let answer = api.send("GET", "/v1/workspaces/acme/users", &[], None).await;
        if answer.status == 200 {
            assert_eq!(answer.json["items"], before["items"]);
            break;
        }
        assert_eq!(answer.status, 503, "never unknown: {}", answer.text);
        assert!(tokio::time::Instant::now() < deadline, "{}", it.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let again = api.send("POST", "/v1/workspaces/acme/top-ups", &key, Some(&body)).await;
    assert_eq!((again.status, again.json), (first.status, first.json), "the same request");
    publish(&it, &events).await;
    publish(&it, &(40..60).map(event).collect::<Vec<_>>()).await;
    until(&it, "SELECT toString(count()) FROM usage_events", "60").await;
    assert_eq!(used(&it, &api).await, 57);
    assert!(service.stop(), "{}", it.log());
    it.remove().await;
}
