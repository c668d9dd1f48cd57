//! Lag, and whether fetching stands still. The driver is known to fall silent after broker restarts:
//! its own statistics then stand still too, so the end of a partition is asked of the broker.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;

/// The few fields we read of the driver's statistics.
#[derive(Debug, Deserialize)]
pub(super) struct Statistics {
    topics: BTreeMap<String, Topic>,
}

#[derive(Debug, Deserialize)]
struct Topic {
    partitions: BTreeMap<i32, Fetch>,
}

/// How far one partition has been read; negative where the driver does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct Fetch {
    /// The offset that is fetched next.
    next_offset: i64,
    /// What the group has committed.
    committed_offset: i64,
    /// First offset that the broker still has.
    lo_offset: i64,
    /// One past the last.
    hi_offset: i64,
}

impl Statistics {
    pub(super) fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }
}

impl Fetch {
    /// Records behind the end that are not committed; none while it is unknown.
    fn lag(&self) -> Option<i64> {
        let done = self.committed_offset.max(self.lo_offset);
        (self.hi_offset >= 0 && done >= 0).then(|| (self.hi_offset - done).max(0))
    }
}

/// The latest view of the assigned partitions.
#[derive(Debug, Default)]
pub(super) struct Lag {
    partitions: BTreeMap<i32, Fetch>,
}

impl Lag {
    /// Takes new statistics in and publishes each partition's lag.
    pub(super) fn update(&mut self, topic: &str, mut statistics: Statistics, assigned: &[i32]) {
        let seen = statistics.topics.remove(topic).map(|topic| topic.partitions).unwrap_or_default();
        self.partitions = seen.into_iter().filter(|(number, _)| assigned.contains(number)).collect();
        for (number, fetch) in &self.partitions {
            if let Some(lag) = fetch.lag() {
                gauge(*number, lag);
            }
        }
    }

    /// These are somebody else's now, who will publish their lag.
    pub(super) fn forget(&mut self, partitions: &[i32]) {
        for number in partitions {
            self.partitions.remove(number);
            gauge(*number, 0);
        }
    }

    /// Whether `end` was not reached although the driver follows the partition. One that was never
    /// positioned counts as well, unless it is empty (`start` is its first offset).
    fn stands_before(&self, partition: i32, start: i64, end: i64) -> bool {
        self.partitions.get(&partition).is_some_and(|fetch| end > fetch.next_offset.max(start))
    }
}

/// One partition's first offset and the one past its last, as the broker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) partition: i32,
    pub(super) start: i64,
    pub(super) end: i64,
}

/// Finds out that nothing is fetched although there was something to fetch for long enough.
#[derive(Debug)]
pub(super) struct Watchdog {
    patience: Duration,
    moved_at: Instant,
    /// Asked after half the patience; none before.
    ends: Option<Vec<Ends>>,
}

impl Watchdog {
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, moved_at: Instant::now(), ends: None }
    }

    /// A record came, or fetching has a reason to rest.
    pub(super) fn moved(&mut self) {
        self.moved_at = Instant::now();
        self.ends = None;
    }

    /// A partition that stands still, judged at the end of the patience by what was there at half of
    /// it: what came later has had too little time.
    pub(super) fn look(&mut self, lag: &Mutex<Lag>, ask: impl FnOnce() -> Option<Vec<Ends>>) -> Option<i32> {
        let idle = self.moved_at.elapsed();
        if idle < self.patience / 2 {
            return None;
        }
        let Some(ends) = &self.ends else {
            // No answer means that Kafka is away: nothing that a restart would mend.
            match ask() {
                Some(ends) => self.ends = Some(ends),
                None => self.moved(),
            }
            return None;
        };
        if idle < self.patience {
            return None;
        }
        let lag = lag.lock().unwrap_or_else(PoisonError::into_inner);
        let stuck = ends.iter().find(|e| lag.stands_before(e.partition, e.start, e.end)).map(|e| e.partition);
        self.moved();
        stuck
    }
}

fn gauge(partition: i32, lag: i64) {
    metrics::gauge!("tollgate_consumer_lag_records", "partition" => partition.to_string()).set(lag as f64);
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(40);

    fn lag(next_offset: i64) -> Mutex<Lag> {
        let json = format!(
            r#"{{"name": "x", "topics": {{"events": {{"partitions": {{"3": {{"next_offset": {next_offset},
                "committed_offset": 5, "lo_offset": 0, "hi_offset": 12, "app_offset": 7}},
                "-1": {{"next_offset": 0, "committed_offset": -1001, "lo_offset": -1001, "hi_offset": -1001}}
            }}}}}}}}"#
        );
        let mut lag = Lag::default();
        lag.update("events", Statistics::parse(json.as_bytes()).unwrap(), &[3]);
        Mutex::new(lag)
    }

    fn watch(next_offset: i64, end: i64) -> Option<i32> {
        let mut dog = Watchdog::new(PATIENCE);
        let ends = || Some(vec![Ends { partition: 3, start: 0, end }]);
        std::thread::sleep(PATIENCE / 2);
        assert_eq!(dog.look(&lag(next_offset), ends), None);
        std::thread::sleep(PATIENCE / 2);
        dog.look(&lag(next_offset), ends)
    }

    #[test]
    fn lag_is_what_is_not_committed() {
        let fetch = |committed_offset, lo_offset, hi_offset| Fetch {
            next_offset: 0,
            committed_offset,
            lo_offset,
            hi_offset,
        };
        assert_eq!(fetch(5, 0, 12).lag(), Some(7));
        assert_eq!(fetch(-1001, 2, 12).lag(), Some(10));
        assert_eq!(fetch(14, 0, 12).lag(), Some(0));
        assert_eq!(fetch(5, 0, -1001).lag(), None);
        assert_eq!(fetch(-1001, -1001, 12).lag(), None);
    }

    #[test]
    fn only_a_partition_that_stays_behind_its_end_is_a_stall() {
        assert_eq!(watch(7, 12), Some(3));
        assert_eq!(watch(-1001, 12), Some(3));
        assert_eq!(watch(12, 12), None);
        assert_eq!(watch(-1001, 0), None);
    }

    #[test]
    fn a_broker_without_an_answer_starts_the_wait_anew() {
        let mut dog = Watchdog::new(PATIENCE);
        std::thread::sleep(PATIENCE);
        assert_eq!(dog.look(&lag(7), || None), None);
        assert!(dog.moved_at.elapsed() < PATIENCE);
    }
}
