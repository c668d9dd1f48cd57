//! What a run has left behind, as others see it: topics, tables and Redis, read with plain drivers and decoded here.
//! Nothing of the program's own reading, folding or rebuilding is used.

mod redis_books;
mod tables;
mod topics;

use std::collections::{BTreeMap, BTreeSet};

pub use redis_books::{books, waiting};
pub use tables::{query, read_tables};
pub use topics::{Group, read_topics};

/// Partition and offset.
pub type Position = (i32, i64);
/// Workspace, source and id of an event.
pub type Identity = (String, String, String);
/// Workspace, period, user, feature and day.
pub type Cell = (String, String, String, String, String);

/// What the decisions topic tells of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Of the record.
    pub position: Position,
    /// Of the event.
    pub identity: Identity,
    /// In the workspace's life.
    pub epoch: u64,
    /// In the epoch.
    pub sequence: u64,
    /// allowed, overage, denied or duplicate.
    pub outcome: String,
    /// From user, team, pool, and beyond, in microcredits.
    pub drawn: [i64; 4],
}

/// A row of `usage_events`.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Workspace, period, user, feature, day.
    pub cell: Cell,
    /// What it was told as.
    pub decision: Decision,
    /// What it asked for, in microcredits.
    pub asked: i64,
}

/// Sums of a cell: credits, overage, events, denied events, denied credits.
pub type Sums = [i64; 5];

/// An account: what came in less what was moved away, used, held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Account {
    /// Net of what was moved away, in microcredits.
    pub entered: i64,
    /// Drawn by usage.
    pub used: i64,
    /// Set aside.
    pub held: i64,
}

/// The books of a workspace and period in Redis.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Book {
    /// Total, used, held and overage of the whole workspace.
    pub whole: [i64; 4],
    /// By name: pool, team:<id>, user:<id>.
    pub accounts: BTreeMap<String, Account>,
    /// Spent and holding, by user.
    pub users: BTreeMap<String, [i64; 2]>,
    /// Spent, by feature.
    pub features: BTreeMap<String, i64>,
}

/// An entry of the ledger topic.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Workspace, epoch, sequence.
    pub name: (String, u64, u64),
    /// What kind of change.
    pub kind: String,
    /// The key under which it was asked for.
    pub key: Option<String>,
    /// Account, period and signed microcredits.
    pub postings: Vec<(String, String, i64)>,
    /// All of it, as it stands in the topic.
    pub text: String,
}

/// Everything.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The input; none for what is no event.
    pub records: BTreeMap<Position, Option<Identity>>,
    /// Everything told, repeats included.
    pub decisions: Vec<Decision>,
    /// The records that dead letters name.
    pub letters: BTreeSet<Position>,
    /// The ledger topic, repeats included.
    pub ledger: Vec<Entry>,
    /// `usage_events`.
    pub rows: Vec<Row>,
    /// `dead_letters`.
    pub letter_rows: BTreeSet<Position>,
    /// `usage_rollups`.
    pub rollups: BTreeMap<Cell, Sums>,
    /// `account_balances`, by workspace, period and account.
    pub balances: BTreeMap<(String, String, String), Account>,
    /// `credit_ledger`.
    pub ledger_rows: Vec<(String, u64, u64)>,
    /// Redis, by workspace and period.
    pub books: BTreeMap<(String, String), Book>,
}

/// Whole microcredits of a JSON number; the amounts of a run are far below what a double holds exactly.
pub fn micro(value: &serde_json::Value) -> i64 {
    (value.as_f64().unwrap_or_default() * 1e6).round() as i64
}
