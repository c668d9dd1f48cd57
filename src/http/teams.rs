//! Teams: what is reserved for them, the default limit of their members, and who these are.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{About, Head, Listed, Written};
use super::desk::Desk;
use super::form::{Amount, Invalid, optional, with_reason};
use super::seam::{Answer, Params, Place, Problem, ReadProblems, Write, WriteProblems, page};
use super::users::PeriodQuery;
use crate::domain::change::Change;
use crate::domain::standing::{self, TeamLine};
use crate::domain::{Credits, TeamId, UserId, WorkspaceId};

/// A team's settings, whole: what is left out is as by default.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TeamBody {
    /// Credits moved from the pool to the team when a period opens; 0 when left out.
    monthly_reserve: Option<Amount>,
    /// Move now too what the running period lacks of the reserve, or has too much.
    apply_now: Option<bool>,
    /// For members without a limit of their own; none when left out.
    default_user_limit: Option<Amount>,
    /// Why, for the ledger.
    reason: Option<String>,
}

impl TeamBody {
    fn change(&self, team: TeamId) -> Result<Change, Invalid> {
        let reserve = optional(self.monthly_reserve.as_ref(), "monthly_reserve")?;
        Ok(Change::Team {
            team,
            monthly_reserve: reserve.unwrap_or(Credits::ZERO),
            apply_now: self.apply_now.unwrap_or(false),
            default_user_limit: optional(self.default_user_limit.as_ref(), "default_user_limit")?,
        })
    }
}

/// A team, and who belongs to it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TeamAnswer {
    /// Settings and account.
    #[serde(flatten)]
    line: TeamLine,
    /// The members, in the order of their ids.
    users: Vec<UserId>,
}

/// Shows every team.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace}/teams", tag = "teams",
    params(("workspace" = WorkspaceId, Path), PeriodQuery, page::Cut),
    responses((status = 200, description = "A page", body = Listed<TeamLine>), ReadProblems)
)]
pub async fn list(
    State(desk): State<Desk>,
    Place(workspace): Place<WorkspaceId>,
    Params(query): Params<page::PeriodCut>,
) -> Result<Answer<Listed<TeamLine>>, Problem> {
    let (period, cut) = query.parts()?;
    let view = desk.view(&workspace, period).await?;
    let (items, next_cursor) = cut.of(standing::teams(&view), |line| line.team.as_str());
    Ok(Answer::ok(Listed { head: Head::of(&workspace, &view), items, next_cursor }))
}

/// Shows a team and its members.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace}/teams/{team}", tag = "teams",
    params(("workspace" = WorkspaceId, Path), ("team" = TeamId, Path), PeriodQuery),
    responses((status = 200, description = "The team", body = About<TeamAnswer>), ReadProblems)
)]
pub async fn get(
    State(desk): State<Desk>,
    Place((workspace, team)): Place<(WorkspaceId, TeamId)>,
    Params(query): Params<PeriodQuery>,
) -> Result<Answer<About<TeamAnswer>>, Problem> {
    let view = desk.view(&workspace, query.name()?).await?;
    let unknown = || Problem::unknown("unknown_team", format!("workspace {workspace} has no team {team}"));
    let line = standing::team(&view, &team).ok_or_else(unknown)?;
    let users = standing::members(&view.state, &team).cloned().collect();
    Ok(Answer::ok(About { head: Head::of(&workspace, &view), it: TeamAnswer { line, users } }))
}

/// Replaces a team's settings.
#[utoipa::path(
    put, path = "/v1/workspaces/{workspace}/teams/{team}", tag = "teams",
    params(("workspace" = WorkspaceId, Path), ("team" = TeamId, Path)), request_body = TeamBody,
    responses((status = 200, description = "Done", body = Written), WriteProblems)
)]
pub async fn put(
    State(desk): State<Desk>,
    Place((workspace, team)): Place<(WorkspaceId, TeamId)>,
    Write { author, body }: Write<TeamBody>,
) -> Result<Answer<Written>, Problem> {
    let author = with_reason(author, body.reason.as_deref())?;
    let (written, _) = desk.change(&workspace, body.change(team)?, &author).await?;
    Ok(Answer(StatusCode::OK, written))
}
