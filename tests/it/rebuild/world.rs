//! Workspaces that live through random operations on the real servers, every effect recorded as the
//! service would; then Redis loses them.

use std::collections::BTreeSet;
use std::sync::Arc;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use tollgate::app::rebuild::Rebuilder;
use tollgate::clickhouse::Store;
use tollgate::domain::book::{Book, Workspace};
use tollgate::domain::change::{Author, Change, IdempotencyKey, Reversed};
use tollgate::domain::decision::Outcome;
use tollgate::domain::event::{Arrival, Position, UsageEvent};
use tollgate::domain::hold::HoldState;
use tollgate::domain::ledger::Effects;
use tollgate::domain::model::SETTLES;
use tollgate::domain::period::{Instant, PeriodName};
use tollgate::domain::ports::{Ledger as _, Outbox as _};
use tollgate::domain::record::Rows;
use tollgate::domain::{Credits, UserId, WorkspaceId};
use tollgate::kafka::Producer;
use tollgate::pipeline::decide::now;
use tollgate::pipeline::relay::Relay;
use tollgate::redis::RedisLedger;

use crate::ledger::event;
use crate::ledger::model::compare::settings;
use crate::ledger::model::ops::{Op, Spend, feature, hold, user, workspace};
use crate::support::{Installation, client, forget, redis};

const HOUR: i64 = 3_600_000_000;

/// Everything that a comparison looks at: settings as text, books, users.
pub type State = (String, Vec<(PeriodName, Book)>, BTreeSet<String>);

/// Keys with what they hold, as Redis dumps it.
pub type Keys = std::collections::BTreeMap<String, Vec<u8>>;

/// An installation whose time ends now.
pub struct World {
    pub it: Installation,
    pub relay: Arc<Relay<RedisLedger, Store, Producer>>,
    pub rebuilder: Rebuilder,
    pub delivered: Vec<Arrival>,
    pub now: Instant,
    decided: Vec<(WorkspaceId, Reversed)>,
    /// Offsets of events that have a row.
    pub recorded: BTreeSet<i64>,
    /// Changes made under a key, with what was answered.
    pub keyed: Vec<(WorkspaceId, Change, Author, String)>,
}

impl World {
    /// A world in which these operations will have ended by now.
    pub async fn new(what: &str, ops: &[Op]) -> Self {
        let it = Installation::new(what, "").await;
        let hours: i64 = ops.iter().map(|op| if let Op::Sleep(hours) = op { *hours } else { 0 }).sum();
        let relay = Arc::new(it.stores.relay(&it.settings));
        let rebuilder = Rebuilder::new(&it.stores, &it.settings, Arc::clone(&relay));
        let start = Instant::from_micros(now().micros() - (hours + 1) * HOUR);
        let (delivered, decided, keyed) = (Vec::new(), Vec::new(), Vec::new());
        Self { it, relay, rebuilder, delivered, now: start, decided, recorded: BTreeSet::new(), keyed }
    }

    pub fn ledger(&self) -> &RedisLedger {
        &self.it.stores.ledger
    }

    fn arrived(&self, event: UsageEvent) -> Arrival {
        let offset = self.delivered.len() as i64;
        let partition = offset as i32 % 2;
        Arrival { event: event.into(), position: Position { partition, offset }, timestamp: self.now }
    }

    fn spend(&self, spend: &Spend) -> Arrival {
        let time = Instant::from_micros(self.now.micros() + spend.time_shift_hours.min(0) * HOUR);
        let named = event(&format!("id-{}", spend.id), workspace(spend.workspace), time);
        self.arrived(UsageEvent {
            user: user(spend.user),
            feature: feature(spend.feature),
            credits: Credits::from_micro(spend.micro),
            hold: spend.hold.map(hold),
            ..named
        })
    }

    /// Decides and records.
    pub async fn decide(&mut self, arrivals: &[Arrival]) -> Effects {
        let effects = self.ledger().decide(arrivals, &[], self.now).await.unwrap();
        self.record(effects.clone()).await;
        effects
    }

    async fn record(&mut self, effects: Effects) {
        let rows = effects.decisions.iter().filter(|decision| decision.verdict.outcome != Outcome::Duplicate);
        self.recorded.extend(rows.map(|decision| decision.position.offset));
        let spent = |outcome| matches!(outcome, Outcome::Allowed | Outcome::Overage);
        for decision in effects.decisions.iter().filter(|d| spent(d.verdict.outcome) && !d.redelivered) {
            let (event, verdict) = (&decision.event, &decision.verdict);
            let reversed = Reversed {
                event_id: event.id.to_string(),
                source: event.source.to_string(),
                time: event.time,
                period: decision.period,
                day: decision.day,
                user: event.user.clone(),
                team: verdict.team.clone(),
                feature: event.feature.clone(),
                drawn: verdict.drawn,
            };
            self.decided.push((event.workspace.clone(), reversed));
        }
        let Effects { decisions: events, rollups, balances, pools, .. } = effects;
        let rows = Rows { events, rollups, balances, pools, dead_letters: Vec::new() };
        self.it.stores.tables.record(&rows).await.unwrap();
    }

    pub async fn step(&mut self, op: &Op) {
        match op {
            Op::Events(spends) => {
                for spend in spends {
                    let arrival = self.spend(spend);
                    self.delivered.push(arrival);
                }
                let fresh = self.delivered[self.delivered.len() - spends.len()..].to_vec();
                self.decide(&fresh).await;
            }
            Op::Redeliver(_) | Op::Check(..) | Op::Again(..) => {}
            Op::Keep(_) | Op::Stale(_) | Op::Lose(..) => {} // here Redis loses everything, at the end of a life
            Op::Resend(n) => {
                let Some(first) = self.delivered.get(n % self.delivered.len().max(1)) else { return };
                let again = self.arrived((*first.event).clone());
                self.delivered.push(again.clone());
                self.decide(&[again]).await;
            }
            Op::Change(n, change) => self.change(&workspace(*n), change).await,
            Op::Reverse(n) => {
                let Some((id, event)) = self.decided.get(n % self.decided.len().max(1)).cloned() else {
                    return;
                };
                self.change(&id, &Change::Reversal(event)).await;
            }
            Op::Hold(n, request) => {
                let id = workspace(*n);
                drop(self.ledger().hold(&id, request, &Author::default(), self.now).await.unwrap());
                let touched = self.ledger().take_touched();
                self.record(touched).await;
            }
            Op::Settled(n, name) => self.settled(&workspace(*n), *name).await,
            Op::Sleep(hours) => self.now = Instant::from_micros(self.now.micros() + hours * HOUR),
        }
    }

    async fn change(&mut self, id: &WorkspaceId, change: &Change) {
        let name = format!("key-{}-{}", self.now.micros(), self.keyed.len());
        let key = IdempotencyKey { key: name.clone(), place: name.clone(), request: "body".into() };
        let author = Author { actor: "ann".into(), reason: String::new(), key: Some(key) };
        let changed = self.ledger().change(id, change, &author, self.now).await.unwrap();
        let touched = self.ledger().take_touched();
        self.record(touched).await;
        if let Ok(changed) = changed {
            self.keyed.push((id.clone(), change.clone(), author, format!("{changed:?}")));
            self.record(changed.effects).await;
        }
    }

    /// The event of a hold that is settling comes in.
    async fn settled(&mut self, id: &WorkspaceId, name: u8) {
        let holds = self.ledger().holds(id).await.unwrap();
        let settling = holds.into_iter().find(|one| one.id == hold(name) && one.state == HoldState::Settling);
        let Some(settling) = settling else { return };
        let base = event(&format!("hold-{name}"), id.clone(), self.now);
        let arrival = self.arrived(UsageEvent {
            user: settling.user,
            feature: settling.feature,
            credits: settling.settled.unwrap(),
            source: SETTLES.into(),
            hold: Some(hold(name)),
            ..base
        });
        self.delivered.push(arrival.clone());
        self.decide(&[arrival]).await;
    }

    /// Kafka and the tables have everything.
    pub async fn publish(&self) {
        for shard in 0..self.ledger().shards() {
            self.relay.relay_now(shard).await.unwrap();
            self.relay.record(shard).await.unwrap();
        }
    }

    /// The group has read so far of what was delivered.
    pub fn commit(&self, next: i64) {
        let settings = &self.it.settings.kafka;
        let reader: BaseConsumer =
            client(&settings.brokers).set("group.id", &settings.group).create().unwrap();
        let mut offsets = TopicPartitionList::new();
        for partition in 0..2 {
            offsets.add_partition_offset(&settings.topics.events, partition, Offset::Offset(next)).unwrap();
        }
        reader.commit(&offsets, CommitMode::Sync).unwrap();
    }

    /// Every key of the installation as it stands.
    pub fn keys(&self) -> Keys {
        let names: Vec<String> =
            redis(::redis::cmd("KEYS").arg(format!("{}:*", self.it.settings.redis.name)));
        let dump = |name: String| {
            let bytes = redis(::redis::cmd("DUMP").arg(&name));
            (name, bytes)
        };
        names.into_iter().map(dump).collect()
    }

    /// Puts an older copy in the place of what is there.
    pub fn put_back(&self, keys: &Keys) {
        forget(&self.it.settings.redis.name);
        for (name, bytes) in keys {
            let restore = ::redis::cmd("RESTORE").arg(name).arg(0).arg(bytes.as_slice()).clone();
            redis::<String>(&restore);
        }
    }

    /// Loses what belongs to one workspace alone.
    pub fn forget_workspace(&self, id: &WorkspaceId) {
        let prefix = format!("{}:{{s{:02}}}:", self.it.settings.redis.name, self.ledger().shard_of(id));
        let names: Vec<String> = redis(::redis::cmd("KEYS").arg(format!("{prefix}?:{id}*")));
        for name in names {
            redis::<i64>(::redis::cmd("DEL").arg(name));
        }
        redis::<i64>(::redis::cmd("HDEL").arg(format!("{prefix}heads")).arg(id.as_str()));
    }

    /// What a workspace is, but for holds and what counts decisions.
    pub async fn state(&self, id: &WorkspaceId) -> Option<State> {
        let alone = std::slice::from_ref(id);
        let everything = self.it.stores.tables.cells(alone).await.unwrap().remove(id).unwrap_or_default();
        let accounts = self.it.stores.tables.accounts(alone).await.unwrap().remove(id).unwrap_or_default();
        let mut periods: BTreeSet<PeriodName> = everything.into_keys().map(|(period, ..)| period).collect();
        periods.extend(accounts.into_iter().map(|(period, _)| period));
        let periods: Vec<PeriodName> = periods.into_iter().collect();
        let state = self.ledger().workspace(id, &periods).await.unwrap()?;
        let prefix = format!("{}:{{s{:02}}}:k:{id}", self.it.settings.redis.name, self.ledger().shard_of(id));
        let mut users: BTreeSet<String> = redis(::redis::cmd("SMEMBERS").arg(prefix));
        let id_of = |user: &String| UserId::parse(user).unwrap();
        users.retain(|user| !is_known_by_holds_alone(&state, &id_of(user)));
        Some((
            settings(&state),
            state.books.into_iter().map(|(name, book)| (name, without_holds(book))).collect(),
            users,
        ))
    }
}

/// Whether only holds name a user: these vanish, and with them who asked for them.
fn is_known_by_holds_alone(state: &Workspace, user: &UserId) -> bool {
    let in_book = |book: &Book| {
        let holding = book.users.get(user).is_some_and(|user| user.holding > Credits::ZERO);
        let rest = without_holds(book.clone());
        (holding, rest.users.contains_key(user) || rest.cells.keys().any(|(_, of, _)| of == user))
    };
    let books: Vec<(bool, bool)> = state.books.values().map(in_book).collect();
    books.iter().any(|(holding, _)| *holding)
        && !books.iter().any(|(_, more)| *more)
        && !state.users.contains_key(user)
}

fn without_holds(mut book: Book) -> Book {
    (book.held, book.pool.held, book.alerted) = Default::default();
    for team in book.teams.values_mut() {
        (team.account.held, team.alerted) = Default::default();
    }
    for user in book.users.values_mut() {
        (user.account.held, user.holding, user.alerted) = Default::default();
    }
    book.features.values_mut().for_each(|feature| feature.holding = Credits::ZERO);
    book.tidied()
}
