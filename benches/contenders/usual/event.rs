//! A usage event as a consumer of JSON reads it.

use serde::{Deserialize, Deserializer, de::Error as _};

/// What is decided by, and what is recorded.
#[derive(Deserialize)]
pub struct Event {
    pub id: String,
    pub source: String,
    #[serde(deserialize_with = "timestamp")]
    pub time: jiff::Timestamp,
    pub workspace: String,
    pub user: String,
    pub feature: String,
    credits: f64,
    /// The same in microcredits: exact, since no event asks for thousands of millions.
    #[serde(skip)]
    pub micro: i64,
    #[serde(default)]
    pub model: String,
    #[serde(default)]
    pub input_tokens: u64,
    #[serde(default)]
    pub output_tokens: u64,
    #[serde(default)]
    pub quantity: u64,
}

impl Event {
    pub fn parse(payload: &[u8]) -> Self {
        let mut event: Self = serde_json::from_slice(payload).unwrap();
        event.micro = (event.credits * 1e6).round() as i64;
        event
    }
}

fn timestamp<'de, D: Deserializer<'de>>(from: D) -> Result<jiff::Timestamp, D::Error> {
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}
