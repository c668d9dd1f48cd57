//! First stage: records become events, or dead letters. It works one batch ahead of deciding.

use std::collections::HashMap;

use tokio::sync::mpsc;

use super::{Pipeline, Stopped};
use crate::crash;
use crate::domain::event::{Arrival, DecodeRules, Position, RawRecord, decode};
use crate::domain::ports::{Ledger, Warehouse};
use crate::domain::record::DeadLetter;
use crate::kafka::{Batch, Publish, Record, Ticket};
use crate::metrics;

/// A batch, or what is left of it, sorted into what can be decided and what cannot.
pub struct Decoded {
    /// Holds the floor of its partitions.
    pub ticket: Ticket,
    /// Valid events in the order of the batch.
    pub arrivals: Vec<Arrival>,
    /// The others.
    pub dead_letters: Vec<DeadLetter>,
}

impl<L: Ledger, W: Warehouse, P: Publish> Pipeline<L, W, P> {
    pub(super) async fn decode_all(
        &self,
        mut batches: mpsc::Receiver<Batch>,
        decoded: mpsc::Sender<Decoded>,
    ) -> Result<(), Stopped> {
        let mut rejected = Seen::default();
        // Room first: what still lies with the consumer goes on growing, and large batches cost less an event.
        while let Ok(room) = decoded.reserve().await {
            let Some(Batch { ticket, records }) = batches.recv().await else { break };
            crash::point("after_poll");
            // A broken record becomes a dead letter and never stops the others.
            let (arrivals, dead_letters) = sort(records, &self.rules, &self.topics.events, &mut rejected);
            room.send(Decoded { ticket, arrivals, dead_letters });
        }
        Ok(())
    }
}

/// Sorts records. In equals out: every one is in exactly one of the two lists.
fn sort(
    records: Vec<Record>,
    rules: &DecodeRules,
    topic: &str,
    seen: &mut Seen,
) -> (Vec<Arrival>, Vec<DeadLetter>) {
    let count = records.len();
    let (mut arrivals, mut dead_letters) = (Vec::with_capacity(count), Vec::new());
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
                arrivals.push(Arrival { event: event.into(), position, timestamp });
            }
            Err(rejection) => {
                if seen.first_time(record.position) {
                    ::metrics::counter!(metrics::REJECTED, "reason" => rejection.reason.as_str())
                        .increment(1);
                }
                dead_letters.push(DeadLetter {
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
    debug_assert_eq!(count, arrivals.len() + dead_letters.len());
    (arrivals, dead_letters)
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
