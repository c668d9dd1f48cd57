//! The low-water mark: the only place that yields an offset to commit. Pure bookkeeping, no Kafka.
//!
//! Each partition keeps its batches in the order they were begun; what is committable is one past
//! the longest finished prefix. A ticket that is never finished holds the floor for ever, which is
//! what a crash in mid-flight must look like.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A batch under way. Dropping it without [`Offsets::finish`] holds its partitions' floor.
#[derive(Debug)]
#[must_use = "a ticket that is not finished holds the floor of its partitions"]
pub struct Ticket {
    id: u64,
    /// Partition and the assignment it was begun under.
    parts: Vec<(i32, u64)>,
}

/// The low-water marks of the assigned partitions.
#[derive(Debug, Default)]
pub struct Offsets {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct State {
    tickets: u64,
    assignments: u64,
    partitions: BTreeMap<i32, Partition>,
}

#[derive(Debug, Default)]
struct Partition {
    assignment: u64,
    under_way: VecDeque<Part>,
    /// One past the longest finished prefix; none before the first finish.
    low: Option<i64>,
    /// What the broker confirmed.
    committed: Option<i64>,
}

#[derive(Debug)]
struct Part {
    ticket: u64,
    next: i64,
    finished: bool,
}

impl Partition {
    fn finish(&mut self, ticket: u64) {
        if let Ok(at) = self.under_way.binary_search_by_key(&ticket, |part| part.ticket) {
            self.under_way[at].finished = true;
        }
        while self.under_way.front().is_some_and(|part| part.finished) {
            self.low = self.under_way.pop_front().map(|part| part.next);
        }
    }
}

impl Offsets {
    /// No partitions yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a batch that leaves the consumer thread: per partition its last offset. A partition
    /// that is not assigned is left out: its new owner answers for it.
    pub fn begin(&self, last_offsets: &[(i32, i64)]) -> Ticket {
        let mut state = self.lock();
        state.tickets += 1;
        let id = state.tickets;
        let mut parts = Vec::with_capacity(last_offsets.len());
        for (number, last) in last_offsets {
            if let Some(partition) = state.partitions.get_mut(number) {
                partition.under_way.push_back(Part { ticket: id, next: last + 1, finished: false });
                parts.push((*number, partition.assignment));
            }
        }
        Ticket { id, parts }
    }

    /// The effects of the batch are written. Partitions revoked since are ignored.
    pub fn finish(&self, ticket: Ticket) {
        let mut state = self.lock();
        for (number, assignment) in &ticket.parts {
            if let Some(partition) = state.partitions.get_mut(number)
                && partition.assignment == *assignment
            {
                partition.finish(ticket.id);
            }
        }
        drop(state);
        self.moved.notify_all();
    }

    /// Per partition the next offset to consume, where it differs from what the broker has confirmed.
    pub fn committable(&self) -> Vec<(i32, i64)> {
        let state = self.lock();
        let moved = state.partitions.iter().filter(|(_, partition)| partition.low != partition.committed);
        moved.filter_map(|(number, partition)| Some((*number, partition.low?))).collect()
    }

    /// The broker has confirmed a commit. Partitions revoked since are ignored.
    pub fn committed(&self, partition: i32, next_offset: i64) {
        if let Some(partition) = self.lock().partitions.get_mut(&partition) {
            partition.committed = Some(next_offset);
        }
    }

    /// The next offset that the broker has confirmed in this assignment; none before the first commit.
    pub fn committed_offset(&self, partition: i32) -> Option<i64> {
        self.lock().partitions.get(&partition)?.committed
    }

    /// These partitions are ours from now on, with nothing under way.
    pub fn assign(&self, partitions: &[i32]) {
        let mut state = self.lock();
        for number in partitions {
            state.assignments += 1;
            let assignment = state.assignments;
            state.partitions.insert(*number, Partition { assignment, ..Partition::default() });
        }
    }

    /// These partitions are ours no more; their tickets count for nothing.
    pub fn revoke(&self, partitions: &[i32]) {
        let mut state = self.lock();
        for number in partitions {
            state.partitions.remove(number);
        }
        drop(state);
        self.moved.notify_all();
    }

    /// The partitions that are ours.
    pub fn assigned(&self) -> Vec<i32> {
        self.lock().partitions.keys().copied().collect()
    }

    /// Blocks until nothing of these partitions is under way; false when `timeout` passed first.
    pub fn wait_idle(&self, partitions: &[i32], timeout: Duration) -> bool {
        let busy = |state: &mut State| {
            partitions.iter().any(|n| state.partitions.get(n).is_some_and(|p| !p.under_way.is_empty()))
        };
        let waited = self.moved.wait_timeout_while(self.lock(), timeout, busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// A panic elsewhere cannot leave a half-made change: each is a few assignments.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
