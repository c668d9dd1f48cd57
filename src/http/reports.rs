//! What the tables tell: usage, decided events, the ledger, alerts, and what use will come to. What is
//! asked behind `?` is read in `asked`; usage leaves as pages of JSON or as a whole `csv`.

mod asked;
mod csv;
mod forecast;
mod shapes;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use self::asked::{AlertsAsked, EventsAsked, Format, LedgerAsked, UsageAsked};
use self::forecast::{ForecastAsked, Forecasts};
use self::shapes::{Csv, Usage};
use super::Api;
use super::answer::alert::AlertLine;
use super::answer::{About, Head, Listed};
use super::desk::{Answer, ok};
use super::ids::{Ids, Query};
use super::page::Page;
use super::problem::Problem;
use super::route::{Access, Personal, Routes, Scope, get};
use crate::domain::WorkspaceId;
use crate::domain::ports::View;
use crate::domain::reports::{self, EventRow, LedgerRow, Placed};

/// The routes of reports.
pub fn routes() -> Routes {
    let read = |path| get(path, Access::Needs(Scope::Read));
    let usage = read("/v1/workspaces/{workspace}/usage")
        .says("Sums of usage by what is asked, as JSON or CSV")
        .personal(Personal::Query)
        .query::<UsageAsked>()
        .gives::<Listed<Usage>>(200, "Rows in the order of the dimensions; what has nothing is no row")
        .gives_as::<Csv>(200, "text/csv", "The same rows, whole");
    let events = read("/v1/workspaces/{workspace}/events")
        .says("Decided events, the denied too, newest first")
        .personal(Personal::Query)
        .query::<EventsAsked>()
        .gives::<Listed<EventRow>>(200, "A page");
    let ledger = read("/v1/workspaces/{workspace}/ledger")
        .says("What administrators changed, newest first")
        .query::<LedgerAsked>()
        .gives::<Listed<LedgerRow>>(200, "A page");
    let alerts = read("/v1/workspaces/{workspace}/alerts")
        .says("Thresholds that were crossed, newest first")
        .query::<AlertsAsked>()
        .gives::<Listed<AlertLine>>(200, "A page");
    let forecast = read("/v1/workspaces/{workspace}/forecast")
        .says("What use will come to by the end of the running period")
        .query::<ForecastAsked>()
        .gives::<About<Forecasts>>(200, "Of the pool, of teams and users, with advice on what is idle");
    Routes::of("reports")
        .add(usage, list_usage)
        .add(events, list_events)
        .add(ledger, list_ledger)
        .add(alerts, list_alerts)
        .add(forecast, forecast::show)
}

async fn list_usage(
    State(api): State<Arc<Api>>,
    Ids(workspace): Ids<WorkspaceId>,
    Query(asked): Query<UsageAsked>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = asked.query()?;
    let view = api.view(&workspace, None).await?;
    if asked.format(&headers) == Format::Csv {
        let reports = Arc::clone(&api.reports);
        return Ok(csv::answer(reports, workspace, query, asked.rows_max()).await?);
    }
    let page = api.reports.usage(&workspace, &query).await?;
    Ok(listed(&workspace, &view, page, Usage)?.into_response())
}

async fn list_events(
    State(api): State<Arc<Api>>,
    Ids(workspace): Ids<WorkspaceId>,
    Query(asked): Query<EventsAsked>,
) -> Answer<Listed<EventRow>> {
    let query = asked.query()?;
    let view = api.view(&workspace, None).await?;
    listed(&workspace, &view, api.reports.events(&workspace, &query).await?, |row| row)
}

async fn list_ledger(
    State(api): State<Arc<Api>>,
    Ids(workspace): Ids<WorkspaceId>,
    Query(asked): Query<LedgerAsked>,
) -> Answer<Listed<LedgerRow>> {
    let query = asked.query()?;
    let view = api.view(&workspace, None).await?;
    listed(&workspace, &view, api.reports.ledger(&workspace, &query).await?, |row| row)
}

async fn list_alerts(
    State(api): State<Arc<Api>>,
    Ids(workspace): Ids<WorkspaceId>,
    Query(asked): Query<AlertsAsked>,
) -> Answer<Listed<AlertLine>> {
    let query = asked.query()?;
    let view = api.view(&workspace, None).await?;
    listed(&workspace, &view, api.reports.alerts(&workspace, &query).await?, AlertLine::from)
}

/// A page as it is answered; a cursor is the place of its last row.
fn listed<T: Placed, L>(
    workspace: &WorkspaceId,
    view: &View,
    page: reports::Page<T>,
    line: impl Fn(T) -> L,
) -> Answer<Listed<L>>
where
    T::Place: Serialize,
{
    let items = page.items.into_iter().map(line).collect();
    ok(Listed { head: Head::of(workspace, view), page: Page::going_on(items, page.next.as_ref()) })
}
