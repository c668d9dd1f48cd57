//! What `decode` says about whole records: by example, and whatever the bytes.

mod fixtures;
mod properties;

use super::{DecodeRules, Header, RawRecord, Rejection, UsageEvent, decode};
use crate::domain::period::Instant;
use crate::domain::rates::RateCard;

/// The defaults of the service.
fn rules() -> DecodeRules {
    DecodeRules {
        age_micros_max: 72 * 3_600_000_000,
        ahead_micros_max: 5 * 60_000_000,
        payload_bytes_max: 256 * 1024,
        rates: RateCard::default(),
    }
}

fn now() -> Instant {
    Instant::from_timestamp("2026-11-22T10:00:00Z".parse().unwrap())
}

fn decode_value(value: &[u8], headers: &[Header]) -> Result<UsageEvent, Rejection> {
    decode(RawRecord { key: None, payload: Some(value), headers, timestamp: now() }, &rules())
}

fn header(name: &str, value: &str) -> Header {
    Header { name: name.into(), value: Some(value.into()) }
}
