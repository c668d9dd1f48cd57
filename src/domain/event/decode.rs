//! Bytes to events: three encodings, every rule of the contract's section 3, one reason when one is
//! broken.
//!
//! # The order of asking
//!
//! A record may break several rules; its reason is the first in this order.
//!
//! 1. `empty`, then `too_large`: nothing is read of such a value.
//! 2. `invalid_utf8`: the value, then (CloudEvents binary) the attributes in its headers. An
//!    attribute that is there twice is an `invalid_field`.
//! 3. `malformed_json`: the whole value, ignored fields too. In binary the value is the data, so
//!    anything but an object is malformed as well.
//! 4. CloudEvents only, `specversion` before `type`: `missing_field`, `invalid_field` (no string),
//!    `unknown_type`. Nothing more is asked of somebody else's event.
//! 5. CloudEvents structured only, `data` and `data_base64`: `missing_field`, `invalid_field`; and
//!    for the decoded bytes `invalid_utf8`, `malformed_json`, `invalid_field` when no object.
//! 6. Field by field in the contract's order (`id`, `source`, `time`, `workspace`, `user`,
//!    `feature`, `credits`, `model`, `input_tokens`, `output_tokens`, `quantity`, `hold`), and for
//!    each `missing_field`, or what is wrong with it: `invalid_id` for workspace, user, feature and
//!    hold, whether type, length or alphabet; `invalid_credits`; `invalid_time`; `invalid_field`
//!    for the others.
//! 7. `too_old`, `in_future`: against the record's timestamp.
//! 8. `key_mismatch`: last but one, because the sentence needs a valid workspace.
//! 9. `unpriced`, or `invalid_credits` when the rate card makes more of it than an event may cost.
//!
//! `null` is as good as absent everywhere but for `data` (which then is no object).

use std::str;

use compact_str::CompactString;

use super::encoding::{Data, Encoding, View, attributes_of, structured_data};
use super::fields::Field;
use super::json::{self, Document};
use super::wording::{reject, shorten};
use super::{Header, RejectReason, Rejection, UsageEvent};
use crate::domain::credits::Credits;
use crate::domain::ids::{FeatureId, HoldId, UserId, WorkspaceId};
use crate::domain::model::SETTLES;
use crate::domain::period::Instant;
use crate::domain::rates::RateCard;

/// What a record is judged by.
#[derive(Debug, Clone)]
pub struct DecodeRules {
    /// Oldest age accepted, against the record's Kafka timestamp, in microseconds.
    pub age_micros_max: i64,
    /// Furthest ahead accepted, in microseconds.
    pub ahead_micros_max: i64,
    /// Largest payload, in bytes.
    pub payload_bytes_max: usize,
    /// Prices events that name no credits.
    pub rates: RateCard,
}

/// A Kafka record, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct RawRecord<'a> {
    /// The record's key.
    pub key: Option<&'a [u8]>,
    /// The record's value.
    pub payload: Option<&'a [u8]>,
    /// Its headers.
    pub headers: &'a [Header],
    /// Its Kafka timestamp.
    pub timestamp: Instant,
}

/// Reads one record. Errors: a [`Rejection`] with the first rule that it breaks.
pub fn decode(record: RawRecord<'_>, rules: &DecodeRules) -> Result<UsageEvent, Rejection> {
    let payload = sized(record.payload, rules.payload_bytes_max)?;
    let text = utf8("the value", payload)?;
    let said = Encoding::of_headers(record.headers);
    if said == Encoding::Binary {
        return decode_binary(record, text, rules);
    }
    let mut document = Document::default();
    parse(text, &mut document)?;
    if said == Encoding::Structured || document.top.has(Field::SpecVersion) {
        return decode_structured(record, &document, rules);
    }
    event_of(View { encoding: said, attributes: &document.top, data: &document.top }, record, rules)
}

fn decode_binary(record: RawRecord<'_>, text: &str, rules: &DecodeRules) -> Result<UsageEvent, Rejection> {
    let attributes = attributes_of(record.headers)?;
    let mut document = Document::default();
    parse(text, &mut document)?;
    let view = View { encoding: Encoding::Binary, attributes: &attributes, data: &document.top };
    check_ours(&view)?;
    event_of(view, record, rules)
}

fn decode_structured(
    record: RawRecord<'_>,
    document: &Document<'_>,
    rules: &DecodeRules,
) -> Result<UsageEvent, Rejection> {
    let view = View { encoding: Encoding::Structured, attributes: &document.top, data: &document.data };
    check_ours(&view)?;
    let Data::Encoded(bytes) = structured_data(document)? else { return event_of(view, record, rules) };
    let mut inner = Document::default();
    parse_encoded(utf8("data_base64", &bytes)?, &mut inner)?;
    event_of(View { data: &inner.top, ..view }, record, rules)
}

fn sized(payload: Option<&[u8]>, bytes_max: usize) -> Result<&[u8], Rejection> {
    match payload {
        None => Err(reject(RejectReason::Empty, "the record has no value")),
        Some([]) => Err(reject(RejectReason::Empty, "the value has no bytes")),
        Some(bytes) if bytes.len() > bytes_max => {
            let detail = format_args!("the value has {} bytes, at most {bytes_max} are allowed", bytes.len());
            Err(reject(RejectReason::TooLarge, detail))
        }
        Some(bytes) => Ok(bytes),
    }
}

fn utf8<'a>(what: &str, bytes: &'a [u8]) -> Result<&'a str, Rejection> {
    str::from_utf8(bytes).map_err(|fault| {
        let detail = format_args!("{what} is not UTF-8 from byte {}", fault.valid_up_to());
        reject(RejectReason::InvalidUtf8, detail)
    })
}

fn parse<'a>(text: &'a str, document: &mut Document<'a>) -> Result<(), Rejection> {
    json::parse(text, document).map_err(|fault| reject(RejectReason::MalformedJson, fault))
}

/// The text inside `data_base64`: JSON that is no object is data of a wrong type.
fn parse_encoded<'a>(text: &'a str, document: &mut Document<'a>) -> Result<(), Rejection> {
    json::parse(text, document).map_err(|fault| {
        let reason = match *fault {
            json::Fault::NotAnObject => RejectReason::InvalidField,
            _ => RejectReason::MalformedJson,
        };
        reject(reason, format_args!("data_base64: {fault}"))
    })
}

/// A CloudEvent is ours by its version and type.
fn check_ours(view: &View<'_, '_>) -> Result<(), Rejection> {
    for (field, ours) in [(Field::SpecVersion, "1.0"), (Field::Type, "ai.usage")] {
        let named = view.attribute(field);
        let text = named.text()?.ok_or_else(|| named.missing())?;
        if text != ours {
            return Err(named.reject(RejectReason::UnknownType, format_args!("is not {ours:?}")));
        }
    }
    Ok(())
}

/// Step 6 on: the fields in order, then what only the whole can tell.
fn event_of(view: View<'_, '_>, record: RawRecord<'_>, rules: &DecodeRules) -> Result<UsageEvent, Rejection> {
    let id = view.attribute(Field::Id);
    let time = view.attribute(Field::Time);
    let workspace = view.datum(Field::Workspace);
    let feature = view.datum(Field::Feature);
    let mut event = UsageEvent {
        id: id.label()?.ok_or_else(|| id.missing())?,
        source: source(&view)?,
        time: time.time()?.unwrap_or(record.timestamp),
        workspace: workspace.id(WorkspaceId::parse)?.ok_or_else(|| workspace.missing())?,
        user: user(&view)?,
        feature: feature.id(FeatureId::parse)?.ok_or_else(|| feature.missing())?,
        credits: Credits::ZERO,
        model: None,
        input_tokens: None,
        output_tokens: None,
        quantity: None,
        hold: None,
        rate_version: None,
    };
    let credits = view.datum(Field::Credits).credits()?;
    let model = view.first([Field::Model, Field::ResponseModel, Field::RequestModel]);
    event.model = model.text()?.map(CompactString::from);
    event.input_tokens = view.first([Field::InputTokens, Field::UsageInputTokens]).integer()?;
    event.output_tokens = view.first([Field::OutputTokens, Field::UsageOutputTokens]).integer()?;
    event.quantity = view.datum(Field::Quantity).integer()?;
    event.hold = view.datum(Field::Hold).id(HoldId::parse)?;
    // Our own settle was judged when it was accepted, by another clock than the record's: it is never refused.
    if event.source != SETTLES {
        check_age(&view, event.time, record.timestamp, rules)?;
    }
    check_key(record.key, &event.workspace)?;
    match credits {
        Some(credits) => event.credits = credits,
        None => price(&mut event, &rules.rates)?,
    }
    Ok(event)
}

/// Empty when bare JSON names none; CloudEvents has to name one.
fn source(view: &View<'_, '_>) -> Result<CompactString, Rejection> {
    let named = view.attribute(Field::Source);
    match (named.label()?, view.encoding) {
        (Some(source), _) => Ok(source),
        (None, Encoding::Bare) => Ok(CompactString::default()),
        (None, _) => Err(named.missing()),
    }
}

/// The user of the data, else the subject of a CloudEvent. A subject is a string even when the data
/// names a user.
fn user(view: &View<'_, '_>) -> Result<UserId, Rejection> {
    let user = view.datum(Field::User);
    let subject = view.attribute(Field::Subject);
    if view.encoding != Encoding::Bare {
        subject.text()?;
    }
    match (user.id(UserId::parse)?, view.encoding) {
        (Some(user), _) => Ok(user),
        (None, Encoding::Bare) => Err(user.missing()),
        (None, _) => subject.id(UserId::parse)?.ok_or_else(|| user.missing()),
    }
}

fn check_age(
    view: &View<'_, '_>,
    time: Instant,
    timestamp: Instant,
    rules: &DecodeRules,
) -> Result<(), Rejection> {
    let age = timestamp.micros() - time.micros(); // both lie within the years 1..9998
    let (reason, words, max) = if age > rules.age_micros_max {
        (RejectReason::TooOld, "before", rules.age_micros_max)
    } else if -age > rules.ahead_micros_max {
        (RejectReason::InFuture, "after", rules.ahead_micros_max)
    } else {
        return Ok(());
    };
    let seconds = max / 1_000_000;
    let words = format_args!("lies more than {seconds} s {words} the record's timestamp {timestamp}");
    Err(view.attribute(Field::Time).reject(reason, words))
}

fn check_key(key: Option<&[u8]>, workspace: &WorkspaceId) -> Result<(), Rejection> {
    match key {
        None | Some([]) => Ok(()),
        Some(key) if key == workspace.as_str().as_bytes() => Ok(()),
        Some(key) => {
            let key = shorten(&String::from_utf8_lossy(key));
            let detail = format_args!("workspace \"{workspace}\" is not the record's key \"{key}\"");
            Err(reject(RejectReason::KeyMismatch, detail))
        }
    }
}

fn price(event: &mut UsageEvent, rates: &RateCard) -> Result<(), Rejection> {
    let model = event.model.as_deref();
    match rates.price(&event.feature, model, event.quantity, event.input_tokens, event.output_tokens) {
        Some(Ok(credits)) => {
            event.credits = credits;
            event.rate_version = Some(rates.version().into());
            Ok(())
        }
        Some(Err(fault)) => Err(reject(RejectReason::InvalidCredits, format_args!("credits {fault}"))),
        None => {
            let model = model.map_or("no model".into(), |m| format!("model \"{}\"", shorten(m)));
            let detail = format_args!(
                "credits is missing, and the rate card has no rate for feature \"{}\" and {model}",
                event.feature
            );
            Err(reject(RejectReason::Unpriced, detail))
        }
    }
}
