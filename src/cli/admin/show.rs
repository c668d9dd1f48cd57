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
use crate::domain::book::Workspace;
use crate::domain::change::{CarryOver, Enforcement, Plan, Thresholds};
use crate::domain::forecast::Forecast;
use crate::domain::outlook;
use crate::domain::ports::View;
use crate::domain::reports::Reports;
use crate::domain::standing::{self, FeatureLine, Roster, Summary, TeamLine, UserLine};
use crate::domain::{Credits, WorkspaceId};
use crate::http::answer::{About, Head};
use crate::http::page::Page;

/// Rows of each table; the commands of users, teams and features show the others.
const ROWS: usize = 20;

/// A plan under the names of the API.
#[derive(Debug, Clone, Serialize)]
pub struct PlanLine {
    monthly_credits: Credits,
    seats: Option<u32>,
    credits_per_seat: Option<Credits>,
    timezone: String,
    anchor_day: i8,
    enforcement: Enforcement,
    default_user_limit: Option<Credits>,
    carry_over: CarryOver,
    thresholds: Thresholds,
}

impl From<&Plan> for PlanLine {
    fn from(plan: &Plan) -> Self {
        let (seats, credits_per_seat) = plan.seats.map(|seats| (seats.seats, seats.credits_per_seat)).unzip();
        Self {
            monthly_credits: plan.monthly_credits,
            seats,
            credits_per_seat,
            timezone: plan.timezone.clone(),
            anchor_day: plan.anchor_day,
            enforcement: plan.enforcement,
            default_user_limit: plan.default_user_limit,
            carry_over: plan.carry_over,
            thresholds: plan.thresholds.clone(),
        }
    }
}

/// The plan in force; a time zone or anchor day that waits for the next period shows already.
fn plan_of(state: &Workspace) -> Plan {
    Plan {
        seats: state.seats,
        timezone: state.calendar.timezone().to_owned(),
        anchor_day: state.calendar.anchor_day(),
        enforcement: state.enforcement,
        default_user_limit: state.default_user_limit,
        carry_over: state.carry_over,
        thresholds: state.thresholds.clone(),
        ..Plan::monthly(state.monthly_credits)
    }
}

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
        plan: planned.then(|| PlanLine::from(&plan_of(&view.state))),
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
