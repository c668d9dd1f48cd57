//! Redis of the simulation: the model, with what the scripts keep beside the rule: fences, the tail of
//! what is decided and not committed, idempotency keys. Outboxes and absolutes stand in [`super::outbox`]
//! and [`super::touched`].

use std::collections::BTreeMap;
use std::sync::Arc;

use super::bugs::Bug;
use super::outbox::{Note, Shard, nets, shard_of};
use super::touched::Touched;
use crate::domain::book::Workspace;
use crate::domain::change::Change;
use crate::domain::decision::{Decision, Outcome, Reason};
use crate::domain::event::{Arrival, Position};
use crate::domain::hold::{Hold, HoldRequest, HoldState, Settle};
use crate::domain::ledger::{Account, Effects, Entry, Outgoing, version};
use crate::domain::model::Model;
use crate::domain::period::{Instant, Period};
use crate::domain::{Credits, WorkspaceId};

pub struct Books {
    pub model: Model,
    pub bug: Option<Bug>,
    pub shards: Vec<Shard>,
    /// Every entry that was ever appended, also those that nobody has seen yet.
    pub entries: Vec<Entry>,
    /// Changes of balances that take no sequence: holds made and ended.
    stirs: BTreeMap<WorkspaceId, u64>,
    fences: BTreeMap<(WorkspaceId, i32), i64>,
    tail: BTreeMap<Position, Decision>,
    /// Whether what came under a key was done.
    answers: BTreeMap<String, bool>,
    items: u64,
    /// Much time has passed: a bug forgets what it should have kept for ever.
    pub aged: bool,
    /// Decisions that a planted bug made up, so that each has a position of its own.
    inventions: i64,
}

impl Books {
    pub fn new(bug: Option<Bug>, shards: u16) -> Self {
        Self {
            model: Model::new(3600),
            bug,
            shards: (0..shards).map(|_| Shard::default()).collect(),
            entries: Vec::new(),
            stirs: BTreeMap::new(),
            fences: BTreeMap::new(),
            tail: BTreeMap::new(),
            answers: BTreeMap::new(),
            items: 0,
            aged: false,
            inventions: 0,
        }
    }

    pub fn state(&self, id: &WorkspaceId) -> Workspace {
        self.model.workspace(id).cloned().unwrap_or_default()
    }

    pub fn version(&self, id: &WorkspaceId) -> u64 {
        let stirs = self.stirs.get(id).copied().unwrap_or(0);
        self.model
            .workspace(id)
            .map_or(0, |state| version(state.epoch, state.sequence + state.ledger_sequence + stirs))
    }

    /// One call of `decide.lua`. `observe` hears of every fresh decision right after it was made.
    pub fn decide(
        &mut self,
        arrivals: &[Arrival],
        committed: &[(i32, i64)],
        now: Instant,
        observe: &mut dyn FnMut(&Self, &Decision, bool),
    ) -> Effects {
        let mut touched = Touched::default();
        let mut effects = Effects { holds_expired: self.sweep(now, &mut touched), ..Effects::default() };
        for arrival in arrivals {
            let at = arrival.position;
            let place = (arrival.event.workspace.clone(), at.partition);
            let fence = self.fences.get(&place).copied().unwrap_or(-1);
            if at.offset <= fence && self.bug != Some(Bug::ForgetsTheFence) {
                match self.tail.get(&at).cloned() {
                    Some(first) if self.bug == Some(Bug::DecidesAnew) => {
                        let anew = self.invented(arrival, now, &mut touched);
                        effects.decisions.push(Decision {
                            position: first.position,
                            redelivered: true,
                            ..anew
                        });
                    }
                    Some(first) => {
                        touched.decision(&first);
                        effects.decisions.push(Decision { redelivered: true, decided_at: now, ..first });
                    }
                    None => {
                        effects.settled_before += 1;
                        if self.aged && self.bug == Some(Bug::ForgetsInTime) {
                            let mut anew = arrival.clone();
                            Arc::make_mut(&mut anew.event).id = format!("{}-anew", anew.event.id).into();
                            self.invented(&anew, now, &mut touched);
                        }
                    }
                }
                continue;
            }
            let (decision, settled) = if at.offset <= fence {
                (Decision { position: at, ..self.invented(arrival, now, &mut touched) }, false)
            } else {
                self.decide_fresh(arrival, now, &mut touched)
            };
            self.fences.insert(place, at.offset.max(fence));
            observe(self, &decision, settled);
            if self.bug == Some(Bug::DropsAnOutcome) && at.offset % 13 == 7 {
                continue;
            }
            if self.bug != Some(Bug::LosesTheTail) {
                self.tail.insert(at, decision.clone());
            }
            effects.decisions.push(decision);
        }
        let floors: BTreeMap<i32, i64> = committed.iter().copied().collect();
        self.tail.retain(|at, _| floors.get(&at.partition).is_none_or(|next| at.offset >= *next));
        touched.tell(self, now, &mut effects);
        effects
    }

    fn decide_fresh(&mut self, arrival: &Arrival, now: Instant, touched: &mut Touched) -> (Decision, bool) {
        let event = &arrival.event;
        let id = &event.workspace;
        let hold = event.hold.as_ref().and_then(|hold| self.model.workspace(id)?.holds.get(hold).cloned());
        if hold.is_none() {
            let period = self.state(id).calendar.period_of(event.time);
            self.open(id, &period, now, touched);
        }
        let before = self.state(id);
        let verdict = self.model.decide(arrival);
        if self.bug == Some(Bug::DebitsTwice) && arrival.position.offset % 11 == 5 {
            let mut twice = arrival.clone();
            Arc::make_mut(&mut twice.event).id = format!("{}-twice", event.id).into();
            self.invented(&twice, now, &mut Touched::default());
        }
        let refused = verdict.reason == Some(Reason::UserLimit) && verdict.outcome == Outcome::Denied;
        if self.bug == Some(Bug::IgnoresTheLimit) && refused && !before.users.contains_key(&event.user) {
            return (self.past_the_limit(arrival, now, touched), false);
        }
        self.settle(id, before, &Note::opening(), now, touched);
        let settled = hold.filter(|hold| !self.model.workspace(id).unwrap().holds.contains_key(&hold.id));
        let decision = self.decision(arrival, verdict, settled.as_ref(), now);
        touched.decision(&decision);
        (decision, settled.is_some())
    }

    fn decision(
        &self,
        arrival: &Arrival,
        verdict: crate::domain::decision::Verdict,
        settled: Option<&Hold>,
        now: Instant,
    ) -> Decision {
        let event = arrival.event.clone();
        let calendar = &self.model.workspace(&event.workspace).unwrap().calendar;
        let named = settled.and_then(|hold| calendar.period_named(hold.period));
        let period = named.unwrap_or_else(|| calendar.period_of(event.time));
        let (first, last) = calendar.days_of(&period);
        Decision {
            position: arrival.position,
            period: period.name,
            day: calendar.day_of(event.time).day.max(first).min(last),
            resets_at: period.end,
            hold_ignored: event.hold.is_some() && settled.is_none(),
            arrived_at: arrival.timestamp,
            redelivered: false,
            decided_at: now,
            verdict,
            event,
        }
    }

    /// A decision that should never be: the model sees another record.
    fn invented(&mut self, arrival: &Arrival, now: Instant, touched: &mut Touched) -> Decision {
        self.inventions += 1;
        let position = Position { partition: -1, offset: self.inventions };
        self.decide_fresh(&Arrival { position, ..arrival.clone() }, now, touched).0
    }

    fn past_the_limit(&mut self, arrival: &Arrival, now: Instant, touched: &mut Touched) -> Decision {
        let id = &arrival.event.workspace;
        let mut change = crate::domain::change::UserChange::of(arrival.event.user.clone());
        change.limit = Some(Some(crate::domain::change::LimitSetting::None));
        self.model.change(id, &Change::User(change.clone()), now).unwrap();
        let mut more = arrival.clone();
        Arc::make_mut(&mut more.event).id = format!("{}-past", more.event.id).into();
        let decision = self.invented(&more, now, touched);
        change.limit = Some(None);
        self.model.change(id, &Change::User(change), now).unwrap();
        Decision { position: arrival.position, event: arrival.event.clone(), ..decision }
    }

    /// One call of `change.lua`: whether it was done, or refused. The same key gives the same answer.
    pub fn change(&mut self, id: &WorkspaceId, change: &Change, key: &str, now: Instant) -> (bool, Effects) {
        if let Some(done) = self.answered(key) {
            return (done, Effects::default());
        }
        let (mut touched, mut effects) = self.ready(id, now);
        let before = self.state(id);
        let done = self.model.change(id, change, now).is_ok();
        let note = Note { kind: change.kind(), key, change: serde_json::to_value(change).unwrap() };
        self.settle(id, before, &note, now, &mut touched);
        if done && self.bug == Some(Bug::LeaksCredits) && matches!(change, Change::Transfer { .. }) {
            self.model.change(id, &Change::TopUp { credits: Credits::whole(1) }, now).unwrap();
        }
        self.answers.insert(key.to_owned(), done);
        touched.tell(self, now, &mut effects);
        (done, effects)
    }

    /// One call of `hold.lua`.
    pub fn hold(
        &mut self,
        id: &WorkspaceId,
        request: &HoldRequest,
        key: &str,
        now: Instant,
    ) -> (bool, Effects) {
        if let Some(done) = self.answered(key) {
            return (done, Effects::default());
        }
        let (mut touched, mut effects) = self.ready(id, now);
        let before = self.state(id);
        let answer = self.model.hold(id, request, now);
        let begun = self.state(id).ledger_sequence > before.ledger_sequence;
        let note = Note { kind: "settle", key, change: serde_json::Value::Null };
        self.settle(id, before, &note, now, &mut touched);
        if let (Ok(hold), true) = (&answer, begun) {
            let Hold { id: hold, user, feature, settled, .. } = hold.clone();
            let credits = settled.unwrap_or_default();
            self.leave(
                id,
                Outgoing::Settle(Settle { workspace: id.clone(), hold, user, feature, credits, at: now }),
            );
        }
        self.answers.insert(key.to_owned(), answer.is_ok());
        touched.tell(self, now, &mut effects);
        (answer.is_ok(), effects)
    }

    /// What the office mends before a request: holds that have expired, a period that nobody opened.
    fn ready(&mut self, id: &WorkspaceId, now: Instant) -> (Touched, Effects) {
        let mut touched = Touched::default();
        let effects = Effects { holds_expired: self.sweep(now, &mut touched), ..Effects::default() };
        let period = self.state(id).calendar.period_of(now);
        self.open(id, &period, now, &mut touched);
        (touched, effects)
    }

    fn answered(&self, key: &str) -> Option<bool> {
        self.answers.get(key).copied().filter(|_| self.bug != Some(Bug::ForgetsTheKey))
    }

    /// One call of `sweep.lua` in every shard: how many holds ended.
    fn sweep(&mut self, now: Instant, touched: &mut Touched) -> usize {
        let mut due = Vec::new();
        let mut count = 0;
        for number in 0..super::WORKSPACES {
            let id = super::workspace(number);
            let holds = self.model.workspace(&id).map(|state| &state.holds);
            let expired = |hold: &&Hold| hold.state == HoldState::Open && hold.expires_at <= now;
            let expired = holds.map_or(0, |holds| holds.values().filter(expired).count());
            if expired > 0 {
                count += expired;
                due.push((id.clone(), self.state(&id)));
            }
        }
        if count > 0 {
            self.model.sweep(now);
        }
        for (id, before) in due {
            self.settle(&id, before, &Note::opening(), now, touched);
        }
        count
    }

    /// Opens what must be open, an entry each, before something happens in a period.
    fn open(&mut self, id: &WorkspaceId, period: &Period, now: Instant, touched: &mut Touched) {
        for period in self.state(id).unopened(period) {
            let before = self.state(id);
            let nothing = Change::Transfer {
                from: Account::Pool,
                to: Account::Pool,
                credits: Credits::ZERO,
                raise_limit: false,
            };
            let refused = self.model.change(id, &nothing, period.start); // which opens the period all the same
            assert!(refused.is_err());
            self.settle(id, before, &Note::opening(), now, touched);
        }
    }

    /// What follows from a step of the model: entries and alerts for the outbox, accounts to be told.
    fn settle(
        &mut self,
        id: &WorkspaceId,
        before: Workspace,
        note: &Note,
        now: Instant,
        touched: &mut Touched,
    ) {
        let after = self.state(id);
        let stirred = touched.compare(id, &before, &after);
        if stirred && (before.sequence, before.ledger_sequence) == (after.sequence, after.ledger_sequence) {
            *self.stirs.entry(id.clone()).or_default() += 1;
        }
        let (old, new) = (nets(&before), nets(&after));
        for sequence in before.ledger_sequence + 1..=after.ledger_sequence {
            let first = sequence == before.ledger_sequence + 1;
            let postings = if first { super::outbox::postings(&old, &new) } else { Vec::new() };
            let note = if sequence < after.ledger_sequence { &Note::opening() } else { note };
            let entry = note.entry(id, &after, sequence, postings, now);
            self.entries.push(entry.clone());
            self.leave(id, Outgoing::Entry(entry));
        }
        for alert in super::outbox::alerts(id, &before, &after, self.version(id), now) {
            self.leave(id, Outgoing::Alert(alert));
        }
    }

    fn leave(&mut self, id: &WorkspaceId, item: Outgoing) {
        self.items += 1;
        let shard = usize::from(shard_of(id, self.shards.len()));
        self.shards[shard].append(format!("{:08}", self.items), item);
    }
}
