//! One process: the real pipeline, relay and writer of balances, and in the part of the consumer thread
//! and of the office what the scheduler makes them do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::asks::Ask;
use super::bugs::Bug;
use super::link::{Life, Link};
use super::weather::Store;
use super::world::World;
use crate::domain::event::DecodeRules;
use crate::domain::ledger::Effects;
use crate::domain::ports::Outbox;
use crate::domain::rates::RateCard;
use crate::kafka::{Batch, Offsets};
use crate::pipeline::gauges::PoolGauges;
use crate::pipeline::relay::{Relay, RelayTopics};
use crate::pipeline::tests::world::topics;
use crate::pipeline::{Pipeline, Settings, Stopped, absolutes};

type SimRelay = Relay<Link, Link, Link>;

pub struct Process {
    pub number: usize,
    pub life: Arc<Life>,
    pub offsets: Arc<Offsets>,
    /// What is to be fetched next of the partitions that it holds for its own.
    pub next: BTreeMap<i32, i64>,
    /// Under which assignment.
    leases: BTreeMap<i32, u64>,
    /// Partitions that were taken, unheard.
    pub lost: BTreeSet<i32>,
    world: Arc<World>,
    input: Option<mpsc::Sender<Batch>>,
    flush: Arc<Notify>,
    abort: CancellationToken,
    pipeline: JoinHandle<Result<(), Stopped>>,
    tasks: Vec<JoinHandle<()>>,
    link: Arc<Link>,
    relay: Arc<SimRelay>,
    told: mpsc::Sender<Effects>,
}

impl Process {
    pub fn start(world: &Arc<World>, number: usize) -> Self {
        let life = Arc::new(Life::default());
        let link = Arc::new(Link { world: Arc::clone(world), process: number, life: Arc::clone(&life) });
        let (offsets, flush, abort) =
            (Arc::new(Offsets::new()), Arc::new(Notify::new()), CancellationToken::new());
        let pipeline = pipeline(&link, &offsets, &flush, &abort);
        let (input, batches) = mpsc::channel(1);
        let pipeline = tokio::spawn(Arc::new(pipeline).run(batches));
        let topics = ["ledger", "alerts", "events"].map(str::to_owned);
        let [ledger, alerts, events] = topics;
        let topics = RelayTopics { ledger, alerts, events };
        let relay = Arc::new(Relay::new(Arc::clone(&link), Arc::clone(&link), Arc::clone(&link), topics));
        let (told, changes) = mpsc::channel(8);
        let (relaying, until) = (Arc::clone(&relay), abort.clone());
        let gauges = Arc::new(PoolGauges::new(0));
        let tasks = vec![
            tokio::spawn(async move { relaying.run(Duration::from_millis(500), until).await }),
            tokio::spawn(absolutes::write_all(
                Arc::clone(&link),
                gauges,
                changes,
                Duration::from_millis(200),
            )),
        ];
        world.lock().trace(|| format!("process {number} starts"));
        let (next, leases, lost) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let (world, input) = (Arc::clone(world), Some(input));
        let told_to = told;
        Self {
            number,
            life,
            offsets,
            next,
            leases,
            lost,
            world,
            input,
            flush,
            abort,
            pipeline,
            tasks,
            link,
            relay,
            told: told_to,
        }
    }

    pub fn assign(&mut self, partition: i32) {
        let (lease, from) = {
            let mut state = self.world.lock();
            let lease = state.kafka.assign(partition, self.number);
            state.trace(|| format!("partition {partition} goes to {}", self.number));
            (lease, state.kafka.committed[partition as usize])
        };
        self.lost.remove(&partition);
        self.offsets.assign(&[partition]);
        self.leases.insert(partition, lease);
        self.next.insert(partition, from);
    }

    /// Finishes what is under way of a partition, for so long at most, commits, and gives it up.
    pub async fn revoke(&mut self, partition: i32, deadline: Duration) {
        let until = tokio::time::Instant::now() + deadline;
        let idle = || self.offsets.wait_idle(&[partition], Duration::ZERO);
        while !idle() && tokio::time::Instant::now() < until && !self.life.is_dead() {
            self.flush.notify_one();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.world.lock().saw(if idle() { "revoke: drained" } else { "revoke: in mid-flight" });
        if !self.life.is_dead() {
            self.commit(true);
        }
        self.forget(partition);
    }

    /// Hears that a partition is another's.
    pub fn forget(&mut self, partition: i32) {
        self.offsets.revoke(&[partition]);
        self.next.remove(&partition);
        self.lost.remove(&partition);
    }

    /// Hands over the next batch, if there is room and anything to read.
    pub fn feed(&mut self, most: u64) {
        let Some(room) = self.input.as_ref().and_then(|input| input.try_reserve().ok()) else {
            self.world.lock().saw("backpressure");
            return;
        };
        let mut records = Vec::new();
        let mut last = Vec::new();
        for (partition, next) in &mut self.next {
            let state = self.world.lock();
            let log = &state.kafka.log[*partition as usize];
            let fetched: Vec<_> = log.iter().skip(*next as usize).take(most as usize).cloned().collect();
            if let Some(record) = fetched.last() {
                last.push((*partition, record.position.offset));
                *next = record.position.offset + 1;
            }
            records.extend(fetched);
        }
        if records.is_empty() {
            return;
        }
        let ticket = self.offsets.begin(&last);
        self.world.lock().trace(|| format!("{} reads up to {last:?}", self.number));
        room.send(Batch { ticket, records });
    }

    /// Commits what may be committed; an answer may get lost.
    pub fn commit(&mut self, heard: bool) {
        let mut committable = self.offsets.committable();
        let mut state = self.world.lock();
        if state.bug == Some(Bug::CommitsEarly) {
            committable = self.next.clone().into_iter().collect();
        }
        for (partition, next) in committable {
            let lease = (self.number, self.leases[&partition]);
            if !state.commit(partition, lease, next) {
                state.saw("commit: refused to a zombie");
            } else if heard {
                self.offsets.committed(partition, next);
            } else {
                state.saw("reply lost: commit");
            }
        }
    }

    pub fn flush(&self) {
        self.flush.notify_one();
    }

    /// A client asks this process.
    pub fn ask(&mut self, ask: Arc<Ask>) {
        let (link, relay, told) = (Arc::clone(&self.link), Arc::clone(&self.relay), self.told.clone());
        self.tasks.push(tokio::spawn(async move {
            answer(&link, &relay, &told, &ask).await;
        }));
    }

    /// Whether its pipeline has given up by itself.
    pub fn has_stopped(&self) -> bool {
        self.pipeline.is_finished()
    }

    /// No more input; what was taken is worked off, for so long at most. Like the service's own end.
    pub async fn leave(mut self, deadline: Duration) {
        self.input = None;
        let left = tokio::time::timeout(deadline, &mut self.pipeline).await;
        if !self.life.is_dead() {
            self.commit(true);
            self.world.lock().saw(if left.is_ok() { "stop: drained" } else { "stop: in mid-flight" });
        }
        self.kill();
    }

    /// Killed where it stands.
    pub fn kill(&self) {
        self.life.end();
        self.abort.cancel();
        self.pipeline.abort();
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// As the office does it: the stores, then Kafka, then the answer; the tables follow.
async fn answer(link: &Link, relay: &SimRelay, told: &mpsc::Sender<Effects>, ask: &Ask) {
    let asked = link.call(Store::Redis, ask.name(), |state, _| ask.put(state)).await;
    let Ok((done, effects)) = asked else { return };
    if effects != Effects::default() {
        let _ = told.send(effects).await;
    }
    if done && relay.relay_now(link.shard_of(&ask.workspace)).await.is_err() {
        return;
    }
    ask.answered(&mut link.world.lock(), done);
}

fn pipeline(
    link: &Arc<Link>,
    offsets: &Arc<Offsets>,
    flush: &Arc<Notify>,
    abort: &CancellationToken,
) -> Pipeline<Link, Link, Link> {
    Pipeline {
        ledger: Arc::clone(link),
        warehouse: Arc::clone(link),
        publisher: Arc::clone(link),
        offsets: Arc::clone(offsets),
        rules: DecodeRules {
            age_micros_max: 72 * 3_600_000_000,
            ahead_micros_max: 300_000_000,
            payload_bytes_max: 256 * 1024,
            rates: RateCard::default(),
        },
        topics: topics(),
        settings: Settings {
            record_rows_max: 40,
            record_interval_ms: 300,
            record_rows_waiting_max: 30.try_into().unwrap(),
            waiting_events_max: 100,
            retry_pause_ms_max: 400,
            relay_interval_ms: 500,
            gauge_workspaces_max: 0,
            forecast_interval_seconds: 60,
            audit_interval_seconds: 60,
        },
        gauges: Arc::new(PoolGauges::new(0)),
        under_way: Arc::default(),
        flush: Arc::clone(flush),
        abort: abort.clone(),
    }
}
