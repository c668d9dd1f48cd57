//! [`RedisLedger`]: decides batches of events, one call a shard at a time and all shards at once.

use std::hash::BuildHasher;
use std::sync::{Arc, PoisonError};

use ::redis::Script;
use futures::future::join_all;
use hashbrown::HashMap;
use tokio::sync::{Mutex, Semaphore};

use super::joined::Joined;
use super::keys::Keys;
use super::link::Link;
use super::reply::{self, Reply};
use super::request::{Known, Moved, Request};
use super::{Dedupe, RedisError, Scripts, Settings};
use crate::domain::WorkspaceId;
use crate::domain::calendar::Calendar;
use crate::domain::decision::Decision;
use crate::domain::event::Arrival;
use crate::domain::ledger::Effects;
use crate::domain::period::Instant;
use crate::domain::ports::Ledger;

/// How often a call is repeated because events belonged elsewhere.
const PLACING_ATTEMPTS: usize = 8;

/// More values a script cannot hand to one command, or take from a list.
const CALL_EVENTS_LIMIT: usize = 2_500;

/// What one shard's events take of the room in Redis, at most, and how many shards so large are under way at once; more
/// when they are small. Redis answers one connection after the other: a check waits for all that was sent on this one.
const TURN_EVENTS: usize = 512;
const TURNS: usize = 2;

/// What the consumer knows of one shard.
#[derive(Default)]
struct Shard {
    known: HashMap<WorkspaceId, Known>,
    /// How far the tail of each partition was trimmed.
    trimmed: HashMap<i32, i64>,
}

/// What was committed of each partition since its tail was trimmed.
fn newly(trimmed: &HashMap<i32, i64>, committed: &[(i32, i64)]) -> Vec<(i32, i64)> {
    let is_new = |(partition, next): &&(i32, i64)| trimmed.get(partition) != Some(next);
    committed.iter().filter(is_new).copied().collect()
}

/// The credit ledger of every workspace, kept in Redis.
pub struct RedisLedger {
    pub(super) keys: Keys,
    pub(super) link: Link,
    /// A connection of its own for whoever waits for an answer: batches never stand in its way.
    pub(super) office: Arc<Link>,
    pub(super) change: Script,
    pub(super) open: Script,
    pub(super) sweep: Script,
    pub(super) keep: Script,
    pub(super) published: Script,
    pub(super) claim: Script,
    pub(super) stop: Script,
    pub(super) restore: Script,
    pub(super) begin: Script,
    pub(super) renew: Script,
    pub(super) release: Script,
    /// Tells this process from the others that relay.
    pub(super) token: String,
    decide: Script,
    pub(super) dedupe: Dedupe,
    /// Events and distinct users of one call, at most.
    call_bounds: (usize, usize),
    /// One lock a shard: calls to a shard follow each other, so that no event overtakes an earlier one.
    shards: Vec<Mutex<Shard>>,
    /// Room for the events that are under way.
    turns: Semaphore,
    /// What the office knows; it places by itself, and waits for no batch.
    desk: std::sync::Mutex<HashMap<WorkspaceId, Known>>,
    /// Checks wait here for the next call of their shard, and holds.
    pub(super) checks: Arc<Joined>,
    pub(super) holds: Arc<Joined>,
    /// What holds, openings and sweeps touched, until somebody takes it: it outlives the call that needed them.
    pub(super) touched: Arc<std::sync::Mutex<Effects>>,
}

impl RedisLedger {
    /// A ledger that connects at its first call. Errors: an address that cannot be read.
    pub fn new(settings: &Settings, dedupe: Dedupe) -> Result<Self, RedisError> {
        Self::with_scripts(settings, dedupe, &Scripts::default())
    }

    /// The same over these scripts.
    pub fn with_scripts(settings: &Settings, dedupe: Dedupe, scripts: &Scripts) -> Result<Self, RedisError> {
        let script = |names: &[&str]| Script::new(&scripts.joined(names));
        let books = |name: &str| script(&["lib", "effects", "holds", "books", name]);
        let keys = Keys::new(&settings.name, settings.shards);
        let (office, touched) = (Arc::new(Link::new(settings)?), Arc::default());
        let joined = |script| Joined::new(Arc::clone(&office), script, keys.clone(), Arc::clone(&touched));
        let (checks, holds) = (joined(script(&["lib", "check"])), joined(books("hold")));
        Ok(Self {
            link: Link::new(settings)?,
            checks,
            holds,
            office,
            decide: script(&["lib", "effects", "holds", "marks", "decide"]),
            open: books("open"),
            sweep: books("sweep"),
            keep: books("keep"),
            published: script(&["published"]),
            claim: Script::new(super::outbox::CLAIM),
            stop: script(&["lib", "holds", "stop"]),
            restore: script(&["lib", "holds", "marks", "restore"]),
            begin: Script::new(super::rebuild::BEGIN),
            renew: Script::new(super::rebuild::RENEW),
            release: Script::new(super::outbox::RELEASE),
            token: format!("{}-{:x}", std::process::id(), HashMap::<(), ()>::new().hasher().hash_one(0)),
            change: books("change"),
            dedupe,
            call_bounds: (
                settings.call_events_max.clamp(1, CALL_EVENTS_LIMIT),
                settings.call_users_max.clamp(1, CALL_EVENTS_LIMIT),
            ),
            shards: (0..keys.shards()).map(|_| Mutex::default()).collect(),
            turns: Semaphore::new(TURNS * TURN_EVENTS),
            desk: std::sync::Mutex::default(),
            touched,
            keys,
        })
    }

    /// Whether Redis answers.
    pub async fn ping(&self) -> Result<(), RedisError> {
        self.link.query::<String>(&::redis::cmd("PING")).await.map(drop)
    }

    /// Whether it is one that the scripts run on. Errors: [`RedisError::TooOld`].
    pub async fn verify(&self) -> Result<(), RedisError> {
        let info: String = self.link.query(::redis::cmd("INFO").arg("server")).await?;
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap_or_default();
        let major: u32 = version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
        if major < 7 { Err(RedisError::TooOld(version.to_owned())) } else { Ok(()) }
    }
}

impl Ledger for RedisLedger {
    type Error = RedisError;

    async fn decide(
        &self,
        arrivals: &[Arrival],
        committed: &[(i32, i64)],
        now: Instant,
    ) -> Result<Effects, RedisError> {
        // Those of one partition together, in there those of one workspace, in their order: fewer places to touch.
        let mut of_shard: Vec<Vec<(i32, u64, usize)>> = vec![Vec::new(); self.shards.len()];
        for (at, arrival) in arrivals.iter().enumerate() {
            let (hash, shard) = self.keys.hash_and_shard(&arrival.event.workspace);
            of_shard[usize::from(shard)].push((arrival.position.partition, hash, at));
        }
        of_shard.iter_mut().for_each(|events| events.sort_unstable());
        let busy = of_shard.iter().enumerate().filter(|(_, events)| !events.is_empty());
        let calls = busy.map(|(shard, events)| {
            let events = events.iter().map(|(_, _, at)| (*at, &arrivals[*at])).collect();
            self.decide_shard(shard, events, committed, now)
        });
        let mut effects = Effects::default();
        let mut decisions: Vec<Option<Decision>> = arrivals.iter().map(|_| None).collect();
        for part in join_all(calls).await {
            let (numbered, part) = part?;
            for (at, decision) in numbered {
                decisions[at] = Some(decision);
            }
            effects.extend(part);
        }
        let mut told = self.take_touched(); // older than what the events left
        told.extend(effects);
        told.decisions = decisions.into_iter().flatten().collect();
        Ok(told)
    }
}

impl RedisLedger {
    async fn decide_shard(
        &self,
        shard: usize,
        events: Vec<(usize, &Arrival)>,
        committed: &[(i32, i64)],
        now: Instant,
    ) -> Result<(Vec<(usize, Decision)>, Effects), RedisError> {
        let arrivals: Vec<&Arrival> = events.iter().map(|(_, arrival)| *arrival).collect();
        // Never closed: it cannot fail.
        let _turn = self.turns.acquire_many(arrivals.len().clamp(1, TURN_EVENTS) as u32).await;
        let mut here = self.shards[shard].lock().await;
        let Shard { known, trimmed } = &mut *here;
        let (mut numbered, mut effects, mut from) = (Vec::with_capacity(events.len()), Effects::default(), 0);
        let mut committed = newly(trimmed, committed);
        while from < arrivals.len() {
            let (request, done) = self.call(shard, &arrivals[from..], known, &committed, now).await?;
            trimmed.extend(committed.drain(..));
            let mut again = done.again.iter().peekable();
            for (at, answer) in done.verdicts.into_iter().enumerate() {
                let redelivered = again.next_if_eq(&&at).is_some();
                let Some(answer) = answer else {
                    effects.settled_before += 1;
                    continue;
                };
                let decision = reply::decision(&request, at, answer, now);
                numbered.push((events[from + at].0, Decision { redelivered, ..decision }));
            }
            from += request.arrivals.len();
            effects.balances.extend(done.balances);
            effects.rollups.extend(done.rollups);
            effects.pools.extend(done.pools);
        }
        Ok((numbered, effects))
    }

    async fn call<'a>(
        &self,
        shard: usize,
        arrivals: &'a [&'a Arrival],
        known: &mut HashMap<WorkspaceId, Known>,
        committed: &[(i32, i64)],
        now: Instant,
    ) -> Result<(Request<'a>, reply::Done), RedisError> {
        let (mut moved, mut bounds) = (Moved::new(), self.call_bounds);
        for _ in 0..PLACING_ATTEMPTS {
            let request = Request::gather(arrivals, known, &moved, bounds);
            let arguments = request.pack(known, committed, self.dedupe, now.millis());
            let bytes = self.link.run(&self.decide, &self.keys.heads(shard as u16), &arguments).await?;
            match reply::read(&bytes, &request, now)? {
                Reply::Done(done) => {
                    for (id, (epoch, version)) in request.workspaces.iter().zip(&done.heads) {
                        known.entry_ref(*id).or_default().saw(*epoch, *version);
                    }
                    return Ok((request, done));
                }
                Reply::Calendar(changed) => {
                    for (at, text) in changed {
                        let id = request.workspaces[at];
                        known.entry_ref(id).or_default().set_calendar(calendar(id, &text)?);
                    }
                }
                Reply::Moved(places) => moved.extend(places),
                Reply::Due => self.sweep(shard as u16, now).await?,
                Reply::Unopened(groups) => {
                    // An opening may carry over what the period before has left: events that belong there and come
                    // first are decided first.
                    let behind = groups.iter().filter_map(|(group, _)| request.behind_another_period(*group));
                    if let Some(cut) = behind.min() {
                        bounds.0 = cut;
                        continue;
                    }
                    for (group, last) in groups {
                        let (workspace, period) = request.groups[group];
                        let id = request.workspaces[workspace];
                        let known = known.entry_ref(id).or_default();
                        self.open(id, known, period, last, now).await?;
                    }
                }
                Reply::Rebuild(places) => {
                    let id = places.first().map_or("", |at| request.workspaces[*at].as_str());
                    return Err(RedisError::NeedsRebuild(id.to_owned()));
                }
            }
        }
        let id = arrivals.first().map_or("", |arrival| arrival.event.workspace.as_str());
        Err(RedisError::Contended(id.to_owned()))
    }
}

impl RedisLedger {
    fn at_desk<T>(&self, work: impl FnOnce(&mut HashMap<WorkspaceId, Known>) -> T) -> T {
        work(&mut self.desk.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the office knows of a workspace.
    pub(super) fn known(&self, workspace: &WorkspaceId) -> Known {
        self.at_desk(|desk| desk.get(workspace).cloned().unwrap_or_default())
    }

    /// How many calls to Redis have failed in this process: after each, what it has may be less than it was.
    pub fn faults(&self) -> u64 {
        self.link.faults() + self.office.faults()
    }

    /// Takes note that a workspace's state has been this far: nothing older is used.
    pub(super) async fn saw(&self, workspace: &WorkspaceId, epoch: u64, version: u64) {
        let shard = usize::from(self.keys.shard_of(workspace));
        self.shards[shard].lock().await.known.entry_ref(workspace).or_default().saw(epoch, version);
        self.at_desk(|desk| desk.entry_ref(workspace).or_default().saw(epoch, version));
    }

    /// Keeps what was learned on the way.
    pub(super) fn learned(&self, workspace: &WorkspaceId, known: Known) {
        self.at_desk(|desk| {
            let before = desk.entry_ref(workspace).or_default();
            let (epoch, version) = (before.epoch, before.version);
            if before.calendar.version() <= known.calendar.version() {
                *before = known;
                before.saw(epoch, version);
            } else {
                before.saw(known.epoch, known.version);
            }
        });
    }
}

/// A calendar as it is stored; nothing stored is the calendar before the first plan.
pub(super) fn calendar(id: &WorkspaceId, text: &str) -> Result<Calendar, RedisError> {
    if text.is_empty() {
        return Ok(Calendar::default());
    }
    Calendar::from_stored(text).map_err(|fault| RedisError::Calendar(id.to_string(), fault))
}
