//! Workspaces: those that a key may see, and how each stands.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{About, Head};
use super::desk::Desk;
use super::seam::{Answer, Caller, Params, Place, Problem, ReadProblems, page};
use super::users::PeriodQuery;
use crate::domain::WorkspaceId;
use crate::domain::standing::Summary;

/// A workspace in the list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WorkspaceItem {
    /// Its id.
    workspace: WorkspaceId,
}

/// Some workspaces, and the cursor of those that follow.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WorkspaceList {
    /// The workspaces, in the order of their ids.
    items: Vec<WorkspaceItem>,
    /// For the next page; null after the last.
    next_cursor: Option<String>,
}

/// Shows the workspaces that the key may see.
#[utoipa::path(
    get, path = "/v1/workspaces", tag = "workspaces", params(page::Cut),
    responses((status = 200, description = "A page", body = WorkspaceList), ReadProblems)
)]
pub async fn list(
    State(desk): State<Desk>,
    caller: Caller,
    Params(cut): Params<page::Cut>,
) -> Result<Answer<WorkspaceList>, Problem> {
    let cut = cut.parse()?;
    let mut all = desk.office.workspaces().await?;
    all.retain(|workspace| caller.may_see(workspace));
    let (page, next_cursor) = cut.of(all, |workspace| workspace.as_str());
    let items = page.into_iter().map(|workspace| WorkspaceItem { workspace }).collect();
    Ok(Answer::ok(WorkspaceList { items, next_cursor }))
}

/// Shows how a workspace stands.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace}", tag = "workspaces",
    params(("workspace" = WorkspaceId, Path), PeriodQuery),
    responses((status = 200, description = "The workspace", body = About<Summary>), ReadProblems)
)]
pub async fn get(
    State(desk): State<Desk>,
    Place(workspace): Place<WorkspaceId>,
    Params(query): Params<PeriodQuery>,
) -> Result<Answer<About<Summary>>, Problem> {
    let view = desk.view(&workspace, query.name()?).await?;
    Ok(Answer::ok(About { head: Head::of(&workspace, &view), it: Summary::of(&view) }))
}
