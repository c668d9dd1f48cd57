//! A workspace as a person reads it, and as a script does: the pool, and who and what draws on it. What
//! the numbers are is not in here but in [`standing`].

use serde::Serialize;

use super::asked::ShowArgs;
use super::balances::{
    FEATURE_COLUMNS, SHORT_USER_COLUMNS, TEAM_COLUMNS, feature_row, short_user_row, team_row,
};
use super::clerk::Clerk;
use super::paging::listed;
use crate::cli::table::{self, Column, or_dash};
use crate::domain::WorkspaceId;
use crate::domain::change::Enforcement;
use crate::domain::forecast::Forecast;
use crate::domain::outlook;
use crate::domain::ports::View;
use crate::domain::reports::Reports;
use crate::domain::standing::{self, FeatureLine, Roster, Summary, TeamLine, UserLine};
use crate::http::answer::plan::PlanLine;
use crate::http::answer::{About, Head};
use crate::http::page::Page;

/// Rows of each table; the commands of users, teams and features show the others.
const ROWS: usize = 20;

/// Everything about a workspace.
#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    summary: Summary,
    forecast: Option<Forecast>,
    plan: Option<PlanLine>,
    users: Vec<UserLine>,
    teams: Vec<TeamLine>,
    features: Vec<FeatureLine>,
}

/// Prints a workspace.
pub async fn show(clerk: &Clerk<'_>, args: ShowArgs) -> anyhow::Result<()> {
    let ShowArgs { workspace, period } = args;
    let view = clerk.view(&workspace, period).await?;
    let planned = view.state.calendar.version() > 0;
    let whole = Whole {
        summary: Summary::of(&view),
        forecast: forecast(clerk, &workspace, &view).await,
        plan: planned.then(|| PlanLine::of(&view.state)),
        users: Roster::default().lines(&view, usize::MAX),
        teams: standing::teams(&view),
        features: standing::features(&view),
    };
    let answer = About { head: Head::of(&workspace, &view), it: whole };
    clerk.print(&answer, || text(&workspace, &view, &answer.it))
}

/// Of the running period alone. Balances never wait for tables that are away: it is left out then.
async fn forecast(clerk: &Clerk<'_>, workspace: &WorkspaceId, view: &View) -> Option<Forecast> {
    let (from, to) = outlook::days(view);
    if !(view.period.start..view.period.end).contains(&view.as_of) {
        return None;
    }
    let days = clerk.tables().daily_totals(workspace, from, to).await.ok()?;
    Some(outlook::of_pool(view, &days))
}

fn text(id: &WorkspaceId, view: &View, whole: &Whole) -> String {
    let users = table_of("users", &SHORT_USER_COLUMNS, &cut(&whole.users), short_user_row);
    let teams = table_of("teams", &TEAM_COLUMNS, &cut(&whole.teams), team_row);
    let features = table_of("features", &FEATURE_COLUMNS, &cut(&whole.features), feature_row);
    [pool(id, view, whole), users, teams, features].join("\n\n")
}

fn cut<T: Clone>(lines: &[T]) -> Page<T> {
    Page::cut(lines.iter().take(ROWS + 1).cloned().collect(), ROWS, |_| ())
}

/// A table whose other rows another command shows.
fn table_of<T>(what: &str, columns: &[Column], page: &Page<T>, row: impl Fn(&T) -> Vec<String>) -> String {
    listed(what, columns, page, row)
        .replace("more with --limit ROWS or --all", &format!("more with `admin {what}`"))
}

fn pool(id: &WorkspaceId, view: &View, whole: &Whole) -> String {
    let (period, sums) = (&view.period, &whole.summary);
    let head = format!("{id}, period {}, resets at {}", period.name, period.end);
    let Some(plan) = whole.plan.as_ref().filter(|_| period.planned) else {
        return format!("{head}\nno plan yet: nothing can be spent");
    };
    let header = ["pool", "total", "used", "held", "remaining", "unallocated", "overage"];
    let numbers = [sums.total, sums.used, sums.held, sums.remaining, sums.pool_remaining, sums.overage];
    let row = [String::new()].into_iter().chain(numbers.iter().map(ToString::to_string)).collect();
    format!("{head}\n{}\n{}", plan_text(plan), table::table(&header, vec![row]))
}

fn plan_text(plan: &PlanLine) -> String {
    let seats = plan.seats.zip(plan.credits_per_seat);
    let seats = seats.map_or_else(String::new, |(seats, each)| format!(" ({seats} seats x {each})"));
    let enforcement = if plan.enforcement == Enforcement::Soft { "soft" } else { "hard" };
    format!(
        "plan: {} credits a period{seats}, {enforcement} enforcement, default user limit {}, {} from day {}",
        plan.monthly_credits,
        or_dash(plan.default_user_limit),
        plan.timezone,
        plan.anchor_day
    )
}
