//! Movements of credits: into the pool (top-ups), between accounts (transfers), and from the pool to a
//! user with their limit raised alike (grants).

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Api;
use super::answer::Written;
use super::body::Body;
use super::desk::Answer;
use super::idempotency::Write;
use super::ids::Ids;
use super::limit::above_zero;
use super::problem::Problem;
use super::route::{Access, Routes, Scope, Spec, post};
use super::value::{Amount, Reason, UserName};
use crate::domain::WorkspaceId;
use crate::domain::change::Change;
use crate::domain::ledger::Account;

/// Credits into the pool.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TopUpBody {
    /// How much, above 0.
    credits: Amount,
    /// Why, for the ledger.
    reason: Option<Reason>,
}

/// Credits from one account to another.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TransferBody {
    /// Source: `pool`, `team:<id>` or `user:<id>`.
    #[schema(value_type = Account)]
    from: String,
    /// Destination.
    #[schema(value_type = Account)]
    to: String,
    /// How much, above 0; at most what the source has left.
    credits: Amount,
    /// Raise the limit of the user who receives, for this period and by as much.
    raise_limit: Option<bool>,
    /// Why, for the ledger.
    reason: Option<Reason>,
}

/// Credits from the pool to a user, whose limit of this period is raised alike.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct GrantBody {
    /// Who gets them.
    user: UserName,
    /// How much, above 0.
    credits: Amount,
    /// Why, for the ledger.
    reason: Option<Reason>,
}

impl TransferBody {
    fn change(&self) -> Result<Change, Problem> {
        let (from, to) = (account("from", &self.from)?, account("to", &self.to)?);
        let raise_limit = self.raise_limit.unwrap_or(false);
        if raise_limit && !matches!(to, Account::User(_)) {
            let words = "raise_limit needs a user as destination: other accounts have no limit";
            return Err(Problem::invalid("invalid_raise_limit", words));
        }
        Ok(Change::Transfer { from, to, credits: above_zero(self.credits)?, raise_limit })
    }
}

fn account(field: &str, text: &str) -> Result<Account, Problem> {
    text.parse().map_err(|fault| Problem::invalid("invalid_account", format!("{field}: {fault}")))
}

/// The routes of movements.
pub fn routes() -> Routes {
    let moves = |path, says| -> Spec {
        let spec = post(path, Access::Needs(Scope::Admin)).says(says).keyed();
        spec.gives::<Written>(201, "Done").refuses(409, "`no_plan`: the workspace has no credits to move")
    };
    let lacks = "`insufficient_credits`: the source has only `remaining` left";
    let top_ups = moves("/v1/workspaces/{workspace}/top-ups", "Brings credits into the pool");
    let transfers = moves("/v1/workspaces/{workspace}/transfers", "Moves credits between two accounts");
    let grants = moves(
        "/v1/workspaces/{workspace}/grants",
        "Moves credits from the pool to a user and raises the user's limit of this period alike",
    );
    let transfers = transfers
        .takes::<TransferBody>()
        .refuses(409, lacks)
        .refuses(409, "`same_account`")
        .refuses(422, "`invalid_account`, `invalid_raise_limit`");
    Routes::of("credits")
        .add(top_ups.takes::<TopUpBody>(), top_up)
        .add(transfers, transfer)
        .add(grants.takes::<GrantBody>().refuses(409, lacks), grant)
}

async fn top_up(
    State(api): State<Arc<Api>>,
    Ids(workspace): Ids<WorkspaceId>,
    write: Write,
    Body { value, bytes }: Body<TopUpBody>,
) -> Answer<Written> {
    let change = Change::TopUp { credits: above_zero(value.credits)? };
    api.answer(StatusCode::CREATED, &workspace, change, &write.author(&bytes, value.reason)).await
}

async fn transfer(
    State(api): State<Arc<Api>>,
    Ids(workspace): Ids<WorkspaceId>,
    write: Write,
    Body { value, bytes }: Body<TransferBody>,
) -> Answer<Written> {
    let change = value.change()?;
    api.answer(StatusCode::CREATED, &workspace, change, &write.author(&bytes, value.reason)).await
}

async fn grant(
    State(api): State<Arc<Api>>,
    Ids(workspace): Ids<WorkspaceId>,
    write: Write,
    Body { value, bytes }: Body<GrantBody>,
) -> Answer<Written> {
    let change = Change::Grant { user: value.user.0, credits: above_zero(value.credits)? };
    api.answer(StatusCode::CREATED, &workspace, change, &write.author(&bytes, value.reason)).await
}
