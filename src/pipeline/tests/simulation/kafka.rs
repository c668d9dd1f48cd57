//! Kafka of the simulation: the input topic and its group, and what the pipeline publishes. Messages
//! of one call are appended in their order; a call that breaks off has appended a part of them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::domain::event::Position;
use crate::domain::period::Instant;
use crate::kafka::{Message, Record};

pub struct Kafka {
    /// The input topic.
    pub log: Vec<Vec<Record>>,
    /// Who owns a partition, and under which assignment.
    pub owners: Vec<Option<(usize, u64)>>,
    /// The group's offsets.
    pub committed: Vec<i64>,
    assignments: u64,
    /// Decisions without their time, dead letters by how often they came, ledger entries, alerts.
    pub decisions: BTreeMap<Position, Value>,
    pub letters: BTreeMap<Position, usize>,
    pub entries: Vec<Value>,
    pub alerts: usize,
}

impl Kafka {
    pub fn new(partitions: usize) -> Self {
        Self {
            log: vec![Vec::new(); partitions],
            owners: vec![None; partitions],
            committed: vec![0; partitions],
            assignments: 0,
            decisions: BTreeMap::new(),
            letters: BTreeMap::new(),
            entries: Vec::new(),
            alerts: 0,
        }
    }

    pub fn partitions(&self) -> impl Iterator<Item = i32> + use<> {
        0..self.log.len() as i32
    }

    pub fn append(
        &mut self,
        partition: i32,
        key: Option<Vec<u8>>,
        payload: Option<Vec<u8>>,
        timestamp: Instant,
    ) {
        let records = &mut self.log[partition as usize];
        let position = Position { partition, offset: records.len() as i64 };
        records.push(Record { position, timestamp, key, payload, headers: vec![] });
    }

    pub fn end(&self, partition: i32) -> i64 {
        self.log[partition as usize].len() as i64
    }

    pub fn assign(&mut self, partition: i32, process: usize) -> u64 {
        self.assignments += 1;
        self.owners[partition as usize] = Some((process, self.assignments));
        self.assignments
    }

    /// False: the group refuses, for the partition is another's.
    pub fn commit(&mut self, partition: i32, lease: (usize, u64), next: i64) -> bool {
        let owned = self.owners[partition as usize] == Some(lease);
        if owned {
            self.committed[partition as usize] = next;
        }
        owned
    }

    /// Everything below the group's offsets is everything there is.
    pub fn is_read(&self) -> bool {
        self.partitions().all(|partition| self.committed[partition as usize] == self.end(partition))
    }
}

/// A decision as a reader sees it, and where its record lies; the time of deciding may differ.
pub fn decision(message: &Message) -> (Position, Value) {
    let mut decision = content(message);
    decision.as_object_mut().unwrap().remove("decided_at").unwrap();
    let number = |name: &str| decision[name].as_i64().unwrap();
    let position = Position { partition: number("partition") as i32, offset: number("offset") };
    (position, decision)
}

/// Where the record of a dead letter lies.
pub fn origin(message: &Message) -> Position {
    let header = |name: &str| {
        let last = message.headers.iter().rfind(|header| header.name == name).unwrap();
        String::from_utf8(last.value.clone().unwrap()).unwrap().parse::<i64>().unwrap()
    };
    Position { partition: header("partition") as i32, offset: header("offset") }
}

pub fn content(message: &Message) -> Value {
    serde_json::from_slice(message.payload.as_deref().unwrap()).unwrap()
}
