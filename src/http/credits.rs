//! Movements of credits: into the pool (top-ups), between accounts (transfers), and from the pool to a
//! user with their limit raised alike (grants).

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::answer::Written;
use super::desk::Desk;
use super::form::{Amount, Invalid, with_reason};
use super::seam::{Answer, Place, Problem, Write, WriteProblems};
use crate::domain::change::{Author, Change};
use crate::domain::ledger::Account;
use crate::domain::{UserId, WorkspaceId};

/// Credits into the pool.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TopUpBody {
    /// How much, above 0.
    credits: Amount,
    /// Why, for the ledger.
    reason: Option<String>,
}

/// Credits from one account to another.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TransferBody {
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
    reason: Option<String>,
}

/// Credits from the pool to a user, whose limit of this period is raised alike.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantBody {
    /// Who gets them.
    user: UserId,
    /// How much, above 0.
    credits: Amount,
    /// Why, for the ledger.
    reason: Option<String>,
}

impl TransferBody {
    fn change(&self) -> Result<Change, Invalid> {
        let (from, to) = (account("from", &self.from)?, account("to", &self.to)?);
        let raise_limit = self.raise_limit.unwrap_or(false);
        if raise_limit && !matches!(to, Account::User(_)) {
            let words = "raise_limit needs a user as destination: other accounts have no limit";
            return Err(Invalid::new("invalid_raise_limit", words));
        }
        Ok(Change::Transfer { from, to, credits: self.credits.above_zero("credits")?, raise_limit })
    }
}

fn account(field: &str, text: &str) -> Result<Account, Invalid> {
    text.parse().map_err(|fault| Invalid::new("invalid_account", format!("{field}: {fault}")))
}

async fn made(
    desk: &Desk,
    workspace: &WorkspaceId,
    change: Change,
    author: Author,
    reason: Option<&str>,
) -> Result<Answer<Written>, Problem> {
    let author = with_reason(author, reason)?;
    let (written, _) = desk.change(workspace, change, &author).await?;
    Ok(Answer(StatusCode::CREATED, written))
}

/// Brings credits into the pool.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace}/top-ups", tag = "credits",
    params(("workspace" = WorkspaceId, Path)), request_body = TopUpBody,
    responses((status = 201, description = "Done", body = Written), WriteProblems)
)]
pub async fn top_up(
    State(desk): State<Desk>,
    Place(workspace): Place<WorkspaceId>,
    Write { author, body }: Write<TopUpBody>,
) -> Result<Answer<Written>, Problem> {
    let change = Change::TopUp { credits: body.credits.above_zero("credits")? };
    made(&desk, &workspace, change, author, body.reason.as_deref()).await
}

/// Moves credits between accounts.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace}/transfers", tag = "credits",
    params(("workspace" = WorkspaceId, Path)), request_body = TransferBody,
    responses((status = 201, description = "Done", body = Written), WriteProblems)
)]
pub async fn transfer(
    State(desk): State<Desk>,
    Place(workspace): Place<WorkspaceId>,
    Write { author, body }: Write<TransferBody>,
) -> Result<Answer<Written>, Problem> {
    made(&desk, &workspace, body.change()?, author, body.reason.as_deref()).await
}

/// Moves credits from the pool to a user and raises the user's limit of this period alike.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace}/grants", tag = "credits",
    params(("workspace" = WorkspaceId, Path)), request_body = GrantBody,
    responses((status = 201, description = "Done", body = Written), WriteProblems)
)]
pub async fn grant(
    State(desk): State<Desk>,
    Place(workspace): Place<WorkspaceId>,
    Write { author, body }: Write<GrantBody>,
) -> Result<Answer<Written>, Problem> {
    let change = Change::Grant { user: body.user.clone(), credits: body.credits.above_zero("credits")? };
    made(&desk, &workspace, change, author, body.reason.as_deref()).await
}
