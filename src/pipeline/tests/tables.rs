//! A warehouse in memory: of rows with one key the newest version stays.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard};

use super::trouble::{TestFault, Troubles};
use crate::domain::alert::Alert;
use crate::domain::decision::Decision;
use crate::domain::event::Position;
use crate::domain::ledger::{Account, Balance, Entry, Rollup};
use crate::domain::period::{Day, Instant, PeriodName};
use crate::domain::ports::Warehouse;
use crate::domain::record::{DeadLetter, Rows};
use crate::domain::{FeatureId, UserId, WorkspaceId};

type EventKey = (WorkspaceId, Instant, String, String);
type RollupKey = (WorkspaceId, PeriodName, Day, UserId, FeatureId);
type BalanceKey = (WorkspaceId, PeriodName, Account);

#[derive(Default)]
pub struct Tables {
    pub troubles: Troubles,
    state: Mutex<Content>,
}

#[derive(Default)]
pub struct Content {
    pub events: BTreeMap<EventKey, Decision>,
    pub rollups: BTreeMap<RollupKey, Rollup>,
    pub balances: BTreeMap<BalanceKey, Balance>,
    pub dead_letters: BTreeMap<Position, DeadLetter>,
    /// What the caller was told is written.
    pub answered: BTreeSet<Position>,
    /// Rows of events in each flush.
    pub flushes: Vec<usize>,
}

impl Tables {
    pub fn read(&self) -> MutexGuard<'_, Content> {
        self.state.lock().unwrap()
    }
}

impl Warehouse for Tables {
    type Error = TestFault;

    async fn record(&self, rows: &Rows) -> Result<(), TestFault> {
        self.troubles.meet(|| self.read().write(rows)).await?;
        let events = rows.events.iter().map(|decision| decision.position);
        self.read().answered.extend(events.chain(rows.dead_letters.iter().map(|letter| letter.position)));
        Ok(())
    }

    async fn record_entries(&self, _: &[Entry]) -> Result<(), TestFault> {
        Ok(())
    }

    async fn record_alerts(&self, _: &[Alert]) -> Result<(), TestFault> {
        Ok(())
    }
}

impl Content {
    fn write(&mut self, rows: &Rows) {
        self.flushes.push(rows.events.len());
        for decision in &rows.events {
            let event = &decision.event;
            let key = (event.workspace.clone(), event.time, event.source.to_string(), event.id.to_string());
            put(&mut self.events, key, decision, |row| row.verdict.sequence, same_decision);
        }
        let mut keys = BTreeSet::new();
        for rollup in &rows.rollups {
            let Rollup { workspace, period, day, user, feature, .. } = rollup;
            let key = (workspace.clone(), *period, *day, user.clone(), feature.clone());
            assert!(keys.insert(key.clone()), "a flush holds two versions of {rollup:?}");
            put(&mut self.rollups, key, rollup, |row| row.version, PartialEq::eq);
        }
        let mut keys = BTreeSet::new();
        for balance in &rows.balances {
            let key = (balance.workspace.clone(), balance.period, balance.account.clone());
            assert!(keys.insert(key.clone()), "a flush holds two versions of {balance:?}");
            put(&mut self.balances, key, balance, |row| row.version, PartialEq::eq);
        }
        for letter in &rows.dead_letters {
            put(&mut self.dead_letters, letter.position, letter, |_| 0, PartialEq::eq);
        }
    }
}

/// The same answer, whenever it was given.
pub fn same_decision(one: &Decision, other: &Decision) -> bool {
    let Decision { redelivered, decided_at, .. } = *other;
    Decision { redelivered, decided_at, ..one.clone() } == *other
}

fn put<K: Ord, R: Clone + Debug>(
    table: &mut BTreeMap<K, R>,
    key: K,
    row: &R,
    version: impl Fn(&R) -> u64,
    same: impl Fn(&R, &R) -> bool,
) {
    if let Some(before) = table.get(&key) {
        let (old, new) = (version(before), version(row));
        assert!(old != new || same(before, row), "one version, two contents: {before:?} and {row:?}");
        if old > new {
            return;
        }
    }
    table.insert(key, row.clone());
}
