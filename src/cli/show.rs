//! A workspace as a person reads it, and as a script does. What the numbers are is not in here but
//! in [`standing`].

use anyhow::Context;
use comfy_table::{Cell, CellAlignment, Table, presets};
use serde::Serialize;

use crate::domain::book::Workspace;
use crate::domain::change::Enforcement;
use crate::domain::period::{Instant, PeriodName};
use crate::domain::ports::View;
use crate::domain::standing::{self, FeatureLine, Roster, Summary, TeamLine, UserLine};
use crate::domain::{Credits, WorkspaceId};
use crate::pipeline::decide::now;
use crate::redis::RedisLedger;

/// Prints the running period of a workspace.
pub async fn workspace(ledger: &RedisLedger, id: &WorkspaceId, json: bool) -> anyhow::Result<()> {
    let view = ledger.view(id, None, now()).await?;
    let view =
        view.with_context(|| format!("workspace {id} was never seen: set a plan or publish an event"))?;
    if json {
        println!("{}", serde_json::to_string_pretty(&whole(id, &view))?);
        return Ok(());
    }
    print_pool(id, &view);
    print_users(&view);
    print_teams(&view);
    print_features(&view);
    Ok(())
}

/// A table whose first column is text and the others numbers.
pub fn table(header: &[&str], rows: Vec<Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(header.iter().map(Cell::new));
    for row in rows {
        table.add_row(row.into_iter().enumerate().map(|(column, text)| {
            let align = if column == 0 { CellAlignment::Left } else { CellAlignment::Right };
            Cell::new(text).set_alignment(align)
        }));
    }
    table
}

fn users(view: &View) -> Vec<UserLine> {
    Roster::default().lines(view, usize::MAX)
}

fn or_dash(text: Option<impl ToString>) -> String {
    text.map_or_else(|| "-".to_owned(), |text| text.to_string())
}

fn print_pool(id: &WorkspaceId, view: &View) {
    let (period, sums) = (&view.period, Summary::of(view));
    println!("{id}, period {}, resets at {}", period.name, period.end);
    if !period.planned {
        println!("no plan yet: nothing can be spent\n");
        return;
    }
    let header = ["pool", "total", "used", "held", "remaining", "unallocated", "overage"];
    let numbers = [sums.total, sums.used, sums.held, sums.remaining, sums.pool_remaining, sums.overage];
    let row = [String::new()].into_iter().chain(numbers.iter().map(ToString::to_string)).collect();
    println!("{}\n", table(&header, vec![row]));
}

fn print_users(view: &View) {
    let rows = users(view).into_iter().map(|line| {
        vec![
            if line.suspended { format!("{} (suspended)", line.user) } else { line.user.to_string() },
            or_dash(line.team),
            or_dash(line.limit),
            line.allocation.sums.remaining.to_string(),
            line.used.to_string(),
            line.remaining.to_string(),
        ]
    });
    let header = ["user", "team", "limit", "allocation left", "spent", "may still spend"];
    println!("{}\n", table(&header, rows.collect()));
}

fn print_teams(view: &View) {
    let teams = standing::teams(view);
    if teams.is_empty() {
        return;
    }
    let rows = teams.into_iter().map(|line| {
        let sums = line.account;
        let numbers = [line.monthly_reserve, sums.credited, sums.used, sums.remaining];
        let numbers = numbers.iter().map(ToString::to_string);
        [line.team.to_string(), or_dash(line.default_user_limit)].into_iter().chain(numbers).collect()
    });
    let header = ["team", "default limit", "monthly reserve", "credited", "used", "remaining"];
    println!("{}\n", table(&header, rows.collect()));
}

fn print_features(view: &View) {
    let rows = standing::features(view).into_iter();
    let rows = rows.map(|line| vec![line.feature.to_string(), or_dash(line.limit), line.used.to_string()]);
    println!("{}", table(&["feature", "limit", "spent"], rows.collect()));
}

#[derive(Serialize)]
struct Whole<'a> {
    workspace: &'a WorkspaceId,
    period: Span,
    resets_at: Instant,
    as_of: Instant,
    #[serde(flatten)]
    summary: Summary,
    plan: PlanLine<'a>,
    users: Vec<UserLine>,
    teams: Vec<TeamLine>,
    features: Vec<FeatureLine>,
}

#[derive(Serialize)]
struct Span {
    name: PeriodName,
    start: Instant,
    end: Instant,
}

#[derive(Serialize)]
struct PlanLine<'a> {
    monthly_credits: Credits,
    enforcement: Enforcement,
    timezone: &'a str,
    anchor_day: i8,
    default_user_limit: Option<Credits>,
}

impl<'a> PlanLine<'a> {
    fn of(state: &'a Workspace) -> Self {
        Self {
            monthly_credits: state.monthly_credits,
            enforcement: state.enforcement,
            timezone: state.calendar.timezone(),
            anchor_day: state.calendar.anchor_day(),
            default_user_limit: state.default_user_limit,
        }
    }
}

fn whole<'a>(id: &'a WorkspaceId, view: &'a View) -> Whole<'a> {
    let period = view.period;
    Whole {
        workspace: id,
        period: Span { name: period.name, start: period.start, end: period.end },
        resets_at: period.end,
        as_of: view.as_of,
        summary: Summary::of(view),
        plan: PlanLine::of(&view.state),
        users: users(view),
        teams: standing::teams(view),
        features: standing::features(view),
    }
}
