//! A workspace as a person reads it, and as a script does.

use std::collections::BTreeSet;

use anyhow::Context;
use comfy_table::{Cell, CellAlignment, Table, presets};
use serde_json::{Value, json};

use crate::domain::book::{Book, Workspace};
use crate::domain::period::{Period, PeriodName};
use crate::domain::{Credits, FeatureId, UserId, WorkspaceId};
use crate::pipeline::decide::now;
use crate::redis::RedisLedger;

/// Prints the running period of a workspace.
pub async fn workspace(ledger: &RedisLedger, id: &WorkspaceId, json: bool) -> anyhow::Result<()> {
    let state = ledger.workspace(id, &[]).await?;
    let state =
        state.with_context(|| format!("workspace {id} was never seen: set a plan or publish an event"))?;
    let period = state.calendar.period_of(now());
    let mut book = ledger.book(id, period.name).await?;
    if period.planned && !book.opened {
        let _ = &mut book;
    }
    if json {
        println!("{:#}", as_json(id, &state, &period, &book));
        return Ok(());
    }
    print_pool(id, &period, &book);
    print_users(&state, &book);
    print_teams(&state, &book);
    print_features(&state, &book);
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

/// What a user may still spend: the smaller of what the limit and what the accounts leave.
fn left(state: &Workspace, book: &Book, id: &UserId) -> Credits {
    let user = book.users.get(id).copied().unwrap_or_default();
    let team = state.team_of(id).and_then(|team| book.teams.get(team)).copied().unwrap_or_default().account;
    let accounts = user.account.remaining() + team.remaining() + book.pool.remaining();
    let limit = state.effective_limit(id, user.granted);
    limit.map_or(accounts, |limit| accounts.min((limit - user.spent - user.holding).at_least_zero()))
}

fn users<'a>(state: &'a Workspace, book: &'a Book) -> Vec<&'a UserId> {
    let mut ids: Vec<&UserId> = book.users.keys().chain(state.users.keys()).collect();
    ids.sort();
    ids.dedup();
    ids.sort_by_key(|id| std::cmp::Reverse(book.users.get(*id).map_or(Credits::ZERO, |user| user.spent)));
    ids
}

fn print_pool(id: &WorkspaceId, period: &Period, book: &Book) {
    let name: PeriodName = period.name;
    println!("{id}, period {name}, resets at {}", period.end);
    if !period.planned {
        println!("no plan yet: nothing can be spent\n");
        return;
    }
    let remaining = book.total - book.used - book.held;
    let header = ["pool", "total", "used", "held", "remaining", "unallocated", "overage"];
    let numbers = [book.total, book.used, book.held, remaining, book.pool.remaining(), book.overage];
    let row = [String::new()].into_iter().chain(numbers.iter().map(ToString::to_string)).collect();
    println!("{}\n", table(&header, vec![row]));
}

fn print_users(state: &Workspace, book: &Book) {
    let rows = users(state, book).into_iter().map(|id| {
        let user = book.users.get(id).copied().unwrap_or_default();
        let suspended = state.users.get(id).is_some_and(|settings| settings.suspended);
        vec![
            if suspended { format!("{id} (suspended)") } else { id.to_string() },
            state.team_of(id).map_or_else(|| "-".to_owned(), ToString::to_string),
            state.effective_limit(id, user.granted).map_or_else(|| "-".to_owned(), |limit| limit.to_string()),
            user.account.remaining().to_string(),
            user.spent.to_string(),
            left(state, book, id).to_string(),
        ]
    });
    println!(
        "{}\n",
        table(&["user", "team", "limit", "allocation left", "spent", "may still spend"], rows.collect())
    );
}

fn print_teams(state: &Workspace, book: &Book) {
    if state.teams.is_empty() {
        return;
    }
    let rows = state.teams.iter().map(|(id, team)| {
        let account = book.teams.get(id).copied().unwrap_or_default().account;
        let default = team.default_user_limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string());
        let numbers = [team.monthly_reserve, account.credited, account.used, account.remaining()];
        let numbers = numbers.iter().map(ToString::to_string);
        [id.to_string(), default].into_iter().chain(numbers).collect()
    });
    let header = ["team", "default limit", "monthly reserve", "credited", "used", "remaining"];
    println!("{}\n", table(&header, rows.collect()));
}

/// Features that were used or have a limit.
fn features<'a>(state: &'a Workspace, book: &'a Book) -> BTreeSet<&'a FeatureId> {
    book.features.keys().chain(state.features.keys()).collect()
}

fn print_features(state: &Workspace, book: &Book) {
    let rows = features(state, book).into_iter().map(|id| {
        let limit = state.features.get(id).map_or_else(|| "-".to_owned(), ToString::to_string);
        vec![id.to_string(), limit, book.features.get(id).copied().unwrap_or_default().spent.to_string()]
    });
    println!("{}", table(&["feature", "limit", "spent"], rows.collect()));
}

fn as_json(id: &WorkspaceId, state: &Workspace, period: &Period, book: &Book) -> Value {
    let users: Vec<Value> = users(state, book)
        .into_iter()
        .map(|user_id| {
            let user = book.users.get(user_id).copied().unwrap_or_default();
            json!({
                "user": user_id, "team": state.team_of(user_id), "base_limit": state.base_limit(user_id),
                "limit": state.effective_limit(user_id, user.granted), "granted": user.granted,
                "allocation": user.account.remaining(), "used": user.spent, "held": user.holding,
                "remaining": left(state, book, user_id),
                "suspended": state.users.get(user_id).is_some_and(|settings| settings.suspended),
            })
        })
        .collect();
    let features: Vec<Value> = features(state, book)
        .into_iter()
        .map(|id| {
            let sums = book.features.get(id).copied().unwrap_or_default();
            json!({ "feature": id, "limit": state.features.get(id), "used": sums.spent })
        })
        .collect();
    let teams: Vec<Value> = state
        .teams
        .iter()
        .map(|(id, team)| {
            let account = book.teams.get(id).copied().unwrap_or_default().account;
            json!({
                "team": id, "monthly_reserve": team.monthly_reserve, "default_user_limit": team.default_user_limit,
                "credited": account.credited, "used": account.used, "remaining": account.remaining(),
            })
        })
        .collect();
    json!({
        "workspace": id,
        "period": { "name": period.name, "start": period.start, "end": period.end },
        "resets_at": period.end,
        "total": book.total, "used": book.used, "held": book.held, "overage": book.overage,
        "remaining": book.total - book.used - book.held, "pool_remaining": book.pool.remaining(),
        "plan": {
            "monthly_credits": state.monthly_credits, "enforcement": state.enforcement,
            "timezone": state.calendar.timezone(), "anchor_day": state.calendar.anchor_day(),
            "default_user_limit": state.default_user_limit,
        },
        "users": users, "teams": teams, "features": features,
    })
}
