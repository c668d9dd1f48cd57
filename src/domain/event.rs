//! A usage event, as it is published: what it holds, and what makes a record no event.
//!
//! The way of a record, a file a step: `decode` asks every rule in order, `json` reads the text once
//! into `fields`, `encoding` says where a field has to be looked for, `checks` what it has to be
//! (with `time` for the times), `wording` says what was wrong.

mod checks;
mod decode;
mod encoding;
mod fields;
mod json;
mod time;
mod wording;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use compact_str::CompactString;
use serde::Serialize;

pub use decode::{DecodeRules, RawRecord, decode};
pub use wording::shorten;

use super::credits::Credits;
use super::ids::{FeatureId, HoldId, UserId, WorkspaceId};
use super::period::Instant;

/// Whether a text is one JSON value, by the grammar that events are read by: no doubled keys, nesting
/// up to 64. Errors: a sentence with the place.
pub fn check_json(text: &str) -> Result<(), String> {
    json::check(text).map_err(|fault| fault.to_string())
}

/// Where a record lies in the input topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Position {
    /// Kafka partition.
    pub partition: i32,
    /// Kafka offset.
    pub offset: i64,
}

/// One header of a Kafka record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its name, in the case it was sent with.
    pub name: String,
    /// Its bytes; Kafka allows none.
    pub value: Option<Vec<u8>>,
}

/// One use of an AI feature, valid in every field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageEvent {
    /// The producer's id, unique in workspace and source.
    pub id: CompactString,
    /// The producer; empty in bare JSON that names none.
    pub source: CompactString,
    /// When it happened, to the microsecond.
    pub time: Instant,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// Who spends.
    pub user: UserId,
    /// What on.
    pub feature: FeatureId,
    /// How much.
    pub credits: Credits,
    /// The model that answered, as the producer named it.
    pub model: Option<CompactString>,
    /// Tokens read by the model.
    pub input_tokens: Option<u64>,
    /// Tokens written by the model.
    pub output_tokens: Option<u64>,
    /// Units of whatever the feature counts.
    pub quantity: Option<u64>,
    /// The hold that this event settles.
    pub hold: Option<HoldId>,
    /// Version of the rate card that priced it; none when the producer named the credits.
    pub rate_version: Option<CompactString>,
}

/// An event where and when it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The event; whoever tells of it later shares it.
    pub event: Arc<UsageEvent>,
    /// Where it lies in the input topic.
    pub position: Position,
    /// The record's Kafka timestamp.
    pub timestamp: Instant,
}

/// Why a record is no event; one word a reason, as in topics, tables and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// No bytes at all.
    Empty,
    /// Past the size limit.
    TooLarge,
    /// Not UTF-8.
    InvalidUtf8,
    /// Not one JSON object, doubled keys, nested too deep.
    MalformedJson,
    /// A CloudEvents `type` or `specversion` of somebody else.
    UnknownType,
    /// A required field is absent.
    MissingField,
    /// An id outside its alphabet or length.
    InvalidId,
    /// Any other field of a wrong type or range.
    InvalidField,
    /// Credits that are no amount.
    InvalidCredits,
    /// A time that is not RFC 3339 with an offset.
    InvalidTime,
    /// Older than the service accepts.
    TooOld,
    /// Further ahead than clocks may differ.
    InFuture,
    /// The record's key names another workspace.
    KeyMismatch,
    /// Without credits, and the rate card has no rate.
    Unpriced,
}

impl RejectReason {
    /// Every reason.
    pub const ALL: [Self; 14] = [
        Self::Empty,
        Self::TooLarge,
        Self::InvalidUtf8,
        Self::MalformedJson,
        Self::UnknownType,
        Self::MissingField,
        Self::InvalidId,
        Self::InvalidField,
        Self::InvalidCredits,
        Self::InvalidTime,
        Self::TooOld,
        Self::InFuture,
        Self::KeyMismatch,
        Self::Unpriced,
    ];

    /// The word used in topics, tables and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLarge => "too_large",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::MalformedJson => "malformed_json",
            Self::UnknownType => "unknown_type",
            Self::MissingField => "missing_field",
            Self::InvalidId => "invalid_id",
            Self::InvalidField => "invalid_field",
            Self::InvalidCredits => "invalid_credits",
            Self::InvalidTime => "invalid_time",
            Self::TooOld => "too_old",
            Self::InFuture => "in_future",
            Self::KeyMismatch => "key_mismatch",
            Self::Unpriced => "unpriced",
        }
    }
}

/// A record that is no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The one reason.
    pub reason: RejectReason,
    /// A sentence that names the field and the value.
    pub detail: String,
}
