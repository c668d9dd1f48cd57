//! Second stage: events are decided in the order they came, and told to the decisions topic.

use std::sync::Arc;
use std::time::Instant as Clock;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::retry::patiently;
use super::{Pipeline, Stopped, decode, messages};
use crate::domain::decision::{Decision, Outcome};
use crate::domain::event::Arrival;
use crate::domain::ledger::Effects;
use crate::domain::period::Instant;
use crate::domain::ports::{Ledger, Warehouse};
use crate::domain::record::DeadLetter;
use crate::kafka::{Batch, Message, Publish, Ticket, dead_letter};
use crate::metrics;

/// A decided batch on its way to the tables.
pub struct Decided {
    /// Holds the floor of its partitions.
    pub ticket: Ticket,
    /// What is to be written.
    pub effects: Effects,
    /// Dead letters to be written.
    pub dead_letters: Vec<DeadLetter>,
    /// Ends when Kafka has acknowledged the decisions and dead letters.
    pub published: JoinHandle<Result<(), Stopped>>,
}

impl<L: Ledger, W: Warehouse, P: Publish> Pipeline<L, W, P> {
    pub(super) async fn decide_all(
        self: Arc<Self>,
        mut batches: mpsc::Receiver<Batch>,
        decided: mpsc::Sender<Decided>,
    ) -> Result<(), Stopped> {
        let mut seen = decode::Seen::default();
        while let Some(Batch { ticket, records }) = batches.recv().await {
            // 1. Decode. A broken record becomes a dead letter and never stops the others.
            let decoded = decode::sort(records, &self.rules, &self.topics.events, &mut seen);
            // 2. Decide. Redis away: retried here, the consumer pauses behind us, nothing is committed.
            let effects = self.decide_batch(&decoded.arrivals).await?;
            count(&effects.decisions);
            // 3. Tell. It goes on while the next batch is decided; the ticket waits for it in record.
            let decisions = effects.decisions.iter().map(messages::decision).collect();
            let bytes_max = self.topics.dead_letter_bytes_max;
            let letters =
                decoded.dead_letters.iter().map(|letter| dead_letter::message(letter, bytes_max)).collect();
            let published = tokio::spawn(Arc::clone(&self).tell(decisions, letters));
            let dead_letters = decoded.dead_letters;
            if decided.send(Decided { ticket, effects, dead_letters, published }).await.is_err() {
                break; // record has stopped and says why
            }
        }
        Ok(())
    }

    async fn decide_batch(&self, arrivals: &[Arrival]) -> Result<Effects, Stopped> {
        if arrivals.is_empty() {
            return Ok(Effects::default());
        }
        let committed = self.committed(arrivals);
        let started = Clock::now();
        let effects = patiently("decide events", self.settings.retry_pause_ms_max, &self.abort, || {
            self.ledger.decide(arrivals, &committed, now())
        })
        .await?;
        ::metrics::histogram!(metrics::DEBIT).record(started.elapsed().as_secs_f64());
        Ok(effects)
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

    async fn tell(self: Arc<Self>, decisions: Vec<Message>, letters: Vec<Message>) -> Result<(), Stopped> {
        for (topic, messages) in [(&self.topics.decisions, decisions), (&self.topics.dead_letters, letters)] {
            if messages.is_empty() {
                continue;
            }
            let pause = self.settings.retry_pause_ms_max;
            patiently("publish", pause, &self.abort, || self.publisher.publish(topic, &messages)).await?;
        }
        Ok(())
    }
}

/// The wall clock; the domain never asks for it.
pub fn now() -> Instant {
    Instant::from_timestamp(jiff::Timestamp::now())
}

/// Counts what was decided here first.
fn count(decisions: &[Decision]) {
    let mut outcomes =
        [(Outcome::Allowed, 0), (Outcome::Overage, 0), (Outcome::Denied, 0), (Outcome::Duplicate, 0)];
    for decision in decisions.iter().filter(|decision| !decision.redelivered) {
        let outcome = decision.verdict.outcome;
        outcomes.iter_mut().filter(|(word, _)| *word == outcome).for_each(|(_, count)| *count += 1);
        if let (Outcome::Denied, Some(reason)) = (outcome, decision.verdict.reason) {
            ::metrics::counter!(metrics::DENIED, "reason" => reason.as_str()).increment(1);
        }
    }
    for (outcome, count) in outcomes.iter().filter(|(_, count)| *count > 0) {
        ::metrics::counter!(metrics::EVENTS, "outcome" => outcome.as_str()).increment(*count);
    }
}
