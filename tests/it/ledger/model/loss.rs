//! State that is gone or older than what was seen, for a moment: whoever asks is refused, nothing is
//! written, and when it is back the life goes on.

use std::collections::BTreeMap;

use redis::cmd;
use tollgate::domain::change::{Author, Change};
use tollgate::domain::event::{Arrival, Position};
use tollgate::domain::hold::{HoldRequest, Wish};
use tollgate::domain::ports::{Ledger as _, Outbox as _};
use tollgate::domain::{Credits, WorkspaceId};
use tollgate::redis::{RedisError, RedisLedger};

use super::Law;
use super::ops::{Part, feature, hold, user, workspace};
use super::run::Run;
use crate::ledger::event;
use crate::support::redis;

/// What each key holds, in order; a set has no values.
type Content = BTreeMap<String, Vec<(Vec<u8>, Vec<u8>)>>;

/// Every key of a workspace as it stands, and its head.
#[derive(Debug, Clone)]
pub struct Copied {
    version: (u64, u64),
    head: Option<Vec<u8>>,
    keys: BTreeMap<String, Vec<u8>>,
}

impl Run<'_> {
    fn prefix(&self, id: &WorkspaceId) -> String {
        format!("{}:{{s{:02}}}:", self.name, self.lua.shard_of(id))
    }

    /// The keys that hold a workspace's state, by their rest behind the shard's prefix.
    fn keys(&self, id: &WorkspaceId) -> Vec<String> {
        let prefix = self.prefix(id);
        let all: Vec<String> = redis(cmd("KEYS").arg(format!("{prefix}*")));
        let rests = all.iter().map(|key| key[prefix.len()..].to_owned());
        let whole = ["w", "s", "k", "h"].map(|kind| format!("{kind}:{id}"));
        let parts = ["p", "c", "r"].map(|kind| format!("{kind}:{id}:"));
        rests.filter(|rest| whole.contains(rest) || parts.iter().any(|part| rest.starts_with(part))).collect()
    }

    fn copied(&self, id: &WorkspaceId, version: (u64, u64)) -> Copied {
        let prefix = self.prefix(id);
        let dump = |rest: String| {
            let bytes = redis(cmd("DUMP").arg(format!("{prefix}{rest}")));
            (rest, bytes)
        };
        let head = redis(cmd("HGET").arg(format!("{prefix}heads")).arg(id.as_str()));
        Copied { version, head, keys: self.keys(id).into_iter().map(dump).collect() }
    }

    fn put(&self, id: &WorkspaceId, copy: &Copied) {
        let prefix = self.prefix(id);
        for rest in self.keys(id) {
            redis::<i64>(cmd("DEL").arg(format!("{prefix}{rest}")));
        }
        for (rest, bytes) in &copy.keys {
            let key = format!("{prefix}{rest}");
            redis::<String>(cmd("RESTORE").arg(key).arg(0).arg(bytes.as_slice()));
        }
        let heads = format!("{prefix}heads");
        match &copy.head {
            Some(head) => redis::<i64>(cmd("HSET").arg(heads).arg(id.as_str()).arg(head.as_slice())),
            None => redis::<i64>(cmd("HDEL").arg(heads).arg(id.as_str())),
        };
    }

    async fn version(&self, id: &WorkspaceId) -> Option<(u64, u64)> {
        Some(self.lua.snapshot(id, &[]).await.unwrap()?.version)
    }

    /// Makes a copy for later.
    pub async fn keep(&mut self, n: u8) {
        let id = workspace(n);
        self.sweep().await;
        if let Some(version) = self.version(&id).await {
            let copy = self.copied(&id, version);
            self.copies.insert(n, copy);
        }
    }

    /// The copy takes the place of what is newer, as after a failover to a replica that lagged.
    pub async fn stale(&mut self, n: u8) {
        let id = workspace(n);
        self.sweep().await;
        let Some(now) = self.version(&id).await else { return };
        let Some(older) = self.copies.get(&n).filter(|copy| copy.version < now) else { return };
        let whole = self.copied(&id, now);
        self.put(&id, older);
        self.refused(&id, now, false).await;
        self.put(&id, &whole);
        self.notes.passed("stale");
    }

    pub async fn lose(&mut self, n: u8, part: Part) {
        let id = workspace(n);
        self.sweep().await;
        let Some(now) = self.version(&id).await else { return };
        let whole = self.copied(&id, now);
        let settings = format!("w:{id}");
        let state = self.model.workspace(&id).cloned().unwrap_or_default();
        let running = state.calendar.period_of(self.now);
        let book = format!("p:{id}:{}", running.name);
        let opened = state.books.get(&running.name).is_some_and(|book| book.opened);
        let mut rest = whole.clone();
        match part {
            Part::All => (rest.head, rest.keys) = (None, BTreeMap::new()),
            Part::Head => rest.head = None,
            Part::Settings => drop(rest.keys.remove(&settings)),
            Part::Book if opened => drop(rest.keys.remove(&book)),
            Part::Book => return,
        }
        // A workspace that was never administrated has no settings, and with its head nothing is left to go by.
        let administrated = state.ledger_sequence > 0;
        if part == Part::Settings && !administrated {
            return;
        }
        self.put(&id, &rest);
        self.refused(&id, now, part != Part::All && administrated).await;
        self.put(&id, &whole);
        self.notes.passed("lost");
    }

    /// Whoever has seen the version is refused, and so is who has seen nothing, as far as the state itself tells.
    async fn refused(&self, id: &WorkspaceId, version: (u64, u64), by_strangers: bool) {
        self.notes.asks(Law::Refuses);
        let before = self.content(id);
        let seen = BTreeMap::from([(id.clone(), version)]);
        for ledger in [self.lua, &self.offices[0], &self.offices[1]] {
            ledger.expect(&seen).await.unwrap();
            self.refuses(ledger, id).await;
        }
        if by_strangers {
            self.refuses(&(self.stranger)(), id).await;
        }
        assert_eq!(self.content(id), before, "something was written");
    }

    /// The same as [`Self::copied`] in an order of its own: a dump of a large hash has none.
    fn content(&self, id: &WorkspaceId) -> Content {
        let prefix = self.prefix(id);
        let mut content = BTreeMap::new();
        for rest in self.keys(id) {
            let key = format!("{prefix}{rest}");
            let mut pairs = if redis::<String>(cmd("TYPE").arg(&key)) == "hash" {
                redis(cmd("HGETALL").arg(&key))
            } else {
                let members: Vec<Vec<u8>> = redis(cmd("SMEMBERS").arg(&key));
                members.into_iter().map(|member| (member, Vec::new())).collect::<Vec<_>>()
            };
            pairs.sort();
            content.insert(rest, pairs);
        }
        let head: Option<Vec<u8>> = redis(cmd("HGET").arg(format!("{prefix}heads")).arg(id.as_str()));
        content.insert("head".to_owned(), vec![(head.unwrap_or_default(), Vec::new())]);
        content
    }

    async fn refuses(&self, ledger: &RedisLedger, id: &WorkspaceId) {
        let event = event("lost", id.clone(), self.now);
        let position = Position { partition: 9, offset: 1 };
        let arrival = Arrival { event: event.into(), position, timestamp: self.now };
        let wish = Wish { user: user(0), feature: feature(0), credits: Credits::ZERO };
        let make = HoldRequest::Make { hold: hold(9), wish: wish.clone(), ttl_seconds: 300 };
        let top_up = Change::TopUp { credits: Credits::whole(1) };
        let author = Author::default();
        needs_rebuild("an event", ledger.decide(&[arrival], &[], self.now).await);
        needs_rebuild("a change", ledger.change(id, &top_up, &author, self.now).await);
        needs_rebuild("a hold", ledger.hold(id, &make, &author, self.now).await.map(|held| held.is_ok()));
        needs_rebuild("a check", ledger.check(id, &wish, self.now).await);
    }
}

fn needs_rebuild<T: std::fmt::Debug>(what: &str, answer: Result<T, RedisError>) {
    assert!(matches!(answer, Err(RedisError::NeedsRebuild(_))), "{what}: {answer:?}");
}
