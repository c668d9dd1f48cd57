//! Holds: credits set aside for a call that is about to run, then settled or voided.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::answer::hold::{HoldItem, HoldWritten};
use super::answer::{About, Head, Listed};
use super::auth::Caller;
use super::body::Body;
use super::desk::{Answer, ok};
use super::idempotency::Write;
use super::ids::{Ids, Query};
use super::limit::of_one_event;
use super::page::{Limit, Wanted};
use super::problem::Problem;
use super::route::{Access, Personal, Routes, Scope, Spec, delete, get, post};
use super::value::{Amount, FeatureName, HoldName, Id, Reason, UserName};
use crate::domain::change::Author;
use crate::domain::hold::{HoldRequest, Wish};
use crate::domain::{HoldId, WorkspaceId};

/// How long a hold lasts when nobody says, in seconds.
const TTL_SECONDS: i64 = 300;
/// How long it may last at most, in seconds.
const TTL_SECONDS_MAX: i64 = 86_400;

/// What is set aside.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct HoldBody {
    /// Who is about to spend.
    user: UserName,
    /// What on.
    feature: FeatureName,
    /// How much.
    credits: Amount,
    /// For how long, 1 to 86400 seconds; 300 when left out.
    #[schema(minimum = 1, maximum = 86400)]
    ttl_seconds: Option<i64>,
    /// The hold's name; one is made when left out.
    id: Option<HoldName>,
    /// Why, for the ledger.
    reason: Option<Reason>,
}

/// What the call took.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SettleBody {
    /// How much; 0 or more, also more than was held.
    credits: Amount,
    /// Why, for the ledger.
    reason: Option<Reason>,
}

impl HoldBody {
    fn request(self) -> Result<HoldRequest, Problem> {
        let ttl = self.ttl_seconds.unwrap_or(TTL_SECONDS);
        let detail = || format!("ttl_seconds: must be between 1 and {TTL_SECONDS_MAX}; it is {ttl}");
        let ttl = u32::try_from(ttl).ok().filter(|ttl| (1..=TTL_SECONDS_MAX).contains(&i64::from(*ttl)));
        let ttl_seconds = ttl.ok_or_else(|| Problem::invalid("invalid_ttl_seconds", detail()))?;
        let hold = self.id.map_or_else(new_id, |Id(id)| Ok(id))?;
        let credits = of_one_event(self.credits)?;
        let wish = Wish { user: self.user.0, feature: self.feature.0, credits };
        Ok(HoldRequest::Make { hold, wish, ttl_seconds })
    }
}

/// A name that nobody else makes.
fn new_id() -> Result<HoldId, Problem> {
    let text = uuid::Uuid::now_v7().to_string();
    HoldId::parse(&text).map_err(|fault| Problem::invalid("invalid_id", format!("id {fault}")))
}

/// Which part of the list.
#[derive(Debug, Default, Deserialize, IntoParams)]
struct HoldsQuery {
    /// At most so many
    #[param(inline, nullable = false)]
    limit: Option<Limit>,
    /// `next_cursor` of the page before
    #[param(nullable = false)]
    cursor: Option<String>,
}

/// The routes of holds.
pub fn routes() -> Routes {
    let (all, one) = ("/v1/workspaces/{workspace}/holds", "/v1/workspaces/{workspace}/holds/{hold}");
    let writes = |spec: Spec| spec.keyed().personal(Personal::Handler);
    let listed = get(all, Access::Needs(Scope::Read)).personal(Personal::Handler);
    let listed =
        listed.says("The holds that have not ended, in the order of their ids").query::<HoldsQuery>();
    let made = writes(post(all, Access::Needs(Scope::Check)))
        .says("Sets credits aside for a call that is about to run")
        .takes::<HoldBody>()
        .gives::<About<HoldWritten>>(201, "Set aside")
        .refuses(402, "It does not fit: the code is the reason, `no_plan` among them")
        .refuses(409, "`hold_exists`: the id was used before")
        .refuses(422, "`invalid_ttl_seconds`");
    let settled = writes(post("/v1/workspaces/{workspace}/holds/{hold}/settle", Access::Needs(Scope::Check)))
        .says("Says what the call took; never refused for lack of credits")
        .takes::<SettleBody>()
        .gives::<About<HoldWritten>>(202, "Its event is on its way")
        .refuses(409, "`hold_settled` with another amount, `hold_voided`")
        .refuses(410, "`hold_expired`");
    let voided = writes(delete(one, Access::Needs(Scope::Check)))
        .says("Gives the credits back: the call does not happen")
        .gives::<About<HoldWritten>>(200, "Given back")
        .refuses(409, "`hold_settled`")
        .refuses(410, "`hold_expired`");
    Routes::of("holds")
        .add(listed.gives::<Listed<HoldItem>>(200, "A page"), list)
        .add(made, make)
        .add(settled, settle)
        .add(voided, void)
}

async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Ids(workspace): Ids<WorkspaceId>,
    Query(query): Query<HoldsQuery>,
) -> Answer<Listed<HoldItem>> {
    let wanted = Wanted::<HoldId>::read(query.limit, query.cursor.as_deref())?;
    let view = api.view(&workspace, None).await?;
    let mut holds = api.office.holds(&workspace).await?;
    holds.retain(|hold| {
        caller.only(&hold.user).is_ok() && wanted.after.as_ref().is_none_or(|after| hold.id > *after)
    });
    let page = HoldItem::page(&holds, wanted.limit);
    ok(Listed { head: Head::of(&workspace, &view), page })
}

async fn make(
    State(api): State<Arc<Api>>,
    Ids(workspace): Ids<WorkspaceId>,
    write: Write,
    Body { mut value, bytes }: Body<HoldBody>,
) -> Answer<About<HoldWritten>> {
    write.caller.only(&value.user.0)?;
    let author = write.author(&bytes, value.reason.take());
    asked(&api, StatusCode::CREATED, &workspace, &value.request()?, &author).await
}

async fn settle(
    State(api): State<Arc<Api>>,
    Ids((workspace, hold)): Ids<(WorkspaceId, HoldId)>,
    write: Write,
    Body { value, bytes }: Body<SettleBody>,
) -> Answer<About<HoldWritten>> {
    let owner = write.caller.user().cloned();
    let request = HoldRequest::Settle { hold, credits: of_one_event(value.credits)?, owner };
    let author = write.author(&bytes, value.reason);
    asked(&api, StatusCode::ACCEPTED, &workspace, &request, &author).await
}

async fn void(
    State(api): State<Arc<Api>>,
    Ids((workspace, hold)): Ids<(WorkspaceId, HoldId)>,
    write: Write,
) -> Answer<About<HoldWritten>> {
    let request = HoldRequest::Void { hold, owner: write.caller.user().cloned() };
    asked(&api, StatusCode::OK, &workspace, &request, &write.author_without_body()).await
}

async fn asked(
    api: &Api,
    status: StatusCode,
    workspace: &WorkspaceId,
    request: &HoldRequest,
    author: &Author,
) -> Answer<About<HoldWritten>> {
    let answer = api.office.hold(workspace, request, author).await??;
    Ok((status, Json(HoldWritten::of(workspace, &answer))))
}
