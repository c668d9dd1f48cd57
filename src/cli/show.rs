//! A workspace as a person reads it, and as a script does.

use anyhow::Context;
use comfy_table::{Cell, CellAlignment, Table, presets};
use serde_json::{Value, json};

use crate::domain::book::{Book, Workspace};
use crate::domain::period::{Period, PeriodName};
use crate::domain::{Credits, UserId, WorkspaceId};
use crate::pipeline::decide::now;
use crate::redis::RedisLedger;

/// Prints the running period of a workspace.
pub async fn workspace(ledger: &RedisLedger, id: &WorkspaceId, json: bool) -> anyhow::Result<()> {
    let state = ledger.workspace(id, &[]).await?;
    let state =
        state.with_context(|| format!("workspace {id} was never seen: set a plan or publish an event"))?;
    let period = state.calendar.period_of(now());
    let book = ledger.book(id, period.name).await?;
    if json {
        println!("{:#}", as_json(id, &state, &period, &book));
        return Ok(());
    }
    print_pool(id, &period, &book);
    print_users(&state, &book);
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
    let team = state.team_of(id).and_then(|team| book.teams.get(team)).copied().unwrap_or_default();
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

fn print_features(state: &Workspace, book: &Book) {
    let rows = book.features.iter().map(|(id, feature)| {
        let limit = state.features.get(id).map_or_else(|| "-".to_owned(), ToString::to_string);
        vec![id.to_string(), limit, feature.spent.to_string()]
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
            })
        })
        .collect();
    let features: Vec<Value> = book
        .features
        .iter()
        .map(|(feature, sums)| json!({ "feature": feature, "limit": state.features.get(feature), "used": sums.spent }))
        .collect();
    json!({
        "workspace": id,
        "period": { "name": period.name, "start": period.start, "end": period.end },
        "resets_at": period.end,
        "total": book.total, "used": book.used, "held": book.held, "overage": book.overage,
        "remaining": book.total - book.used - book.held, "pool_remaining": book.pool.remaining(),
        "users": users, "features": features,
    })
}
