//! Lag, and whether fetching stands still. The driver is known to fall silent after broker restarts:
//! its own statistics then stand still too, so the end of a partition is asked of the broker.

use std::collections::BTreeMap;

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

    /// Whether a partition has records before `end` that were not even fetched. One that was never
    /// positioned after all this time is stuck as well, unless it is empty.
    pub(super) fn stands_before(&self, partition: i32, start: i64, end: i64) -> bool {
        let next = self.partitions.get(&partition).map_or(-1, |fetch| fetch.next_offset);
        end > next.max(start)
    }
}

fn gauge(partition: i32, lag: i64) {
    metrics::gauge!("tollgate_consumer_lag_records", "partition" => partition.to_string()).set(lag as f64);
}
