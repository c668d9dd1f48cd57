//! Changes of users: one, or up to 1,000 in one write, all or none. A field left out stays, a null
//! inherits or leaves.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::domain::change::{Change, UserChange};
use crate::domain::{Credits, TeamId, UserId, WorkspaceId};
use crate::http::answer::Written;
use crate::http::desk::Desk;
use crate::http::form::{Amount, Invalid, LimitField, given, with_reason};
use crate::http::seam::{Answer, Place, Problem, Write, WriteProblems};

/// Most users of one write.
const USERS_MAX: usize = 1000;

/// What is changed of a user; a field left out stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserBody {
    /// Credits a period, `none` for no limit against a default, or null to inherit.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<LimitField>)]
    limit: Option<Option<LimitField>>,
    /// The team they belong to from the next event on; null to leave.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<TeamId>)]
    team: Option<Option<TeamId>>,
    /// Credits moved from the pool to the user when a period opens; null for none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Amount>)]
    monthly_allocation: Option<Option<Amount>>,
    /// Move now too what the running period lacks of the allocation.
    apply_now: Option<bool>,
    /// Allow nothing to the user, or end it.
    suspended: Option<bool>,
    /// Why, for the ledger.
    reason: Option<String>,
}

/// What is changed of one user among many.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserItem {
    /// Whose settings.
    user: UserId,
    /// Credits a period, `none` for no limit against a default, or null to inherit.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<LimitField>)]
    limit: Option<Option<LimitField>>,
    /// The team they belong to from the next event on; null to leave.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<TeamId>)]
    team: Option<Option<TeamId>>,
    /// Credits moved from the pool to the user when a period opens; null for none.
    #[serde(default, deserialize_with = "given")]
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
pub struct BulkBody {
    /// 1 to 1,000, each user once.
    #[schema(min_items = 1, max_items = 1000)]
    users: Vec<UserItem>,
    /// Why, for the ledger.
    reason: Option<String>,
}

impl UserBody {
    fn change(self, user: UserId) -> Result<UserChange, Invalid> {
        let Self { limit, team, monthly_allocation, apply_now, suspended, .. } = self;
        UserItem { user, limit, team, monthly_allocation, apply_now, suspended }.change()
    }
}

impl UserItem {
    fn change(self) -> Result<UserChange, Invalid> {
        let limit = self.limit.map(|limit| limit.map(|limit| limit.setting("limit")).transpose());
        let allocation = |amount: &Amount| amount.of("monthly_allocation");
        let monthly = self.monthly_allocation.map(|set| set.as_ref().map_or(Ok(Credits::ZERO), allocation));
        Ok(UserChange {
            user: self.user,
            limit: limit.transpose()?,
            team: self.team,
            monthly_allocation: monthly.transpose()?,
            apply_now: self.apply_now.unwrap_or(false),
            suspended: self.suspended,
        })
    }
}

impl BulkBody {
    fn change(self) -> Result<Change, Invalid> {
        let invalid = |words: String| Err(Invalid::new("invalid_users", words));
        if self.users.is_empty() || self.users.len() > USERS_MAX {
            return invalid(format!("users has {} entries, 1 to {USERS_MAX} are allowed", self.users.len()));
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.users.iter().find(|item| !seen.insert(&item.user)) {
            return invalid(format!("users names {} twice", twice.user));
        }
        let changes = self.users.into_iter().enumerate().map(|(index, item)| {
            item.change()
                .map_err(|fault| Invalid { detail: format!("users[{index}]: {}", fault.detail), ..fault })
        });
        Ok(Change::Users { users: changes.collect::<Result<_, _>>()? })
    }
}

/// Changes a user; what is left out stays.
#[utoipa::path(
    patch, path = "/v1/workspaces/{workspace}/users/{user}", tag = "users",
    params(("workspace" = WorkspaceId, Path), ("user" = UserId, Path)), request_body = UserBody,
    responses((status = 200, description = "Done", body = Written), WriteProblems)
)]
pub async fn patch(
    State(desk): State<Desk>,
    Place((workspace, user)): Place<(WorkspaceId, UserId)>,
    Write { author, mut body }: Write<UserBody>,
) -> Result<Answer<Written>, Problem> {
    let author = with_reason(author, body.reason.take().as_deref())?;
    let (written, _) = desk.change(&workspace, Change::User(body.change(user)?), &author).await?;
    Ok(Answer(StatusCode::OK, written))
}

/// Changes many users, all or none.
#[utoipa::path(
    patch, path = "/v1/workspaces/{workspace}/users", tag = "users",
    params(("workspace" = WorkspaceId, Path)), request_body = BulkBody,
    responses((status = 200, description = "Done", body = Written), WriteProblems)
)]
pub async fn patch_many(
    State(desk): State<Desk>,
    Place(workspace): Place<WorkspaceId>,
    Write { author, mut body }: Write<BulkBody>,
) -> Result<Answer<Written>, Problem> {
    let author = with_reason(author, body.reason.take().as_deref())?;
    let (written, _) = desk.change(&workspace, body.change()?, &author).await?;
    Ok(Answer(StatusCode::OK, written))
}
