//! One event in each of the encodings that producers use, with the liberties they take.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::tz::Offset;

use super::rng::Rng;
use crate::domain::event::Header;
use crate::kafka::Message;

/// An event before it is written down.
#[derive(Debug, Clone)]
pub(super) struct Plain<'a> {
    pub(super) id: String,
    pub(super) source: &'static str,
    /// None: left to Kafka's timestamp.
    pub(super) time_micros: Option<i64>,
    pub(super) workspace: &'a str,
    pub(super) user: &'a str,
    pub(super) feature: &'static str,
    pub(super) micro: i64,
    pub(super) model: &'static str,
    pub(super) tokens: [u64; 2],
    /// Without the liberties that producers take.
    pub(super) by_the_book: bool,
}

impl Plain<'_> {
    /// The event's time as its producer writes it.
    fn time_text(&self) -> Option<String> {
        let by_the_book =
            |micros| Timestamp::from_microsecond(micros).map_or(String::new(), |t| t.to_string());
        self.time_micros.map(if self.by_the_book { by_the_book } else { rfc3339 })
    }
}

/// How an event is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Bare,
    Structured,
    Base64,
    Binary,
}

/// Names and JSON texts of one object, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields(Vec<(&'static str, String)>);

impl Fields {
    /// Adds a field, or gives it another value.
    pub(super) fn set(&mut self, name: &'static str, json: impl Into<String>) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some(field) => field.1 = json.into(),
            None => self.0.push((name, json.into())),
        }
    }

    /// Takes a field away.
    pub(super) fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| *known != name);
    }

    /// The object as JSON.
    pub(super) fn text(&self) -> String {
        let mut text = String::with_capacity(256);
        for (at, (name, json)) in self.0.iter().enumerate() {
            text.push_str(if at == 0 { "{\"" } else { ",\"" });
            text.push_str(name);
            text.push_str("\":");
            text.push_str(json);
        }
        if text.is_empty() { "{}".to_owned() } else { text + "}" }
    }
}

/// The event as a record keyed by its workspace.
pub(super) fn message(plain: &Plain<'_>, encoding: Encoding, rng: &mut Rng) -> Message {
    let (payload, headers) = match encoding {
        Encoding::Bare => (bare(plain, rng).text(), Vec::new()),
        Encoding::Binary => (data(plain, rng, true).text(), binary_headers(plain)),
        Encoding::Structured | Encoding::Base64 => (
            structured(plain, encoding, rng).text(),
            vec![header("content-type", "application/cloudevents+json")],
        ),
    };
    Message { key: Some(plain.workspace.as_bytes().to_vec()), payload: Some(payload.into_bytes()), headers }
}

/// Everything at the top.
pub(super) fn bare(plain: &Plain<'_>, rng: &mut Rng) -> Fields {
    let mut fields = Fields::default();
    fields.set("id", quoted(&plain.id));
    fields.set("source", quoted(plain.source));
    if let Some(time) = plain.time_text() {
        fields.set("time", quoted(&time));
    }
    fields.0.extend(data(plain, rng, true).0);
    fields
}

/// A CloudEvent; some name the user in the subject alone.
pub(super) fn structured(plain: &Plain<'_>, encoding: Encoding, rng: &mut Rng) -> Fields {
    let in_subject = !plain.by_the_book && rng.chance(2_000);
    let mut fields = Fields::default();
    for (name, text) in attributes(plain) {
        fields.set(name, quoted(&text));
    }
    let data = data(plain, rng, !in_subject).text();
    if encoding == Encoding::Base64 {
        fields.set("data_base64", quoted(&STANDARD.encode(data)));
    } else {
        fields.set("data", data);
    }
    fields
}

fn attributes(plain: &Plain<'_>) -> Vec<(&'static str, String)> {
    let mut attributes = vec![
        ("specversion", "1.0".to_owned()),
        ("type", "ai.usage".to_owned()),
        ("id", plain.id.clone()),
        ("source", plain.source.to_owned()),
        ("subject", plain.user.to_owned()),
    ];
    attributes.extend(plain.time_text().map(|time| ("time", time)));
    attributes
}

fn binary_headers(plain: &Plain<'_>) -> Vec<Header> {
    let named = attributes(plain).into_iter().map(|(name, text)| header(&format!("ce_{name}"), &text));
    named.chain([header("content-type", "application/json")]).collect()
}

fn header(name: &str, value: &str) -> Header {
    Header { name: name.to_owned(), value: Some(value.as_bytes().to_vec()) }
}

fn data(plain: &Plain<'_>, rng: &mut Rng, names_user: bool) -> Fields {
    let mut fields = Fields::default();
    fields.set("workspace", quoted(plain.workspace));
    if names_user {
        fields.set("user", quoted(plain.user));
    }
    fields.set("feature", quoted(plain.feature));
    fields.set("credits", if plain.by_the_book { digits(plain.micro) } else { credits(plain.micro, rng) });
    if plain.feature == "image_generation" {
        fields.set("quantity", (plain.micro / 4_000_000).to_string());
        return fields;
    }
    let [input, output] = plain.tokens.map(|tokens| tokens.to_string());
    if !plain.by_the_book && rng.chance(1_500) {
        fields.set("gen_ai.request.model", quoted(plain.model));
        fields.set("gen_ai.usage.input_tokens", input);
        fields.set("gen_ai.usage.output_tokens", output);
    } else {
        fields.set("model", quoted(plain.model));
        fields.set("input_tokens", input);
        fields.set("output_tokens", output);
    }
    fields
}

/// The same amount, as one producer or another writes it.
fn credits(micro: i64, rng: &mut Rng) -> String {
    let (whole, rest) = (micro / 1_000_000, micro % 1_000_000);
    match rng.below(20) {
        0 => format!("{micro}e-6"),
        1 => format!("{whole}.{rest:06}000"),
        2 | 3 => format!("\"{whole}.{rest:06}\""),
        _ => digits(micro),
    }
}

/// The amount with as many digits as it needs.
fn digits(micro: i64) -> String {
    let (whole, rest) = (micro / 1_000_000, micro % 1_000_000);
    match rest {
        0 => whole.to_string(),
        _ => format!("{whole}.{rest:06}").trim_end_matches('0').to_owned(),
    }
}

/// The same instant in the zone of one producer or another.
pub(super) fn rfc3339(micros: i64) -> String {
    let Ok(at) = Timestamp::from_microsecond(micros) else { return String::new() };
    match micros.rem_euclid(5) {
        0 => at.display_with_offset(Offset::constant(2)).to_string(),
        1 => at.display_with_offset(Offset::constant(-8)).to_string(),
        _ => at.to_string(),
    }
}

/// For texts that need no escaping, which all of ours are.
pub(super) fn quoted(text: &str) -> String {
    ["\"", text, "\""].concat()
}
