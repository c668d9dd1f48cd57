//! The stores as one process reaches them: every port, with the troubles of the way. A process that
//! died has no effect any more; one that is frozen has none until it thaws.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant as Clock, sleep, sleep_until};

use super::bugs::Bug;
use super::outbox::shard_of;
use super::weather::{Death, Store, Trouble};
use super::world::{State, World};
use crate::domain::WorkspaceId;
use crate::domain::alert::Alert;
use crate::domain::event::Arrival;
use crate::domain::ledger::{Effects, Entry, Pending};
use crate::domain::period::Instant;
use crate::domain::ports::{Fault, Ledger, Outbox, Warehouse};
use crate::domain::record::Rows;
use crate::kafka::{Message, Publish};

const ALL: usize = usize::MAX;

#[derive(Debug, thiserror::Error)]
#[error("the simulation wanted it")]
pub struct SimFault {
    transient: bool,
}

impl Fault for SimFault {
    fn is_transient(&self) -> bool {
        self.transient
    }
}

/// Whether a process lives.
#[derive(Default)]
pub struct Life {
    dead: AtomicBool,
    frozen_until: Mutex<Option<Clock>>,
}

impl Life {
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    pub fn end(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    pub fn freeze(&self, until: Option<Clock>) {
        *self.frozen_until.lock().unwrap() = until;
    }

    pub fn is_frozen(&self) -> bool {
        self.frozen_until.lock().unwrap().is_some_and(|until| Clock::now() < until)
    }

    /// Goes on when the process does.
    async fn lived(&self) {
        let until = *self.frozen_until.lock().unwrap();
        if let Some(until) = until {
            sleep_until(until).await;
        }
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
    }
}

pub struct Link {
    pub world: Arc<World>,
    pub process: usize,
    pub life: Arc<Life>,
}

impl Link {
    /// A call: `work` is told how many of its rows or messages it may write.
    pub async fn call<T>(
        &self,
        store: Store,
        name: &'static str,
        work: impl FnOnce(&mut State, usize) -> T,
    ) -> Result<T, SimFault> {
        self.life.lived().await;
        let trouble = self.trouble(store, name);
        let away = Err(SimFault { transient: true });
        match trouble {
            Trouble::Fine => Ok(work(&mut self.world.lock(), ALL)),
            Trouble::Slow(before, after) => {
                sleep(Duration::from_millis(before)).await;
                self.life.lived().await;
                let done = work(&mut self.world.lock(), ALL);
                sleep(Duration::from_millis(after)).await;
                self.life.lived().await;
                Ok(done)
            }
            Trouble::Away => {
                sleep(Duration::from_millis(5)).await;
                away
            }
            Trouble::Lost => {
                work(&mut self.world.lock(), ALL);
                away
            }
            Trouble::Broken(most) => {
                work(&mut self.world.lock(), most as usize);
                away
            }
            Trouble::Refused => Err(SimFault { transient: false }),
            Trouble::Dies(death) => {
                match death {
                    Death::Before => {}
                    Death::Halfway(most) => drop(work(&mut self.world.lock(), most as usize)),
                    Death::After => drop(work(&mut self.world.lock(), ALL)),
                }
                self.life.end();
                std::future::pending().await
            }
        }
    }

    fn trouble(&self, store: Store, name: &str) -> Trouble {
        let mut state = self.world.lock();
        let State { weather, dice, .. } = &mut *state;
        let mut trouble = weather.trouble(store, dice);
        // A script is done whole or not at all.
        if store == Store::Redis {
            trouble = match trouble {
                Trouble::Broken(_) => Trouble::Lost,
                Trouble::Dies(Death::Halfway(_)) => Trouble::Dies(Death::After),
                other => other,
            };
        }
        // What a relay does all day long would kill most processes before they are of interest.
        let often = ["claim", "release", "pending", "unrecorded"].contains(&name);
        if often && matches!(trouble, Trouble::Dies(_)) && dice.below(8) > 0 {
            trouble = Trouble::Fine;
        }
        let process = self.process;
        state.trace(|| format!("{process}: {name} {trouble:?}"));
        match trouble {
            Trouble::Fine | Trouble::Slow(..) => {}
            Trouble::Away => state.saw(format!("away: {store:?}")),
            Trouble::Lost => state.saw(format!("reply lost: {name}")),
            Trouble::Broken(_) => state.saw(format!("broken off: {name}")),
            Trouble::Refused => state.saw(format!("refused: {store:?}")),
            Trouble::Dies(Death::Halfway(_)) => state.saw(format!("crash: halfway {name}")),
            Trouble::Dies(Death::Before) => state.saw(format!("crash: before {name}")),
            Trouble::Dies(Death::After) => state.saw(format!("crash: after {name}")),
        }
        trouble
    }

    /// A bug that takes a fault for a success.
    fn swallowed(&self, done: Result<(), SimFault>, bug: Bug) -> Result<(), SimFault> {
        if self.world.lock().bug == Some(bug) { Ok(()) } else { done }
    }
}

impl Ledger for Link {
    type Error = SimFault;

    /// The pipeline's clock is the wall's, so that it is not looked at.
    async fn decide(
        &self,
        arrivals: &[Arrival],
        committed: &[(i32, i64)],
        _: Instant,
    ) -> Result<Effects, SimFault> {
        let decided = |state: &mut State, _| {
            if state.lacks(arrivals) { None } else { Some(state.decide(arrivals, committed)) }
        };
        let decided = self.call(Store::Redis, "decide", decided).await?;
        decided.ok_or(SimFault { transient: true })
    }

    fn standing_still(&self) -> BTreeSet<WorkspaceId> {
        self.world.lock().standing_still()
    }
}

impl Publish for Link {
    type Error = SimFault;

    async fn publish(&self, topic: &str, messages: &[Message]) -> Result<(), SimFault> {
        let name = match topic {
            "decisions" => "tell",
            "dead-letters" => "reject",
            _ => "relay",
        };
        let done = self.call(Store::Kafka, name, |state, most| state.publish(topic, messages, most)).await;
        if name == "reject" { self.swallowed(done, Bug::SwallowsDeadLetters) } else { done }
    }
}

impl Warehouse for Link {
    type Error = SimFault;

    async fn record(&self, rows: &Rows) -> Result<(), SimFault> {
        let name = if rows.events.is_empty() && rows.dead_letters.is_empty() { "balance" } else { "record" };
        let done = self.call(Store::ClickHouse, name, |state, most| state.record(rows, most)).await;
        self.swallowed(done, Bug::SwallowsRows)
    }

    async fn record_entries(&self, entries: &[Entry]) -> Result<(), SimFault> {
        self.call(Store::ClickHouse, "enter", |state, most| state.record_entries(entries, most)).await
    }

    async fn record_alerts(&self, _: &[Alert]) -> Result<(), SimFault> {
        self.call(Store::ClickHouse, "warn", |_, _| ()).await
    }
}

impl Outbox for Link {
    type Error = SimFault;

    fn shards(&self) -> u16 {
        self.world.lock().books.shards.len() as u16
    }

    fn shard_of(&self, workspace: &WorkspaceId) -> u16 {
        shard_of(workspace, usize::from(self.shards()))
    }

    async fn claim(&self, shard: u16) -> Result<bool, SimFault> {
        let claim = |state: &mut State, _| {
            let (now, bug) = (state.now(), state.bug);
            state.books.shards[usize::from(shard)].claim(self.process, now, bug)
        };
        self.call(Store::Redis, "claim", claim).await
    }

    async fn release(&self, shard: u16) -> Result<(), SimFault> {
        let release = |state: &mut State, _| state.books.shards[usize::from(shard)].release(self.process);
        self.call(Store::Redis, "release", release).await
    }

    async fn pending(&self, shard: u16, max: usize) -> Result<Vec<Pending>, SimFault> {
        let pending = |state: &mut State, _| state.books.shards[usize::from(shard)].pending(max, state.bug);
        self.call(Store::Redis, "pending", pending).await
    }

    async fn published(&self, shard: u16, ids: &[String]) -> Result<(), SimFault> {
        let published =
            |state: &mut State, _| state.books.shards[usize::from(shard)].published(ids, state.bug);
        self.call(Store::Redis, "published", published).await
    }

    async fn unrecorded(&self, shard: u16, max: usize) -> Result<Vec<Pending>, SimFault> {
        let rows = |state: &mut State, _| state.books.shards[usize::from(shard)].unrecorded(max);
        self.call(Store::Redis, "unrecorded", rows).await
    }

    async fn recorded(&self, shard: u16, ids: &[String]) -> Result<(), SimFault> {
        self.call(Store::Redis, "recorded", |state, _| state.books.shards[usize::from(shard)].recorded(ids))
            .await
    }
}
