//! Strict JSON bodies: what is not JSON is 400, what is JSON of another shape is 422 with the path and
//! the value. The syntax is judged by the reader of events, so that both ways in agree on it.

use std::collections::HashMap;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_path_to_error::{Path, Segment};
use std::sync::Arc;

use super::Api;
use super::problem::Problem;
use super::value::{CODE_END, Object};
use crate::domain::event::{check_json, shorten};

/// A body that was read.
pub struct Body<T> {
    /// What it says.
    pub value: T,
    /// As it came: a retry is recognised by it.
    pub bytes: Bytes,
}

impl<T: DeserializeOwned> FromRequest<Arc<Api>> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            let detail = "the body must be JSON: send it with Content-Type: application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
        }
        let bytes = read(request, api.settings.body_bytes_max).await?;
        Ok(Self { value: parse(&bytes)?, bytes })
    }
}

/// Digits of a digest.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |four: u8| char::from_digit(u32::from(four), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The content type without its parameters, in lower case.
pub(super) fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = content_type(headers);
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// All bytes of a body. Errors: 413 past the bound, before the rest is read.
pub(super) async fn read(request: Request, bytes_max: usize) -> Result<Bytes, Problem> {
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let announced = announced.and_then(|length| length.parse::<u64>().ok()).unwrap_or(0);
    if announced > bytes_max as u64 {
        return Err(too_large(bytes_max));
    }
    axum::body::to_bytes(request.into_body(), bytes_max).await.map_err(|fault| {
        if is_past_the_bound(&fault) {
            too_large(bytes_max)
        } else {
            Problem::malformed("the body ended before it was complete")
        }
    })
}

fn is_past_the_bound(fault: &(dyn std::error::Error + 'static)) -> bool {
    let past = fault.is::<http_body_util::LengthLimitError>();
    past || fault.source().is_some_and(is_past_the_bound)
}

fn too_large(bytes_max: usize) -> Problem {
    let detail = format!("the body has more than {bytes_max} bytes: send it in parts");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
}

/// JSON text, whatever it says. Errors: 400.
pub(super) fn text(bytes: &[u8]) -> Result<&str, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|fault| {
        Problem::malformed(format!("the body is not UTF-8 from byte {}", fault.valid_up_to()))
    })?;
    check_json(text).map_err(Problem::malformed)?;
    Ok(text)
}

/// Reads a body that must be one object. Errors: 400 when it is not JSON, 422 when it is of another
/// shape.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text = text(bytes)?;
    let mut input = serde_json::Deserializer::from_str(text);
    match serde_path_to_error::deserialize::<_, Object<T>>(&mut input) {
        Ok(Object(value)) => Ok(value),
        Err(fault) => Err(misfit(text, fault.path(), &fault.inner().to_string())),
    }
}

/// The problem of well-formed JSON that does not fit.
fn misfit(text: &str, path: &Path, words: &str) -> Problem {
    // The reader adds a line and a column, which help nobody who made the body with a program.
    let words = words.rsplit_once(" at line ").map_or(words, |(words, _)| words);
    let (code, words) = match words.split_once(CODE_END) {
        Some((code, words)) => (known(code), words),
        None => (code_of(words), words),
    };
    let place = path.to_string();
    let place = if place == "." { "the body" } else { place.as_str() };
    if matches!(code, "missing_field" | "unknown_field") {
        return Problem::invalid(code, format!("{place}: {words}"));
    }
    let value = value_at(text, path).map_or_else(String::new, |raw| format!("; it is {}", shorten(raw)));
    Problem::invalid(code, format!("{place}: {words}{value}"))
}

/// The codes that a value may name in front of its words.
fn known(code: &str) -> &'static str {
    const CODES: [&str; 5] =
        ["invalid_id", "invalid_credits", "too_many_credits", "invalid_time", "invalid_date"];
    CODES.into_iter().find(|known| *known == code).unwrap_or("invalid_field")
}

/// The code by the words, which are the domain's for ids and amounts that stand in a body as they are.
fn code_of(words: &str) -> &'static str {
    const CODES: [(&str, &str); 7] = [
        ("missing field", "missing_field"),
        ("unknown field", "unknown_field"),
        ("is more than 8000000000 credits", "too_many_credits"),
        ("has more than 6 decimals", "invalid_credits"),
        ("is not a decimal number", "invalid_credits"),
        ("at most 128 are allowed", "invalid_id"),
        ("allowed are A-Z a-z 0-9 . _ ~ @ + : -", "invalid_id"),
    ];
    let dots = words.starts_with("must not be empty") || words.starts_with("must not be \".");
    let code = CODES.iter().find(|(part, _)| words.contains(part)).map(|(_, code)| *code);
    code.unwrap_or(if dots { "invalid_id" } else { "invalid_field" })
}

/// The value at a path, as it stands in the text.
fn value_at<'a>(text: &'a str, path: &Path) -> Option<&'a str> {
    let mut value = text.trim();
    for segment in path.iter() {
        let raw: &RawValue = match segment {
            Segment::Seq { index } => read_raw::<Vec<&RawValue>>(value)?.get(*index)?,
            Segment::Map { key } => read_raw::<HashMap<String, &RawValue>>(value)?.get(key)?,
            _ => return None,
        };
        value = raw.get();
    }
    Some(value)
}

fn read_raw<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests;
