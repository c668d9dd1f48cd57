//! Holds and checks: set aside, settle, give back, list; and would it pass now?

use serde::Serialize;

use super::clerk::Clerk;
use super::hold_args::{CheckArgs, HoldArgs, HoldsArgs, SettleArgs, VoidArgs};
use super::paging::listed;
use super::refused::Refused;
use super::writes::Asker;
use crate::cli::table::{Column, or_dash, when};
use crate::domain::change::{Author, Denial};
use crate::domain::decision::Reason;
use crate::domain::hold::{CheckAnswer, Hold, HoldAnswer, HoldRequest, HoldState, Wish};
use crate::domain::ports::Office;
use crate::domain::{Credits, FeatureId, HoldId, UserId, WorkspaceId};
use crate::http::answer::hold::{HoldItem, HoldLine, HoldWritten};
use crate::http::answer::{About, Head, Listed};
use crate::http::value::BlockedBy;

#[derive(Serialize)]
struct Checked {
    allowed: bool,
    reason: Option<Reason>,
    blocked_by: Option<BlockedBy>,
    user: UserId,
    feature: FeatureId,
    credits: Credits,
}

/// Sets credits aside.
pub async fn make(clerk: &Clerk<'_>, asker: &Asker, args: HoldArgs) -> anyhow::Result<()> {
    let HoldArgs { workspace, user, feature, credits, ttl_seconds, id } = args;
    let author = asker.author(&["hold"], &(&user, &feature, credits, ttl_seconds, &id))?;
    let hold = id.map_or_else(|| HoldId::parse(&uuid::Uuid::now_v7().to_string()), Ok)?;
    let request = HoldRequest::Make { hold, wish: Wish { user, feature, credits }, ttl_seconds };
    ask(clerk, &workspace, &request, &author, |answer| {
        let Hold { id, user, feature, expires_at, .. } = &answer.hold;
        let held = answer.hold.held();
        let bends = answer.bends.as_ref().map_or_else(String::new, |denial| {
            format!(" Soft enforcement let it pass: under hard it fails at {}.", denial.reason.as_str())
        });
        format!(
            "Hold {id} sets {held} credits aside for {feature} of {user}, until {expires_at} unless it is \
             settled or voided before.{bends}"
        )
    })
    .await
}

/// Says what the call took.
pub async fn settle(clerk: &Clerk<'_>, asker: &Asker, args: SettleArgs) -> anyhow::Result<()> {
    let SettleArgs { workspace, hold, credits } = args;
    let author = asker.author(&["settle", hold.as_str()], &credits)?;
    let request = HoldRequest::Settle { hold, credits, owner: None };
    ask(clerk, &workspace, &request, &author, |answer| {
        let Hold { id, user, .. } = &answer.hold;
        format!("Hold {id} of {user} is settled with {credits} credits; they are debited when its event is decided.")
    })
    .await
}

/// Gives the credits back.
pub async fn void(clerk: &Clerk<'_>, asker: &Asker, args: VoidArgs) -> anyhow::Result<()> {
    let VoidArgs { workspace, hold } = args;
    let author = asker.author(&["void", hold.as_str()], &())?;
    ask(clerk, &workspace, &HoldRequest::Void { hold, owner: None }, &author, |answer| {
        let Hold { id, user, credits, .. } = &answer.hold;
        format!("Hold {id} of {user} over {credits} credits is voided: what it held is free at once.")
    })
    .await
}

async fn ask(
    clerk: &Clerk<'_>,
    workspace: &WorkspaceId,
    request: &HoldRequest,
    author: &Author,
    sentence: impl Fn(&HoldAnswer) -> String,
) -> anyhow::Result<()> {
    let answer = clerk.office().hold(workspace, request, author).await.map_err(Refused::from)?;
    let answer = answer.map_err(Refused::from)?;
    clerk.print(&HoldWritten::of(workspace, &answer), || sentence(&answer))
}

/// Lists what has not ended.
pub async fn list(clerk: &Clerk<'_>, args: HoldsArgs) -> anyhow::Result<()> {
    let HoldsArgs { workspace, user, paging } = args;
    let (view, after) = (clerk.view(&workspace, None).await?, paging.after::<HoldId>()?);
    let mut holds = clerk.office().holds(&workspace).await.map_err(Refused::from)?;
    holds.retain(|hold| {
        user.as_ref().is_none_or(|user| hold.user == *user)
            && after.as_ref().is_none_or(|after| hold.id > *after)
    });
    let page = HoldItem::page(&holds, paging.rows());
    let answer = Listed { head: Head::of(&workspace, &view), page };
    clerk.print(&answer, || listed("open holds", &COLUMNS, &answer.page, row))
}

const COLUMNS: [Column; 7] = [
    Column::Text("hold"),
    Column::Text("user"),
    Column::Text("feature"),
    Column::Number("asked for"),
    Column::Number("held"),
    Column::Text("state"),
    Column::Text("expires (UTC)"),
];

fn row(item: &HoldItem) -> Vec<String> {
    let HoldLine { id, user, feature, credits, held, state, expires_at, .. } = &item.line;
    let state = if *state == HoldState::Settling { "settling" } else { "open" };
    let texts =
        [id.to_string(), user.to_string(), feature.to_string(), credits.to_string(), held.to_string()];
    texts.into_iter().chain([state.to_owned(), when(*expires_at)]).collect()
}

/// Asks whether something would pass.
pub async fn check(clerk: &Clerk<'_>, args: CheckArgs) -> anyhow::Result<()> {
    let wish = args.wish(&clerk.settings.decode_rules()?.rates)?;
    let workspace = &args.workspace;
    clerk.view(workspace, None).await?;
    let answer = clerk.office().check(workspace, &wish).await.map_err(Refused::from)?;
    let Wish { user, feature, credits } = wish.clone();
    let checked = Checked {
        allowed: answer.allowed,
        reason: answer.denial.as_ref().map(|denial| denial.reason),
        blocked_by: answer.denial.as_ref().map(BlockedBy::from),
        user,
        feature,
        credits,
    };
    let head = Head::new(workspace, &answer.period, answer.at);
    clerk.print(&About { head, it: checked }, || verdict(&wish, &answer))
}

fn verdict(wish: &Wish, answer: &CheckAnswer) -> String {
    let Wish { user, feature, credits } = wish;
    let asked = format!("{credits} credits of {user} on {feature}");
    match (&answer.denial, answer.allowed) {
        (None, _) => format!("Yes: {asked} would pass now."),
        (Some(denial), true) => {
            format!("Yes, as soft enforcement is on: {asked} would be overage ({}).", numbers(denial))
        }
        (Some(denial), false) => format!("No: {asked} would be denied ({}).", numbers(denial)),
    }
}

fn numbers(denial: &Denial) -> String {
    let Denial { reason, blocked, blocked_id, resets_at } = denial;
    let limit = or_dash(blocked.limit);
    format!(
        "{} of {blocked_id}: limit {limit}, used {}, held {}, remaining {}; resets at {resets_at}",
        reason.as_str(),
        blocked.used,
        blocked.held,
        blocked.remaining
    )
}
