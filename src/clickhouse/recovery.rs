//! What a rebuild and an audit read: sums of the record, what a workspace's events are recognised by, and
//! how far each workspace had come.

mod rows;

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::Row;
use serde::Deserialize;

use super::{Store, WarehouseError};
use crate::domain::fold::Usage;
use crate::domain::ids::{FeatureId, IdError, UserId, WorkspaceId};
use crate::domain::ledger::{Account, AccountError, Entry, Totals};
use crate::domain::period::{Day, Instant, PeriodName};
use rows::{AccountRow, CellRow, EntryName, EntryRow, FloorRow, ReversedRow, UsageRow, VersionRow};

/// Rows of one page.
const PAGE_ROWS: u64 = 50_000;

/// Epoch and count of decisions and entries, by workspace: how far each had come when it was last recorded.
pub type Versions = BTreeMap<WorkspaceId, (u64, u64)>;

/// Which user, feature and day of which period.
type CellName = (PeriodName, UserId, FeatureId, Day);

/// An event that was recorded, as far as it is recognised by it.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct Recorded {
    /// The tenant.
    pub workspace: String,
    /// In microseconds.
    pub time: i64,
    /// The producer.
    pub source: String,
    /// The producer's id.
    pub id: String,
    /// In microseconds.
    pub arrived_at: i64,
    /// Where its record lies.
    pub topic_partition: i32,
    /// There.
    pub topic_offset: i64,
}

/// Of the epochs before the one given, and of that one up to a decision.
const USAGE: &str = "SELECT workspace, period, day, user, feature, team,
    toDecimal64(sumIf(e.drawn_user, e.reversed_at IS NULL), 6) AS from_user,
    toDecimal64(sumIf(e.drawn_team, e.reversed_at IS NULL), 6) AS from_team,
    toDecimal64(sumIf(e.drawn_pool, e.reversed_at IS NULL), 6) AS from_pool,
    toDecimal64(sumIf(e.overage_credits, e.reversed_at IS NULL), 6) AS overage,
    countIf(e.outcome IN ('allowed', 'overage')) AS events,
    countIf(e.outcome = 'overage') AS overage_events,
    countIf(e.outcome = 'denied') AS denied_events,
    sumIf(toDecimal128(e.credits, 6), e.outcome = 'denied') AS denied_micro
FROM usage_events AS e
WHERE workspace IN {workspaces:Array(String)}
    AND (epoch < {epoch:UInt64} OR (epoch = {epoch:UInt64} AND sequence <= {sequence:UInt64}))
GROUP BY workspace, period, day, user, feature, team";

const CELLS: &str = "SELECT workspace, period, day, user, feature,
    credits, overage_credits, events, overage_events, denied_events, denied_credits, version
FROM usage_rollups WHERE workspace IN {workspaces:Array(String)}";

const ACCOUNTS: &str = "SELECT workspace, period, account FROM account_balances_raw FINAL
WHERE workspace IN {workspaces:Array(String)}";

const RECORDED: &str =
    "SELECT workspace, time, source, id, arrived_at, topic_partition, topic_offset FROM usage_events
WHERE workspace IN {workspaces:Array(String)} AND time >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')
    AND (workspace, time, source, id) >
        ({workspace:String}, fromUnixTimestamp64Micro({time:Int64}, 'UTC'), {source:String}, {id:String})
ORDER BY workspace, time, source, id LIMIT {limit:UInt64}";

const COUNT: &str = "SELECT count() FROM usage_events
WHERE workspace IN {workspaces:Array(String)} AND time >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')";

/// Offsets of the events before an instant; -1 where there are none.
const FLOORS: &str = "SELECT workspace, topic_partition AS partition,
    max(if(time < fromUnixTimestamp64Micro({since:Int64}, 'UTC'), topic_offset, -1)) AS last
FROM usage_events WHERE workspace IN {workspaces:Array(String)}
GROUP BY workspace, topic_partition";

const VERSIONS_OF: &str = "SELECT workspace, max(version) AS version FROM (
    SELECT workspace, version FROM usage_events_raw UNION ALL SELECT workspace, version FROM account_balances_raw
    UNION ALL SELECT workspace, version FROM usage_rollups_raw
    UNION ALL SELECT workspace, bitShiftLeft(epoch, 40) + sequence FROM credit_ledger_raw)
WHERE workspace IN {workspaces:Array(String)} GROUP BY workspace";

const VERSIONS: &str = "SELECT workspace, max(version) AS version FROM (
    SELECT workspace, max(version) AS version FROM account_balances_raw GROUP BY workspace
    UNION ALL SELECT workspace, max(version) FROM usage_rollups_raw GROUP BY workspace
    UNION ALL SELECT workspace, max(bitShiftLeft(epoch, 40) + sequence) FROM credit_ledger_raw GROUP BY workspace
    UNION ALL SELECT workspace, max(version) FROM usage_events_raw
        WHERE time > now() - INTERVAL 8 DAY GROUP BY workspace)
GROUP BY workspace";

const ENTRIES: &str =
    "SELECT workspace, epoch, sequence FROM credit_ledger WHERE workspace IN {workspaces:Array(String)}";

const LEDGER: &str = "SELECT epoch, sequence, kind, actor, period, at, postings, change
FROM credit_ledger WHERE workspace = {workspace:String} ORDER BY epoch, sequence";

const REVERSED: &str =
    "SELECT workspace, period, concat(source, '\\n', id, '\\n', toString(toUnixTimestamp64Micro(time))) AS name
FROM usage_events WHERE workspace IN {workspaces:Array(String)} AND reversed_at IS NOT NULL";

/// What is read of several workspaces at once: one question for many, for each costs as much as one of one.
type Each<T> = BTreeMap<WorkspaceId, T>;

impl Store {
    /// What was used up to a decision; [`u64::MAX`] twice for all of it.
    pub async fn used(
        &self,
        workspaces: &[WorkspaceId],
        (epoch, sequence): (u64, u64),
    ) -> Result<Each<Vec<Usage>>, WarehouseError> {
        let query = self.of(USAGE, workspaces).param("epoch", epoch).param("sequence", sequence);
        let rows = self.fetch::<UsageRow>("usage", query).await?;
        each(rows.into_iter().map(UsageRow::usage))
    }

    /// Every cell of the rollups, with its version.
    pub async fn cells(
        &self,
        workspaces: &[WorkspaceId],
    ) -> Result<Each<BTreeMap<CellName, (Totals, u64)>>, WarehouseError> {
        let rows = self.fetch::<CellRow>("rollups", self.of(CELLS, workspaces)).await?;
        each(rows.into_iter().map(CellRow::cell))
    }

    /// Every account that the balances name.
    pub async fn accounts(
        &self,
        workspaces: &[WorkspaceId],
    ) -> Result<Each<BTreeSet<(PeriodName, Account)>>, WarehouseError> {
        let rows = self.fetch::<AccountRow>("accounts", self.of(ACCOUNTS, workspaces)).await?;
        let account =
            |row: AccountRow| Ok::<_, AccountError>((row.workspace, (row.period, row.account.parse()?)));
        each(rows.into_iter().map(account))
    }

    /// The next events since an instant, by workspace and in the order of their time; none when there are
    /// no more.
    pub async fn recorded(
        &self,
        workspaces: &[WorkspaceId],
        since: Instant,
        after: Option<&Recorded>,
    ) -> Result<Vec<Recorded>, WarehouseError> {
        let query = self.of(RECORDED, workspaces).param("since", since.micros()).param("limit", PAGE_ROWS);
        let query = match after {
            Some(last) => query
                .param("workspace", &last.workspace)
                .param("time", last.time)
                .param("source", &last.source)
                .param("id", &last.id),
            None => query.param("workspace", "").param("time", 0).param("source", "").param("id", ""),
        };
        self.fetch("recorded events", query).await
    }

    /// How many events were recorded since an instant.
    pub async fn count_recorded(
        &self,
        workspaces: &[WorkspaceId],
        since: Instant,
    ) -> Result<u64, WarehouseError> {
        let query = self.of(COUNT, workspaces).param("since", since.micros());
        Ok(self.fetch::<u64>("count of events", query).await?.first().copied().unwrap_or_default())
    }

    /// The partitions that events came from, with the last offset of those before `since`; -1 for none.
    pub async fn floors(
        &self,
        workspaces: &[WorkspaceId],
        since: Instant,
    ) -> Result<Each<BTreeMap<i32, i64>>, WarehouseError> {
        let query = self.of(FLOORS, workspaces).param("since", since.micros());
        let rows = self.fetch::<FloorRow>("offsets of events", query).await?;
        each(rows.into_iter().map(|row| Ok::<_, IdError>((row.workspace, (row.partition, row.last)))))
    }

    /// How far every workspace had come.
    pub async fn versions(&self) -> Result<Versions, WarehouseError> {
        self.read_versions(self.reader.query(VERSIONS)).await
    }

    /// How far these had come; one that no table saw is not among them.
    pub async fn versions_of(&self, workspaces: &[WorkspaceId]) -> Result<Versions, WarehouseError> {
        self.read_versions(self.of(VERSIONS_OF, workspaces)).await
    }

    async fn read_versions(&self, query: clickhouse::query::Query) -> Result<Versions, WarehouseError> {
        let rows = self.fetch::<VersionRow>("versions", query).await?;
        let read = |row: VersionRow| {
            let id = WorkspaceId::parse(&row.workspace)?;
            Ok::<_, IdError>((id, (row.version >> 40, row.version & ((1 << 40) - 1))))
        };
        rows.into_iter().map(read).collect::<Result<_, _>>().map_err(stored)
    }

    /// Epoch and sequence of every ledger entry that has a row.
    pub async fn entry_names(
        &self,
        workspaces: &[WorkspaceId],
    ) -> Result<Each<BTreeSet<(u64, u64)>>, WarehouseError> {
        let rows = self.fetch::<EntryName>("ledger", self.of(ENTRIES, workspaces)).await?;
        each(rows.into_iter().map(|row| Ok::<_, IdError>((row.workspace, (row.epoch, row.sequence)))))
    }

    /// The ledger of a workspace in its order, without reasons and keys.
    pub async fn entries(&self, workspace: &WorkspaceId) -> Result<Vec<Entry>, WarehouseError> {
        let rows = self
            .fetch::<EntryRow>("ledger", self.reader.query(LEDGER).param("workspace", workspace.as_str()))
            .await?;
        let entry = |row: EntryRow| row.entry(workspace);
        rows.into_iter().map(entry).collect::<Result<_, _>>().map_err(|fault: serde_json::Error| {
            WarehouseError::Stored(format!("an entry of the ledger that cannot be read: {fault}"))
        })
    }

    /// The events that are marked as reversed, named as the ledger in Redis names them.
    pub async fn reversed(
        &self,
        workspaces: &[WorkspaceId],
    ) -> Result<Each<BTreeSet<(PeriodName, String)>>, WarehouseError> {
        let rows = self.fetch::<ReversedRow>("reversed events", self.of(REVERSED, workspaces)).await?;
        let named = |row: ReversedRow| {
            let period = Day::from_number(i32::from(row.period));
            Ok::<_, IdError>((row.workspace, (period, row.name)))
        };
        each(rows.into_iter().map(named))
    }

    fn of(&self, sql: &str, workspaces: &[WorkspaceId]) -> clickhouse::query::Query {
        let names: Vec<&str> = workspaces.iter().map(WorkspaceId::as_str).collect();
        self.reader.query(sql).param("workspaces", names)
    }
}

/// Sorts what was read by workspace.
fn each<T, C: Default + Extend<T>, E: std::fmt::Display>(
    rows: impl Iterator<Item = Result<(String, T), E>>,
) -> Result<Each<C>, WarehouseError> {
    let mut found: Each<C> = BTreeMap::new();
    for row in rows {
        let (workspace, value) = row.map_err(stored)?;
        let workspace = WorkspaceId::parse(&workspace).map_err(stored)?;
        found.entry(workspace).or_default().extend([value]);
    }
    Ok(found)
}

fn stored(fault: impl std::fmt::Display) -> WarehouseError {
    WarehouseError::Stored(fault.to_string())
}
