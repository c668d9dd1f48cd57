//! What use will come to by the end of the running period, for the pool, teams and users.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::Api;
use super::super::answer::{About, Head};
use super::super::desk::{Answer, ok};
use super::super::ids::{Ids, Query};
use super::super::page::Limit;
use crate::domain::forecast::{Advice, Forecast};
use crate::domain::outlook::{self, Outlook};
use crate::domain::ports::Trouble;
use crate::domain::{TeamId, UserId, WorkspaceId};

const USERS_DEFAULT: usize = 100;

/// How many users.
#[derive(Debug, Deserialize, IntoParams)]
pub struct ForecastAsked {
    /// Users at most; those who run out first
    #[param(inline, nullable = false)]
    limit: Option<Limit>,
}

/// Forecasts until the end of the running period.
#[derive(Debug, Serialize, ToSchema)]
pub struct Forecasts {
    /// Of the whole workspace
    pool: Forecast,
    /// Of teams, in the order of their ids: the use of all members against what is reserved
    teams: Vec<TeamForecast>,
    /// Of users who used or were allocated something; who runs out first stands first
    users: Vec<UserForecast>,
    /// How many users have a forecast; `users` may show fewer
    user_count: usize,
    /// Which idle credits could move
    advice: Advice,
}

/// A team's forecast
#[derive(Debug, Serialize, ToSchema)]
struct TeamForecast {
    /// Which team
    team: TeamId,
    #[serde(flatten)]
    forecast: Forecast,
}

/// A user's forecast
#[derive(Debug, Serialize, ToSchema)]
struct UserForecast {
    /// Who
    user: UserId,
    /// The team they belong to
    team: Option<TeamId>,
    /// Their limit bounds them, not the accounts that they draw on
    limited: bool,
    #[serde(flatten)]
    forecast: Forecast,
}

/// Answers with the forecasts of a workspace.
pub async fn show(
    State(api): State<Arc<Api>>,
    Ids(workspace): Ids<WorkspaceId>,
    Query(asked): Query<ForecastAsked>,
) -> Answer<About<Forecasts>> {
    let view = api.view(&workspace, None).await?;
    let (from, to) = outlook::days(&view);
    let days = api.reports.daily(&workspace, from, to).await?;
    let head = Head::of(&workspace, &view);
    // Thousands of users take some hundred milliseconds, which others must not wait for.
    let outlook = tokio::task::spawn_blocking(move || outlook::of_workspace(&view, &days)).await;
    let outlook = outlook.map_err(|fault| {
        tracing::error!(%fault, %workspace, "a forecast ended by itself");
        Trouble::Broken(fault.to_string())
    })?;
    let users_max = asked.limit.map_or(USERS_DEFAULT, |limit| limit.0);
    ok(About { head, it: Forecasts::of(outlook, users_max) })
}

impl Forecasts {
    fn of(outlook: Outlook, users_max: usize) -> Self {
        let user_count = outlook.users.len();
        let teams = outlook.teams.into_iter().map(|(team, forecast)| TeamForecast { team, forecast });
        let users = outlook.users.into_iter().take(users_max).map(|user| UserForecast {
            user: user.user,
            team: user.team,
            limited: user.limited,
            forecast: user.forecast,
        });
        let (teams, users) = (teams.collect(), users.collect());
        Self { pool: outlook.pool, teams, users, user_count, advice: outlook.advice }
    }
}
