//! Users: who they are, what they may spend and did; sorted, filtered and paged. How they are changed
//! is in `patch`.

mod patch;

use std::collections::BTreeMap;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::answer::{About, Head, Listed};
use super::desk::Desk;
use super::form::Invalid;
use super::seam::{Answer, Params, Place, Problem, ReadProblems, page};
use crate::domain::period::{Instant, PeriodName};
use crate::domain::ports::View;
use crate::domain::reports::Activity;
use crate::domain::standing::{self, Roster, Sort, UserLine};
use crate::domain::{FeatureId, TeamId, UserId, WorkspaceId};

pub use patch::{__path_patch, __path_patch_many, BulkBody, UserBody, patch, patch_many};

/// Which period.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PeriodQuery {
    /// The period's start date, `2026-11-01`; the running one when left out.
    #[param(value_type = Option<PeriodName>)]
    pub period: Option<String>,
}

impl PeriodQuery {
    /// The period's name. Errors: no date.
    pub fn name(&self) -> Result<Option<PeriodName>, Invalid> {
        period_name(self.period.as_deref())
    }
}

/// Reads a period's name. Errors: no date.
pub fn period_name(text: Option<&str>) -> Result<Option<PeriodName>, Invalid> {
    let words = |text: &str| format!("period {text:?} is not a start date, 2026-11-01 for example");
    text.map(|text| text.parse().map_err(|_| Invalid::new("invalid_period", words(text)))).transpose()
}

/// Which users, in which order.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct UsersQuery {
    /// The period's start date; the running one when left out.
    #[param(value_type = Option<PeriodName>)]
    period: Option<String>,
    /// `-used` (the default), `used`, `-utilization`, `remaining` or `user`; ties by id.
    sort: Option<String>,
    /// Only members of this team.
    #[param(value_type = Option<TeamId>)]
    team: Option<String>,
    /// Only ids that contain this, whatever the case.
    q: Option<String>,
    /// At most so many, 1 to 1000; 100 when left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl UsersQuery {
    fn roster(&self) -> Result<Roster, Invalid> {
        let sort = self.sort.as_deref().map_or(Ok(Sort::default()), str::parse);
        let sort = sort.map_err(|words| Invalid::new("invalid_sort", words))?;
        let team = self.team.as_deref().map(TeamId::parse).transpose();
        let team = team.map_err(|fault| Invalid::new("invalid_id", format!("team {fault}")))?;
        let after = self.cursor.as_deref().map(|cursor| place(cursor, sort)).transpose()?;
        Ok(Roster { sort, team, contains: self.q.clone(), after })
    }
}

/// A cursor goes with the sort that it was given for.
fn place(cursor: &str, sort: Sort) -> Result<standing::Place, Invalid> {
    let text = page::decode(cursor)?;
    let rest = text.strip_prefix(sort.name()).and_then(|rest| rest.strip_prefix(' '));
    rest.and_then(|rest| rest.parse().ok()).ok_or_else(page::stranger)
}

/// A user as the API shows them.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct UserAnswer {
    /// Limit, account and sums.
    #[serde(flatten)]
    line: UserLine,
    /// The time of their newest event in the period; null when there is none (or the tables are away).
    last_active: Option<Instant>,
    /// What they spent most on in the period.
    top_feature: Option<FeatureId>,
}

impl UserAnswer {
    fn of(line: UserLine, activity: &BTreeMap<UserId, Activity>) -> Self {
        let activity = activity.get(&line.user);
        Self {
            last_active: activity.map(|activity| activity.last_active),
            top_feature: activity.and_then(|activity| activity.top_feature.clone()),
            line,
        }
    }
}

/// Tables that are away take two fields with them, not the balances.
async fn activity(
    desk: &Desk,
    workspace: &WorkspaceId,
    view: &View,
    user: Option<&UserId>,
) -> BTreeMap<UserId, Activity> {
    match desk.reports.activity(workspace, &view.period, user).await {
        Ok(rows) => rows.into_iter().map(|row| (row.user.clone(), row)).collect(),
        Err(fault) => {
            tracing::warn!(%fault, %workspace, "users are shown without what they did last");
            BTreeMap::new()
        }
    }
}

/// Shows every user, the idle too.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace}/users", tag = "users",
    params(("workspace" = WorkspaceId, Path), UsersQuery),
    responses((status = 200, description = "A page", body = Listed<UserAnswer>), ReadProblems)
)]
pub async fn list(
    State(desk): State<Desk>,
    Place(workspace): Place<WorkspaceId>,
    Params(query): Params<UsersQuery>,
) -> Result<Answer<Listed<UserAnswer>>, Problem> {
    let (roster, limit) = (query.roster()?, page::limit(query.limit.as_deref())?);
    let view = desk.view(&workspace, period_name(query.period.as_deref())?).await?;
    let page = roster.page(&view, limit);
    let activity = activity(&desk, &workspace, &view, None).await;
    let next = page.next.map(|place| page::encode(&format!("{} {place}", roster.sort.name())));
    let items = page.lines.into_iter().map(|line| UserAnswer::of(line, &activity)).collect();
    Ok(Answer::ok(Listed { head: Head::of(&workspace, &view), items, next_cursor: next }))
}

/// Shows one user.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace}/users/{user}", tag = "users",
    params(("workspace" = WorkspaceId, Path), ("user" = UserId, Path), PeriodQuery),
    responses((status = 200, description = "The user", body = About<UserAnswer>), ReadProblems)
)]
pub async fn get(
    State(desk): State<Desk>,
    Place((workspace, user)): Place<(WorkspaceId, UserId)>,
    Params(query): Params<PeriodQuery>,
) -> Result<Answer<About<UserAnswer>>, Problem> {
    let view = desk.view(&workspace, query.name()?).await?;
    let unknown =
        || Problem::unknown("unknown_user", format!("user {user} was never seen in workspace {workspace}"));
    let line = standing::user(&view, &user).ok_or_else(unknown)?;
    let activity = activity(&desk, &workspace, &view, Some(&user)).await;
    Ok(Answer::ok(About { head: Head::of(&workspace, &view), it: UserAnswer::of(line, &activity) }))
}
