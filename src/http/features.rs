//! Features: what all users together spent on each, and the limit of that.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::answer::{About, Head, Listed, Written};
use super::desk::Desk;
use super::form::{Invalid, LimitField, with_reason};
use super::seam::{Answer, Params, Place, Problem, ReadProblems, Write, WriteProblems, page};
use super::users::PeriodQuery;
use crate::domain::change::{Change, LimitSetting};
use crate::domain::standing::{self, FeatureLine};
use crate::domain::{FeatureId, WorkspaceId};

/// A feature's settings, whole.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FeatureBody {
    /// Credits a period over all users; `none`, null or left out: no limit.
    limit: Option<LimitField>,
    /// Why, for the ledger.
    reason: Option<String>,
}

impl FeatureBody {
    fn change(&self, feature: FeatureId) -> Result<Change, Invalid> {
        let limit = self.limit.as_ref().map(|limit| limit.setting("limit")).transpose()?;
        let limit = limit.and_then(|limit| match limit {
            LimitSetting::Credits(credits) => Some(credits),
            LimitSetting::None => None,
        });
        Ok(Change::Feature { feature, limit })
    }
}

/// Shows every feature that was used or has a limit.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace}/features", tag = "features",
    params(("workspace" = WorkspaceId, Path), PeriodQuery, page::Cut),
    responses((status = 200, description = "A page", body = Listed<FeatureLine>), ReadProblems)
)]
pub async fn list(
    State(desk): State<Desk>,
    Place(workspace): Place<WorkspaceId>,
    Params(query): Params<page::PeriodCut>,
) -> Result<Answer<Listed<FeatureLine>>, Problem> {
    let (period, cut) = query.parts()?;
    let view = desk.view(&workspace, period).await?;
    let (items, next_cursor) = cut.of(standing::features(&view), |line| line.feature.as_str());
    Ok(Answer::ok(Listed { head: Head::of(&workspace, &view), items, next_cursor }))
}

/// Shows a feature; zeros when it was never used.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace}/features/{feature}", tag = "features",
    params(("workspace" = WorkspaceId, Path), ("feature" = FeatureId, Path), PeriodQuery),
    responses((status = 200, description = "The feature", body = About<FeatureLine>), ReadProblems)
)]
pub async fn get(
    State(desk): State<Desk>,
    Place((workspace, feature)): Place<(WorkspaceId, FeatureId)>,
    Params(query): Params<PeriodQuery>,
) -> Result<Answer<About<FeatureLine>>, Problem> {
    let view = desk.view(&workspace, query.name()?).await?;
    let it = standing::feature(&view, &feature);
    Ok(Answer::ok(About { head: Head::of(&workspace, &view), it }))
}

/// Sets or lifts a feature's limit.
#[utoipa::path(
    put, path = "/v1/workspaces/{workspace}/features/{feature}", tag = "features",
    params(("workspace" = WorkspaceId, Path), ("feature" = FeatureId, Path)), request_body = FeatureBody,
    responses((status = 200, description = "Done", body = Written), WriteProblems)
)]
pub async fn put(
    State(desk): State<Desk>,
    Place((workspace, feature)): Place<(WorkspaceId, FeatureId)>,
    Write { author, body }: Write<FeatureBody>,
) -> Result<Answer<Written>, Problem> {
    let author = with_reason(author, body.reason.as_deref())?;
    let (written, _) = desk.change(&workspace, body.change(feature)?, &author).await?;
    Ok(Answer(StatusCode::OK, written))
}
