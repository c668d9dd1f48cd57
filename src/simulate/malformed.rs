//! Records that are no events: one broken rule each, so that there is one right reason.

use super::encode::{Encoding, Plain, bare, quoted, rfc3339, structured};
use super::rng::{Rng, Weights};
use crate::kafka::Message;

/// The largest payload that the default configuration accepts, in bytes.
const PAYLOAD_BYTES_MAX: usize = 256 << 10;
const YEAR_MICROS: i64 = 365 * 86_400 * 1_000_000;

/// The contract's reasons, with how often each comes up. The second is large, and rationed elsewhere.
const REASONS: [(&str, u64); 14] = [
    ("empty", 60),
    ("too_large", 1),
    ("invalid_utf8", 60),
    ("malformed_json", 200),
    ("unknown_type", 80),
    ("missing_field", 150),
    ("invalid_id", 100),
    ("invalid_field", 100),
    ("invalid_credits", 100),
    ("invalid_time", 80),
    ("too_old", 60),
    ("in_future", 60),
    ("key_mismatch", 60),
    ("unpriced", 100),
];

/// A reason, by the weights.
pub(super) fn reason(rng: &mut Rng) -> &'static str {
    let at = Weights::new(REASONS.map(|(_, weight)| weight)).draw(rng);
    REASONS[at].0
}

/// The event, broken so that it is rejected for this reason and no other.
pub(super) fn message(plain: &Plain<'_>, reason: &'static str, rng: &mut Rng) -> Message {
    let mut key = Some(plain.workspace.as_bytes().to_vec());
    let payload = match reason {
        "empty" => rng.chance(5_000).then(Vec::new),
        "key_mismatch" => {
            key = Some(format!("{}-other", plain.workspace).into_bytes());
            Some(bare(plain, rng).text().into_bytes())
        }
        _ => Some(broken(plain, reason, rng)),
    };
    // A producer so careless may forget the key as well.
    if reason != "key_mismatch" && rng.chance(500) {
        key = None;
    }
    Message { key, payload, headers: Vec::new() }
}

fn broken(plain: &Plain<'_>, reason: &str, rng: &mut Rng) -> Vec<u8> {
    match reason {
        "too_large" => {
            let mut bytes = bare(plain, rng).text().into_bytes();
            bytes.resize(PAYLOAD_BYTES_MAX + 1, b' ');
            bytes
        }
        "invalid_utf8" => {
            let mut bytes = bare(plain, rng).text().into_bytes();
            bytes[8] = 0xff; // inside the id
            bytes
        }
        "malformed_json" => malformed_json(&bare(plain, rng).text(), rng),
        "unknown_type" => {
            let mut fields = structured(plain, Encoding::Structured, rng);
            let (name, json) = rng.pick(&[
                ("type", "\"ai.billing\""),
                ("type", "\"AI.USAGE\""),
                ("specversion", "\"0.3\""),
                ("specversion", "\"1.1\""),
            ]);
            fields.set(name, json);
            fields.text().into_bytes()
        }
        _ => broken_field(plain, reason, rng),
    }
}

fn malformed_json(good: &str, rng: &mut Rng) -> Vec<u8> {
    let text = match rng.below(6) {
        0 => good[..good.len() / 2].to_owned(),
        1 => format!("[{good}]"),
        2 => good.replacen('{', "{\"note\":NaN,", 1),
        3 => good.replacen('{', "{\"feature\":\"ai_chat\",", 1),
        4 => good.replacen('{', &format!("{{\"deep\":{}{},", "[".repeat(70), "]".repeat(70)), 1),
        _ => "   ".to_owned(),
    };
    text.into_bytes()
}

fn broken_field(plain: &Plain<'_>, reason: &str, rng: &mut Rng) -> Vec<u8> {
    let mut fields = bare(plain, rng);
    let time = plain.time_micros.unwrap_or_default();
    let (name, json) = match reason {
        "missing_field" => (rng.pick(&["id", "workspace", "user", "feature"]), String::new()),
        "unpriced" => ("credits", String::new()),
        "too_old" => ("time", quoted(&rfc3339(time - YEAR_MICROS))),
        "in_future" => ("time", quoted(&rfc3339(time + YEAR_MICROS))),
        _ => {
            let (name, json) = rng.pick(wrong_values(reason));
            (name, json.to_owned())
        }
    };
    if json.is_empty() {
        fields.remove(name);
    } else {
        fields.set(name, json);
    }
    fields.text().into_bytes()
}

fn wrong_values(reason: &str) -> &'static [(&'static str, &'static str); 4] {
    match reason {
        "invalid_id" => {
            &[("user", "\"ann smith\""), ("user", "\"\""), ("feature", "17"), ("feature", "\"a/b\"")]
        }
        "invalid_credits" => &[
            ("credits", "-1"),
            ("credits", "0.0000001"),
            ("credits", "1000000000.5"),
            ("credits", "\"1e3\""),
        ],
        "invalid_time" => &[
            ("time", "\"yesterday\""),
            ("time", "1795305600"),
            ("time", "\"2026-02-30T10:00:00Z\""),
            ("time", "\"2026-11-22T10:00:00\""),
        ],
        _ => &[("quantity", "-1"), ("id", "\"\""), ("model", "4"), ("source", "\"a\\u0007b\"")],
    }
}
