//! Second stage: events are decided in the order they came. Those of a workspace whose state is being
//! rebuilt wait, and with them whatever comes for it; the others overtake them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::decode::{Decoded, Seen};
use super::retry::patiently;
use super::under_way::Guard;
use super::{Pipeline, Stopped};
use crate::crash;
use crate::domain::WorkspaceId;
use crate::domain::decision::{Decision, Outcome};
use crate::domain::event::Arrival;
use crate::domain::ledger::Effects;
use crate::domain::model::SETTLES;
use crate::domain::period::Instant;
use crate::domain::ports::{Ledger, Warehouse};
use crate::domain::record::DeadLetter;
use crate::kafka::{Publish, Ticket};
use crate::metrics;

/// How often it is looked whether a workspace is still being rebuilt while its events wait.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What was decided of a batch, on its way to Kafka and the tables.
pub struct Decided {
    /// Holds the floor of its partitions; none while a part of the batch still waits.
    pub ticket: Option<Ticket>,
    /// Held until it is recorded.
    pub under_way: Guard,
    /// What is to be told and written.
    pub effects: Effects,
    /// Dead letters to be told and written.
    pub dead_letters: Vec<DeadLetter>,
    /// What it takes of the room between deciding and the flush.
    pub room: Option<OwnedSemaphorePermit>,
}

impl<L: Ledger, W: Warehouse, P: Publish> Pipeline<L, W, P> {
    pub(super) async fn decide_all(
        &self,
        mut decoded: mpsc::Receiver<Decoded>,
        decided: mpsc::UnboundedSender<Decided>,
    ) -> Result<(), Stopped> {
        let rows_max = self.settings.record_rows_waiting_max.get().min(Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(rows_max));
        let (mut counted, mut waiting) = (Seen::default(), Vec::new());
        while let Some(next) = self.next(&mut decoded, &waiting).await {
            waiting.extend(next);
            if self.abort.is_cancelled() {
                return Err(Stopped::Aborted);
            }
            // 1. Decide, the oldest first. Redis away: retried here, the consumer pauses behind us, nothing is
            //    committed. A workspace that is being rebuilt: only its own events wait, and stay in order.
            let mut still = BTreeSet::new();
            for batch in std::mem::take(&mut waiting) {
                let (part, rest) = self.decide(batch, &mut still, &mut counted).await?;
                waiting.extend(rest);
                // 2. Hand on, when there is room. The ticket goes with the last part, and is finished last.
                if let Some(mut part) = part {
                    let rows = part.effects.decisions.len() + part.dead_letters.len();
                    let wanted = u32::try_from(rows.clamp(1, rows_max)).unwrap_or(u32::MAX);
                    // Never closed: it cannot fail.
                    part.room = Arc::clone(&room).acquire_many_owned(wanted).await.ok();
                    if decided.send(part).is_err() {
                        return Ok(()); // a later stage has stopped and says why
                    }
                }
            }
        }
        Ok(())
    }

    /// The next batch, or nothing after a while as long as others wait; none when all is decided and no more comes.
    async fn next(
        &self,
        decoded: &mut mpsc::Receiver<Decoded>,
        waiting: &[Decoded],
    ) -> Option<Option<Decoded>> {
        if waiting.is_empty() {
            return decoded.recv().await.map(Some);
        }
        let events: usize = waiting.iter().map(|batch| batch.arrivals.len()).sum();
        let room = events < self.settings.waiting_events_max;
        let more = async {
            if room && let Some(batch) = decoded.recv().await {
                return batch;
            }
            std::future::pending().await
        };
        Some(tokio::time::timeout(LOOK_AGAIN, more).await.ok())
    }

    /// Decides what can be decided now, and answers that and the rest.
    async fn decide(
        &self,
        batch: Decoded,
        still: &mut BTreeSet<WorkspaceId>,
        counted: &mut Seen,
    ) -> Result<(Option<Decided>, Option<Decoded>), Stopped> {
        let Decoded { ticket, mut arrivals, dead_letters } = batch;
        let mut held = Vec::new();
        let (effects, attempts, under_way) = loop {
            still.extend(self.ledger.standing_still());
            held.extend(arrivals.extract_if(.., |arrival| still.contains(&arrival.event.workspace)));
            let under_way = self.under_way.begin();
            if let Some((effects, attempts)) = self.decide_now(&arrivals).await? {
                break (effects, attempts, under_way);
            }
        };
        crash::point("after_lua");
        count(&effects.decisions, attempts, counted);
        count_expired(effects.holds_expired);
        if held.is_empty() {
            return Ok((
                Some(Decided { ticket: Some(ticket), under_way, effects, dead_letters, room: None }),
                None,
            ));
        }
        let some = !arrivals.is_empty() || !dead_letters.is_empty();
        let part = some.then_some(Decided { ticket: None, under_way, effects, dead_letters, room: None });
        Ok((part, Some(Decoded { ticket, arrivals: held, dead_letters: Vec::new() })))
    }

    /// The effects, and how many attempts they took; none when a workspace among them has to be rebuilt first.
    async fn decide_now(&self, arrivals: &[Arrival]) -> Result<Option<(Effects, usize)>, Stopped> {
        let mut attempts = 0;
        if arrivals.is_empty() {
            return Ok(Some((Effects::default(), attempts)));
        }
        let committed = self.committed(arrivals);
        let started = Clock::now();
        let effects = patiently("decide events", self.settings.retry_pause_ms_max, &self.abort, || {
            attempts += 1;
            let call = self.ledger.decide(arrivals, &committed, now());
            async {
                match call.await {
                    Ok(effects) => Ok(Some(effects)),
                    Err(_) if self.has_to_wait(arrivals) => Ok(None),
                    Err(fault) => Err(fault),
                }
            }
        })
        .await?;
        ::metrics::histogram!(metrics::DEBIT).record(started.elapsed().as_secs_f64());
        Ok(effects.map(|effects| (effects, attempts)))
    }

    fn has_to_wait(&self, arrivals: &[Arrival]) -> bool {
        let still = self.ledger.standing_still();
        !still.is_empty() && arrivals.iter().any(|arrival| still.contains(&arrival.event.workspace))
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
fn count(decisions: &[Decision], attempts: usize, counted: &mut Seen) {
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
