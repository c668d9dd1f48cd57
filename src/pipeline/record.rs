//! Last stage: batches that were told are gathered into large flushes, written, and their tickets finished.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant as Clock, timeout_at};

use super::absolutes::Absolutes;
use super::decide::{Decided, now};
use super::retry::patiently;
use super::under_way::Guard;
use super::{Pipeline, Stopped};
use crate::crash;
use crate::domain::decision::{Decision, Outcome};
use crate::domain::period::Instant;
use crate::domain::ports::{Ledger, Warehouse};
use crate::domain::record::Rows;
use crate::kafka::{Publish, Ticket};
use crate::metrics;

/// What waits to be written together.
#[derive(Default)]
struct Flush {
    batches: Vec<Decided>,
    rows: usize,
}

impl Flush {
    fn add(&mut self, mut decided: Decided) {
        decided.room = None;
        self.rows += decided.effects.decisions.len() + decided.dead_letters.len();
        self.batches.push(decided);
    }
}

impl<L: Ledger, W: Warehouse, P: Publish> Pipeline<L, W, P> {
    pub(super) async fn record_all(&self, mut told: mpsc::UnboundedReceiver<Decided>) -> Result<(), Stopped> {
        while let Some(first) = told.recv().await {
            let flush = self.gather(first, &mut told).await;
            self.record(flush).await?;
        }
        Ok(())
    }

    /// Waits for more until the flush is large or old enough, or is wanted now.
    async fn gather(&self, first: Decided, told: &mut mpsc::UnboundedReceiver<Decided>) -> Flush {
        let due = Clock::now() + Duration::from_millis(self.settings.record_interval_ms);
        let mut flush = Flush::default();
        flush.add(first);
        while flush.rows < self.settings.record_rows_max {
            tokio::select! {
                biased; // no dice: a simulated run must replay to the byte
                next = timeout_at(due, told.recv()) => match next {
                    Ok(Some(batch)) => flush.add(batch),
                    Ok(None) | Err(_) => break,
                },
                // One that was wanted before anything waited makes this flush small, and no more.
                () = self.flush.notified() => {
                    while let Ok(batch) = told.try_recv() {
                        flush.add(batch);
                    }
                    break;
                }
            }
        }
        flush
    }

    async fn record(&self, flush: Flush) -> Result<(), Stopped> {
        // 1. Gather the rows. Kafka has acknowledged their decisions, so that they may be committed.
        let (mut rows, tickets, arrived) = rows(flush);
        // 2. Write them. ClickHouse away: retried here with the same rows, deciding pauses behind us.
        patiently("record", self.settings.retry_pause_ms_max, &self.abort, || self.warehouse.record(&rows))
            .await?;
        crash::point("after_record");
        // 3. Finish. From here on the offsets may be committed.
        for (ticket, _under_way) in tickets {
            ticket.into_iter().for_each(|ticket| self.offsets.finish(ticket));
        }
        let recorded = now();
        for at in arrived {
            let seconds = (recorded.micros() - at.micros()).max(0) as f64 / 1e6;
            ::metrics::histogram!(metrics::END_TO_END).record(seconds);
        }
        self.gauges.show(&std::mem::take(&mut rows.pools));
        Ok(())
    }
}

/// What a flush holds until it is written.
type Held = Vec<(Option<Ticket>, Guard)>;

/// The rows of a flush: of each absolute the newest version only.
fn rows(flush: Flush) -> (Rows, Held, Vec<Instant>) {
    let decisions = flush.batches.iter().map(|batch| batch.effects.decisions.len()).sum();
    let mut rows = Rows { events: Vec::with_capacity(decisions), ..Rows::default() };
    let mut absolutes = Absolutes::default();
    let (mut tickets, mut arrived) = (Vec::new(), Vec::new());
    for batch in flush.batches {
        tickets.push((batch.ticket, batch.under_way));
        arrived.extend(batch.effects.decisions.iter().filter(|d| !d.redelivered).map(|d| d.arrived_at));
        let mut effects = batch.effects;
        let kept = |decision: &Decision| decision.verdict.outcome != Outcome::Duplicate;
        rows.events.extend(std::mem::take(&mut effects.decisions).into_iter().filter(kept));
        rows.dead_letters.extend(batch.dead_letters);
        absolutes.add(effects);
    }
    absolutes.fill(&mut rows);
    (rows, tickets, arrived)
}
