//! Teams: what is reserved for them, the default limit of their members, and who these are.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::answer::{About, Head, Listed, Written};
use super::body::Body;
use super::desk::{Answer, ok};
use super::idempotency::Write;
use super::ids::{Ids, Query};
use super::page::{Page, Wanted};
use super::problem::Problem;
use super::route::{Access, Routes, Scope, get, put};
use super::users::{ListQuery, PeriodQuery};
use super::value::{Amount, Reason};
use crate::domain::change::Change;
use crate::domain::standing::{self, TeamLine};
use crate::domain::{Credits, TeamId, UserId, WorkspaceId};

/// A team's settings, whole: what is left out is as by default.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TeamBody {
    /// Credits moved from the pool to the team when a period opens; 0 when left out.
    monthly_reserve: Option<Amount>,
    /// Move now too what the running period lacks of the reserve, or has too much.
    apply_now: Option<bool>,
    /// For members without a limit of their own; none when left out.
    default_user_limit: Option<Amount>,
    /// Why, for the ledger.
    reason: Option<Reason>,
}

impl TeamBody {
    fn change(&self, team: TeamId) -> Change {
        let credits = |amount: Option<Amount>| amount.map(|Amount(credits)| credits);
        Change::Team {
            team,
            monthly_reserve: credits(self.monthly_reserve).unwrap_or(Credits::ZERO),
            apply_now: self.apply_now.unwrap_or(false),
            default_user_limit: credits(self.default_user_limit),
        }
    }
}

/// A team, and who belongs to it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Team)]
struct TeamAnswer {
    /// Settings and account.
    #[serde(flatten)]
    line: TeamLine,
    /// The members, in the order of their ids.
    users: Vec<UserId>,
}

/// The routes of teams.
pub fn routes() -> Routes {
    let (all, one) = ("/v1/workspaces/{workspace}/teams", "/v1/workspaces/{workspace}/teams/{team}");
    let listed = get(all, Access::Needs(Scope::Read)).says("Every team, in the order of their ids");
    let shown = get(one, Access::Needs(Scope::Read)).says("A team, its account and its members");
    let put = put(one, Access::Needs(Scope::Admin))
        .says("Replaces a team's settings")
        .keyed()
        .takes::<TeamBody>()
        .gives::<Written>(200, "The settings are replaced")
        .refuses(409, "`insufficient_credits`, `no_plan`: nothing is changed when `apply_now` does not fit");
    Routes::of("teams")
        .add(listed.query::<ListQuery>().gives::<Listed<TeamLine>>(200, "A page"), list)
        .add(shown.query::<PeriodQuery>().gives::<About<TeamAnswer>>(200, "The team"), show)
        .add(put, replace)
}

async fn list(
    State(api): State<Arc<Api>>,
    Ids(workspace): Ids<WorkspaceId>,
    Query(query): Query<ListQuery>,
) -> Answer<Listed<TeamLine>> {
    let wanted = Wanted::<TeamId>::read(query.limit, query.cursor.as_deref())?;
    let view = api.view(&workspace, query.period).await?;
    let mut teams = standing::teams(&view);
    teams.retain(|line| wanted.after.as_ref().is_none_or(|after| line.team > *after));
    let page = Page::cut(teams, wanted.limit, |line| line.team.clone());
    ok(Listed { head: Head::of(&workspace, &view), page })
}

async fn show(
    State(api): State<Arc<Api>>,
    Ids((workspace, team)): Ids<(WorkspaceId, TeamId)>,
    Query(query): Query<PeriodQuery>,
) -> Answer<About<TeamAnswer>> {
    let view = api.view(&workspace, query.period).await?;
    let unknown = || Problem::unknown("unknown_team", format!("workspace {workspace} has no team {team}"));
    let line = standing::team(&view, &team).ok_or_else(unknown)?;
    let users = standing::members(&view.state, &team).cloned().collect();
    ok(About { head: Head::of(&workspace, &view), it: TeamAnswer { line, users } })
}

async fn replace(
    State(api): State<Arc<Api>>,
    Ids((workspace, team)): Ids<(WorkspaceId, TeamId)>,
    write: Write,
    Body { value, bytes }: Body<TeamBody>,
) -> Answer<Written> {
    let change = value.change(team);
    api.answer(StatusCode::OK, &workspace, change, &write.author(&bytes, value.reason)).await
}
