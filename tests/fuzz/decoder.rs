//! Records of the input topic: bare JSON, CloudEvents structured and binary. The examples are the fixtures.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde_json::{Value, json};
use tollgate::domain::event::{DecodeRules, Header, RawRecord, RejectReason, UsageEvent, decode};
use tollgate::domain::period::Instant;
use tollgate::domain::rates::RateCard;
use tollgate::simulate::Rng;

use crate::mutate;
use crate::run::{Fate, run};

/// Longest sentence of a rejection, as everywhere.
const DETAIL_BYTES_MAX: usize = 600;

struct Example {
    payload: Option<Vec<u8>>,
    headers: Vec<Header>,
    key: Option<Vec<u8>>,
}

fn bytes_of(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Object(encoded) => BASE64.decode(encoded.get("base64")?.as_str()?).ok(),
        _ => None,
    }
}

fn examples() -> Vec<Example> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/events");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let fixture: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let headers: BTreeMap<String, Value> = serde_json::from_value(fixture["headers"].clone()).unwrap();
        let encoded = fixture["value_base64"].as_str().map(|text| BASE64.decode(text).unwrap());
        Example {
            payload: encoded.or_else(|| bytes_of(&fixture["value"])),
            headers: headers
                .iter()
                .map(|(name, v)| Header { name: name.clone(), value: bytes_of(v) })
                .collect(),
            key: bytes_of(&fixture["key"]),
        }
    };
    let examples: Vec<Example> = paths.iter().map(read).collect();
    assert!(examples.len() > 100, "{} fixtures", examples.len());
    examples
}

fn rules() -> DecodeRules {
    let rates = "[[rates]]\nfeature='ai_chat'\nper_1k_input_tokens='0.1'";
    DecodeRules {
        age_micros_max: 72 * 3_600_000_000,
        ahead_micros_max: 300_000_000,
        payload_bytes_max: 256 * 1024,
        rates: RateCard::parse(rates).unwrap(),
    }
}

/// The same event in bare JSON, by its own words.
fn written(event: &UsageEvent) -> Value {
    let mut value = json!({
        "id": event.id, "time": event.time.to_string(), "workspace": event.workspace, "user": event.user,
        "feature": event.feature, "credits": event.credits.to_string(), "model": event.model,
        "input_tokens": event.input_tokens, "output_tokens": event.output_tokens, "quantity": event.quantity,
        "hold": event.hold,
    });
    if !event.source.is_empty() {
        value["source"] = json!(event.source);
    }
    value
}

fn mutated(rng: &mut Rng, examples: &[Example], lent: &[Vec<u8>]) -> Example {
    let (example, other) = (mutate::one(rng, examples), mutate::one(rng, examples));
    let headers = if rng.chance(1_000) { &other.headers } else { &example.headers };
    let mut headers: Vec<Header> = headers.clone();
    if !headers.is_empty() && rng.chance(3_000) {
        let at = rng.below(headers.len() as u64) as usize;
        let old = headers[at].value.clone().unwrap_or_default();
        headers[at].value = Some(mutate::bytes(rng, &old, lent, 4_096));
    }
    let payload = example.payload.as_ref().map(|old| mutate::bytes(rng, old, lent, 300 * 1024));
    let key = if rng.chance(9_000) { None } else { example.key.clone() };
    Example { payload, headers, key }
}

#[test]
fn the_decoder_takes_any_record() {
    let (examples, rules) = (examples(), rules());
    let lent: Vec<Vec<u8>> = examples.iter().filter_map(|example| example.payload.clone()).collect();
    let lent: Vec<Vec<u8>> = lent.into_iter().filter(|payload| payload.len() < 4_096).collect();
    let timestamp = Instant::from_timestamp("2026-11-22T10:00:00Z".parse().unwrap());
    run("decoder", |rng| {
        let Example { payload, headers, key } = mutated(rng, &examples, &lent);
        let record =
            RawRecord { key: key.as_deref(), payload: payload.as_deref(), headers: &headers, timestamp };
        match decode(record, &rules) {
            Ok(event) => {
                let again = written(&event).to_string();
                let plain = RawRecord { key: None, payload: Some(again.as_bytes()), headers: &[], timestamp };
                let again = decode(plain, &rules).map(|again| UsageEvent {
                    rate_version: event.rate_version.clone(), // its credits are named now
                    ..again
                });
                assert_eq!(again.as_ref(), Ok(&event));
                Fate::Accepted
            }
            Err(rejection) => {
                assert!(RejectReason::ALL.contains(&rejection.reason));
                let length = rejection.detail.len();
                assert!((1..DETAIL_BYTES_MAX).contains(&length), "{}", rejection.detail);
                Fate::Refused
            }
        }
    });
}

/// Bombs, each with the time that it may take: less than it would take to read them twice.
#[test]
fn bombs_are_refused_at_once() {
    let rules = DecodeRules { payload_bytes_max: 16 * 1024 * 1024, ..rules() };
    let event = |more: &str| {
        format!(r#"{{"id":"e","workspace":"w","user":"u","feature":"f","credits":1,"x":{more}}}"#)
    };
    let members: String = (0..200_000).map(|n| format!("\"{n:x}\":0,")).collect();
    let bombs = [
        ("nested arrays", event(&"[".repeat(100_000)), false),
        ("nested and closed", event(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))), false),
        ("nested objects", event(&"{\"a\":".repeat(100_000)), false),
        ("a million elements", event(&format!("[{}0]", "0,".repeat(1_000_000))), true),
        ("200,000 keys", event(&format!("{{{members}\"z\":0}}")), true),
        ("200,000 keys, one twice", event(&format!("{{{members}\"0\":0}}")), false),
        ("a string of 10 MB", event(&format!("\"{}\"", "x".repeat(10_000_000))), true),
        ("escapes of 6 MB", event(&format!("\"{}\"", "\\u0041".repeat(1_000_000))), true),
        ("a number of 1 MB", event(&"9".repeat(1_000_000)), true),
        ("an id of 1 MB", event("0").replace("\"e\"", &format!("\"{}\"", "e".repeat(1_000_000))), false),
    ];
    for (what, text, good) in bombs {
        let started = std::time::Instant::now();
        let timestamp = Instant::from_micros(0);
        let record = RawRecord { key: None, payload: Some(text.as_bytes()), headers: &[], timestamp };
        let outcome = decode(record, &rules);
        println!("{what}: {} bytes in {:?}", text.len(), started.elapsed());
        assert_eq!(outcome.is_ok(), good, "{what}");
        assert!(outcome.err().is_none_or(|rejection| rejection.detail.len() < DETAIL_BYTES_MAX), "{what}");
        assert!(started.elapsed().as_secs() < 3, "{what}: {:?}", started.elapsed());
    }
}
