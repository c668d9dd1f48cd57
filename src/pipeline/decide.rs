//! Second stage: events are decided in the order they came.

use std::time::Instant as Clock;

use tokio::sync::mpsc;

use super::retry::patiently;
use super::{Pipeline, Stopped, decode};
use crate::crash;
use crate::domain::decision::{Decision, Outcome};
use crate::domain::event::Arrival;
use crate::domain::ledger::Effects;
use crate::domain::model::SETTLES;
use crate::domain::period::Instant;
use crate::domain::ports::{Ledger, Warehouse};
use crate::domain::record::DeadLetter;
use crate::kafka::{Batch, Publish, Ticket};
use crate::metrics;

/// A decided batch on its way to Kafka and the tables.
pub struct Decided {
    /// Holds the floor of its partitions.
    pub ticket: Ticket,
    /// What is to be told and written.
    pub effects: Effects,
    /// Dead letters to be told and written.
    pub dead_letters: Vec<DeadLetter>,
}

impl<L: Ledger, W: Warehouse, P: Publish> Pipeline<L, W, P> {
    pub(super) async fn decide_all(
        &self,
        mut batches: mpsc::Receiver<Batch>,
        decided: mpsc::Sender<Decided>,
    ) -> Result<(), Stopped> {
        let (mut rejected, mut counted) = (decode::Seen::default(), decode::Seen::default());
        while let Some(Batch { ticket, records }) = batches.recv().await {
            crash::point("after_poll");
            // 1. Decode. A broken record becomes a dead letter and never stops the others.
            let decode::Decoded { arrivals, dead_letters } =
                decode::sort(records, &self.rules, &self.topics.events, &mut rejected);
            // 2. Decide. Redis away: retried here, the consumer pauses behind us, nothing is committed.
            let (effects, attempts) = self.decide_batch(&arrivals).await?;
            crash::point("after_lua");
            count(&effects.decisions, attempts, &mut counted);
            count_expired(effects.holds_expired);
            // 3. Hand on. The ticket goes along, and is finished last.
            if decided.send(Decided { ticket, effects, dead_letters }).await.is_err() {
                break; // a later stage has stopped and says why
            }
        }
        Ok(())
    }

    /// The effects, and how many attempts they took.
    async fn decide_batch(&self, arrivals: &[Arrival]) -> Result<(Effects, usize), Stopped> {
        let mut attempts = 0;
        if arrivals.is_empty() {
            return Ok((Effects::default(), attempts));
        }
        let committed = self.committed(arrivals);
        let started = Clock::now();
        let effects = patiently("decide events", self.settings.retry_pause_ms_max, &self.abort, || {
            attempts += 1;
            self.ledger.decide(arrivals, &committed, now())
        })
        .await?;
        ::metrics::histogram!(metrics::DEBIT).record(started.elapsed().as_secs_f64());
        Ok((effects, attempts))
    }

    /// What the broker has confirmed of the partitions in this batch.
    fn committed(&self, arrivals: &[Arrival]) -> Vec<(i32, i64)> {
        let mut partitions: Vec<i32> = arrivals.iter().map(|arrival| arrival.position.partition).collect();
        partitions.dedup();
        partitions.sort_unstable();
        partitions.dedup();
        let offset = |partition| self.offsets.committed_offset(partition).map(|next| (partition, next));
        partitions.into_iter().filter_map(offset).collect()
    }
}

fn count_expired(count: usize) {
    if count > 0 {
        ::metrics::counter!(metrics::HOLDS, "outcome" => "expired").increment(count as u64);
    }
}

/// The wall clock; the domain never asks for it.
pub fn now() -> Instant {
    Instant::from_timestamp(jiff::Timestamp::now())
}

/// Counts what was decided here first. After a failed attempt a first answer may come as a repeat: an
/// event counts then, unless this process has counted it.
fn count(decisions: &[Decision], attempts: usize, counted: &mut decode::Seen) {
    let mut outcomes =
        [(Outcome::Allowed, 0), (Outcome::Overage, 0), (Outcome::Denied, 0), (Outcome::Duplicate, 0)];
    for decision in decisions {
        let unheard = counted.first_time(decision.position) && attempts > 1;
        if decision.redelivered && !unheard {
            continue;
        }
        let outcome = decision.verdict.outcome;
        outcomes.iter_mut().filter(|(word, _)| *word == outcome).for_each(|(_, count)| *count += 1);
        let settles =
            decision.event.hold.is_some() && !decision.hold_ignored && outcome != Outcome::Duplicate;
        if settles && decision.event.source != SETTLES {
            ::metrics::counter!(metrics::HOLDS, "outcome" => "settled").increment(1);
        }
        if let (Outcome::Denied, Some(reason)) = (outcome, decision.verdict.reason) {
            ::metrics::counter!(metrics::DENIED, "reason" => reason.as_str()).increment(1);
        }
    }
    for (outcome, count) in outcomes.iter().filter(|(_, count)| *count > 0) {
        ::metrics::counter!(metrics::EVENTS, "outcome" => outcome.as_str()).increment(*count);
    }
}
