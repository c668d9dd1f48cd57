//! Workspaces: those that a key may see, and how each stands.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::answer::{About, Head};
use super::auth::Caller;
use super::desk::{Answer, ok};
use super::ids::{Ids, Query};
use super::page::{Limit, Page, Wanted};
use super::route::{Access, Routes, Scope, get};
use super::users::PeriodQuery;
use crate::domain::WorkspaceId;
use crate::domain::forecast::Forecast;
use crate::domain::outlook;
use crate::domain::ports::View;
use crate::domain::standing::Summary;

/// A workspace in the list.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct WorkspaceItem {
    /// Its id.
    workspace: WorkspaceId,
}

/// Some workspaces, and the cursor of those that follow.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct WorkspaceList {
    /// The workspaces, in the order of their ids.
    items: Vec<WorkspaceItem>,
    /// For the next page; null after the last.
    next_cursor: Option<String>,
}

/// Which part of the list.
#[derive(Debug, Default, Deserialize, IntoParams)]
struct WorkspacesQuery {
    /// At most so many
    #[param(inline, nullable = false)]
    limit: Option<Limit>,
    /// `next_cursor` of the page before
    #[param(nullable = false)]
    cursor: Option<String>,
}

/// How a workspace stands, and what its use will come to.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct Standing {
    #[serde(flatten)]
    summary: Summary,
    /// Of the whole workspace until the period's end; null for past periods, and when tables are away
    forecast: Option<Forecast>,
}

/// The routes of workspaces.
pub fn routes() -> Routes {
    let listed =
        get("/v1/workspaces", Access::Needs(Scope::Read)).says("The workspaces that the key may see");
    let shown = get("/v1/workspaces/{workspace}", Access::Needs(Scope::Read)).says("How a workspace stands");
    Routes::of("workspaces")
        .add(listed.query::<WorkspacesQuery>().gives::<WorkspaceList>(200, "A page"), list)
        .add(shown.query::<PeriodQuery>().gives::<About<Standing>>(200, "The workspace"), show)
}

async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Query(query): Query<WorkspacesQuery>,
) -> Answer<WorkspaceList> {
    let wanted = Wanted::<WorkspaceId>::read(query.limit, query.cursor.as_deref())?;
    let mut all = api.office.workspaces().await?;
    all.retain(|id| caller.sees(id) && wanted.after.as_ref().is_none_or(|after| id > after));
    let Page { items, next_cursor } = Page::cut(all, wanted.limit, WorkspaceId::clone);
    let items = items.into_iter().map(|workspace| WorkspaceItem { workspace }).collect();
    ok(WorkspaceList { items, next_cursor })
}

async fn show(
    State(api): State<Arc<Api>>,
    Ids(workspace): Ids<WorkspaceId>,
    Query(query): Query<PeriodQuery>,
) -> Answer<About<Standing>> {
    let view = api.view(&workspace, query.period).await?;
    let forecast = if is_running(&view) { forecast(&api, &workspace, &view).await } else { None };
    ok(About { head: Head::of(&workspace, &view), it: Standing { summary: Summary::of(&view), forecast } })
}

fn is_running(view: &View) -> bool {
    (view.period.start..view.period.end).contains(&view.as_of)
}

/// Balances never wait for tables that are away: the forecast is left out then.
async fn forecast(api: &Api, workspace: &WorkspaceId, view: &View) -> Option<Forecast> {
    let (from, to) = outlook::days(view);
    match api.reports.daily_totals(workspace, from, to).await {
        Ok(days) => Some(outlook::of_pool(view, &days)),
        Err(fault) => {
            tracing::warn!(%fault, %workspace, "a workspace is shown without its forecast");
            None
        }
    }
}
