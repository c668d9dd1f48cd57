//! ClickHouse of the simulation: of rows with one key the newest version stays. A call that breaks off
//! has written a part of its rows, events first.

use std::collections::{BTreeMap, BTreeSet};

use super::bugs::Bug;
use super::touched::Cell;
use crate::domain::WorkspaceId;
use crate::domain::decision::Decision;
use crate::domain::event::Position;
use crate::domain::ledger::{Account, Balance, Entry, Rollup, Totals, version};
use crate::domain::period::{Instant, PeriodName};
use crate::domain::record::{DeadLetter, Rows};

pub type EventKey = (WorkspaceId, Instant, String, String);
pub type RollupKey = (WorkspaceId, PeriodName, Cell);
pub type BalanceKey = (WorkspaceId, PeriodName, Account);

#[derive(Clone, Default)]
pub struct Tables {
    pub events: BTreeMap<EventKey, Decision>,
    pub rollups: BTreeMap<RollupKey, Rollup>,
    pub balances: BTreeMap<BalanceKey, Balance>,
    pub letters: BTreeMap<Position, DeadLetter>,
    pub entries: BTreeMap<(WorkspaceId, u64, u64), Entry>,
    /// Records that have a row.
    pub recorded: BTreeSet<Position>,
    pub bug: Option<Bug>,
}

/// A row against one that stood there before: what is wrong with it.
type Verdict = Result<(), String>;

impl Tables {
    /// Writes the first `most` rows. Errors: a row that contradicts one of the same version.
    pub fn record(&mut self, rows: &Rows, most: usize) -> Verdict {
        let mut left = most;
        let mut more = || {
            left = left.saturating_sub(1);
            left > 0
        };
        for decision in rows.events.iter().take_while(|_| more()) {
            self.event(decision)?;
        }
        let mut rollups: Vec<&Rollup> = rows.rollups.iter().collect();
        rollups.sort_by_key(|rollup| rollup_key(rollup)); // the pipeline's order is a hash map's
        for rollup in rollups.into_iter().take_while(|_| more()) {
            self.rollup(rollup)?;
        }
        let mut balances: Vec<&Balance> = rows.balances.iter().collect();
        balances.sort_by_key(|balance| balance_key(balance));
        for balance in balances.into_iter().take_while(|_| more()) {
            put(
                &mut self.balances,
                balance_key(balance),
                balance,
                |row| row.version,
                self.bug,
                same_balance,
            )?;
        }
        for letter in rows.dead_letters.iter().take_while(|_| more()) {
            self.recorded.insert(letter.position);
            self.letters.insert(letter.position, letter.clone());
        }
        Ok(())
    }

    fn event(&mut self, decision: &Decision) -> Verdict {
        if self.bug == Some(Bug::DropsARow) && decision.position.offset % 17 == 3 {
            return Ok(());
        }
        self.recorded.insert(decision.position);
        let event = &decision.event;
        let key = (event.workspace.clone(), event.time, event.source.to_string(), event.id.to_string());
        let at = |row: &Decision| version(row.verdict.epoch, row.verdict.sequence);
        put(&mut self.events, key, decision, at, self.bug, same_decision)
    }

    fn rollup(&mut self, rollup: &Rollup) -> Verdict {
        let key = rollup_key(rollup);
        if let (Some(Bug::AddsRollups), Some(row)) = (self.bug, self.rollups.get(&key)) {
            let totals = Totals { events: row.totals.events + rollup.totals.events, ..rollup.totals };
            self.rollups.insert(key, Rollup { totals, ..rollup.clone() });
            return Ok(());
        }
        put(&mut self.rollups, key, rollup, |row| row.version, self.bug, PartialEq::eq)
    }

    pub fn entry(&mut self, entry: &Entry) -> Verdict {
        if self.bug == Some(Bug::LosesAnEntry) && entry.sequence % 5 == 4 {
            return Ok(());
        }
        let key = (entry.workspace.clone(), entry.epoch, entry.sequence);
        put(&mut self.entries, key, entry, |_| 0, self.bug, PartialEq::eq)
    }
}

pub fn rollup_key(rollup: &Rollup) -> RollupKey {
    let cell = (rollup.day, rollup.user.clone(), rollup.feature.clone());
    (rollup.workspace.clone(), rollup.period, cell)
}

pub fn balance_key(balance: &Balance) -> BalanceKey {
    (balance.workspace.clone(), balance.period, balance.account.clone())
}

/// The same answer, whenever it was given.
fn same_decision(one: &Decision, other: &Decision) -> bool {
    let Decision { redelivered, decided_at, .. } = *other;
    Decision { redelivered, decided_at, ..one.clone() } == *other
}

/// A limit may change by a default, which is no change of the account.
fn same_balance(one: &Balance, other: &Balance) -> bool {
    Balance { limit: other.limit, ..one.clone() } == *other
}

fn put<K: Ord, R: Clone + std::fmt::Debug>(
    table: &mut BTreeMap<K, R>,
    key: K,
    row: &R,
    version: impl Fn(&R) -> u64,
    bug: Option<Bug>,
    same: impl Fn(&R, &R) -> bool,
) -> Verdict {
    if let Some(before) = table.get(&key) {
        let (old, new) = (version(before), version(row));
        if old == new && !same(before, row) {
            return Err(format!("one version, two contents: {before:?} and {row:?}"));
        }
        if old > new && bug != Some(Bug::IgnoresVersions) {
            return Ok(());
        }
    }
    table.insert(key, row.clone());
    Ok(())
}
