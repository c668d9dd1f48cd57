//! The scheduler: draws what happens next, one thing after the other, and in the end heals everything.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant as Clock, sleep};

use super::asks::{self, Ask, Request};
use super::process::Process;
use super::weather::Store;
use super::world::World;
use super::{FEATURES, USERS, WORKSPACES, partition_of, workspace};
use crate::domain::change::Change;
use crate::domain::period::Instant;

const PROCESSES_MAX: usize = 3;
const PROCESSES_EVER_MAX: usize = 9;

pub struct Life {
    pub world: Arc<World>,
    pub processes: Vec<Process>,
    pub asks: Vec<Arc<Ask>>,
    started: usize,
    events: u64,
}

impl Life {
    pub fn new(world: Arc<World>) -> Self {
        Self { world, processes: Vec::new(), asks: Vec::new(), started: 0, events: 0 }
    }

    /// The safety phase.
    pub async fn live(&mut self) {
        for number in 0..WORKSPACES {
            if number > 0 || self.world.roll(2) == 0 {
                let plan = asks::plan(&mut self.world.lock().dice);
                self.ask(workspace(number), Request::Change(Change::Plan(plan)));
            }
        }
        self.reap();
        (0..self.asks.len()).for_each(|at| self.ask_again(at));
        for _ in 0..80 + self.world.roll(120) {
            self.reap();
            if self.world.is_broken() {
                return;
            }
            self.act().await;
        }
    }

    async fn act(&mut self) {
        let number = self.world.roll(100);
        match number {
            0..=17 => self.produce(),
            18..=41 => self.one(|process, dice| process.feed(1 + dice % 8)),
            42..=51 => self.one(|process, dice| process.commit(dice % 5 > 0)),
            52..=66 => self.pass().await,
            67..=71 => self.rebalance().await,
            72..=73 => self.steal(),
            74..=75 => self.hear(),
            76..=77 => self.freeze(),
            78 => self.kill(),
            79 => self.leave().await,
            80 => self.rewind(),
            81 => self.one(|process, _| process.flush()),
            82..=83 => self.outage(),
            84..=92 => {
                let ask = asks::drawn(&mut self.world.lock().dice, self.asks.len());
                self.asks.push(Arc::new(ask));
                self.ask_again(self.asks.len() - 1);
            }
            _ => {
                let open: Vec<usize> =
                    (0..self.asks.len()).filter(|at| !self.asks[*at].is_answered()).collect();
                if let Some(at) = open.get(self.world.roll(open.len() as u64) as usize) {
                    self.ask_again(*at);
                }
            }
        }
    }

    /// One of the processes that run does something, with a number to go by.
    fn one(&mut self, work: impl FnOnce(&mut Process, u64)) {
        let awake: Vec<usize> =
            (0..self.processes.len()).filter(|at| !self.processes[*at].life.is_frozen()).collect();
        if let Some(at) = awake.get(self.world.roll(awake.len() as u64) as usize) {
            let number = self.world.roll(1 << 20);
            work(&mut self.processes[*at], number);
        }
    }

    async fn pass(&self) {
        let longest = if self.world.roll(8) == 0 { 12_000 } else { 900 };
        let ms = self.world.roll(longest);
        sleep(Duration::from_millis(ms)).await;
    }

    fn produce(&mut self) {
        for _ in 0..=self.world.roll(6) {
            let mut state = self.world.lock();
            let (kind, again) = (state.dice.below(20), state.dice.below(self.events.max(1)));
            let number = if kind < 4 { again } else { self.events };
            self.events += u64::from(number == self.events);
            let workspace = number % WORKSPACES;
            // Somebody partitions in another way: one workspace's events come in two partitions.
            let stray = kind == 4;
            let mut partition = partition_of(&format!("w{workspace}"));
            partition = if stray { (partition + 1) % super::world::PARTITIONS as i32 } else { partition };
            let now = state.now();
            let payload = match kind {
                5 => junk(state.dice.below(6), number),
                _ => event(number, kind, now, &mut state.dice),
            };
            let key = (kind % 3 == 0 && kind != 5).then(|| format!("w{workspace}").into_bytes());
            state.trace(|| format!("produced to {partition}: {}", String::from_utf8_lossy(&payload)));
            state.kafka.append(partition, key, Some(payload), now);
            if kind < 4 {
                state.saw("producer: repeats");
            }
        }
    }

    pub fn ask(&mut self, workspace: crate::domain::WorkspaceId, request: Request) {
        let ask = Arc::new(Ask::new(workspace, self.asks.len(), request));
        self.asks.push(ask);
    }

    fn ask_again(&mut self, at: usize) {
        let ask = Arc::clone(&self.asks[at]);
        self.one(|process, _| process.ask(ask));
    }

    /// Takes the dead away, starts others, and sees that every partition is somebody's.
    fn reap(&mut self) {
        let world = Arc::clone(&self.world);
        self.processes.retain(|process| {
            if process.has_stopped() && !process.life.is_dead() {
                world.lock().saw("stop: by itself");
                process.kill();
            }
            if process.life.is_dead() {
                process.kill();
                let mut state = world.lock();
                for owner in &mut state.kafka.owners {
                    *owner = owner.filter(|(number, _)| *number != process.number);
                }
                state.trace(|| format!("process {} is gone", process.number));
            }
            !process.life.is_dead()
        });
        let more = self.processes.len() < PROCESSES_MAX && self.started < PROCESSES_EVER_MAX;
        if self.processes.is_empty() || (more && self.world.roll(12) == 0) {
            self.start();
        }
        for partition in 0..super::world::PARTITIONS {
            if self.world.lock().kafka.owners[partition].is_none() {
                let at = self.world.roll(self.processes.len() as u64) as usize;
                self.processes[at].assign(partition as i32);
            }
        }
    }

    pub fn start(&mut self) {
        self.started += 1;
        self.processes.push(Process::start(&self.world, self.started));
    }

    /// A partition and the places of its owner and of another process, if there are two.
    fn two(&self) -> Option<(i32, usize, usize)> {
        let partition = self.world.roll(super::world::PARTITIONS as u64) as usize;
        let (owner, _) = self.world.lock().kafka.owners[partition]?;
        let from = self.processes.iter().position(|process| process.number == owner)?;
        let others: Vec<usize> = (0..self.processes.len()).filter(|at| *at != from).collect();
        let to = *others.get(self.world.roll(others.len() as u64) as usize)?;
        Some((partition as i32, from, to))
    }

    async fn rebalance(&mut self) {
        let Some((partition, from, to)) = self.two() else { return };
        if self.processes[from].life.is_frozen() {
            return;
        }
        let deadline = Duration::from_millis(self.world.roll(800));
        self.processes[from].revoke(partition, deadline).await;
        self.processes[to].assign(partition);
    }

    /// The group believes the owner dead, which goes on.
    fn steal(&mut self) {
        let Some((partition, from, to)) = self.two() else { return };
        self.world.lock().saw("zombie: partition taken unheard");
        self.processes[from].lost.insert(partition);
        self.processes[to].assign(partition);
    }

    fn hear(&mut self) {
        self.one(|process, _| {
            for partition in process.lost.clone() {
                process.forget(partition);
            }
        });
    }

    /// A process stands still, and the others take its partitions; it thaws later.
    fn freeze(&mut self) {
        let ms = 200 + self.world.roll(12_000);
        self.one(|process, _| process.life.freeze(Some(Clock::now() + Duration::from_millis(ms))));
        self.world.lock().saw("zombie: frozen");
        for partition in 0..super::world::PARTITIONS as i32 {
            let Some((owner, _)) = self.world.lock().kafka.owners[partition as usize] else { continue };
            let frozen = self.processes.iter().position(|p| p.number == owner && p.life.is_frozen());
            let awake = self.processes.iter().position(|p| !p.life.is_frozen());
            if let (Some(from), Some(to)) = (frozen, awake) {
                self.processes[from].lost.insert(partition);
                self.processes[to].assign(partition);
            }
        }
    }

    fn kill(&mut self) {
        if !self.processes.is_empty() {
            let at = self.world.roll(self.processes.len() as u64) as usize;
            self.world.lock().saw("crash: anywhere");
            self.processes[at].kill();
        }
    }

    async fn leave(&mut self) {
        if self.processes.len() > 1 {
            let at = self.world.roll(self.processes.len() as u64) as usize;
            let process = self.processes.remove(at);
            let deadline = Duration::from_millis(self.world.roll(2000));
            let number = process.number;
            process.leave(deadline).await;
            for owner in &mut self.world.lock().kafka.owners {
                *owner = owner.filter(|(owner, _)| *owner != number);
            }
        }
    }

    /// An operator sets the offset of a partition back.
    fn rewind(&mut self) {
        let Some((partition, from, to)) = self.two() else { return };
        self.processes[from].forget(partition);
        let committed = self.world.lock().kafka.committed[partition as usize];
        let back = self.world.roll(committed as u64 + 1) as i64;
        {
            let mut state = self.world.lock();
            state.kafka.committed[partition as usize] = back;
            if back < committed {
                state.saw("operator: offsets set back");
            }
        }
        self.processes[to].assign(partition);
    }

    fn outage(&mut self) {
        let store = [Store::Redis, Store::Kafka, Store::ClickHouse][self.world.roll(3) as usize];
        let ms = self.world.roll(4000);
        let mut state = self.world.lock();
        state.weather.away_for(store, Duration::from_millis(ms));
        state.saw(format!("outage: {store:?}"));
    }

    /// The heal phase: every store answers, nobody is frozen or deaf. Whether all came to rest in time.
    pub async fn heal(&mut self) -> bool {
        self.world.lock().weather.calm();
        for process in &mut self.processes {
            process.life.freeze(None);
        }
        let until = Clock::now() + Duration::from_secs(60);
        while Clock::now() < until && !self.world.is_broken() {
            self.reap();
            for at in 0..self.processes.len() {
                for partition in self.processes[at].lost.clone() {
                    self.processes[at].forget(partition);
                }
                self.processes[at].feed(50);
                self.processes[at].commit(true);
            }
            for at in 0..self.asks.len() {
                if !self.asks[at].is_answered() && self.world.roll(20) == 0 {
                    self.ask_again(at);
                }
            }
            sleep(Duration::from_millis(50)).await;
            if self.is_at_rest() {
                return true;
            }
        }
        false
    }

    fn is_at_rest(&self) -> bool {
        let state = self.world.lock();
        let relayed = state.books.shards.iter().all(super::outbox::Shard::is_empty);
        relayed && state.kafka.is_read() && self.asks.iter().all(|ask| ask.is_answered())
    }

    /// An event of 0 credits for each user, in both months: every account is touched once more.
    pub fn touch(&mut self) {
        let mut state = self.world.lock();
        let now = state.now();
        for number in 0..WORKSPACES * USERS {
            let (workspace, user) = (number / USERS, number % USERS);
            for time in [now, super::month_before()] {
                let payload = format!(
                    r#"{{"id":"touch{number}","source":"end","time":"{time}","workspace":"w{workspace}",
                    "user":"u{user}","feature":"f0","credits":0}}"#
                );
                state.kafka.append(
                    partition_of(&format!("w{workspace}")),
                    None,
                    Some(payload.into_bytes()),
                    now,
                );
            }
        }
    }

    /// Everybody dies; the group's offsets go back to the start.
    pub fn start_anew(&mut self) {
        for process in &self.processes {
            process.kill();
        }
        self.reap();
        let mut state = self.world.lock();
        state.kafka.committed.fill(0);
        state.kafka.owners.fill(None);
        drop(state);
        for process in &mut self.processes {
            for partition in 0..super::world::PARTITIONS as i32 {
                process.forget(partition);
            }
        }
    }
}

fn event(number: u64, kind: u64, now: Instant, dice: &mut crate::simulate::Rng) -> Vec<u8> {
    // What an event is follows from its number, so that one that comes again is the same.
    let mut of = crate::simulate::Rng::new(number);
    let (workspace, user, feature) = (number % WORKSPACES, of.below(USERS), of.below(FEATURES));
    let credits = 1 + of.below(9);
    let back = match kind {
        6 => 80 * 3_600_000,                      // too old
        7 => -600_000,                            // from the future
        8 | 9 => of.below(48) as i64 * 3_600_000, // late
        _ => of.below(60_000) as i64,
    };
    let time = Instant::from_millis(now.millis() - back);
    let time = if kind < 4 { String::new() } else { format!(r#""time":"{time}","#) };
    let hold = if kind == 10 { format!(r#","hold":"h{}""#, dice.below(6)) } else { String::new() };
    format!(
        r#"{{"id":"e{number}","source":"test",{time}"workspace":"w{workspace}","user":"u{user}",
        "feature":"f{feature}","credits":{credits}{hold}}}"#
    )
    .into_bytes()
}

fn junk(kind: u64, number: u64) -> Vec<u8> {
    match kind {
        0 => Vec::new(),
        1 => b"{ no event".to_vec(),
        2 => vec![0xff, 0xfe],
        3 => br#"{"id":"x","workspace":"w0","user":"u0","feature":"f0","credits":-1}"#.to_vec(),
        4 => format!(r#"{{"id":"e{number}","workspace":"w 0","user":"u0","feature":"f0","credits":1}}"#)
            .into_bytes(),
        _ => br#"{"id":"x","workspace":"w0","user":"u0","feature":"f0"}"#.to_vec(),
    }
}
