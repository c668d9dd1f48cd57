//! Features: what all users together spent on each, and the limit of that.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Api;
use super::answer::{About, Head, Listed, Written};
use super::body::Body;
use super::desk::{Answer, ok};
use super::idempotency::Write;
use super::ids::{Ids, Query};
use super::limit::Limit;
use super::page::{Page, Wanted};
use super::route::{Access, Routes, Scope, get, put};
use super::users::{ListQuery, PeriodQuery};
use super::value::Reason;
use crate::domain::change::{Change, LimitSetting};
use crate::domain::standing::{self, FeatureLine};
use crate::domain::{FeatureId, WorkspaceId};

/// A feature's settings, whole.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FeatureBody {
    /// Credits a period over all users; `none`, null or left out: no limit.
    limit: Option<Limit>,
    /// Why, for the ledger.
    reason: Option<Reason>,
}

impl FeatureBody {
    fn change(&self, feature: FeatureId) -> Change {
        let limit = self.limit.and_then(|Limit(limit)| match limit {
            LimitSetting::Credits(credits) => Some(credits),
            LimitSetting::None => None,
        });
        Change::Feature { feature, limit }
    }
}

/// The routes of features.
pub fn routes() -> Routes {
    let (all, one) = ("/v1/workspaces/{workspace}/features", "/v1/workspaces/{workspace}/features/{feature}");
    let listed = get(all, Access::Needs(Scope::Read)).says("Every feature that was used or has a limit");
    let shown = get(one, Access::Needs(Scope::Read)).says("A feature; zeros when it was never used");
    let put = put(one, Access::Needs(Scope::Admin))
        .says("Sets or lifts the limit of a feature over all users")
        .keyed()
        .takes::<FeatureBody>()
        .gives::<Written>(200, "The settings are replaced");
    Routes::of("features")
        .add(listed.query::<ListQuery>().gives::<Listed<FeatureLine>>(200, "A page"), list)
        .add(shown.query::<PeriodQuery>().gives::<About<FeatureLine>>(200, "The feature"), show)
        .add(put, replace)
}

async fn list(
    State(api): State<Arc<Api>>,
    Ids(workspace): Ids<WorkspaceId>,
    Query(query): Query<ListQuery>,
) -> Answer<Listed<FeatureLine>> {
    let wanted = Wanted::<FeatureId>::read(query.limit, query.cursor.as_deref())?;
    let view = api.view(&workspace, query.period).await?;
    let mut features = standing::features(&view);
    features.retain(|line| wanted.after.as_ref().is_none_or(|after| line.feature > *after));
    let page = Page::cut(features, wanted.limit, |line| line.feature.clone());
    ok(Listed { head: Head::of(&workspace, &view), page })
}

async fn show(
    State(api): State<Arc<Api>>,
    Ids((workspace, feature)): Ids<(WorkspaceId, FeatureId)>,
    Query(query): Query<PeriodQuery>,
) -> Answer<About<FeatureLine>> {
    let view = api.view(&workspace, query.period).await?;
    let it = standing::feature(&view, &feature);
    ok(About { head: Head::of(&workspace, &view), it })
}

async fn replace(
    State(api): State<Arc<Api>>,
    Ids((workspace, feature)): Ids<(WorkspaceId, FeatureId)>,
    write: Write,
    Body { value, bytes }: Body<FeatureBody>,
) -> Answer<Written> {
    let change = value.change(feature);
    api.answer(StatusCode::OK, &workspace, change, &write.author(&bytes, value.reason)).await
}
