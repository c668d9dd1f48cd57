//! Every record of `tests/fixtures/events` through the running service: the events among them are
//! decided, the others are dead letters with bytes, origin, reason and a sentence, and after each of
//! them the next good event is handled.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::Value;

use crate::support::{Installation, client, read_to_end};

type Bytes = Option<Vec<u8>>;

/// One record of the folder, and what its name says of it.
struct Fixture {
    name: String,
    reason: Option<String>,
    key: Bytes,
    timestamp: i64,
    headers: Vec<(String, Bytes)>,
    payload: Bytes,
}

fn bytes(value: &Value) -> Bytes {
    let encoded = value.get("base64").and_then(Value::as_str);
    encoded.map(|text| BASE64_STANDARD.decode(text).unwrap()).or_else(|| value.as_str().map(Into::into))
}

fn fixture(name: String, content: &Value) -> Fixture {
    let encoded = content["value_base64"].as_str().map(|text| BASE64_STANDARD.decode(text).unwrap());
    let mut payload = encoded.or_else(|| content["value"].as_str().map(Into::into));
    if let (Some(payload), Some(len)) = (&mut payload, content["padded_to_bytes"].as_u64()) {
        payload.resize(len as usize, b' ');
    }
    let timestamp: jiff::Timestamp = content["timestamp"].as_str().unwrap().parse().unwrap();
    let reasons = tollgate::domain::event::RejectReason::ALL.map(|reason| reason.as_str());
    let busted = name.strip_prefix("busted_");
    let reason =
        busted.map(|rest| reasons.into_iter().find(|reason| rest.starts_with(reason)).unwrap().to_owned());
    let headers = content["headers"].as_object().unwrap();
    let headers = headers.iter().map(|(name, value)| (name.clone(), bytes(value))).collect();
    Fixture {
        name,
        reason,
        key: bytes(&content["key"]),
        timestamp: timestamp.as_millisecond(),
        headers,
        payload,
    }
}

/// Every fixture that is judged by the default settings.
fn fixtures() -> Vec<Fixture> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/events");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "json") {
            continue;
        }
        let content: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        if content.get("rates").is_none() {
            found.push(fixture(path.file_stem().unwrap().to_string_lossy().into_owned(), &content));
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// A good event that nobody else sends.
fn good(number: usize, timestamp: i64) -> Fixture {
    let payload = format!(
        r#"{{"id":"good-{number}","workspace":"good","user":"ann","feature":"ai_chat","credits":1}}"#
    );
    let payload = Some(payload.into_bytes());
    Fixture {
        name: format!("good-{number}"),
        reason: None,
        key: None,
        timestamp,
        headers: Vec::new(),
        payload,
    }
}

/// Fixtures carry their own timestamps, so the input topic of this test keeps what producers say.
async fn make_topic(installation: &Installation) {
    let settings = &installation.settings.kafka;
    let admin: AdminClient<DefaultClientContext> = client(&settings.brokers).create().unwrap();
    let topic = NewTopic::new(&settings.topics.events, 1, TopicReplication::Fixed(1))
        .set("message.timestamp.type", "CreateTime")
        .set("max.message.bytes", "4000000")
        .set("retention.ms", "-1");
    admin.create_topics([&topic], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
}

/// Publishes in order; the offset of each is its place in the list.
async fn publish(installation: &Installation, records: &[Fixture]) {
    let settings = &installation.settings.kafka;
    let producer: FutureProducer =
        client(&settings.brokers).set("message.max.bytes", "4000000").create().unwrap();
    for (offset, record) in records.iter().enumerate() {
        let mut headers = OwnedHeaders::new();
        for (key, value) in &record.headers {
            headers = headers.insert(Header { key, value: value.as_deref() });
        }
        let mut message: FutureRecord<'_, [u8], [u8]> =
            FutureRecord::to(&settings.topics.events).timestamp(record.timestamp).headers(headers);
        message.key = record.key.as_deref();
        message.payload = record.payload.as_deref();
        let delivered = producer.send(message, Duration::from_secs(20)).await.unwrap();
        assert_eq!(delivered.offset, offset as i64, "{}", record.name);
    }
}

/// The value of the last header of that name.
fn last(message: &OwnedMessage, name: &str) -> String {
    let headers = message.headers().unwrap();
    let found = headers.iter().filter(|header| header.key == name).last().unwrap();
    String::from_utf8_lossy(found.value.unwrap_or_default()).into_owned()
}

fn check_letter(installation: &Installation, record: &Fixture, offset: usize, letter: &OwnedMessage) {
    let name = &record.name;
    assert_eq!(letter.payload().map(<[u8]>::to_vec), record.payload, "{name}: bytes");
    assert_eq!(letter.key().map(<[u8]>::to_vec), record.key, "{name}: key");
    let headers = letter.headers().unwrap();
    for (at, (key, value)) in record.headers.iter().enumerate() {
        assert_eq!((headers.get(at).key, headers.get(at).value), (key.as_str(), value.as_deref()), "{name}");
    }
    assert_eq!(Some(last(letter, "reason")), record.reason, "{name}: {}", last(letter, "detail"));
    assert!(last(letter, "detail").contains(' '), "{name}: {}", last(letter, "detail"));
    assert_eq!(last(letter, "topic"), installation.settings.kafka.topics.events);
    assert_eq!((last(letter, "partition"), last(letter, "offset")), ("0".to_owned(), offset.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_ends_in_one_outcome_and_the_next_good_event_is_handled() {
    let more = "record_bytes_max = 4000000";
    let installation = Installation::unmigrated("records", more);
    make_topic(&installation).await;
    tollgate::app::migrate(&installation.settings).await.unwrap();
    let mut records = Vec::new();
    for (number, record) in fixtures().into_iter().enumerate() {
        let timestamp = record.timestamp;
        records.push(record);
        records.push(good(number, timestamp));
    }
    publish(&installation, &records).await;
    let service = installation.serve().await;

    let topics = &installation.settings.kafka.topics;
    let busted = records.iter().filter(|record| record.reason.is_some()).count();
    let letters = read_to_end(&installation, &topics.dead_letters, busted).await;
    let decisions = read_to_end(&installation, &topics.decisions, records.len() - busted).await;

    let letters: BTreeMap<usize, &OwnedMessage> =
        letters.iter().map(|letter| (last(letter, "offset").parse().unwrap(), letter)).collect();
    let decided: BTreeMap<usize, Value> = decisions
        .iter()
        .map(|message| serde_json::from_slice::<Value>(message.payload().unwrap()).unwrap())
        .map(|decision| (decision["offset"].as_u64().unwrap() as usize, decision))
        .collect();
    for (offset, record) in records.iter().enumerate() {
        match (record.reason.is_some(), letters.get(&offset), decided.get(&offset)) {
            (true, Some(letter), None) => check_letter(&installation, record, offset, letter),
            (false, None, Some(_)) => {}
            (_, letter, decision) => panic!("{}: {letter:?} {decision:?}", record.name),
        }
    }
    println!("{busted} dead letters, {} decisions", decided.len());
    assert!(service.stop(), "{}", installation.log());
    installation.remove().await;
}
