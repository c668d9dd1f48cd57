//! First stage: records become events, or dead letters.

use std::collections::HashMap;

use crate::domain::event::{Arrival, DecodeRules, Position, RawRecord, decode};
use crate::domain::record::DeadLetter;
use crate::kafka::Record;
use crate::metrics;

/// A batch, sorted into what can be decided and what cannot.
#[derive(Debug, Default)]
pub struct Decoded {
    /// Valid events in the order of the batch.
    pub arrivals: Vec<Arrival>,
    /// The others.
    pub dead_letters: Vec<DeadLetter>,
}

/// Sorts a batch. In equals out: every record is in exactly one of the two lists.
pub fn sort(records: Vec<Record>, rules: &DecodeRules, topic: &str, seen: &mut Seen) -> Decoded {
    let count = records.len();
    let mut decoded = Decoded { arrivals: Vec::with_capacity(count), dead_letters: Vec::new() };
    for record in records {
        let raw = RawRecord {
            key: record.key.as_deref(),
            payload: record.payload.as_deref(),
            headers: &record.headers,
            timestamp: record.timestamp,
        };
        match decode(raw, rules) {
            Ok(event) => {
                let (position, timestamp) = (record.position, record.timestamp);
                decoded.arrivals.push(Arrival { event: event.into(), position, timestamp });
            }
            Err(rejection) => {
                if seen.first_time(record.position) {
                    ::metrics::counter!(metrics::REJECTED, "reason" => rejection.reason.as_str())
                        .increment(1);
                }
                decoded.dead_letters.push(DeadLetter {
                    reason: rejection.reason,
                    detail: rejection.detail,
                    topic: topic.to_owned(),
                    position: record.position,
                    timestamp: record.timestamp,
                    key: record.key,
                    payload: record.payload,
                    headers: record.headers,
                });
            }
        }
    }
    debug_assert_eq!(count, decoded.arrivals.len() + decoded.dead_letters.len());
    decoded
}

/// The highest offset of each partition that was counted, so that a redelivery is not counted again.
#[derive(Debug, Default)]
pub struct Seen(HashMap<i32, i64>);

impl Seen {
    /// Whether nothing as high was asked about before; asked in the order of offsets.
    pub fn first_time(&mut self, position: Position) -> bool {
        let highest = self.0.entry(position.partition).or_insert(-1);
        let first = position.offset > *highest;
        *highest = position.offset.max(*highest);
        first
    }
}
