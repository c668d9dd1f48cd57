//! Names that are code to somebody: refused, or kept byte for byte; and every key of a workspace in one slot.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tollgate::kafka::Message;

use super::memory_mib;
use crate::support::{Api, Installation, redis, rows, until};

/// What no id may be: each would break out of a key, a query, a path or a script.
const REFUSED: [&str; 16] = [
    "a}",
    "{b}",
    "}{",
    "{}",
    "{other}:x",
    "'; DROP TABLE usage_events; --",
    "]] .. redis.call('FLUSHALL') .. [[",
    "..",
    "../etc/passwd",
    "\0",
    "a\\b",
    "a|b",
    "a b",
    "a\nb",
    "é",
    "%00",
];

/// What an id may be, strange as it is: words of our own keys and fields.
const KEPT: [&str; 10] =
    ["heads", "pool", "user:ann", "w:acme", "..a", "-1", "nan", "p:acme:2026-11-01", "outbox", "~+@.-_:"];

/// Free text that is kept as it came.
const TEXTS: [&str; 8] = [
    "'; DROP TABLE usage_events; --",
    "]] .. os.exit() .. [[",
    "../../etc",
    "%00",
    "a\\'b\\",
    "{other}:x",
    "\"quoted\"",
    "😀 é",
];

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The slot of a key in a cluster: CRC16 of what stands between the first braces, if anything does.
fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    let hashed = tag.filter(|tag| !tag.is_empty()).unwrap_or(key);
    let step = |crc: u16, byte: u8| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    };
    hashed.bytes().fold(0, step) % 16_384
}

#[test]
fn slots_are_those_of_a_cluster() {
    // By CLUSTER KEYSLOT.
    for (key, expected) in
        [("somekey", 11_058), ("foo{hash_tag}", 2_515), ("bar{hash_tag}", 2_515), ("123456789", 12_739)]
    {
        assert_eq!(slot(key), expected, "{key}");
    }
}

fn message(workspace: &str, event: &serde_json::Value) -> Message {
    Message {
        key: Some(workspace.into()),
        payload: Some(event.to_string().into_bytes()),
        headers: Vec::new(),
    }
}

#[tokio::test]
async fn names_break_out_of_nothing() {
    let it = Installation::new("names", "").await;
    let service = it.serve().await;
    let api = Api::of(&it);
    refused(&it, &api).await;
    let mut events = strange_names(&api).await;
    events.extend(strange_texts(&api).await);
    it.stores.producer.publish(&it.settings.kafka.topics.events, &events).await.unwrap();
    until(&it, "SELECT toString(count()) FROM usage_events", &events.len().to_string()).await;
    assert_eq!(rows(&it, "SELECT toString(countIf(outcome = 'denied')) FROM usage_events").await, "0");
    names_are_kept(&api).await;
    texts_are_kept(&api).await;
    one_slot_each(&it);
    bombs(&it, &api, &service).await;
    assert!(service.stop(), "{}", it.log());
    it.remove().await;
}

async fn refused(it: &Installation, api: &Api) {
    for name in REFUSED {
        let name = escaped(name);
        for (path, body) in [
            (format!("/v1/workspaces/{name}/plan"), json!({ "monthly_credits": 100 })),
            (format!("/v1/workspaces/acme/teams/{name}"), json!({ "monthly_reserve": 0 })),
            (format!("/v1/workspaces/acme/features/{name}"), json!({ "limit": 1 })),
        ] {
            let answer = api.send("PUT", &path, &[], Some(&body)).await;
            assert!([400, 404, 422].contains(&answer.status), "{path}: {} {}", answer.status, answer.text);
        }
    }
    let keys: Vec<String> = redis(::redis::cmd("KEYS").arg(format!("{}:*:w:*", it.settings.redis.name)));
    assert!(keys.is_empty(), "{keys:?}");
}

/// Every strange name as a workspace, and in each of them every one as user, team and feature.
async fn strange_names(api: &Api) -> Vec<Message> {
    let mut events = Vec::new();
    for workspace in KEPT {
        let plan = json!({ "monthly_credits": 100 });
        api.write("PUT", &format!("/v1/workspaces/{}/plan", escaped(workspace)), plan).await;
        for name in KEPT {
            let path = format!("/v1/workspaces/{}/users/{}", escaped(workspace), escaped(name));
            api.write("PATCH", &path, json!({ "team": name, "limit": 9 })).await;
            let event = json!({ "id": name, "source": name, "workspace": workspace, "user": name, "feature": name,
                "credits": "0.5" });
            events.push(message(workspace, &event));
        }
    }
    events
}

async fn strange_texts(api: &Api) -> Vec<Message> {
    let mut events = Vec::new();
    for (n, text) in TEXTS.iter().enumerate() {
        let event = json!({ "id": text, "source": text, "model": text, "workspace": "pool", "user": "texts",
            "feature": format!("f{n}"), "credits": "0.25" });
        events.push(message("pool", &event));
        let body = json!({ "credits": 1, "reason": text });
        api.write("POST", "/v1/workspaces/pool/top-ups", body).await;
    }
    events
}

fn texts_of<'a>(page: &'a Value, field: &str) -> BTreeSet<&'a str> {
    page["items"].as_array().unwrap().iter().map(|item| item[field].as_str().unwrap()).collect()
}

async fn texts_are_kept(api: &Api) {
    let texts: BTreeSet<&str> = TEXTS.into_iter().collect();
    let page = api.get("/v1/workspaces/pool/events?user=texts").await;
    for field in ["event_id", "source", "model"] {
        assert_eq!(texts_of(&page, field), texts, "{field}");
    }
    let whole = |page: &Value| page["items"].as_array().is_some_and(|items| items.len() == TEXTS.len());
    let page = api.until("/v1/workspaces/pool/ledger?kind=top_up", "top-ups", whole).await;
    assert_eq!(texts_of(&page, "reason"), texts);
}

async fn names_are_kept(api: &Api) {
    for workspace in KEPT {
        let list = api.get(&format!("/v1/workspaces/{}/users?limit=1000", escaped(workspace))).await;
        let users = list["items"].as_array().unwrap().iter();
        let used: BTreeMap<&str, f64> =
            users.map(|user| (user["user"].as_str().unwrap(), user["used"].as_f64().unwrap())).collect();
        for name in KEPT {
            assert_eq!(used.get(name), Some(&0.5), "{name} of {workspace}: {list}");
        }
    }
}

/// Every key of a shard lies in one slot, and with it every key of a workspace.
fn one_slot_each(it: &Installation) {
    let keys: Vec<String> = redis(::redis::cmd("KEYS").arg(format!("{}:{{*", it.settings.redis.name)));
    let mut slots: BTreeMap<&str, BTreeSet<u16>> = BTreeMap::new();
    for key in &keys {
        let shard = key.split_once('}').unwrap().0;
        slots.entry(shard).or_default().insert(slot(key));
    }
    println!("{} keys in {} shards", keys.len(), slots.len());
    assert!(keys.len() > 40 && slots.values().all(|slots| slots.len() == 1), "{slots:?}");
}

/// Records and bodies that would fill memory or a stack.
async fn bombs(it: &Installation, api: &Api, service: &crate::support::Service) {
    let before = memory_mib(service);
    let event =
        |more: String| format!(r#"{{"id":"e","workspace":"w","user":"u","feature":"f","credits":{more}}}"#);
    let bombs = [
        event("[".repeat(100_000)),
        event("{\"a\":".repeat(40_000)),
        event(format!("[{}0]", "0,".repeat(100_000))),
        event("9".repeat(200_000)),
        event("1,\"id\":\"again\"".to_owned()),
        "x".repeat(900_000),
    ];
    let records: Vec<Message> = bombs
        .iter()
        .map(|bomb| Message { key: None, payload: Some(bomb.clone().into_bytes()), headers: Vec::new() })
        .collect();
    it.stores.producer.publish(&it.settings.kafka.topics.events, &records).await.unwrap();
    let path = "/v1/workspaces/pool/top-ups";
    let large = [
        format!("{{\"credits\":{}", "[".repeat(8_000_000)),
        format!("{{\"credits\":[{}0]}}", "0,".repeat(3_900_000)),
        format!("{{\"credits\":1,\"reason\":\"{}\"}}", "x".repeat(8_000_000)),
    ];
    for body in large {
        let (length, started) = (body.len(), std::time::Instant::now());
        let answer = api.send_text("POST", path, &[], Some(body)).await;
        println!("a body of {length} bytes: {} in {:?}", answer.status, started.elapsed());
        assert!([400, 413, 422].contains(&answer.status) && answer.text.len() < 4_096, "{}", answer.status);
    }
    // One that is too large is refused by what it announces; the client may find the connection closed.
    let head = [format!("POST {path} HTTP/1.1"), "Content-Type: application/json".to_owned()];
    let said = service.ask(&[head[0].as_str(), head[1].as_str()], &"y".repeat(10_000_000)).await;
    assert!(said.as_ref().is_none_or(|said| said.starts_with("HTTP/1.1 413")), "{said:?}");
    let gzip = [("Content-Encoding", "gzip")];
    let answer = api.send_text("POST", path, &gzip, Some("\u{1f}\u{8}\0\0\0".to_owned())).await;
    assert!([400, 415].contains(&answer.status), "gzip is not undone: {}", answer.text);
    let good = json!({ "id": "after the bombs", "workspace": "pool", "user": "texts", "feature": "f", "credits": 1 });
    it.stores.producer.publish(&it.settings.kafka.topics.events, &[message("pool", &good)]).await.unwrap();
    until(it, "SELECT toString(count()) FROM usage_events WHERE id = 'after the bombs'", "1").await;
    until(it, "SELECT toString(count()) FROM dead_letters", &bombs.len().to_string()).await;
    let after = memory_mib(service);
    println!("memory before and after the bombs, now and at most: {before:?} {after:?} MiB");
    assert!(after.1 < 700, "{after:?} MiB");
}
