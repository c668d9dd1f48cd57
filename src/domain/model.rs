//! The whole rule in plain Rust: the specification that `redis/scripts` implements. It remembers
//! everything for ever and is not fast; a property test feeds both the same operations.

mod changes;
mod debit;
mod holds;
mod watch;

use std::collections::{BTreeMap, BTreeSet};

use super::book::{Book, Workspace};
use super::decision::{Drawn, Outcome, Verdict};
use super::event::{Arrival, UsageEvent};
use super::hold::Hold;
use super::period::{Instant, Period};
use super::{HoldId, WorkspaceId};

pub use debit::{debit, judge};
pub use holds::{SETTLES, denial};
pub use watch::level_of;

/// The identity of an event: one that arrives again is a duplicate.
type Identity = (String, String);

#[derive(Debug, Clone, Default)]
struct Tenant {
    state: Workspace,
    /// Highest offset decided, by partition, and every answer.
    fences: BTreeMap<i32, i64>,
    answers: BTreeMap<(i32, i64), Verdict>,
    timed: BTreeSet<(Identity, Instant)>,
    arrived: BTreeMap<Identity, Vec<i64>>,
    /// Holds that ended, and the periods that holds were made in.
    ended: BTreeMap<HoldId, Hold>,
    spans: BTreeMap<HoldId, Period>,
    /// Events whose credits went back, by source, id and time.
    reversed: BTreeSet<(String, String, Instant)>,
}

/// Every workspace, in memory.
#[derive(Debug, Clone)]
pub struct Model {
    tenants: BTreeMap<WorkspaceId, Tenant>,
    /// Width of a slot of the arrival window, in milliseconds, and how many are looked back.
    window_slot_ms: i64,
    window_slots: i64,
}

impl Model {
    /// A model that knows nobody yet; a resend with another time is recognised in a window of so many seconds.
    pub fn new(window_seconds: i64) -> Self {
        Self { tenants: BTreeMap::new(), window_slot_ms: window_seconds.max(1) * 1000, window_slots: 2 }
    }

    /// The state of a workspace, as far as it was ever touched.
    pub fn workspace(&self, id: &WorkspaceId) -> Option<&Workspace> {
        self.tenants.get(id).map(|tenant| &tenant.state)
    }

    fn tenant(&mut self, id: &WorkspaceId) -> &mut Tenant {
        self.tenants.entry(id.clone()).or_insert_with(Tenant::unseen)
    }

    /// Decides one event; an offset that was decided before gets its first answer again.
    pub fn decide(&mut self, arrival: &Arrival) -> Verdict {
        let slot = arrival.timestamp.millis().div_euclid(self.window_slot_ms);
        let slots = self.window_slots;
        let tenant = self.tenant(&arrival.event.workspace);
        let position = arrival.position;
        let fence = tenant.fences.entry(position.partition).or_insert(i64::MIN);
        let first = tenant.answers.get(&(position.partition, position.offset));
        if let Some(verdict) = first.filter(|_| position.offset <= *fence) {
            return verdict.clone();
        }
        *fence = position.offset;
        let verdict = tenant.decide_fresh(&arrival.event, slot, slots, arrival.timestamp);
        tenant.answers.insert((position.partition, position.offset), verdict.clone());
        verdict
    }
}

impl Tenant {
    fn unseen() -> Self {
        Self { state: Workspace { epoch: 1, ..Workspace::default() }, ..Self::default() }
    }

    fn decide_fresh(&mut self, event: &UsageEvent, slot: i64, slots: i64, at: Instant) -> Verdict {
        let seen = self.seen(event, slot, slots);
        if let Some(hold) = self.settled_by(event).filter(|_| !seen) {
            self.state.sequence += 1;
            return self.settle_hold(&hold, event, at);
        }
        let period = self.state.calendar.period_of(event.time);
        self.open(&period);
        self.state.sequence += 1;
        if seen {
            let team = self.state.team_of(&event.user).cloned();
            let (epoch, sequence) = (self.state.epoch, self.state.sequence);
            let (outcome, drawn) = (Outcome::Duplicate, Drawn::default());
            return Verdict { outcome, reason: None, blocked: None, drawn, team, epoch, sequence };
        }
        self.watched(period.name, |tenant| debit(&mut tenant.state, &period, event))
    }

    /// Whether the event was decided before; if not, it is remembered.
    fn seen(&mut self, event: &UsageEvent, slot: i64, slots: i64) -> bool {
        let identity = (event.source.to_string(), event.id.to_string());
        let arrivals = self.arrived.entry(identity.clone()).or_default();
        let lately = arrivals.iter().any(|before| (0..slots).contains(&(slot - before)));
        if lately || self.timed.contains(&(identity.clone(), event.time)) {
            return true;
        }
        arrivals.push(slot);
        self.timed.insert((identity, event.time));
        false
    }

    /// Opens a planned period at its first touch.
    fn open(&mut self, period: &Period) {
        for period in self.state.unopened(period) {
            self.state.open(period.name);
            self.state.ledger_sequence += 1;
        }
        self.state.books.entry(period.name).or_default();
    }

    fn book(&mut self, period: &Period) -> &mut Book {
        self.state.books.entry(period.name).or_default()
    }
}
