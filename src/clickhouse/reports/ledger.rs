//! Lists of what administrators changed and of what was warned: entries of the ledger and alerts.

use clickhouse::Row;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Filter, some_text, stored_day};
use crate::clickhouse::reads::{day, micro};
use crate::clickhouse::{Store, WarehouseError};
use crate::domain::alert::{Alert, AlertState, Scope};
use crate::domain::credits::Credits;
use crate::domain::ids::WorkspaceId;
use crate::domain::period::{Day, Instant};
use crate::domain::reports::{AlertQuery, LedgerQuery, LedgerRow, Page};

const ENTRIES: &str = "SELECT
    epoch, sequence, kind, actor, reason, idempotency_key, period, at, postings, change
FROM credit_ledger WHERE {filter}
ORDER BY epoch DESC, sequence DESC LIMIT {limit:UInt64}";

const ON_ACCOUNT: &str = "arrayExists(
    posting -> JSONExtractString(posting, 'account') = {account:String}, JSONExtractArrayRaw(postings))";

const ALERTS: &str = "SELECT period, scope, id, threshold, state, epoch, sequence, at, used, total
FROM credit_alerts WHERE {filter}
ORDER BY epoch DESC, sequence DESC, period DESC, scope DESC, id DESC, threshold DESC, state DESC
LIMIT {limit:UInt64}";

const BELOW_ALERT: &str = "(epoch, sequence, period, scope, id, threshold, state)
    < ({epoch:UInt64}, {sequence:UInt64}, {period:Date}, {after_scope:String}, {after_id:String},
       {threshold:UInt8}, {state:String}) AND epoch <= {epoch:UInt64}";

#[derive(Row, Deserialize)]
struct EntryRecord {
    epoch: u64,
    sequence: u64,
    kind: String,
    actor: String,
    reason: String,
    idempotency_key: String,
    #[serde(deserialize_with = "day")]
    period: Day,
    at: i64,
    postings: String,
    change: String,
}

#[derive(Row, Deserialize)]
struct AlertRecord {
    #[serde(deserialize_with = "day")]
    period: Day,
    scope: String,
    id: String,
    threshold: u8,
    state: String,
    epoch: u64,
    sequence: u64,
    at: i64,
    #[serde(deserialize_with = "micro")]
    used: Credits,
    #[serde(deserialize_with = "micro")]
    total: Credits,
}

impl Store {
    pub(super) async fn ledger_page(
        &self,
        workspace: &WorkspaceId,
        query: &LedgerQuery,
    ) -> Result<Page<LedgerRow>, WarehouseError> {
        let mut filter = Filter::of(workspace);
        filter.add_some("actor = {actor:String}", "actor", query.actor.as_ref());
        filter.add_some("kind = {kind:String}", "kind", query.kind.as_ref());
        filter.add_some(ON_ACCOUNT, "account", query.account.as_ref());
        filter.add_instant("at >=", "from", query.from);
        filter.add_instant("at <", "to", query.to);
        if let Some(place) = &query.after {
            filter.add("(epoch, sequence) < ({epoch:UInt64}, {sequence:UInt64})", "epoch", place.epoch);
            filter.bind("sequence", place.sequence);
        }
        filter.bind("limit", query.limit + 1);
        let rows = self.fetch::<EntryRecord>("ledger", filter.query(self, ENTRIES)).await?;
        let rows = rows.into_iter().map(EntryRecord::entry).collect::<Result<_, _>>()?;
        Ok(Page::cut(rows, query.limit))
    }

    pub(super) async fn alerts_page(
        &self,
        workspace: &WorkspaceId,
        query: &AlertQuery,
    ) -> Result<Page<Alert>, WarehouseError> {
        let mut filter = Filter::of(workspace);
        filter.add_some("scope = {scope:String}", "scope", query.scope.map(Scope::as_str));
        filter.add_some("id = {id:String}", "id", query.id.as_ref());
        if let Some(place) = &query.after {
            filter.add(BELOW_ALERT, "epoch", place.epoch);
            filter.bind("sequence", place.sequence);
            filter.bind("period", stored_day(place.period.number()));
            filter.bind("after_scope", &place.scope);
            filter.bind("after_id", &place.id);
            filter.bind("threshold", place.threshold);
            filter.bind("state", &place.state);
        }
        filter.bind("limit", query.limit + 1);
        let rows = self.fetch::<AlertRecord>("alerts", filter.query(self, ALERTS)).await?;
        let rows = rows.into_iter().map(|row| row.alert(workspace)).collect::<Result<_, _>>()?;
        Ok(Page::cut(rows, query.limit))
    }
}

impl EntryRecord {
    fn entry(self) -> Result<LedgerRow, WarehouseError> {
        Ok(LedgerRow {
            epoch: self.epoch,
            sequence: self.sequence,
            kind: self.kind,
            actor: self.actor,
            reason: some_text(self.reason),
            idempotency_key: some_text(self.idempotency_key),
            period: self.period,
            at: Instant::from_micros(self.at),
            postings: json(self.postings)?,
            change: json(self.change)?,
        })
    }
}

fn json(text: String) -> Result<Box<RawValue>, WarehouseError> {
    RawValue::from_string(text).map_err(|fault| WarehouseError::Stored(format!("broken JSON ({fault})")))
}

impl AlertRecord {
    fn alert(self, workspace: &WorkspaceId) -> Result<Alert, WarehouseError> {
        let scopes = [Scope::Pool, Scope::Team, Scope::User];
        let states = [AlertState::Crossed, AlertState::Recovered, AlertState::Shortfall];
        let scope = scopes.into_iter().find(|scope| scope.as_str() == self.scope);
        let state = states.into_iter().find(|state| state.as_str() == self.state);
        let unknown = || WarehouseError::Stored(format!("an alert of {:?} {:?}", self.scope, self.state));
        Ok(Alert {
            workspace: workspace.clone(),
            scope: scope.ok_or_else(unknown)?,
            state: state.ok_or_else(unknown)?,
            id: self.id,
            threshold: self.threshold,
            used: self.used,
            total: self.total,
            period: self.period,
            at: Instant::from_micros(self.at),
            epoch: self.epoch,
            sequence: self.sequence,
        })
    }
}
