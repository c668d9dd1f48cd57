//! Whatever the bytes: never a panic, and the same event however it is written.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use jiff::tz::Offset;
use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::{decode_value, header, now, rules};
use crate::domain::event::json::{self, Document, Fault};
use crate::domain::event::{Header, RawRecord, UsageEvent, decode, time};

const QUOTED_BYTES_MAX: usize = 2000;

fn parse(text: &str) -> Result<(), Box<Fault>> {
    json::parse(text, &mut Document::default())
}

/// Pieces that make JSON, or nearly.
const PIECES: [&str; 34] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    " ",
    "\n",
    "\"id\"",
    "\"user\"",
    "\"data\"",
    "\"a\"",
    "\"b\"",
    "\"\\u0061\"",
    "\"\\ud83d\\ude00\"",
    "\"\\udc00\"",
    "\"\\u00g0\"",
    "\"",
    "\\",
    "0",
    "-",
    "-0",
    "01",
    "1.5",
    "1.",
    "1e5",
    "1E+",
    "true",
    "false",
    "null",
    "nul",
    "NaN",
    "é",
    "\u{0}",
];

fn pieces() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES.as_slice()), 0..40).prop_map(|pieces| pieces.concat())
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// JSON with one character changed, so that most of the grammar is reached before the fault.
fn nearly_json() -> impl Strategy<Value = String> {
    let change = (any::<prop::sample::Index>(), prop::sample::select(PIECES.as_slice()), 0..3_usize);
    (any_json(), any::<bool>(), change).prop_map(|(value, spaced, (at, piece, kind))| {
        let text = if spaced { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let mut chars: Vec<String> = text.unwrap().chars().map(String::from).collect();
        let at = at.index(chars.len());
        match kind {
            0 => chars[at] = piece.into(),
            1 => drop(chars.remove(at)),
            _ => chars.insert(at, piece.into()),
        }
        chars.concat()
    })
}

fn headers() -> impl Strategy<Value = Vec<Header>> {
    let names = [
        "ce_id",
        "CE_SOURCE",
        "ce_type",
        "ce_specversion",
        "ce_time",
        "ce_subject",
        "ce_é",
        "content-type",
        "x",
    ];
    let values = ["1.0", "ai.usage", "ann", "application/cloudevents+json", "2026-11-22T10:00:00Z"];
    let value = prop_oneof![
        prop::sample::select(values.to_vec()).prop_map(|text| Some(text.as_bytes().to_vec())),
        prop::option::of(any::<Vec<u8>>()),
    ];
    let header = (prop::sample::select(names.to_vec()), value);
    prop::collection::vec(header.prop_map(|(name, value)| Header { name: name.into(), value }), 0..8)
}

/// The fields of a valid event, beside `id`, `source` and `time`.
fn event_fields() -> impl Strategy<Value = Map<String, Value>> {
    let id = "[A-Za-z0-9._~@+:-]{3,128}";
    let optional = (
        prop::option::of(any::<String>()),
        prop::option::of(any::<u64>()),
        prop::option::of(any::<u64>()),
        prop::option::of(id),
    );
    (id, id, id, 0..=1_000_000_000_000_000_u64, optional).prop_map(
        |(workspace, user, feature, micro, (model, tokens, quantity, hold))| {
            let credits = format!("{}.{:06}", micro / 1_000_000, micro % 1_000_000);
            let event = json!({"workspace": workspace, "user": user, "feature": feature, "credits": credits,
                "model": model, "output_tokens": tokens, "quantity": quantity, "hold": hold});
            event.as_object().unwrap().clone()
        },
    )
}

fn envelope() -> impl Strategy<Value = (String, String, String)> {
    let time = (0..72 * 3_600_000_000_i64).prop_map(|age| {
        let at = now().timestamp() - jiff::SignedDuration::from_micros(age);
        at.to_string()
    });
    ("[ -~é€😀]{1,64}", "[!-~]{1,200}", time)
}

/// An object with its members in the order given.
fn written(members: &[(String, Value)]) -> String {
    let members: Vec<_> =
        members.iter().map(|(key, value)| format!("{}:{value}", Value::from(key.as_str()))).collect();
    format!("{{{}}}", members.join(","))
}

fn bare(fields: &Map<String, Value>, (id, source, time): &(String, String, String)) -> Map<String, Value> {
    let mut all = fields.clone();
    all.extend([("id".into(), json!(id)), ("source".into(), json!(source)), ("time".into(), json!(time))]);
    all
}

fn of_value(value: &Value, headers: &[Header]) -> UsageEvent {
    decode_value(value.to_string().as_bytes(), headers).unwrap()
}

fn survives(payload: &[u8], headers: &[Header]) -> Result<(), TestCaseError> {
    let record = RawRecord { key: Some(b"acme"), payload: Some(payload), headers, timestamp: now() };
    if let Err(rejection) = decode(record, &rules()) {
        prop_assert!(!rejection.detail.is_empty());
        prop_assert!(rejection.detail.len() < QUOTED_BYTES_MAX, "{}", rejection.detail.len());
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(payload: Vec<u8>, headers in headers()) {
        survives(&payload, &headers)?;
    }

    #[test]
    fn nothing_that_looks_like_json_makes_it_panic(
        text in prop_oneof![pieces(), nearly_json(), any_json().prop_map(|value| value.to_string())],
        headers in headers(),
    ) {
        survives(text.as_bytes(), &headers)?;
        survives(format!("{{{text}}}").as_bytes(), &headers)?;
        let encoded = json!({"specversion": "1.0", "type": "ai.usage", "data_base64": BASE64_STANDARD.encode(&text)});
        survives(encoded.to_string().as_bytes(), &[])?;
    }

    #[test]
    fn no_value_under_a_known_key_makes_it_panic(
        fields in event_fields(), envelope in envelope(), which: prop::sample::Index, value in any_json(),
    ) {
        let mut event = bare(&fields, &envelope);
        let key = event.keys().nth(which.index(event.len())).unwrap().clone();
        event.insert(key, value);
        survives(Value::from(event).to_string().as_bytes(), &[])?;
    }

    #[test]
    fn it_agrees_with_serde_json_on_what_is_json(
        text in prop_oneof![pieces(), nearly_json(), any_json().prop_map(|value| value.to_string())],
    ) {
        let theirs = serde_json::from_str::<IgnoredAny>(&text).is_ok();
        match parse(&text).map_err(|fault| *fault) {
            Ok(_) | Err(Fault::NotAnObject) => prop_assert!(theirs, "{text:?}"),
            Err(Fault::Syntax { .. }) => prop_assert!(!theirs, "{text:?}"),
            Err(Fault::Doubled(_) | Fault::TooDeep(_)) => {} // stricter, on purpose
        }
    }

    #[test]
    fn a_string_is_read_as_it_was_meant(text: String, escape_all: bool) {
        prop_assume!(!text.is_empty());
        let hex = |c: char| c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04X}")).collect::<String>();
        let quoted =
            if escape_all { format!("\"{}\"", text.chars().map(hex).collect::<String>()) } else { json!(text).to_string() };
        let value = format!(r#"{{"id":"e","workspace":"w","user":"u","feature":"f","credits":1,"model":{quoted}}}"#);
        prop_assert_eq!(decode_value(value.as_bytes(), &[]).unwrap().model.unwrap(), text);
    }

    #[test]
    fn neither_order_nor_unknown_fields_change_an_event(
        fields in event_fields(),
        envelope in envelope(),
        unknown in prop::collection::btree_map("x[a-z]{0,3}", any_json(), 0..40),
        seed: u64,
    ) {
        let event = bare(&fields, &envelope);
        let plain = of_value(&Value::from(event.clone()), &[]);
        let mut members: Vec<_> = event.into_iter().chain(unknown).collect();
        members.sort_by_key(|(key, _)| key.bytes().fold(seed, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)));
        prop_assert_eq!(decode_value(written(&members).as_bytes(), &[]).unwrap(), plain.clone());
        members.push(members[0].clone());
        prop_assert!(decode_value(written(&members).as_bytes(), &[]).is_err());
    }

    #[test]
    fn one_event_is_the_same_in_every_encoding(fields in event_fields(), envelope in envelope()) {
        let plain = of_value(&Value::from(bare(&fields, &envelope)), &[]);
        let (id, source, at) = &envelope;
        let mut event =
            json!({"specversion": "1.0", "type": "ai.usage", "id": id, "source": source, "time": at, "data": fields});
        prop_assert_eq!(&of_value(&event, &[]), &plain);
        let data = event.as_object_mut().unwrap().remove("data").unwrap();
        event["data_base64"] = json!(BASE64_STANDARD.encode(data.to_string()));
        prop_assert_eq!(&of_value(&event, &[header("Content-Type", "application/cloudevents+json")]), &plain);
        let headers = [("ce_specversion", "1.0"), ("ce_type", "ai.usage"), ("ce_id", id), ("ce_source", source), ("ce_time", at)]
            .map(|(name, value)| header(name, value));
        prop_assert_eq!(&of_value(&data, &headers), &plain);
    }

    #[test]
    fn a_time_is_the_same_instant_in_every_zone(nanos in -60_000_000_000_000_000_000..250_000_000_000_000_000_000_i128, offset in -1439..1440_i32) {
        let at = Timestamp::from_nanosecond(nanos).unwrap();
        let text = at.display_with_offset(Offset::from_seconds(offset * 60).unwrap()).to_string();
        prop_assert_eq!(time::parse(&text).unwrap().micros(), nanos.div_euclid(1000) as i64, "{}", text);
    }
}

#[test]
fn an_attribute_that_is_there_twice_is_refused() {
    let twice = ["ce_id", "ce_specversion", "ce_id"].map(|name| header(name, "1.0"));
    let rejection = decode_value(b"{}", &twice).unwrap_err();
    assert_eq!(rejection.reason.as_str(), "invalid_field");
    assert_eq!(rejection.detail, "the header ce_id is there twice, again with \"1.0\"");
}

#[test]
fn sixty_thousand_unknown_keys_are_no_burden() {
    let members: Vec<_> = (0..60_000).map(|n| format!("\"{n:x}\":0")).collect();
    let text = format!("{{{}}}", members.join(","));
    assert!(parse(&text).is_ok());
}
