//! What the books leave for others to do: entries, alerts and settles wait in a shard's outbox for
//! Kafka, and then for their rows. Who relays a shard holds its claim for a while.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;

use super::bugs::Bug;
use crate::domain::WorkspaceId;
use crate::domain::alert::{Alert, AlertState, Scope};
use crate::domain::book::{AccountState, Workspace};
use crate::domain::credits::Credits;
use crate::domain::ledger::{Account, Entry, Outgoing, Pending, Posting};
use crate::domain::period::{Instant, PeriodName};

/// How long a claim lives without being given back, in milliseconds.
const CLAIM_MS: i64 = 10_000;

/// What every account of a workspace ever got, less what was moved away.
pub type Nets = BTreeMap<(PeriodName, Account), Credits>;

#[derive(Default)]
pub struct Shard {
    claim: Option<(usize, i64)>,
    outbox: VecDeque<Pending>,
    rows: VecDeque<Pending>,
}

pub fn shard_of(id: &WorkspaceId, shards: usize) -> u16 {
    (usize::from(*id.as_str().as_bytes().last().unwrap_or(&0)) % shards) as u16
}

impl Shard {
    pub fn append(&mut self, id: String, item: Outgoing) {
        self.outbox.push_back(Pending { id, item });
    }

    pub fn claim(&mut self, process: usize, now: Instant, bug: Option<Bug>) -> bool {
        let held = |(holder, until): (usize, i64)| {
            holder != process && (now.millis() < until || bug == Some(Bug::ClaimsForEver))
        };
        if self.claim.is_some_and(held) {
            return false;
        }
        self.claim = Some((process, now.millis() + CLAIM_MS));
        true
    }

    pub fn release(&mut self, process: usize) {
        self.claim = self.claim.filter(|(holder, _)| *holder != process);
    }

    pub fn pending(&self, max: usize, bug: Option<Bug>) -> Vec<Pending> {
        let pending: Vec<Pending> = self.outbox.iter().take(max).cloned().collect();
        let more = pending.len() > 1 && bug == Some(Bug::SkipsAnEntry);
        let skipped = |item: &Outgoing| matches!(item, Outgoing::Entry(entry) if entry.kind == "opening");
        pending.into_iter().filter(|pending| !more || !skipped(&pending.item)).collect()
    }

    pub fn published(&mut self, ids: &[String], bug: Option<Bug>) {
        let last = ids.last().cloned().unwrap_or_default();
        let taken = |id: &String| ids.contains(id) || (bug == Some(Bug::SkipsAnEntry) && *id <= last);
        let all = std::mem::take(&mut self.outbox).into_iter();
        let (gone, left): (VecDeque<Pending>, _) = all.partition(|pending| taken(&pending.id));
        self.outbox = left;
        self.rows.extend(gone.into_iter().filter(|pending| !matches!(pending.item, Outgoing::Settle(_))));
    }

    pub fn unrecorded(&self, max: usize) -> Vec<Pending> {
        self.rows.iter().take(max).cloned().collect()
    }

    pub fn recorded(&mut self, ids: &[String]) {
        self.rows.retain(|pending| !ids.contains(&pending.id));
    }

    pub fn is_empty(&self) -> bool {
        self.outbox.is_empty() && self.rows.is_empty()
    }
}

/// Whose entry it is, and what it tells.
pub struct Note<'a> {
    pub kind: &'a str,
    pub key: &'a str,
    pub change: Value,
}

impl Note<'_> {
    pub fn opening() -> Self {
        Self { kind: "opening", key: "", change: Value::Null }
    }

    pub fn entry(
        &self,
        id: &WorkspaceId,
        state: &Workspace,
        sequence: u64,
        postings: Vec<Posting>,
        at: Instant,
    ) -> Entry {
        Entry {
            workspace: id.clone(),
            epoch: state.epoch,
            sequence,
            kind: self.kind.to_owned(),
            actor: "simulation".to_owned(),
            reason: None,
            idempotency_key: Some(self.key.to_owned()).filter(|key| !key.is_empty()),
            request: None,
            period: state.calendar.period_of(at).name,
            at,
            postings,
            change: self.change.clone(),
        }
    }
}

pub fn nets(state: &Workspace) -> Nets {
    let mut nets = Nets::new();
    for (period, book) in &state.books {
        let net = |account: &AccountState| account.credited - account.transferred_out;
        nets.insert((*period, Account::Pool), net(&book.pool));
        nets.extend(
            book.teams.iter().map(|(id, team)| ((*period, Account::Team(id.clone())), net(&team.account))),
        );
        nets.extend(
            book.users.iter().map(|(id, user)| ((*period, Account::User(id.clone())), net(&user.account))),
        );
    }
    nets
}

pub fn postings(before: &Nets, after: &Nets) -> Vec<Posting> {
    let moved = after.iter().map(|(key, net)| {
        let credits = *net - before.get(key).copied().unwrap_or_default();
        Posting { account: key.1.clone(), period: key.0, credits }
    });
    moved.filter(|posting| posting.credits != Credits::ZERO).collect()
}

/// Of the pools alone: the others take the same way.
pub fn alerts(
    id: &WorkspaceId,
    before: &Workspace,
    after: &Workspace,
    version: u64,
    at: Instant,
) -> Vec<Alert> {
    let mut alerts = Vec::new();
    for (period, book) in &after.books {
        let was = before.books.get(period).map_or(0, |book| book.alerted);
        if was != book.alerted {
            alerts.push(Alert {
                workspace: id.clone(),
                scope: Scope::Pool,
                id: id.to_string(),
                threshold: book.alerted.max(was),
                used: book.used + book.held,
                total: book.total,
                period: *period,
                at,
                state: if book.alerted > was { AlertState::Crossed } else { AlertState::Recovered },
                epoch: after.epoch,
                sequence: version,
            });
        }
    }
    alerts
}
