//! What the API asks: reads of the exact views, each with the filters that were given, and no more.
//!
//! Conditions are texts of this program, values are bound parameters. A page asks for one row more
//! than was wanted, to know whether the list goes on.

mod days;
mod events;
mod ledger;
mod usage;

use clickhouse::query::Query;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Store, WarehouseError};
use crate::domain::alert::Alert;
use crate::domain::ids::{UserId, WorkspaceId};
use crate::domain::period::{Day, Instant, Period};
use crate::domain::ports::Trouble;
use crate::domain::reports::{
    Activity, AlertQuery, DayTotal, EventQuery, EventRow, LedgerQuery, LedgerRow, Page, PastEvent, Reports,
    UsageQuery, UsageRow, UserDay,
};

impl Reports for Store {
    fn usage<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        query: &'a UsageQuery,
    ) -> BoxFuture<'a, Result<Page<UsageRow>, Trouble>> {
        answer(self.usage_page(workspace, query))
    }

    fn events<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        query: &'a EventQuery,
    ) -> BoxFuture<'a, Result<Page<EventRow>, Trouble>> {
        answer(self.events_page(workspace, query))
    }

    fn ledger<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        query: &'a LedgerQuery,
    ) -> BoxFuture<'a, Result<Page<LedgerRow>, Trouble>> {
        answer(self.ledger_page(workspace, query))
    }

    fn alerts<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        query: &'a AlertQuery,
    ) -> BoxFuture<'a, Result<Page<Alert>, Trouble>> {
        answer(self.alerts_page(workspace, query))
    }

    fn activity<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        period: &'a Period,
        user: Option<&'a UserId>,
    ) -> BoxFuture<'a, Result<Vec<Activity>, Trouble>> {
        answer(self.activity_of(workspace, period, user))
    }

    fn daily<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        from: Day,
        to: Day,
    ) -> BoxFuture<'a, Result<Vec<UserDay>, Trouble>> {
        answer(self.days_by_user(workspace, from, to))
    }

    fn daily_totals<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        from: Day,
        to: Day,
    ) -> BoxFuture<'a, Result<Vec<DayTotal>, Trouble>> {
        answer(self.days(workspace, from, to))
    }

    fn event<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        source: &'a str,
        event_id: &'a str,
    ) -> BoxFuture<'a, Result<Option<PastEvent>, Trouble>> {
        answer(self.past_event(workspace, source, event_id))
    }
}

fn answer<'a, T>(
    read: impl Future<Output = Result<T, WarehouseError>> + Send + 'a,
) -> BoxFuture<'a, Result<T, Trouble>> {
    read.map(|read| read.map_err(Trouble::from)).boxed()
}

impl From<WarehouseError> for Trouble {
    fn from(fault: WarehouseError) -> Self {
        if fault.is_transient() {
            return Self::Away(fault.to_string());
        }
        tracing::error!(%fault, "a read of the tables cannot be answered");
        Self::Broken(fault.to_string())
    }
}

/// The conditions of a statement, with their values.
struct Filter {
    conditions: Vec<String>,
    values: Vec<(String, String)>,
}

impl Filter {
    fn of(workspace: &WorkspaceId) -> Self {
        let mut filter = Self { conditions: Vec::new(), values: Vec::new() };
        filter.add("workspace = {workspace:String}", "workspace", workspace);
        filter
    }

    /// A condition and the value of its one parameter.
    fn add(&mut self, condition: &str, name: &str, value: impl ToString) {
        self.conditions.push(condition.to_owned());
        self.bind(name, value);
    }

    fn add_some(&mut self, condition: &str, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.add(condition, name, value);
        }
    }

    fn add_instant(&mut self, comparison: &str, name: &str, at: Option<Instant>) {
        let condition = format!("{comparison} {}", instant(name));
        self.add_some(&condition, name, at.map(Instant::micros));
    }

    fn bind(&mut self, name: &str, value: impl ToString) {
        self.values.push((name.to_owned(), value.to_string()));
    }

    /// The query of a statement in which `{filter}` stands for the conditions.
    fn query(&self, store: &Store, sql: &str) -> Query {
        let query = store.reader.query(&sql.replace("{filter}", &self.conditions.join(" AND ")));
        self.values.iter().fold(query, |query, (name, value)| query.param(name, value))
    }
}

/// The parameter of that name, given in microseconds, as a time.
fn instant(name: &str) -> String {
    format!("fromUnixTimestamp64Micro({{{name}:Int64}}, 'UTC')")
}

/// A day that the tables can hold, so that a bound past them all stays a bound.
fn stored_day(number: i32) -> Day {
    Day::from_number(number.clamp(0, i32::from(u16::MAX)))
}

/// A text that the tables keep as '' when there is none.
fn some_text(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// A word or id of the tables as the domain's.
fn read_as<T: std::str::FromStr>(text: &str) -> Result<T, WarehouseError> {
    text.parse().map_err(|_| WarehouseError::Stored(format!("{text:?}")))
}
