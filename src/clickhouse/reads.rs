//! Typed reads of the exact views. Values travel as bound parameters only; amounts as integers of
//! microcredits, never as floats.

use std::collections::BTreeMap;

use clickhouse::query::Query;
use clickhouse::{Row, RowOwned, RowRead};
use serde::{Deserialize, Deserializer};

use super::error::within;
use super::{Store, WarehouseError};
use crate::domain::credits::Credits;
use crate::domain::ids::WorkspaceId;
use crate::domain::ledger::{Balance, Totals};
use crate::domain::period::{Day, PeriodName};

/// Who comes first in a ranking of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RankingOrder {
    /// Who spent most.
    MostSpent,
    /// Who spent least, of those who were seen at all.
    LeastSpent,
}

/// What one user used in a period.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct UserUsage {
    /// Who.
    pub user: String,
    /// Debited from accounts.
    #[serde(deserialize_with = "micro")]
    pub credits: Credits,
    /// Spent beyond them.
    #[serde(deserialize_with = "micro")]
    pub overage_credits: Credits,
    /// Allowed and overage.
    pub events: u64,
    /// Denied.
    pub denied_events: u64,
}

/// What was used of one feature in a period.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct FeatureUsage {
    /// What on.
    pub feature: String,
    /// Debited from accounts.
    #[serde(deserialize_with = "micro")]
    pub credits: Credits,
    /// Spent beyond them.
    #[serde(deserialize_with = "micro")]
    pub overage_credits: Credits,
    /// Allowed and overage.
    pub events: u64,
    /// Denied.
    pub denied_events: u64,
}

/// What one user used of one feature in one period.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct MonthUsage {
    /// The period.
    #[serde(deserialize_with = "day")]
    pub period: PeriodName,
    /// Who.
    pub user: String,
    /// What on.
    pub feature: String,
    /// Debited from accounts.
    #[serde(deserialize_with = "micro")]
    pub credits: Credits,
    /// Spent beyond them.
    #[serde(deserialize_with = "micro")]
    pub overage_credits: Credits,
    /// Allowed and overage.
    pub events: u64,
    /// Overage alone.
    pub overage_events: u64,
    /// Denied.
    pub denied_events: u64,
    /// What the denied asked for, in microcredits; their sum has no largest total.
    #[serde(rename = "denied_credits")]
    pub denied_micro: i128,
}

/// Where totals are summed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageSource {
    /// `usage_events`, the record.
    Events,
    /// `usage_rollups`, which follow from it.
    Rollups,
}

/// What totals are summed over; days are left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    /// The tenant.
    pub workspace: String,
    /// The period.
    pub period: PeriodName,
    /// Who.
    pub user: String,
    /// What on.
    pub feature: String,
}

#[derive(Row, Deserialize)]
struct CellRow {
    workspace: String,
    #[serde(deserialize_with = "day")]
    period: PeriodName,
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
}

#[derive(Row, Deserialize)]
struct BalanceRow {
    account: String,
    #[serde(deserialize_with = "micro")]
    credited: Credits,
    #[serde(deserialize_with = "micro")]
    transferred_out: Credits,
    #[serde(deserialize_with = "micro")]
    used: Credits,
    #[serde(deserialize_with = "micro")]
    held: Credits,
    #[serde(deserialize_with = "micro")]
    spent: Credits,
    limit: Option<i64>,
    version: u64,
}

/// Sums of `usage_monthly` over one more column; `{by}` is a column's name.
const MONTHLY_BY: &str = "SELECT {by},
    toDecimal64(sum(m.credits), 6) AS credits, toDecimal64(sum(m.overage_credits), 6) AS overage_credits,
    sum(m.events) AS events, sum(m.denied_events) AS denied_events
FROM usage_monthly AS m
WHERE workspace = {workspace:String} AND period = {period:Date}
GROUP BY {by}
ORDER BY credits + overage_credits {order}, {by}
LIMIT {limit:UInt64}";

const MONTHLY: &str = "SELECT
    period, user, feature, credits, overage_credits, events, overage_events, denied_events, denied_credits
FROM usage_monthly WHERE workspace = {workspace:String}
ORDER BY period, user, feature";

const BALANCES: &str = "SELECT
    account, credited, transferred_out, used, held, spent, `limit`, version
FROM account_balances WHERE workspace = {workspace:String} AND period = {period:Date}
ORDER BY account";

const TOTALS_OF_EVENTS: &str = "SELECT workspace, period, user, feature,
    toDecimal64(sumIf(e.drawn_user + e.drawn_team + e.drawn_pool, e.reversed_at IS NULL), 6) AS credits,
    toDecimal64(sumIf(e.overage_credits, e.reversed_at IS NULL), 6) AS overage_credits,
    countIf(e.outcome IN ('allowed', 'overage')) AS events,
    countIf(e.outcome = 'overage') AS overage_events,
    countIf(e.outcome = 'denied') AS denied_events,
    sumIf(e.credits, e.outcome = 'denied') AS denied_credits
FROM usage_events AS e
WHERE {workspace:String} = '' OR workspace = {workspace:String}
GROUP BY workspace, period, user, feature";

const TOTALS_OF_ROLLUPS: &str = "SELECT workspace, period, user, feature,
    credits, overage_credits, events, overage_events, denied_events, denied_credits
FROM usage_monthly
WHERE {workspace:String} = '' OR workspace = {workspace:String}";

impl Store {
    /// At most `limit` users of a period by what they spent, overage included; ties by id.
    pub async fn ranking(
        &self,
        workspace: &WorkspaceId,
        period: PeriodName,
        order: RankingOrder,
        limit: u64,
    ) -> Result<Vec<UserUsage>, WarehouseError> {
        let order = match order {
            RankingOrder::MostSpent => "DESC",
            RankingOrder::LeastSpent => "ASC",
        };
        let sql = MONTHLY_BY.replace("{by}", "user").replace("{order}", order);
        let query = self.of_period(&sql, workspace, period).param("limit", limit);
        self.fetch("ranking of users", query).await
    }

    /// Every feature of a period by what was spent on it, most first; ties by id.
    pub async fn by_feature(
        &self,
        workspace: &WorkspaceId,
        period: PeriodName,
    ) -> Result<Vec<FeatureUsage>, WarehouseError> {
        let sql = MONTHLY_BY.replace("{by}", "feature").replace("{order}", "DESC");
        let query = self.of_period(&sql, workspace, period).param("limit", u64::MAX);
        self.fetch("usage by feature", query).await
    }

    /// All of `usage_monthly` of a workspace, in the order of period, user and feature.
    pub async fn monthly(&self, workspace: &WorkspaceId) -> Result<Vec<MonthUsage>, WarehouseError> {
        let query = self.reader.query(MONTHLY).param("workspace", workspace.as_str());
        self.fetch("usage by month", query).await
    }

    /// Every account of a period, in the order of their names.
    pub async fn balances(
        &self,
        workspace: &WorkspaceId,
        period: PeriodName,
    ) -> Result<Vec<Balance>, WarehouseError> {
        let query = self.of_period(BALANCES, workspace, period);
        let rows = self.fetch::<BalanceRow>("balances", query).await?;
        rows.into_iter().map(|row| row.balance(workspace, period)).collect()
    }

    /// The same sums from either source, of one workspace or of all: audits compare the two.
    pub async fn totals(
        &self,
        source: UsageSource,
        workspace: Option<&WorkspaceId>,
    ) -> Result<BTreeMap<Cell, Totals>, WarehouseError> {
        let sql = match source {
            UsageSource::Events => TOTALS_OF_EVENTS,
            UsageSource::Rollups => TOTALS_OF_ROLLUPS,
        };
        let query = self.reader.query(sql).param("workspace", workspace.map_or("", WorkspaceId::as_str));
        let rows = self.fetch::<CellRow>("totals", query).await?;
        Ok(rows.into_iter().map(CellRow::entry).collect())
    }

    fn of_period(&self, sql: &str, workspace: &WorkspaceId, period: PeriodName) -> Query {
        self.reader.query(sql).param("workspace", workspace.as_str()).param("period", period.to_string())
    }

    pub(super) async fn fetch<T: RowOwned + RowRead>(
        &self,
        what: &'static str,
        query: Query,
    ) -> Result<Vec<T>, WarehouseError> {
        within(self.query_timeout, what, query.fetch_all()).await
    }
}

impl CellRow {
    fn entry(self) -> (Cell, Totals) {
        let totals = Totals {
            credits: self.credits,
            overage_credits: self.overage_credits,
            events: self.events,
            overage_events: self.overage_events,
            denied_events: self.denied_events,
            denied_micro: self.denied_credits,
        };
        let Self { workspace, period, user, feature, .. } = self;
        (Cell { workspace, period, user, feature }, totals)
    }
}

impl BalanceRow {
    fn balance(self, workspace: &WorkspaceId, period: PeriodName) -> Result<Balance, WarehouseError> {
        let account = self.account.parse().map_err(|_| WarehouseError::Stored(self.account))?;
        Ok(Balance {
            workspace: workspace.clone(),
            period,
            account,
            credited: self.credited,
            transferred_out: self.transferred_out,
            used: self.used,
            held: self.held,
            spent: self.spent,
            limit: self.limit.map(Credits::from_micro),
            version: self.version,
        })
    }
}

pub(super) fn micro<'de, D: Deserializer<'de>>(input: D) -> Result<Credits, D::Error> {
    i64::deserialize(input).map(Credits::from_micro)
}

pub(super) fn day<'de, D: Deserializer<'de>>(input: D) -> Result<Day, D::Error> {
    u16::deserialize(input).map(|number| Day::from_number(i32::from(number)))
}
