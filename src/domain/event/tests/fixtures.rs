//! Runs every record of `tests/fixtures/events`; its README says how they are written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{now, rules};
use crate::domain::event::{Header, RawRecord, RejectReason, Rejection, UsageEvent, decode};
use crate::domain::period::Instant;
use crate::domain::rates::RateCard;

#[derive(Deserialize)]
#[serde(untagged)]
enum Bytes {
    Text(String),
    Encoded { base64: String },
}

impl Bytes {
    fn read(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Encoded { base64 } => BASE64_STANDARD.decode(base64).unwrap(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    key: Option<Bytes>,
    timestamp: String,
    headers: BTreeMap<String, Option<Bytes>>,
    #[serde(default)]
    value: Option<String>,
    value_base64: Option<String>,
    padded_to_bytes: Option<usize>,
    rates: Option<String>,
    event: Option<Value>,
    detail_contains: Option<String>,
}

impl Fixture {
    fn payload(&self) -> Option<Vec<u8>> {
        let encoded = self.value_base64.as_ref().map(|text| BASE64_STANDARD.decode(text).unwrap());
        let mut payload = encoded.or_else(|| self.value.clone().map(String::into_bytes))?;
        payload.resize(self.padded_to_bytes.unwrap_or(payload.len()), b' ');
        Some(payload)
    }

    fn decode(&self) -> Result<UsageEvent, Rejection> {
        let headers: Vec<Header> = self
            .headers
            .iter()
            .map(|(name, value)| Header { name: name.clone(), value: value.as_ref().map(Bytes::read) })
            .collect();
        let (key, payload) = (self.key.as_ref().map(Bytes::read), self.payload());
        let timestamp = Instant::from_timestamp(self.timestamp.parse().unwrap());
        let rates =
            self.rates.as_deref().map_or_else(RateCard::default, |text| RateCard::parse(text).unwrap());
        let record =
            RawRecord { key: key.as_deref(), payload: payload.as_deref(), headers: &headers, timestamp };
        decode(record, &super::DecodeRules { rates, ..rules() })
    }
}

fn written(event: &UsageEvent) -> Value {
    json!({
        "id": event.id, "source": event.source, "time": event.time.to_string(),
        "workspace": event.workspace, "user": event.user, "feature": event.feature,
        "credits": event.credits.to_string(), "model": event.model, "input_tokens": event.input_tokens,
        "output_tokens": event.output_tokens, "quantity": event.quantity, "hold": event.hold,
        "rate_version": event.rate_version,
    })
}

fn reason_of(name: &str) -> Option<RejectReason> {
    let rest = name.strip_prefix("busted_")?;
    let fits =
        |reason: &RejectReason| rest.strip_prefix(reason.as_str()).is_some_and(|tail| tail.starts_with('_'));
    RejectReason::ALL.into_iter().find(fits)
}

/// What is wrong with the record's verdict; nothing when it is the one in the file's name.
fn complaint(name: &str, fixture: &Fixture) -> Option<String> {
    match (fixture.decode(), reason_of(name)) {
        (Ok(event), None) if name.starts_with("working_") => {
            let (is, expected) = (written(&event), fixture.event.clone().unwrap_or_default());
            (is != expected).then(|| format!("{name}: is {is}, not {expected}"))
        }
        (Err(is), Some(reason)) => {
            let expected = fixture.detail_contains.as_deref().unwrap_or("detail_contains is missing");
            let long = is.detail.len() > 600;
            let right = is.reason == reason && is.detail.contains(expected) && !long;
            (!right).then(|| format!("{name}: {} {:?} / {expected:?}", is.reason.as_str(), is.detail))
        }
        (is, _) => Some(format!("{name}: {is:?}")),
    }
}

#[test]
fn the_name_of_every_fixture_is_its_verdict() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/events");
    let mut missing: BTreeSet<_> = RejectReason::ALL.into_iter().collect();
    let mut complaints = Vec::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let fixture: Fixture = serde_json::from_slice(&fs::read(&path).unwrap()).expect(&name);
        complaints.extend(complaint(&name, &fixture));
        reason_of(&name).map(|reason| missing.remove(&reason));
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert!(missing.is_empty(), "no fixture for {missing:?}");
}

#[test]
fn a_fixture_with_another_name_would_be_noticed() {
    assert_eq!(reason_of("busted_too_old"), None);
    assert_eq!(reason_of("busted_nonsense_x"), None);
    assert_eq!(reason_of("busted_too_old_x"), Some(RejectReason::TooOld));
    let json = json!({"key": null, "timestamp": now().to_string(), "headers": {}, "value": ""});
    let fixture: Fixture = serde_json::from_value(json).unwrap();
    for name in ["working_x", "busted_too_large_x", "busted_nonsense_x", "x"] {
        assert!(complaint(name, &fixture).is_some(), "{name}");
    }
}
