//! What use will come to: the workspace's, the teams' and the users' forecasts, and which idle credits
//! could move.

use anyhow::Result;
use serde::Serialize;

use super::asked::ForecastArgs;
use super::clerk::Clerk;
use super::paging::listed;
use super::refused::Refused;
use crate::cli::table::{Column, or_dash, when};
use crate::domain::forecast::{Advice, Forecast, Move};
use crate::domain::outlook::{self, Outlook, UserOutlook};
use crate::domain::reports::Reports;
use crate::domain::{TeamId, UserId};
use crate::http::answer::{About, Head};
use crate::http::page::Page;

/// Rows of users for people who ask for no more.
const ROWS: usize = 20;

#[derive(Serialize)]
struct Answer {
    pool: Forecast,
    teams: Vec<TeamForecast>,
    users: Vec<UserForecast>,
    user_count: usize,
    advice: Advice,
}

#[derive(Clone, Serialize)]
struct TeamForecast {
    team: TeamId,
    #[serde(flatten)]
    forecast: Forecast,
}

#[derive(Clone, Serialize)]
struct UserForecast {
    user: UserId,
    team: Option<TeamId>,
    limited: bool,
    #[serde(flatten)]
    forecast: Forecast,
}

impl From<Outlook> for Answer {
    fn from(outlook: Outlook) -> Self {
        let Outlook { pool, teams, users, advice } = outlook;
        let of_user =
            |UserOutlook { user, team, limited, forecast }| UserForecast { user, team, limited, forecast };
        Self {
            pool,
            teams: teams.into_iter().map(|(team, forecast)| TeamForecast { team, forecast }).collect(),
            user_count: users.len(),
            users: users.into_iter().map(of_user).collect(),
            advice,
        }
    }
}

/// Prints the forecast of a workspace's running period.
pub async fn show(clerk: &Clerk<'_>, args: ForecastArgs) -> Result<()> {
    let ForecastArgs { workspace, all } = args;
    let view = clerk.view(&workspace, None).await?;
    let (from, to) = outlook::days(&view);
    let days = clerk.tables().daily(&workspace, from, to).await.map_err(Refused::from)?;
    let answer = Answer::from(outlook::of_workspace(&view, &days));
    let answer = About { head: Head::of(&workspace, &view), it: answer };
    clerk.print(&answer, || {
        let title = format!("{workspace}, until {}", view.period.end);
        format!("{title}\n{}", text(&answer.it, if all { usize::MAX } else { ROWS }))
    })
}

const COLUMNS: [Column; 7] = [
    Column::Text("forecast of"),
    Column::Number("used"),
    Column::Number("of"),
    Column::Number("projected"),
    Column::Text("likely between"),
    Column::Number("missing"),
    Column::Text("runs out (UTC)"),
];

fn row(name: String, forecast: &Forecast) -> Vec<String> {
    let range = forecast.range.map(|range| format!("{} and {}", range.low, range.high));
    vec![
        name,
        forecast.used.to_string(),
        or_dash(forecast.total),
        or_dash(forecast.projected_use),
        or_dash(range),
        or_dash(forecast.projected_shortfall),
        or_dash(forecast.exhaustion.map(when)),
    ]
}

fn text(answer: &Answer, rows: usize) -> String {
    let pool = [("the whole workspace".to_owned(), &answer.pool)];
    let teams = answer.teams.iter().map(|of| (format!("team:{}", of.team), &of.forecast));
    let users = answer.users.iter().map(|of| (format!("user:{}", of.user), &of.forecast));
    let fixed = 1 + answer.teams.len();
    let lines = pool.into_iter().chain(teams).chain(users).take(rows.saturating_add(fixed + 1));
    let page = Page::cut(lines.collect(), rows.saturating_add(fixed), |_| ());
    let table = listed("forecasts", &COLUMNS, &page, |(name, forecast)| row(name.clone(), forecast));
    let table = table.replace("--limit ROWS or --all", "--all");
    format!("{table}\n{}{}\n{}", answer.pool.note, tested(&answer.pool), advice(&answer.advice))
}

fn tested(pool: &Forecast) -> String {
    let of_test = |test: &crate::domain::forecast::Backtest| {
        format!(
            " On its own past it was wrong by {:.0} % over {} days.",
            test.error * 100.0,
            test.horizon_days
        )
    };
    pool.backtest.as_ref().map_or_else(String::new, of_test)
}

fn advice(advice: &Advice) -> String {
    if advice.moves.is_empty() {
        return format!(
            "Nothing needs to move: {} credits will stay unused, {} will be missing.",
            advice.idle, advice.short
        );
    }
    let of_move = |Move { from, to, credits, raise_limit, because }: &Move| {
        let raise = if *raise_limit { " --raise-limit" } else { "" };
        format!("  transfer {from} {to} {credits}{raise}: {because}")
    };
    let moves: Vec<String> = advice.moves.iter().map(of_move).collect();
    format!("Credits that could move:\n{}", moves.join("\n"))
}
