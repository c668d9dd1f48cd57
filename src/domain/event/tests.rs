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

/// A settle was accepted by one clock and is judged by another: it is never refused. Others are.
#[test]
fn our_own_settles_have_no_age() {
    for time in ["2026-11-01T10:00:00Z", "2026-11-22T10:06:00Z"] {
        let decoded = |source: &str| {
            let event = serde_json::json!({"id": "h1", "source": source, "workspace": "acme", "user": "ann",
                "feature": "ai_chat", "credits": 1, "hold": "h1", "time": time});
            decode_value(event.to_string().as_bytes(), &[])
        };
        assert!(decoded("tollgate:holds").is_ok());
        assert!(decoded("tollgate:others").is_err());
    }
}
