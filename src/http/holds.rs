//! Holds: credits set aside for a call that is about to run, then settled or voided.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{About, BlockedBy, Head, Listed};
use super::checks::event_credits;
use super::desk::Desk;
use super::form::{Amount, Invalid, with_reason};
use super::seam::{Answer, Params, Place, Problem, ReadProblems, Sign, Write, WriteProblems, page};
use crate::domain::change::Author;
use crate::domain::decision::Reason;
use crate::domain::hold::{Hold, HoldAnswer, HoldRequest, HoldState, Wish};
use crate::domain::period::{Instant, PeriodName};
use crate::domain::{Credits, FeatureId, HoldId, TeamId, UserId, WorkspaceId};

/// How long a hold lasts when nobody says, in seconds.
const TTL_SECONDS: i64 = 300;
/// How long it may last at most, in seconds.
const TTL_SECONDS_MAX: i64 = 86_400;

/// What is set aside.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldBody {
    /// Who is about to spend.
    user: UserId,
    /// What on.
    feature: FeatureId,
    /// How much.
    credits: Amount,
    /// For how long, 1 to 86400 seconds; 300 when left out.
    #[schema(minimum = 1, maximum = 86400)]
    ttl_seconds: Option<i64>,
    /// The hold's name; one is made when left out.
    id: Option<HoldId>,
    /// Why, for the ledger.
    reason: Option<String>,
}

/// What the call took.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettleBody {
    /// How much; 0 or more, also more than was held.
    credits: Amount,
    /// Why, for the ledger.
    reason: Option<String>,
}

impl HoldBody {
    fn request(&self) -> Result<HoldRequest, Invalid> {
        let ttl = self.ttl_seconds.unwrap_or(TTL_SECONDS);
        let words = || format!("ttl_seconds {ttl} is not between 1 and {TTL_SECONDS_MAX}");
        let ttl = u32::try_from(ttl).ok().filter(|ttl| (1..=TTL_SECONDS_MAX).contains(&i64::from(*ttl)));
        let credits = event_credits(&self.credits)?;
        Ok(HoldRequest::Make {
            hold: self.id.clone().map_or_else(new_id, Ok)?,
            wish: Wish { user: self.user.clone(), feature: self.feature.clone(), credits },
            ttl_seconds: ttl.ok_or_else(|| Invalid::new("invalid_ttl_seconds", words()))?,
        })
    }
}

/// A name that nobody else makes.
fn new_id() -> Result<HoldId, Invalid> {
    let text = uuid::Uuid::now_v7().to_string();
    HoldId::parse(&text).map_err(|fault| Invalid::new("invalid_id", format!("id {fault}")))
}

/// From which accounts credits are set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct HeldFrom {
    /// From `user:<id>`.
    user: Credits,
    /// From `team:<id>`.
    team: Credits,
    /// From `pool`.
    pool: Credits,
}

/// A hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HoldLine {
    /// Its name.
    id: HoldId,
    /// Who is about to spend.
    user: UserId,
    /// What on.
    feature: FeatureId,
    /// The user's team when it was made.
    team: Option<TeamId>,
    /// What was asked for.
    credits: Credits,
    /// What is set aside; less than was asked for only under soft enforcement.
    held: Credits,
    /// From which accounts.
    held_from: HeldFrom,
    /// Where it is in its life.
    state: HoldState,
    /// What the call took, once that was said.
    settled: Option<Credits>,
    /// When it was made.
    made_at: Instant,
    /// When its credits are free again by themselves.
    expires_at: Instant,
}

impl From<&Hold> for HoldLine {
    fn from(hold: &Hold) -> Self {
        let [user, team, pool] = hold.held;
        Self {
            id: hold.id.clone(),
            user: hold.user.clone(),
            feature: hold.feature.clone(),
            team: hold.team.clone(),
            credits: hold.credits,
            held: hold.held(),
            held_from: HeldFrom { user, team, pool },
            state: hold.state,
            settled: hold.settled,
            made_at: hold.made_at,
            expires_at: hold.expires_at,
        }
    }
}

/// A hold in a list: it may be of a period before the running one.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct HoldItem {
    /// The hold.
    #[serde(flatten)]
    line: HoldLine,
    /// The period that it belongs to.
    period: PeriodName,
}

/// What became of a hold.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct HoldWritten {
    /// The hold, as it stands after the request.
    #[serde(flatten)]
    line: HoldLine,
    /// The rule that it breaks under soft enforcement.
    reason: Option<Reason>,
    /// The level of that rule, with its numbers.
    blocked_by: Option<BlockedBy>,
}

fn written(workspace: &WorkspaceId, answer: &HoldAnswer) -> About<HoldWritten> {
    About {
        head: Head::new(workspace, &answer.period, answer.at),
        it: HoldWritten {
            line: HoldLine::from(&answer.hold),
            reason: answer.bends.as_ref().map(|denial| denial.reason),
            blocked_by: answer.bends.as_ref().map(BlockedBy::from),
        },
    }
}

async fn asked(
    desk: &Desk,
    workspace: &WorkspaceId,
    request: &HoldRequest,
    author: &Author,
    status: StatusCode,
) -> Result<Answer<About<HoldWritten>>, Problem> {
    let answer = desk.office.hold(workspace, request, author).await??;
    Ok(Answer(status, written(workspace, &answer)))
}

/// Shows the holds that have not ended, in the order of their ids.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace}/holds", tag = "holds",
    params(("workspace" = WorkspaceId, Path), page::Cut),
    responses((status = 200, description = "A page", body = Listed<HoldItem>), ReadProblems)
)]
pub async fn list(
    State(desk): State<Desk>,
    Place(workspace): Place<WorkspaceId>,
    Params(cut): Params<page::Cut>,
) -> Result<Answer<Listed<HoldItem>>, Problem> {
    let cut = cut.parse()?;
    let view = desk.view(&workspace, None).await?;
    let (holds, next_cursor) = cut.of(desk.office.holds(&workspace).await?, |hold| hold.id.as_str());
    let items =
        holds.iter().map(|hold| HoldItem { line: HoldLine::from(hold), period: hold.period }).collect();
    Ok(Answer::ok(Listed { head: Head::of(&workspace, &view), items, next_cursor }))
}

/// Sets credits aside; 402 when they do not fit.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace}/holds", tag = "holds",
    params(("workspace" = WorkspaceId, Path)), request_body = HoldBody,
    responses((status = 201, description = "Set aside", body = About<HoldWritten>), WriteProblems)
)]
pub async fn post(
    State(desk): State<Desk>,
    Place(workspace): Place<WorkspaceId>,
    Write { author, body }: Write<HoldBody>,
) -> Result<Answer<About<HoldWritten>>, Problem> {
    let author = with_reason(author, body.reason.as_deref())?;
    asked(&desk, &workspace, &body.request()?, &author, StatusCode::CREATED).await
}

/// Says what the call took; its event is on its way when this answers.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace}/holds/{hold}/settle", tag = "holds",
    params(("workspace" = WorkspaceId, Path), ("hold" = HoldId, Path)), request_body = SettleBody,
    responses((status = 202, description = "On its way", body = About<HoldWritten>), WriteProblems)
)]
pub async fn settle(
    State(desk): State<Desk>,
    Place((workspace, hold)): Place<(WorkspaceId, HoldId)>,
    Write { author, body }: Write<SettleBody>,
) -> Result<Answer<About<HoldWritten>>, Problem> {
    let author = with_reason(author, body.reason.as_deref())?;
    let request = HoldRequest::Settle { hold, credits: event_credits(&body.credits)? };
    asked(&desk, &workspace, &request, &author, StatusCode::ACCEPTED).await
}

/// Gives the credits back: the call does not happen.
#[utoipa::path(
    delete, path = "/v1/workspaces/{workspace}/holds/{hold}", tag = "holds",
    params(("workspace" = WorkspaceId, Path), ("hold" = HoldId, Path)),
    responses((status = 200, description = "Voided", body = About<HoldWritten>), WriteProblems)
)]
pub async fn void(
    State(desk): State<Desk>,
    Place((workspace, hold)): Place<(WorkspaceId, HoldId)>,
    Sign(author): Sign,
) -> Result<Answer<About<HoldWritten>>, Problem> {
    asked(&desk, &workspace, &HoldRequest::Void { hold }, &author, StatusCode::OK).await
}
