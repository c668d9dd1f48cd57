//! One life: each operation to the Lua and to the model, and both must answer alike.

use std::collections::{BTreeMap, BTreeSet};

use tollgate::domain::change::{Author, Change, IdempotencyKey, Refusal, Reversed};
use tollgate::domain::decision::{Decision, Outcome};
use tollgate::domain::event::{Arrival, Position, UsageEvent};
use tollgate::domain::fold::Usage;
use tollgate::domain::hold::{Hold, HoldRequest};
use tollgate::domain::ledger::Totals;
use tollgate::domain::model::{Model, SETTLES};
use tollgate::domain::period::Instant;
use tollgate::domain::ports::Ledger;
use tollgate::domain::{Credits, WorkspaceId};
use tollgate::redis::RedisLedger;

use super::loss::Copied;
use super::ops::{Op, Spend, feature, hold, user, workspace};
use super::{Law, Notes};
use crate::ledger::event;

const HOUR: i64 = 3_600_000_000;
/// A resend with another time is recognised for so long at most.
const WINDOW: i64 = 2 * HOUR;

/// A request that was made under a key, and its answer in words.
struct Keyed {
    workspace: WorkspaceId,
    request: Request,
    author: Author,
    office: usize,
    answer: String,
}

#[derive(Clone)]
enum Request {
    Change(Change),
    Hold(HoldRequest),
}

/// Both sides, the time, and everything that was delivered. Events and changes come from several
/// processes, so that the one that decides learns of a new plan only when it decides.
pub struct Run<'a> {
    pub name: &'a str,
    pub lua: &'a RedisLedger,
    pub offices: &'a [RedisLedger; 2],
    /// A process that knows nothing yet.
    pub stranger: &'a dyn Fn() -> RedisLedger,
    pub model: Model,
    pub now: Instant,
    pub notes: &'a Notes,
    delivered: Vec<Arrival>,
    /// What may be reversed, and its place in `usages`.
    decided: Vec<(WorkspaceId, Reversed, usize)>,
    /// What each event that was decided took.
    pub usages: Vec<(WorkspaceId, Usage)>,
    keyed: Vec<Keyed>,
    pub copies: BTreeMap<u8, Copied>,
    /// Version and state of each workspace, as they were compared last.
    pub versions: BTreeMap<u8, ((u64, u64), String)>,
    /// Identity and time of what was decided, and when an identity came last.
    times: BTreeSet<(WorkspaceId, String, String, Instant)>,
    arrivals: BTreeMap<(WorkspaceId, String, String), Instant>,
}

impl<'a> Run<'a> {
    pub fn new(
        name: &'a str,
        lua: &'a RedisLedger,
        offices: &'a [RedisLedger; 2],
        stranger: &'a dyn Fn() -> RedisLedger,
        now: Instant,
        notes: &'a Notes,
    ) -> Self {
        Self {
            name,
            lua,
            offices,
            stranger,
            model: Model::new(crate::support::DEDUPE.window_seconds),
            now,
            notes,
            delivered: Vec::new(),
            decided: Vec::new(),
            usages: Vec::new(),
            keyed: Vec::new(),
            copies: BTreeMap::new(),
            versions: BTreeMap::new(),
            times: BTreeSet::new(),
            arrivals: BTreeMap::new(),
        }
    }

    fn arrival(&self, spend: &Spend, offset: i64) -> Arrival {
        let time = Instant::from_micros(self.now.micros() + spend.time_shift_hours * HOUR);
        let workspace = workspace(spend.workspace);
        let event = UsageEvent {
            user: user(spend.user),
            feature: feature(spend.feature),
            credits: Credits::from_micro(spend.micro),
            hold: spend.hold.map(hold),
            ..event(&format!("id-{}", spend.id), workspace, time)
        };
        self.arrived(event, offset)
    }

    fn arrived(&self, event: UsageEvent, offset: i64) -> Arrival {
        // A workspace's events come in two partitions, as after partitions were added.
        Arrival {
            event: event.into(),
            position: Position { partition: offset as i32 % 2, offset },
            timestamp: self.now,
        }
    }

    pub async fn step(&mut self, op: &Op) {
        self.model.sweep(self.now);
        match op {
            Op::Events(spends) => {
                let from = self.delivered.len() as i64;
                let fresh: Vec<Arrival> =
                    spends.iter().zip(from..).map(|(spend, offset)| self.arrival(spend, offset)).collect();
                self.delivered.extend(fresh.iter().cloned());
                self.decide(&fresh).await;
            }
            Op::Redeliver(count) => {
                let from = self.delivered.len().saturating_sub(*count);
                let again = self.delivered[from..].to_vec();
                self.decide(&again).await;
            }
            Op::Resend(n) => {
                let Some(first) = self.delivered.get(n % self.delivered.len().max(1)) else { return };
                let again = self.arrived((*first.event).clone(), self.delivered.len() as i64);
                self.delivered.push(again.clone());
                self.decide(&[again]).await;
            }
            Op::Change(n, change) => drop(self.change(&workspace(*n), change).await),
            Op::Reverse(n) => self.reverse(*n).await,
            Op::Again(n, other) => self.again(*n, *other).await,
            Op::Check(n, wish) => {
                self.notes.asks(Law::Answer);
                let id = workspace(*n);
                let expected = self.model.check(&id, wish, self.now);
                if let Some(answer) = self.offices[0].check(&id, wish, self.now).await.unwrap() {
                    assert_eq!(answer, expected, "{wish:?}");
                    self.notes.passed("check");
                }
            }
            Op::Hold(n, request) => self.hold(&workspace(*n), request).await,
            Op::Settled(n, name) => {
                let id = workspace(*n);
                let known = self.model.workspace(&id).and_then(|state| state.holds.get(&hold(*name)));
                let Some(Hold { user, feature, settled: Some(credits), .. }) = known.cloned() else { return };
                let base = event(&format!("hold-{name}"), id, self.now);
                let event = UsageEvent {
                    user,
                    feature,
                    credits,
                    source: SETTLES.into(),
                    hold: Some(hold(*name)),
                    ..base
                };
                let arrival = self.arrived(event, self.delivered.len() as i64);
                self.delivered.push(arrival.clone());
                self.decide(&[arrival]).await;
            }
            Op::Sleep(hours) => self.now = Instant::from_micros(self.now.micros() + hours * HOUR),
            Op::Keep(n) => self.keep(*n).await,
            Op::Stale(n) => self.stale(*n).await,
            Op::Lose(n, part) => self.lose(*n, *part).await,
        }
    }

    /// An author with a key of its own, and the office that is asked: they take turns.
    fn author(&self) -> (Author, usize) {
        let place = format!("place-{}", self.keyed.len());
        let key = IdempotencyKey { key: place.clone(), place, request: "body".to_owned() };
        let author = Author { actor: "test".to_owned(), key: Some(key), ..Author::default() };
        (author, self.keyed.len() % 2)
    }

    async fn change(&mut self, id: &WorkspaceId, change: &Change) -> bool {
        self.notes.asks(Law::Answer);
        let expected = self.model.change(id, change, self.now);
        let (author, office) = self.author();
        let answer = self.offices[office].change(id, change, &author, self.now).await.unwrap();
        let words = format!("{answer:?}");
        assert_eq!(answer.map(drop), expected, "{change:?}");
        // These two are wrong whenever they come, and nobody remembers them.
        if !matches!(expected, Err(Refusal::TooManyCredits | Refusal::NotPositive)) {
            let (workspace, request) = (id.clone(), Request::Change(change.clone()));
            self.keyed.push(Keyed { workspace, request, author, office, answer: words });
        }
        expected.is_ok()
    }

    async fn reverse(&mut self, n: usize) {
        let Some((id, event, place)) = self.decided.get(n % self.decided.len().max(1)).cloned() else {
            return;
        };
        let overage = event.drawn.overage > Credits::ZERO;
        if !self.change(&id, &Change::Reversal(event)).await {
            return self.notes.passed("reversal refused");
        }
        self.notes.passed(if overage { "reversal of overage" } else { "reversal" });
        let usage = &mut self.usages[place].1;
        usage.drawn = Default::default();
        (usage.totals.credits, usage.totals.overage_credits) = Default::default();
    }

    async fn hold(&mut self, id: &WorkspaceId, request: &HoldRequest) {
        self.notes.asks(Law::Answer);
        let expected = self.model.hold(id, request, self.now);
        let (author, office) = self.author();
        let answer = self.offices[office].hold(id, request, &author, self.now).await.unwrap();
        let answer = answer.map(|held| held.answer);
        let words = format!("{answer:?}");
        assert_eq!(answer.map(|answer| answer.hold), expected, "{request:?}");
        if expected.is_ok() {
            match request {
                HoldRequest::Make { .. } => self.notes.passed("hold made"),
                HoldRequest::Void { .. } => self.notes.passed("hold voided"),
                HoldRequest::Settle { .. } => {}
            }
        }
        let (workspace, request) = (id.clone(), Request::Hold(request.clone()));
        self.keyed.push(Keyed { workspace, request, author, office, answer: words });
    }

    /// The same request again, by way of the other office.
    async fn again(&mut self, n: usize, other: bool) {
        let Some(keyed) = self.keyed.get(n % self.keyed.len().max(1)) else { return };
        self.notes.asks(Law::Once);
        let mut author = keyed.author.clone();
        if other && let Some(key) = &mut author.key {
            key.request = "another body".to_owned();
        }
        let office = &self.offices[1 - keyed.office];
        let words = match &keyed.request {
            Request::Change(change) => {
                format!("{:?}", office.change(&keyed.workspace, change, &author, self.now).await.unwrap())
            }
            Request::Hold(hold) => {
                let answer = office.hold(&keyed.workspace, hold, &author, self.now).await.unwrap();
                format!("{:?}", answer.map(|held| held.answer))
            }
        };
        if other {
            assert_eq!(words, format!("{:?}", Err::<(), _>(Refusal::IdempotencyConflict)));
            self.notes.passed("idempotency conflict");
        } else {
            assert_eq!(words, keyed.answer);
            self.notes.passed("idempotent answer");
        }
    }

    async fn decide(&mut self, arrivals: &[Arrival]) {
        self.notes.asks(Law::Verdict);
        // Between partitions there is no order: a batch is decided one partition after the other.
        let mut arrivals = arrivals.to_vec();
        arrivals.sort_by_key(|arrival| arrival.position.partition);
        let effects = self.lua.decide(&arrivals, &[], self.now).await.unwrap();
        assert_eq!(effects.settled_before, 0);
        assert_eq!(effects.decisions.len(), arrivals.len());
        if effects.holds_expired > 0 {
            self.notes.passed("hold expired");
        }
        for (arrival, decision) in arrivals.iter().zip(&effects.decisions) {
            let holds = self.model.workspace(&arrival.event.workspace).map(|state| state.holds.clone());
            let expected = self.model.decide(arrival);
            assert_eq!(decision.verdict, expected, "{arrival:?}");
            assert_eq!(decision.event, arrival.event);
            assert_eq!(decision.position, arrival.position);
            self.note(decision, arrival);
            let after = self.model.workspace(&arrival.event.workspace);
            let named = arrival.event.hold.as_ref();
            let before = named.and_then(|id| holds.as_ref()?.get(id));
            let ended = named.is_some_and(|id| after.is_some_and(|state| !state.holds.contains_key(id)));
            if let Some(hold) = before.filter(|_| ended) {
                let beyond = arrival.event.credits > hold.credits;
                self.notes.passed(if beyond { "settle beyond the hold" } else { "settle within the hold" });
            }
        }
        self.compare_absolutes(&effects);
    }

    /// Counts the way that an event went, and keeps what it took.
    fn note(&mut self, decision: &Decision, arrival: &Arrival) {
        if decision.redelivered {
            return self.notes.passed("redelivered from the tail");
        }
        let (event, verdict) = (&decision.event, &decision.verdict);
        let identity = (event.workspace.clone(), event.source.to_string(), event.id.to_string());
        let timed = (identity.0.clone(), identity.1.clone(), identity.2.clone(), event.time);
        let last = self.arrivals.insert(identity, arrival.timestamp);
        if verdict.outcome == Outcome::Duplicate {
            let late = last.is_none_or(|last| arrival.timestamp.micros() - last.micros() >= WINDOW);
            match (self.times.contains(&timed), late) {
                (false, _) => self.notes.passed("duplicate by its arrival mark"),
                (true, true) => self.notes.passed("duplicate by its time mark alone"),
                (true, false) => {}
            }
            return;
        }
        self.times.insert(timed);
        match (verdict.outcome, &verdict.reason) {
            (Outcome::Overage, _) => self.notes.passed("overage"),
            (Outcome::Denied, Some(reason)) => self.notes.passed(&format!("denied: {}", reason.as_str())),
            _ => {}
        }
        let running = self.model.workspace(&event.workspace).map(|s| s.calendar.period_of(self.now).name);
        if running != Some(decision.period) {
            self.notes.passed("event of another period than the running one");
        }
        if verdict.outcome != Outcome::Denied {
            self.decided.push((event.workspace.clone(), reversed(decision), self.usages.len()));
        }
        self.usages.push((event.workspace.clone(), usage(decision)));
    }
}

fn usage(decision: &Decision) -> Usage {
    let (event, verdict) = (&decision.event, &decision.verdict);
    let totals = if verdict.outcome == Outcome::Denied {
        Totals { denied_events: 1, denied_micro: event.credits.micro().into(), ..Totals::default() }
    } else {
        Totals {
            credits: verdict.drawn.from_accounts(),
            overage_credits: verdict.drawn.overage,
            events: 1,
            overage_events: u64::from(verdict.outcome == Outcome::Overage),
            ..Totals::default()
        }
    };
    Usage {
        period: decision.period,
        day: decision.day,
        user: event.user.clone(),
        feature: event.feature.clone(),
        team: verdict.team.clone(),
        drawn: verdict.drawn,
        totals,
    }
}

fn reversed(decision: &Decision) -> Reversed {
    Reversed {
        event_id: decision.event.id.to_string(),
        source: decision.event.source.to_string(),
        time: decision.event.time,
        period: decision.period,
        day: decision.day,
        user: decision.event.user.clone(),
        team: decision.verdict.team.clone(),
        feature: decision.event.feature.clone(),
        drawn: decision.verdict.drawn,
    }
}
