//! The servers, which outlive every process, and an input topic of their own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::books::Books;
use super::broker::Broker;
use super::process::Process;
use super::tables::Tables;
use crate::domain::change::{Change, Enforcement, Plan};
use crate::domain::event::{DecodeRules, Position};
use crate::domain::model::Model;
use crate::domain::period::Instant;
use crate::domain::rates::RateCard;
use crate::domain::{Credits, WorkspaceId};
use crate::kafka::{Offsets, Record};
use crate::pipeline::{Pipeline, Settings, Topics};

/// The partition of a workspace is its number modulo this.
pub const PARTITIONS: i32 = 3;
pub const ROWS_WAITING_MAX: usize = 40;
pub const RECORD_ROWS_MAX: usize = 40;

pub struct World {
    pub ledger: Arc<Books>,
    pub tables: Arc<Tables>,
    pub broker: Arc<Broker>,
    /// The input topic.
    pub log: BTreeMap<i32, Vec<Record>>,
    /// The group's offsets.
    pub committed: Mutex<BTreeMap<i32, i64>>,
    /// As it stood before the first event.
    pub before: Model,
}

pub fn base_time() -> Instant {
    Instant::from_timestamp("2026-11-22T10:00:00Z".parse().unwrap())
}

pub fn workspace(number: i32) -> WorkspaceId {
    WorkspaceId::parse(&format!("w{number}")).unwrap()
}

pub fn rules() -> DecodeRules {
    DecodeRules {
        age_micros_max: 72 * 3_600_000_000,
        ahead_micros_max: 3_600_000_000,
        payload_bytes_max: 256 * 1024,
        rates: RateCard::default(),
    }
}

pub fn topics() -> Topics {
    Topics {
        events: "events".to_owned(),
        decisions: "decisions".to_owned(),
        dead_letters: "dead-letters".to_owned(),
        dead_letter_bytes_max: 1 << 20,
    }
}

impl World {
    /// Six workspaces with little money: some events are denied.
    pub fn new() -> Self {
        let mut model = Model::new(3600);
        for number in 0..6 {
            let plan = Plan {
                timezone: "Europe/Berlin".to_owned(),
                enforcement: if number % 2 == 0 { Enforcement::Hard } else { Enforcement::Soft },
                default_user_limit: Some(Credits::from_micro(60_000_000)),
                ..Plan::monthly(Credits::from_micro(100_000_000))
            };
            model.change(&workspace(number), &Change::Plan(plan), base_time()).unwrap();
        }
        Self {
            ledger: Arc::new(Books::new(model.clone())),
            tables: Arc::default(),
            broker: Arc::default(),
            log: BTreeMap::new(),
            committed: Mutex::default(),
            before: model,
        }
    }

    /// Appends an event of a workspace; one with a number that was used is the same event again.
    pub fn event(&mut self, workspace: i32, number: usize) {
        let time = Instant::from_millis(base_time().millis() + number as i64);
        let (user, feature, credits) = (number % 3, number % 2, 1 + number % 7);
        let payload = format!(
            r#"{{"id":"e{number}","source":"test","time":"{time}","workspace":"w{workspace}",
            "user":"u{user}","feature":"f{feature}","credits":{credits}}}"#
        );
        self.append(workspace % PARTITIONS, payload.into_bytes());
    }

    /// Appends a record that is no event.
    pub fn junk(&mut self, partition: i32) {
        self.append(partition, b"{ no event".to_vec());
    }

    fn append(&mut self, partition: i32, payload: Vec<u8>) {
        let records = self.log.entry(partition).or_default();
        let position = Position { partition, offset: records.len() as i64 };
        let timestamp = Instant::from_millis(base_time().millis() + 10 * position.offset);
        records.push(Record { position, timestamp, key: None, payload: Some(payload), headers: vec![] });
    }

    /// `count` events, spread over the workspaces; every 10th record is junk, every 8th event a duplicate.
    pub fn fill(&mut self, count: usize) {
        for number in 0..count {
            let workspace = (number % 6) as i32;
            match number {
                n if n % 10 == 9 => self.junk(workspace % PARTITIONS),
                n if n % 8 == 7 && n % 10 > 5 => self.event(workspace, n - 6),
                n => self.event(workspace, n),
            }
        }
    }

    /// A process that is given every partition.
    pub fn start(&self) -> Process {
        let offsets = Arc::new(Offsets::new());
        offsets.assign(&(0..PARTITIONS).collect::<Vec<_>>());
        let (flush, abort) = (Arc::new(Notify::new()), CancellationToken::new());
        let pipeline = Arc::new(Pipeline {
            ledger: Arc::clone(&self.ledger),
            warehouse: Arc::clone(&self.tables),
            publisher: Arc::clone(&self.broker),
            offsets: Arc::clone(&offsets),
            rules: rules(),
            topics: topics(),
            settings: Settings {
                record_rows_max: RECORD_ROWS_MAX,
                record_interval_ms: 500,
                record_rows_waiting_max: ROWS_WAITING_MAX.try_into().unwrap(),
                waiting_events_max: 100,
                retry_pause_ms_max: 5000,
                relay_interval_ms: 500,
                gauge_workspaces_max: 4,
                forecast_interval_seconds: 60,
                audit_interval_seconds: 60,
            },
            gauges: Arc::new(crate::pipeline::gauges::PoolGauges::new(0)),
            under_way: Arc::default(),
            flush: Arc::clone(&flush),
            abort: abort.clone(),
        });
        let (input, batches) = mpsc::channel(1);
        let pipeline = tokio::spawn(pipeline.run(batches));
        let next = self.committed.lock().unwrap().clone();
        Process { pipeline, offsets, input, flush, abort, next }
    }
}
