//! One life of the pipeline, with the test in the part of the consumer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::world::World;
use crate::kafka::{Batch, Offsets, Record};
use crate::pipeline::Stopped;

pub struct Process {
    pub pipeline: JoinHandle<Result<(), Stopped>>,
    pub offsets: Arc<Offsets>,
    pub input: mpsc::Sender<Batch>,
    pub flush: Arc<Notify>,
    pub abort: CancellationToken,
    /// What is to be fetched next of each partition.
    pub next: BTreeMap<i32, i64>,
}

impl Process {
    /// Hands over the next batch, of `each` records of every partition at most; false when there is none.
    pub async fn feed(&mut self, world: &World, each: usize) -> bool {
        let fetched = |(partition, records): (&i32, &Vec<Record>)| {
            let next = self.next.get(partition).copied().unwrap_or(0);
            records.iter().skip(next as usize).take(each).cloned().collect::<Vec<_>>()
        };
        let records: Vec<Record> = world.log.iter().flat_map(fetched).collect();
        let Ok(room) = self.input.reserve().await else { return false };
        if records.is_empty() {
            return false;
        }
        let last: BTreeMap<i32, i64> =
            records.iter().map(|record| (record.position.partition, record.position.offset)).collect();
        self.next.extend(last.iter().map(|(partition, last)| (*partition, last + 1)));
        let ticket = self.offsets.begin(&last.into_iter().collect::<Vec<_>>());
        room.send(Batch { ticket, records });
        true
    }

    /// Hands over all there is, committing on the way.
    pub async fn feed_all(&mut self, world: &World, each: usize) {
        let mut more = true;
        while more {
            let fed = timeout(Duration::from_millis(10), self.feed(world, each)).await;
            self.commit(world);
            more = fed.unwrap_or(!self.pipeline.is_finished());
        }
    }

    /// Commits what may be committed, which had better be true.
    pub fn commit(&self, world: &World) {
        let committable = self.offsets.committable();
        world.verify_floor(&committable);
        for (partition, next) in committable {
            world.committed.lock().unwrap().insert(partition, next);
            self.offsets.committed(partition, next);
        }
    }

    /// Commits every 10 ms for so long.
    pub async fn pass(&self, world: &World, time: Duration) {
        for _ in 0..time.as_millis() / 10 {
            sleep(Duration::from_millis(10)).await;
            self.commit(world);
        }
    }

    /// The input ends, the rest is written and committed.
    pub async fn end(self, world: &World) -> Result<(), Stopped> {
        drop(self.input);
        let ended = self.pipeline.await.unwrap();
        let committable = self.offsets.committable();
        world.verify_floor(&committable);
        world.committed.lock().unwrap().extend(committable);
        ended
    }

    /// Killed where it stands.
    pub async fn crash(self) {
        self.pipeline.abort();
        assert!(self.pipeline.await.unwrap_err().is_cancelled());
        // Its stages end at their next turn.
        sleep(Duration::from_millis(1)).await;
    }
}
