//! Users: who they are, what they may spend and did; sorted, filtered and paged. How they are changed
//! is in `patch`.

mod patch;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::answer::{About, Head, Listed};
use super::desk::{Answer, ok};
use super::ids::{Ids, Query};
use super::page::{Limit, Page, Wanted};
use super::problem::Problem;
use super::route::{Access, Personal, Routes, Scope, get};
use super::value::{Date, Id, TeamName};
use crate::domain::period::Instant;
use crate::domain::ports::View;
use crate::domain::reports::Activity;
use crate::domain::standing::{self, Place, Roster, Sort, UserLine};
use crate::domain::{FeatureId, UserId, WorkspaceId};

/// Which period.
#[derive(Debug, Default, Deserialize, IntoParams)]
pub struct PeriodQuery {
    /// The period's start date; the running one when left out
    #[param(inline, nullable = false)]
    pub period: Option<Date>,
}

/// Which period, and which part of a list that goes by id.
#[derive(Debug, Default, Deserialize, IntoParams)]
pub struct ListQuery {
    /// The period's start date; the running one when left out
    #[param(inline, nullable = false)]
    pub period: Option<Date>,
    /// At most so many
    #[param(inline, nullable = false)]
    pub limit: Option<Limit>,
    /// `next_cursor` of the page before
    #[param(nullable = false)]
    pub cursor: Option<String>,
}

/// Which users, in which order.
#[derive(Debug, Default, Deserialize, IntoParams)]
struct UsersQuery {
    /// The period's start date; the running one when left out
    #[param(inline, nullable = false)]
    period: Option<Date>,
    /// `-used` when left out; ties by id
    #[param(inline, nullable = false)]
    sort: Option<SortName>,
    /// Only members of this team
    #[param(inline, nullable = false)]
    team: Option<TeamName>,
    /// Only ids that contain this, whatever the case
    #[param(nullable = false)]
    q: Option<String>,
    /// At most so many
    #[param(inline, nullable = false)]
    limit: Option<Limit>,
    /// `next_cursor` of the page before, with the same `sort`
    #[param(nullable = false)]
    cursor: Option<String>,
}

/// By what users are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
enum SortName {
    /// Who spent most first
    #[serde(rename = "-used")]
    UsedFalling,
    /// Who spent least first
    #[serde(rename = "used")]
    UsedRising,
    /// Who is nearest to their limit first; who has none last
    #[serde(rename = "-utilization")]
    UtilizationFalling,
    /// Who may spend least first
    #[serde(rename = "remaining")]
    RemainingRising,
    /// By id
    #[serde(rename = "user")]
    User,
}

impl From<SortName> for Sort {
    fn from(name: SortName) -> Self {
        match name {
            SortName::UsedFalling => Self::UsedFalling,
            SortName::UsedRising => Self::UsedRising,
            SortName::UtilizationFalling => Self::UtilizationFalling,
            SortName::RemainingRising => Self::RemainingRising,
            SortName::User => Self::User,
        }
    }
}

/// Where a page ends: it goes on in the same order only.
type Cursor = (String, Place);

impl UsersQuery {
    /// The users that are wanted, and how many of them.
    fn wanted(self) -> Result<(Roster, usize), Problem> {
        let sort = self.sort.map_or_else(Sort::default, Sort::from);
        let wanted = Wanted::<Cursor>::read(self.limit, self.cursor.as_deref())?;
        let other = || Problem::invalid("invalid_cursor", "this cursor was made for another sort");
        let after =
            wanted.after.map(|(name, place)| (name == sort.name()).then_some(place).ok_or_else(other));
        let team = self.team.map(|Id(team)| team);
        Ok((Roster { sort, team, contains: self.q, after: after.transpose()? }, wanted.limit))
    }
}

/// A user as the API shows them.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = User)]
struct UserAnswer {
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
    api: &Api,
    workspace: &WorkspaceId,
    view: &View,
    user: Option<&UserId>,
) -> BTreeMap<UserId, Activity> {
    match api.reports.activity(workspace, &view.period, user).await {
        Ok(rows) => rows.into_iter().map(|row| (row.user.clone(), row)).collect(),
        Err(fault) => {
            tracing::warn!(%fault, %workspace, "users are shown without what they did last");
            BTreeMap::new()
        }
    }
}

/// The routes of users.
pub fn routes() -> Routes {
    let (all, one) = ("/v1/workspaces/{workspace}/users", "/v1/workspaces/{workspace}/users/{user}");
    let listed = get(all, Access::Needs(Scope::Read)).says("Every user, the idle too");
    let shown =
        get(one, Access::Needs(Scope::Read)).says("A user: limit, account, sums").personal(Personal::Path);
    let reads = Routes::of("users")
        .add(listed.query::<UsersQuery>().gives::<Listed<UserAnswer>>(200, "A page"), list)
        .add(shown.query::<PeriodQuery>().gives::<About<UserAnswer>>(200, "The user"), show);
    patch::add(reads, all, one)
}

async fn list(
    State(api): State<Arc<Api>>,
    Ids(workspace): Ids<WorkspaceId>,
    Query(query): Query<UsersQuery>,
) -> Answer<Listed<UserAnswer>> {
    let period = query.period;
    let (roster, limit) = query.wanted()?;
    let view = api.view(&workspace, period).await?;
    let activity = activity(&api, &workspace, &view, None).await;
    let lines = roster.lines(&view, limit + 1).into_iter();
    let items = lines.map(|line| UserAnswer::of(line, &activity)).collect();
    let place = |item: &UserAnswer| (roster.sort.name(), roster.sort.place(&item.line));
    ok(Listed { head: Head::of(&workspace, &view), page: Page::cut(items, limit, place) })
}

async fn show(
    State(api): State<Arc<Api>>,
    Ids((workspace, user)): Ids<(WorkspaceId, UserId)>,
    Query(query): Query<PeriodQuery>,
) -> Answer<About<UserAnswer>> {
    let view = api.view(&workspace, query.period).await?;
    let detail = || format!("user {user} was never seen in workspace {workspace}");
    let line = standing::user(&view, &user).ok_or_else(|| Problem::unknown("unknown_user", detail()))?;
    let activity = activity(&api, &workspace, &view, Some(&user)).await;
    ok(About { head: Head::of(&workspace, &view), it: UserAnswer::of(line, &activity) })
}
