//! Usage events: many workspaces, some sent twice, some that are no events at all.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};

use super::{USERS, WORKSPACES, user, workspace};
use crate::dice::Dice;

const EVENTS: &str = "ai.usage.events";
const FEATURES: [&str; 3] = ["ai_chat", "ai_agent", "image_generation"];
/// Events of one call.
const BATCH: u64 = 7;
const PAUSE: Duration = Duration::from_millis(50);

/// What was sent.
#[derive(Default)]
pub struct Published {
    /// Identities that Kafka has acknowledged.
    pub acknowledged: Vec<(String, String)>,
    /// Sent, by what they were.
    pub sent: BTreeMap<&'static str, u64>,
}

/// Workspace, source and id of an event; none for what is none. Told by its content alone.
pub fn identity(payload: &[u8]) -> Option<(String, String, String)> {
    let event: Value = serde_json::from_slice(payload).ok()?;
    let text = |name: &str| event[name].as_str().map(str::to_owned);
    let id = text("id").filter(|id| !id.starts_with("bad-"))?;
    Some((text("workspace")?, text("source").unwrap_or_default(), id))
}

/// Publishes until told to stop.
pub async fn produce(brokers: String, seed: u64, stop: &AtomicBool) -> Published {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("partitioner", "murmur2_random").set("linger.ms", "5");
    let producer: FutureProducer = config.set("message.timeout.ms", "30000").create().unwrap();
    let (mut dice, mut published, mut number) = (Dice::new(seed, 1), Published::default(), 0_u64);
    let mut recent: Vec<(String, String)> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let mut batch = Vec::new();
        for _ in 0..BATCH {
            number += 1;
            let (what, (key, payload)) = match dice.below(100) {
                0..=1 if !recent.is_empty() => ("sent twice", dice.pick(&recent).clone()),
                2..=3 => ("no event", malformed(&mut dice, number)),
                _ => ("event", event(&mut dice, number)),
            };
            *published.sent.entry(what).or_default() += 1;
            recent.push((key.clone(), payload.clone()));
            batch.push((key, payload));
        }
        let excess = recent.len().saturating_sub(200);
        recent.drain(..excess);
        let sending = batch.iter().map(|(key, payload)| {
            producer.send(FutureRecord::to(EVENTS).key(key).payload(payload), Duration::from_secs(30))
        });
        for (sent, (_, payload)) in join_all(sending).await.into_iter().zip(&batch) {
            match (sent, identity(payload.as_bytes())) {
                (Ok(_), Some((workspace, _, id))) => published.acknowledged.push((workspace, id)),
                (Ok(_), None) => {}
                // It may be there all the same; the topic tells.
                (Err(_), _) => *published.sent.entry("not acknowledged").or_default() += 1,
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    published
}

fn event(dice: &mut Dice, number: u64) -> (String, String) {
    let name = workspace(dice.below(WORKSPACES as u64) as usize);
    let credits = dice.between(1, 20) as f64 / 4.0;
    let (user, feature) = (user(dice.below(USERS as u64) as usize), *dice.pick(&FEATURES));
    let time = jiff::Timestamp::now().to_string();
    let event = json!({
        "id": format!("e{number}"), "workspace": name, "user": user, "feature": feature, "credits": credits,
        "time": time,
    });
    (name, event.to_string())
}

fn malformed(dice: &mut Dice, number: u64) -> (String, String) {
    let name = workspace(dice.below(WORKSPACES as u64) as usize);
    let id = format!("bad-{number}");
    let payload = match dice.below(4) {
        0 => "{\"id\": \"cut".to_owned(),
        1 => json!({ "id": id, "workspace": name, "feature": "ai_chat", "credits": 1 }).to_string(),
        2 => json!({ "id": id, "workspace": name, "user": "u1", "feature": "ai_chat", "credits": -1 })
            .to_string(),
        _ => json!({ "id": id, "workspace": "x", "user": "u1", "feature": "ai_chat", "credits": 1 })
            .to_string(),
    };
    (name, payload)
}
