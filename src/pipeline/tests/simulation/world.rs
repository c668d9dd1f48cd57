//! Everything that outlives a process: the stores, the dice, the clock, and who watches. One step on a
//! store is one lock of it, and the watcher looks after each.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant as Clock;

use super::books::Books;
use super::bugs::Bug;
use super::kafka::{self, Kafka};
use super::laws::{Broken, Judged, Law, Laws};
use super::tables::Tables;
use super::weather::Weather;
use crate::domain::WorkspaceId;
use crate::domain::event::Arrival;
use crate::domain::ledger::{Effects, Entry};
use crate::domain::period::Instant;
use crate::domain::record::Rows;
use crate::kafka::Message;
use crate::simulate::Rng;

pub const PARTITIONS: usize = 3;
const SHARDS: u16 = 2;

pub struct World(Mutex<State>);

pub struct State {
    pub dice: Rng,
    pub weather: Weather,
    pub books: Books,
    pub kafka: Kafka,
    pub tables: Tables,
    pub laws: Laws,
    pub bug: Option<Bug>,
    /// How often each rare path ran.
    pub paths: BTreeMap<String, u64>,
    /// The first law that was broken; nothing counts after it.
    pub broken: Option<Broken>,
    /// Workspaces that are being rebuilt, and until when.
    rebuilding: BTreeMap<WorkspaceId, Clock>,
    trace: DefaultHasher,
    /// Prints the trace.
    loud: bool,
    began: Clock,
    starts_at: Instant,
}

impl World {
    pub fn new(seed: u64, bug: Option<Bug>, loud: bool) -> Arc<Self> {
        let mut dice = Rng::new(seed);
        // A little before a month ends: most runs see the next one begin.
        let ahead = dice.below(30_000) as i64;
        let weather = Weather::drawn(&mut dice);
        Arc::new(Self(Mutex::new(State {
            weather,
            dice,
            books: Books::new(bug, SHARDS),
            kafka: Kafka::new(PARTITIONS),
            tables: Tables { bug, ..Tables::default() },
            laws: Laws::default(),
            bug,
            paths: BTreeMap::new(),
            broken: None,
            rebuilding: BTreeMap::new(),
            trace: DefaultHasher::new(),
            loud,
            began: Clock::now(),
            starts_at: Instant::from_millis(super::month_end().millis() - ahead),
        })))
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// A number below `bound`.
    pub fn roll(&self, bound: u64) -> u64 {
        self.lock().dice.below(bound)
    }

    pub fn is_broken(&self) -> bool {
        self.lock().broken.is_some()
    }
}

impl State {
    pub fn now(&self) -> Instant {
        Instant::from_millis(self.starts_at.millis() + self.began.elapsed().as_millis() as i64)
    }

    /// One line of the trace: two runs of a seed are the same when their traces are.
    pub fn trace(&mut self, line: impl FnOnce() -> String) {
        let (at, line) = (self.began.elapsed().as_millis() as u64, line());
        (at, &line).hash(&mut self.trace);
        if self.loud {
            println!("{at:>7} ms  {line}");
        }
    }

    pub fn trace_hash(&self) -> u64 {
        self.trace.finish()
    }

    /// A rare path ran.
    pub fn saw(&mut self, path: impl Into<String>) {
        let path = path.into();
        self.trace(|| path.clone());
        *self.paths.entry(path).or_default() += 1;
    }

    /// Keeps the first broken law.
    pub fn judge(&mut self, judged: Judged) {
        if let (Err(broken), None) = (judged, &self.broken) {
            self.trace(|| format!("{broken:?}"));
            self.broken = Some(broken);
        }
    }

    /// Whether a state that these need is found to be lost, or was: it is then rebuilt for a while.
    pub fn lacks(&mut self, arrivals: &[Arrival]) -> bool {
        let still = self.standing_still();
        if arrivals.iter().any(|arrival| still.contains(&arrival.event.workspace)) {
            return true;
        }
        if !still.is_empty() {
            self.saw("rebuild: overtaken by others");
        }
        let lost = !self.weather.calm && self.dice.below(60) == 0;
        if lost && let Some(arrival) = arrivals.first() {
            let until = Clock::now() + Duration::from_millis(self.dice.below(2500));
            self.rebuilding.insert(arrival.event.workspace.clone(), until);
            self.saw("rebuild: met");
        }
        lost && !arrivals.is_empty()
    }

    /// Workspaces that are being rebuilt.
    pub fn standing_still(&self) -> BTreeSet<WorkspaceId> {
        let still = self.rebuilding.iter().filter(|(_, until)| Clock::now() < **until);
        still.map(|(workspace, _)| workspace.clone()).collect()
    }

    pub fn decide(&mut self, arrivals: &[Arrival], committed: &[(i32, i64)]) -> Effects {
        let (now, laws) = (self.now(), &mut self.laws);
        let mut judged = Ok(());
        let effects = self.books.decide(arrivals, committed, now, &mut |books, decision, settled| {
            if judged.is_ok() {
                judged = laws.decided(books, decision, settled);
            }
        });
        self.judge(judged);
        for decision in &effects.decisions {
            let (at, verdict) = (decision.position, &decision.verdict);
            let (outcome, sequence) = (verdict.outcome.as_str(), verdict.sequence);
            self.trace(|| format!("decided {}/{} {outcome} {sequence}", at.partition, at.offset));
            let reason = verdict.reason.map_or("", |reason| reason.as_str());
            *self.paths.entry(format!("outcome: {outcome} {reason}").trim_end().to_owned()).or_default() += 1;
            if decision.redelivered {
                self.saw("redelivery: answered from the tail");
            } else if decision.event.hold.is_some() {
                let path = if decision.hold_ignored { "hold: ignored" } else { "hold: settled" };
                self.saw(path);
            }
        }
        if effects.settled_before > 0 {
            self.saw("redelivery: settled before");
        }
        if effects.holds_expired > 0 {
            self.saw("hold: expired");
        }
        effects
    }

    /// After a change or a hold.
    pub fn balance(&mut self, workspace: &WorkspaceId) {
        let judged = self.laws.balanced(&self.books, workspace);
        self.judge(judged);
    }

    pub fn publish(&mut self, topic: &str, messages: &[Message], most: usize) {
        for message in messages.iter().take(most) {
            let judged = self.append(topic, message);
            self.judge(judged);
        }
        let count = messages.len().min(most);
        self.trace(|| format!("published {count} of {} to {topic}", messages.len()));
    }

    fn append(&mut self, topic: &str, message: &Message) -> Judged {
        match topic {
            "decisions" => {
                let (at, decision) = kafka::decision(message);
                self.laws.told(&mut self.kafka, at, decision)?;
            }
            "dead-letters" => *self.kafka.letters.entry(kafka::origin(message)).or_default() += 1,
            "ledger" => {
                let entry = kafka::content(message);
                self.kafka.entries.push(entry.clone());
                self.laws.told_entry(entry)?;
            }
            "alerts" => self.kafka.alerts += 1,
            _ => {
                let (now, content) = (self.now(), kafka::content(message));
                let partition = super::partition_of(content["workspace"].as_str().unwrap());
                self.kafka.append(partition, message.key.clone(), message.payload.clone(), now);
                self.saw("hold: settle published");
            }
        }
        Ok(())
    }

    pub fn record(&mut self, rows: &Rows, most: usize) {
        let judged = self.tables.record(rows, most);
        self.judge(judged.map_err(|detail| Broken { law: Law::NewestWins, detail }));
        let judged = self.laws.recorded(&self.tables, &rows.rollups);
        self.judge(judged);
        let (events, letters) = (rows.events.len(), rows.dead_letters.len());
        self.trace(|| format!("recorded {events} events, {letters} letters, at most {most} rows"));
    }

    pub fn record_entries(&mut self, entries: &[Entry], most: usize) {
        for entry in entries.iter().take(most) {
            let judged = self.tables.entry(entry);
            self.judge(judged.map_err(|detail| Broken { law: Law::Gapless, detail }));
        }
        self.trace(|| format!("recorded {} entries, at most {most}", entries.len()));
    }

    /// A commit of the group: whether it was taken. A lower one than before is nobody's to make.
    pub fn commit(&mut self, partition: i32, lease: (usize, u64), next: i64) -> bool {
        let before = self.kafka.committed[partition as usize];
        let taken = self.kafka.commit(partition, lease, next);
        self.trace(|| format!("commit {partition} at {next} by {}: {taken}", lease.0));
        if taken {
            let judged = self.laws.committed(&self.kafka, &self.tables, partition, before..next);
            self.judge(judged);
        }
        taken
    }
}
