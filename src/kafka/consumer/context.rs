//! What the driver calls back: rebalances, confirmed commits, statistics. All of it runs on the
//! consumer thread, inside a poll.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError as DriverError, KafkaResult};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::Flush;
use super::watch::{Lag, Statistics};
use crate::kafka::Offsets;

/// How often a flush is asked for while partitions wait to leave.
const FLUSH_AGAIN: Duration = Duration::from_millis(50);

/// Shared by the driver's callbacks and the loop, both on the same thread.
pub(super) struct Context {
    pub(super) topic: String,
    pub(super) offsets: Arc<Offsets>,
    pub(super) flush: Flush,
    pub(super) revoke_deadline: Duration,
    /// Set when the thread ends: what is under way has been waited for.
    pub(super) closing: AtomicBool,
    /// A rebalance happened since the loop looked.
    pub(super) rebalanced: AtomicBool,
    /// Partitions taken away since the loop looked.
    pub(super) revoked: Mutex<Vec<i32>>,
    /// The driver's latest view of every partition.
    pub(super) lag: Mutex<Lag>,
}

impl Context {
    /// Waits for what is under way in these partitions; logs when it does not end in time.
    pub(super) fn drain(&self, partitions: &[i32], deadline: Duration) {
        let end = Instant::now() + deadline;
        loop {
            // Asked for again and again: what is being decided now needs a flush after this one.
            (self.flush)();
            let left = end.saturating_duration_since(Instant::now());
            if self.offsets.wait_idle(partitions, left.min(FLUSH_AGAIN)) {
                return;
            }
            if left.is_zero() {
                break;
            }
        }
        tracing::warn!(?partitions, "batches still under way at the deadline, they will be redelivered");
    }

    /// Commits what is finished; an asynchronous commit is confirmed by the callback. A failure is a
    /// redelivery, never a crash.
    pub(super) fn commit(&self, consumer: &BaseConsumer<Self>, mode: CommitMode) {
        let offsets = self.offsets.committable();
        if offsets.is_empty() {
            return;
        }
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (partition, next) in &offsets {
            // Refused only for a negative offset, which no record has.
            let _ = list.add_partition_offset(&self.topic, *partition, Offset::Offset(*next));
        }
        if let Err(error) = consumer.commit(&list, mode) {
            tracing::warn!(%error, "commit failed, records may be redelivered");
        }
    }

    fn assign(&self, partitions: &[i32]) {
        self.offsets.assign(partitions);
        tracing::info!(?partitions, "partitions assigned");
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, partitions: &[i32]) {
        let lost = consumer.assignment_lost();
        // 1. Let the pipeline finish, unless somebody else owns the partitions already.
        if !lost && !self.closing.load(Ordering::Acquire) {
            self.drain(partitions, self.revoke_deadline);
        }
        crate::crash::point("in_revoke");
        // 2. Commit what is finished; of a lost assignment the group would refuse it.
        if !lost {
            self.commit(consumer, CommitMode::Sync);
        }
        // 3. From here on unfinished tickets count for nothing.
        self.offsets.revoke(partitions);
        self.revoked.lock().unwrap_or_else(PoisonError::into_inner).extend(partitions);
        self.lag.lock().unwrap_or_else(PoisonError::into_inner).forget(partitions);
        tracing::info!(?partitions, lost, "partitions revoked");
    }
}

impl ClientContext for Context {
    fn stats_raw(&self, statistics: &[u8]) {
        // Sometimes malformed (a known fault of the driver); the next will come.
        if let Ok(statistics) = Statistics::parse(statistics) {
            let mut lag = self.lag.lock().unwrap_or_else(PoisonError::into_inner);
            lag.update(&self.topic, statistics, &self.offsets.assigned());
        }
    }

    fn error(&self, error: DriverError, reason: &str) {
        tracing::warn!(%error, reason, "kafka consumer");
    }
}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        self.rebalanced.store(true, Ordering::Release);
        match rebalance {
            Rebalance::Assign(list) => self.assign(&numbers(list)),
            Rebalance::Revoke(list) => self.revoke(consumer, &numbers(list)),
            Rebalance::Error(error) => tracing::error!(%error, "rebalance failed"),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, list: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::warn!(%error, "commit failed, records may be redelivered");
            return;
        }
        for element in list.elements() {
            if let (Ok(()), Offset::Offset(next)) = (element.error(), element.offset()) {
                self.offsets.committed(element.partition(), next);
            }
        }
    }
}

fn numbers(list: &TopicPartitionList) -> Vec<i32> {
    list.elements().iter().map(|element| element.partition()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(flush: Flush) -> Context {
        Context {
            topic: "events".to_owned(),
            offsets: Arc::default(),
            flush,
            revoke_deadline: Duration::ZERO,
            closing: AtomicBool::new(false),
            rebalanced: AtomicBool::new(false),
            revoked: Mutex::default(),
            lag: Mutex::default(),
        }
    }

    #[test]
    fn a_flush_is_asked_for_until_nothing_is_under_way() {
        let flushes = Arc::new(Mutex::new(0));
        let count = Arc::clone(&flushes);
        let context = context(Arc::new(move || *count.lock().unwrap() += 1));
        context.offsets.assign(&[0]);
        let ticket = context.offsets.begin(&[(0, 9)]);
        context.drain(&[0], 3 * FLUSH_AGAIN);
        assert!(*flushes.lock().unwrap() >= 3);

        context.offsets.finish(ticket);
        let started = Instant::now();
        context.drain(&[0], Duration::from_secs(60));
        assert!(started.elapsed() < Duration::from_secs(30), "nothing is under way");
    }
}
