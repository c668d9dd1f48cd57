//! From a request to records as Kafka would carry them: bare JSON, CloudEvents structured, batched and
//! binary. What an event has to be is the decoder's to say.

use axum::http::{HeaderMap, StatusCode};
use serde_json::value::RawValue;

use super::EVENTS_MAX;
use crate::domain::event::{Header, check_json};
use crate::http::body::{content_type, text};
use crate::http::problem::Problem;

const JSON: &str = "application/json";
/// One CloudEvent.
pub(super) const STRUCTURED: &str = "application/cloudevents+json";
/// An array of them.
pub(super) const BATCH: &str = "application/cloudevents-batch+json";
/// The attributes of a CloudEvent in binary mode.
const ATTRIBUTE: &str = "ce-";

/// One event as it will be published, with the headers it is judged by.
pub(super) struct Sent {
    pub(super) payload: Vec<u8>,
    pub(super) headers: Vec<Header>,
}

/// Errors: 415.
pub(super) fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    if [JSON, STRUCTURED, BATCH].contains(&content_type(headers).as_str()) {
        return Ok(());
    }
    let detail = format!("events are sent as {JSON}, {STRUCTURED} or {BATCH}: name one as Content-Type");
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail))
}

/// The events of a request, in their order. Errors: 400 when it is not JSON, 422 when it is neither one
/// event nor a list of some.
pub(super) fn events(headers: &HeaderMap, bytes: &[u8]) -> Result<Vec<Sent>, Problem> {
    let kind = content_type(headers);
    if kind == JSON && headers.keys().any(|name| name.as_str().starts_with(ATTRIBUTE)) {
        return Ok(vec![binary(headers, text(bytes)?)?]);
    }
    let body = std::str::from_utf8(bytes).map_err(|fault| {
        Problem::malformed(format!("the body is not UTF-8 from byte {}", fault.valid_up_to()))
    })?;
    let is_list = body.trim_start_matches([' ', '\n', '\r', '\t']).starts_with('[');
    match (is_list, kind.as_str()) {
        (true, STRUCTURED) => Err(wrong("this content type is one event: send a list as the batch type")),
        (false, BATCH) => {
            text(bytes)?;
            Err(wrong("this content type is a list of events"))
        }
        (true, kind) => list(kind, body),
        (false, kind) => {
            text(bytes)?;
            Ok(vec![sent(kind, body)])
        }
    }
}

fn wrong(detail: impl Into<String>) -> Problem {
    Problem::invalid("invalid_events", detail)
}

/// Each item is kept as it stands and judged by itself, so that a fault in one names the one.
fn list(kind: &str, body: &str) -> Result<Vec<Sent>, Problem> {
    let items: Vec<&RawValue> = serde_json::from_str(body).map_err(|fault| {
        let detail = check_json(body).err().unwrap_or_else(|| fault.to_string());
        Problem::malformed(detail)
    })?;
    match items.len() {
        0 => Err(wrong("the list is empty: send at least one event")),
        1..=EVENTS_MAX => Ok(items.into_iter().map(|item| sent(kind, item.get())).collect()),
        many => Err(wrong(format!("the list has {many} events: send at most {EVENTS_MAX} at once"))),
    }
}

fn sent(kind: &str, payload: &str) -> Sent {
    let structured = Header { name: "content-type".to_owned(), value: Some(STRUCTURED.into()) };
    let headers = if kind == JSON { Vec::new() } else { vec![structured] };
    Sent { payload: payload.trim().as_bytes().to_vec(), headers }
}

/// CloudEvents binary mode becomes structured mode: what is published has no headers.
fn binary(headers: &HeaderMap, data: &str) -> Result<Sent, Problem> {
    let mut payload = String::from("{");
    for name in headers.keys() {
        let Some(attribute) = name.as_str().strip_prefix(ATTRIBUTE) else { continue };
        let mut values = headers.get_all(name).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(attribute_fault(attribute, "is there twice"));
        };
        if !attribute.bytes().all(|byte| byte.is_ascii_alphanumeric()) || attribute == "data" {
            return Err(attribute_fault(attribute, "is no name of an attribute"));
        }
        let value = unescape(value.as_bytes()).ok_or_else(|| attribute_fault(attribute, "is not UTF-8"))?;
        payload.push_str(&format!("\"{attribute}\":{},", serde_json::Value::String(value)));
    }
    payload.push_str(&format!("\"data\":{}}}", data.trim()));
    Ok(sent(STRUCTURED, &payload))
}

fn attribute_fault(attribute: &str, words: &str) -> Problem {
    let detail = format!("event 0: the header ce-{attribute} {words}");
    Problem::invalid("invalid_event", detail).at_index(0).because("invalid_field")
}

/// Resolves percent signs, as the CloudEvents HTTP binding writes what is not ASCII.
fn unescape(value: &[u8]) -> Option<String> {
    let digit = |at: usize| value.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let (mut bytes, mut at) = (Vec::with_capacity(value.len()), 0);
    while let Some(byte) = value.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                bytes.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(bytes).ok()
}
