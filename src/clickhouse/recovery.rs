//! What a rebuild and an audit read: sums of the record, what a workspace's events are recognised by, and
//! how far each workspace had come.

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::Row;
use serde::Deserialize;

use super::reads::{day, micro};
use super::{Store, WarehouseError};
use crate::domain::credits::Credits;
use crate::domain::decision::Drawn;
use crate::domain::fold::Usage;
use crate::domain::ids::{FeatureId, IdError, TeamId, UserId, WorkspaceId};
use crate::domain::ledger::{Account, Entry, Totals};
use crate::domain::period::{Day, Instant, PeriodName};

/// Rows of one page.
const PAGE_ROWS: u64 = 50_000;

/// Epoch and count of decisions and entries, by workspace: how far each had come when it was last recorded.
pub type Versions = BTreeMap<WorkspaceId, (u64, u64)>;

/// Which user, feature and day of which period.
type CellName = (PeriodName, UserId, FeatureId, Day);

/// An event that was recorded, as far as it is recognised by it.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct Recorded {
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

#[derive(Row, Deserialize)]
struct UsageRow {
    #[serde(deserialize_with = "day")]
    period: PeriodName,
    #[serde(deserialize_with = "day")]
    day: Day,
    user: String,
    feature: String,
    team: String,
    #[serde(deserialize_with = "micro")]
    from_user: Credits,
    #[serde(deserialize_with = "micro")]
    from_team: Credits,
    #[serde(deserialize_with = "micro")]
    from_pool: Credits,
    #[serde(deserialize_with = "micro")]
    overage: Credits,
    events: u64,
    overage_events: u64,
    denied_events: u64,
    denied_micro: i128,
}

#[derive(Row, Deserialize)]
struct CellRow {
    #[serde(deserialize_with = "day")]
    period: PeriodName,
    #[serde(deserialize_with = "day")]
    day: Day,
    user: String,
    feature: String,
    #[serde(deserialize_with = "micro")]
    credits: Credits,
    #[serde(deserialize_with = "micro")]
    overage_credits: Credits,
    events: u64,
    overage_events: u64,
    denied_events: u64,
    denied_credits: i128,
    version: u64,
}

#[derive(Row, Deserialize)]
struct AccountRow {
    #[serde(deserialize_with = "day")]
    period: PeriodName,
    account: String,
}

#[derive(Row, Deserialize)]
struct FloorRow {
    partition: i32,
    last: i64,
}

#[derive(Row, Deserialize)]
struct VersionRow {
    workspace: String,
    version: u64,
}

#[derive(Row, Deserialize)]
struct EntryName {
    epoch: u64,
    sequence: u64,
}

#[derive(Row, Deserialize)]
struct EntryRow {
    epoch: u64,
    sequence: u64,
    kind: String,
    actor: String,
    #[serde(deserialize_with = "day")]
    period: PeriodName,
    at: i64,
    postings: String,
    change: String,
}

#[derive(Row, Deserialize)]
struct ReversedRow {
    period: u16,
    name: String,
}

/// Of the epochs before the one given, and of that one up to a decision.
const USAGE: &str = "SELECT period, day, user, feature, team,
    toDecimal64(sumIf(e.drawn_user, e.reversed_at IS NULL), 6) AS from_user,
    toDecimal64(sumIf(e.drawn_team, e.reversed_at IS NULL), 6) AS from_team,
    toDecimal64(sumIf(e.drawn_pool, e.reversed_at IS NULL), 6) AS from_pool,
    toDecimal64(sumIf(e.overage_credits, e.reversed_at IS NULL), 6) AS overage,
    countIf(e.outcome IN ('allowed', 'overage')) AS events,
    countIf(e.outcome = 'overage') AS overage_events,
    countIf(e.outcome = 'denied') AS denied_events,
    sumIf(toDecimal128(e.credits, 6), e.outcome = 'denied') AS denied_micro
FROM usage_events AS e
WHERE workspace = {workspace:String}
    AND (epoch < {epoch:UInt64} OR (epoch = {epoch:UInt64} AND sequence <= {sequence:UInt64}))
GROUP BY period, day, user, feature, team";

const CELLS: &str = "SELECT period, day, user, feature,
    credits, overage_credits, events, overage_events, denied_events, denied_credits, version
FROM usage_rollups WHERE workspace = {workspace:String}";

const ACCOUNTS: &str =
    "SELECT period, account FROM account_balances_raw FINAL WHERE workspace = {workspace:String}";

const RECORDED: &str = "SELECT time, source, id, arrived_at, topic_partition, topic_offset FROM usage_events
WHERE workspace = {workspace:String} AND time >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')
    AND (time, source, id) > (fromUnixTimestamp64Micro({time:Int64}, 'UTC'), {source:String}, {id:String})
ORDER BY time, source, id LIMIT {limit:UInt64}";

const COUNT: &str = "SELECT count() FROM usage_events
WHERE workspace = {workspace:String} AND time >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')";

/// Offsets of the events before an instant; -1 where there are none.
const FLOORS: &str = "SELECT topic_partition AS partition,
    max(if(time < fromUnixTimestamp64Micro({since:Int64}, 'UTC'), topic_offset, -1)) AS last
FROM usage_events WHERE workspace = {workspace:String}
GROUP BY topic_partition";

const EPOCH: &str = "SELECT max(version) FROM (
    SELECT max(version) AS version FROM usage_events_raw WHERE workspace = {workspace:String}
    UNION ALL SELECT max(version) FROM account_balances_raw WHERE workspace = {workspace:String}
    UNION ALL SELECT max(version) FROM usage_rollups_raw WHERE workspace = {workspace:String}
    UNION ALL SELECT bitShiftLeft(max(epoch), 40) FROM credit_ledger_raw WHERE workspace = {workspace:String})";

const VERSIONS: &str = "SELECT workspace, max(version) AS version FROM (
    SELECT workspace, max(version) AS version FROM account_balances_raw GROUP BY workspace
    UNION ALL SELECT workspace, max(version) FROM usage_rollups_raw GROUP BY workspace
    UNION ALL SELECT workspace, max(bitShiftLeft(epoch, 40) + sequence) FROM credit_ledger_raw GROUP BY workspace
    UNION ALL SELECT workspace, max(version) FROM usage_events_raw
        WHERE time > now() - INTERVAL 8 DAY GROUP BY workspace)
GROUP BY workspace";

const ENTRIES: &str = "SELECT epoch, sequence FROM credit_ledger WHERE workspace = {workspace:String}";

const LEDGER: &str = "SELECT epoch, sequence, kind, actor, period, at, postings, change
FROM credit_ledger WHERE workspace = {workspace:String} ORDER BY epoch, sequence";

const REVERSED: &str =
    "SELECT period, concat(source, '\\n', id, '\\n', toString(toUnixTimestamp64Micro(time))) AS name
FROM usage_events WHERE workspace = {workspace:String} AND reversed_at IS NOT NULL";

impl Store {
    /// What was used of a workspace up to a decision; [`u64::MAX`] twice for all of it.
    pub async fn used(
        &self,
        workspace: &WorkspaceId,
        (epoch, sequence): (u64, u64),
    ) -> Result<Vec<Usage>, WarehouseError> {
        let query = self.of(USAGE, workspace).param("epoch", epoch).param("sequence", sequence);
        let rows = self.fetch::<UsageRow>("usage", query).await?;
        rows.into_iter().map(UsageRow::usage).collect::<Result<_, _>>().map_err(stored)
    }

    /// Every cell of a workspace's rollups, with its version.
    pub async fn cells(
        &self,
        workspace: &WorkspaceId,
    ) -> Result<BTreeMap<CellName, (Totals, u64)>, WarehouseError> {
        let rows = self.fetch::<CellRow>("rollups", self.of(CELLS, workspace)).await?;
        rows.into_iter().map(CellRow::cell).collect::<Result<_, _>>().map_err(stored)
    }

    /// Every account that the balances name.
    pub async fn accounts(
        &self,
        workspace: &WorkspaceId,
    ) -> Result<BTreeSet<(PeriodName, Account)>, WarehouseError> {
        let rows = self.fetch::<AccountRow>("accounts", self.of(ACCOUNTS, workspace)).await?;
        let named = |row: AccountRow| match row.account.parse() {
            Ok(account) => Ok((row.period, account)),
            Err(_) => Err(WarehouseError::Stored(row.account)),
        };
        rows.into_iter().map(named).collect()
    }

    /// The next events of a workspace since an instant, in the order of their time; none when there are
    /// no more.
    pub async fn recorded(
        &self,
        workspace: &WorkspaceId,
        since: Instant,
        after: Option<&Recorded>,
    ) -> Result<Vec<Recorded>, WarehouseError> {
        let (time, source, id) =
            after.map_or((0, "", ""), |last| (last.time, last.source.as_str(), last.id.as_str()));
        let query = self.of(RECORDED, workspace).param("since", since.micros()).param("limit", PAGE_ROWS);
        let query = query.param("time", time).param("source", source).param("id", id);
        self.fetch("recorded events", query).await
    }

    /// How many events of a workspace were recorded since an instant.
    pub async fn count_recorded(
        &self,
        workspace: &WorkspaceId,
        since: Instant,
    ) -> Result<u64, WarehouseError> {
        let query = self.of(COUNT, workspace).param("since", since.micros());
        Ok(self.fetch::<u64>("count of events", query).await?.first().copied().unwrap_or_default())
    }

    /// The partitions that a workspace's events came from, with the last offset of those before `since`; -1 for none.
    pub async fn floors(
        &self,
        workspace: &WorkspaceId,
        since: Instant,
    ) -> Result<BTreeMap<i32, i64>, WarehouseError> {
        let query = self.of(FLOORS, workspace).param("since", since.micros());
        let rows = self.fetch::<FloorRow>("offsets of events", query).await?;
        Ok(rows.into_iter().map(|row| (row.partition, row.last)).collect())
    }

    /// The newest epoch that any table saw of a workspace; 0 for none.
    pub async fn epoch(&self, workspace: &WorkspaceId) -> Result<u64, WarehouseError> {
        let rows = self.fetch::<u64>("epoch", self.of(EPOCH, workspace)).await?;
        Ok(rows.first().copied().unwrap_or_default() >> 40)
    }

    /// How far every workspace had come.
    pub async fn versions(&self) -> Result<Versions, WarehouseError> {
        let rows = self.fetch::<VersionRow>("versions", self.reader.query(VERSIONS)).await?;
        let read = |row: VersionRow| {
            let id = WorkspaceId::parse(&row.workspace)?;
            Ok((id, (row.version >> 40, row.version & ((1 << 40) - 1))))
        };
        rows.into_iter().map(read).collect::<Result<_, _>>().map_err(stored)
    }

    /// Epoch and sequence of every ledger entry that has a row.
    pub async fn entry_names(&self, workspace: &WorkspaceId) -> Result<BTreeSet<(u64, u64)>, WarehouseError> {
        let rows = self.fetch::<EntryName>("ledger", self.of(ENTRIES, workspace)).await?;
        Ok(rows.into_iter().map(|row| (row.epoch, row.sequence)).collect())
    }

    /// The ledger of a workspace in its order, without reasons and keys.
    pub async fn entries(&self, workspace: &WorkspaceId) -> Result<Vec<Entry>, WarehouseError> {
        let rows = self.fetch::<EntryRow>("ledger", self.of(LEDGER, workspace)).await?;
        let entry = |row: EntryRow| row.entry(workspace);
        rows.into_iter().map(entry).collect::<Result<_, _>>().map_err(|fault: serde_json::Error| {
            WarehouseError::Stored(format!("an entry of the ledger that cannot be read: {fault}"))
        })
    }

    /// The events that are marked as reversed, named as the ledger in Redis names them.
    pub async fn reversed(
        &self,
        workspace: &WorkspaceId,
    ) -> Result<BTreeSet<(PeriodName, String)>, WarehouseError> {
        let rows = self.fetch::<ReversedRow>("reversed events", self.of(REVERSED, workspace)).await?;
        Ok(rows.into_iter().map(|row| (Day::from_number(i32::from(row.period)), row.name)).collect())
    }

    fn of(&self, sql: &str, workspace: &WorkspaceId) -> clickhouse::query::Query {
        self.reader.query(sql).param("workspace", workspace.as_str())
    }
}

fn stored(fault: IdError) -> WarehouseError {
    WarehouseError::Stored(fault.to_string())
}

impl EntryRow {
    fn entry(self, workspace: &WorkspaceId) -> Result<Entry, serde_json::Error> {
        Ok(Entry {
            workspace: workspace.clone(),
            epoch: self.epoch,
            sequence: self.sequence,
            kind: self.kind,
            actor: self.actor,
            reason: None,
            idempotency_key: None,
            request: None,
            period: self.period,
            at: Instant::from_micros(self.at),
            postings: serde_json::from_str(&self.postings)?,
            change: serde_json::from_str(&self.change)?,
        })
    }
}

impl UsageRow {
    fn usage(self) -> Result<Usage, IdError> {
        let drawn =
            Drawn { user: self.from_user, team: self.from_team, pool: self.from_pool, overage: self.overage };
        let team = Some(self.team).filter(|team| !team.is_empty());
        Ok(Usage {
            period: self.period,
            day: self.day,
            user: UserId::parse(&self.user)?,
            feature: FeatureId::parse(&self.feature)?,
            team: team.map(|team| TeamId::parse(&team)).transpose()?,
            drawn,
            totals: Totals {
                credits: drawn.from_accounts(),
                overage_credits: drawn.overage,
                events: self.events,
                overage_events: self.overage_events,
                denied_events: self.denied_events,
                denied_micro: self.denied_micro,
            },
        })
    }
}

impl CellRow {
    fn cell(self) -> Result<(CellName, (Totals, u64)), IdError> {
        let name = (self.period, UserId::parse(&self.user)?, FeatureId::parse(&self.feature)?, self.day);
        let totals = Totals {
            credits: self.credits,
            overage_credits: self.overage_credits,
            events: self.events,
            overage_events: self.overage_events,
            denied_events: self.denied_events,
            denied_micro: self.denied_credits,
        };
        Ok((name, (totals, self.version)))
    }
}
