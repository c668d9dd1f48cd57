//! Changes of users: one, or up to 1,000 in one write, all or none. A field left out stays, a null
//! inherits or leaves.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::domain::change::{Change, UserChange};
use crate::domain::{Credits, UserId, WorkspaceId};
use crate::http::Api;
use crate::http::answer::Written;
use crate::http::body::Body;
use crate::http::desk::Answer;
use crate::http::idempotency::Write;
use crate::http::ids::Ids;
use crate::http::limit::Limit;
use crate::http::problem::Problem;
use crate::http::route::{Access, Routes, Scope, patch};
use crate::http::value::{Amount, Id, Object, Reason, TeamName, UserName, sent};

/// Most users of one write.
const USERS_MAX: usize = 1000;

/// What is changed of a user; a field left out stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct UserBody {
    /// Credits a period, `none` for no limit against a default, or null to inherit.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<Limit>)]
    limit: Option<Option<Limit>>,
    /// The team they belong to from the next event on; null to leave.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<TeamName>)]
    team: Option<Option<TeamName>>,
    /// Credits moved from the pool to the user when a period opens; null for none.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<Amount>)]
    monthly_allocation: Option<Option<Amount>>,
    /// Move now too what the running period lacks of the allocation.
    apply_now: Option<bool>,
    /// Allow nothing to the user, or end it.
    suspended: Option<bool>,
    /// Why, for the ledger.
    reason: Option<Reason>,
}

/// What is changed of one user among many.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct UserItem {
    /// Whose settings.
    user: UserName,
    /// Credits a period, `none` for no limit against a default, or null to inherit.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<Limit>)]
    limit: Option<Option<Limit>>,
    /// The team they belong to from the next event on; null to leave.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<TeamName>)]
    team: Option<Option<TeamName>>,
    /// Credits moved from the pool to the user when a period opens; null for none.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<Amount>)]
    monthly_allocation: Option<Option<Amount>>,
    /// Move now too what the running period lacks of the allocation.
    apply_now: Option<bool>,
    /// Allow nothing to the user, or end it.
    suspended: Option<bool>,
}

/// Changes of many users, all or none.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BulkBody {
    /// 1 to 1,000, each user once.
    #[schema(min_items = 1, max_items = 1000)]
    #[schema(value_type = Vec<UserItem>)]
    users: Vec<Object<UserItem>>,
    /// Why, for the ledger.
    reason: Option<Reason>,
}

impl UserBody {
    fn change(self, user: UserId) -> UserChange {
        let Self { limit, team, monthly_allocation, apply_now, suspended, .. } = self;
        UserItem { user: Id(user), limit, team, monthly_allocation, apply_now, suspended }.change()
    }
}

impl UserItem {
    fn change(self) -> UserChange {
        let allocation = |sent: Option<Amount>| sent.map_or(Credits::ZERO, |Amount(credits)| credits);
        UserChange {
            user: self.user.0,
            limit: self.limit.map(|sent| sent.map(|Limit(limit)| limit)),
            team: self.team.map(|sent| sent.map(|Id(team)| team)),
            monthly_allocation: self.monthly_allocation.map(allocation),
            apply_now: self.apply_now.unwrap_or(false),
            suspended: self.suspended,
        }
    }
}

impl BulkBody {
    fn change(self) -> Result<Change, Problem> {
        let count = self.users.len();
        if !(1..=USERS_MAX).contains(&count) {
            let detail = format!("users: 1 to {USERS_MAX} are allowed; it has {count}");
            return Err(Problem::invalid("invalid_users", detail));
        }
        let mut seen = BTreeSet::new();
        if let Some(index) = self.users.iter().position(|Object(item)| !seen.insert(&item.user)) {
            let detail = format!("users[{index}]: {} is there twice", self.users[index].0.user.0);
            return Err(Problem::invalid("invalid_users", detail).at_index(index));
        }
        Ok(Change::Users { users: self.users.into_iter().map(|Object(item)| item.change()).collect() })
    }
}

/// Adds the routes of changes.
pub fn add(routes: Routes, all: &'static str, one: &'static str) -> Routes {
    let lacks = "`insufficient_credits`, `no_plan`: nothing is changed when `apply_now` does not fit";
    let single = patch(one, Access::Needs(Scope::Admin))
        .says("Changes a user; what is left out stays")
        .keyed()
        .takes::<UserBody>()
        .gives::<Written>(200, "Done")
        .refuses(409, lacks);
    let many = patch(all, Access::Needs(Scope::Admin))
        .says("Changes up to 1,000 users, all or none")
        .keyed()
        .takes::<BulkBody>()
        .gives::<Written>(200, "Done")
        .refuses(409, lacks)
        .refuses(422, "`invalid_users`");
    routes.add(single, change_one).add(many, change_many)
}

async fn change_one(
    State(api): State<Arc<Api>>,
    Ids((workspace, user)): Ids<(WorkspaceId, UserId)>,
    write: Write,
    Body { mut value, bytes }: Body<UserBody>,
) -> Answer<Written> {
    let author = write.author(&bytes, value.reason.take());
    api.answer(StatusCode::OK, &workspace, Change::User(value.change(user)), &author).await
}

async fn change_many(
    State(api): State<Arc<Api>>,
    Ids(workspace): Ids<WorkspaceId>,
    write: Write,
    Body { mut value, bytes }: Body<BulkBody>,
) -> Answer<Written> {
    let author = write.author(&bytes, value.reason.take());
    api.answer(StatusCode::OK, &workspace, value.change()?, &author).await
}
