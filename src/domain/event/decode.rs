//! Bytes to events: three encodings, every rule of the contract's section 3, one reason when one is broken.

use super::{Header, Rejection, UsageEvent};
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
pub fn decode(_record: RawRecord<'_>, _rules: &DecodeRules) -> Result<UsageEvent, Rejection> {
    Err(Rejection { reason: super::RejectReason::Empty, detail: String::new() })
}
