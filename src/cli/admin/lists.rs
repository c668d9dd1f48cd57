//! Reads from the tables, at most seconds behind: ledger, events, usage and alerts.

use anyhow::Result;
use serde::Deserialize;

use super::asked::{AlertsArgs, EventsArgs, LedgerArgs, UsageArgs};
use super::clerk::Clerk;
use super::paging::listed;
use super::refused::Refused;
use crate::cli::table::{Column, or_dash, percent, when};
use crate::domain::ledger::Account;
use crate::domain::reports::{
    AlertQuery, Dimension, EventQuery, EventRow, LedgerQuery, LedgerRow, Reports, UsageQuery, UsageRow,
};
use crate::http::answer::alert::AlertLine;
use crate::http::answer::{Head, Listed};
use crate::http::page::Page;

/// Characters of a change that a table has room for.
const CHANGE_CHARS: usize = 60;

/// Entries of the ledger, newest first.
pub async fn ledger(clerk: &Clerk<'_>, args: LedgerArgs) -> Result<()> {
    let LedgerArgs { workspace, by, kind, account, from, to, paging } = args;
    let view = clerk.view(&workspace, None).await?;
    let query = LedgerQuery { actor: by, kind, account, from, to, ..LedgerQuery::default() };
    let page = paging.gather(async |after, limit| {
        let query = LedgerQuery { after, limit, ..query.clone() };
        clerk.tables().ledger(&workspace, &query).await
    });
    let answer = Listed { head: Head::of(&workspace, &view), page: page.await? };
    clerk.print(&answer, || listed("entries", &LEDGER_COLUMNS, &answer.page, ledger_row))
}

const LEDGER_COLUMNS: [Column; 6] = [
    Column::Number("entry"),
    Column::Text("made (UTC)"),
    Column::Text("kind"),
    Column::Text("actor"),
    Column::Text("what"),
    Column::Text("reason"),
];

#[derive(Deserialize)]
struct Moved {
    account: Account,
    credits: serde_json::Number,
}

fn ledger_row(row: &LedgerRow) -> Vec<String> {
    let LedgerRow { epoch, sequence, kind, actor, reason, at, .. } = row;
    let entry = format!("{epoch}.{sequence}");
    vec![entry, when(*at), kind.clone(), actor.clone(), what(row), or_dash(reason.clone())]
}

/// What was moved; without that the change, as long as it fits.
fn what(row: &LedgerRow) -> String {
    let moved: Vec<Moved> = serde_json::from_str(row.postings.get()).unwrap_or_default();
    if moved.is_empty() {
        return row.change.get().chars().take(CHANGE_CHARS).collect();
    }
    let posting = |Moved { account, credits }: &Moved| {
        let text = credits.to_string();
        if text.starts_with('-') { format!("{account} {text}") } else { format!("{account} +{text}") }
    };
    moved.iter().map(posting).collect::<Vec<_>>().join(", ")
}

/// Decided events, newest first.
pub async fn events(clerk: &Clerk<'_>, args: EventsArgs) -> Result<()> {
    let EventsArgs { workspace, user, feature, outcome, from, to, paging } = args;
    let view = clerk.view(&workspace, None).await?;
    let query = EventQuery { user, feature, outcome, from, to, ..EventQuery::default() };
    let page = paging.gather(async |after, limit| {
        let query = EventQuery { after, limit, ..query.clone() };
        clerk.tables().events(&workspace, &query).await
    });
    let answer = Listed { head: Head::of(&workspace, &view), page: page.await? };
    clerk.print(&answer, || listed("events", &EVENT_COLUMNS, &answer.page, event_row))
}

const EVENT_COLUMNS: [Column; 10] = [
    Column::Text("time (UTC)"),
    Column::Text("event"),
    Column::Text("source"),
    Column::Text("user"),
    Column::Text("feature"),
    Column::Number("credits"),
    Column::Text("outcome"),
    Column::Text("reason"),
    Column::Number("overage"),
    Column::Text("reversed (UTC)"),
];

fn event_row(row: &EventRow) -> Vec<String> {
    let texts = [&row.event_id, &row.source, &row.user.to_string(), &row.feature.to_string()];
    let mut cells = vec![when(row.time)];
    cells.extend(texts.map(String::clone));
    cells.extend([row.credits.to_string(), row.outcome.as_str().to_owned()]);
    cells.extend([or_dash(row.reason.map(|reason| reason.as_str())), row.drawn.overage.to_string()]);
    cells.push(or_dash(row.reversed_at.map(when)));
    cells
}

/// Sums of usage.
pub async fn usage(clerk: &Clerk<'_>, args: UsageArgs) -> Result<()> {
    let UsageArgs { workspace, group_by, from, to, period, user, feature, paging } = args;
    check_usage(&group_by, from.zip(to).is_some_and(|(from, to)| from > to))?;
    let view = clerk.view(&workspace, None).await?;
    let query = UsageQuery { group_by, from, to, period, user, feature, ..UsageQuery::default() };
    if paging.after()?.is_some_and(|place: crate::domain::reports::UsagePlace| !place.fits(&query.group_by)) {
        return Err(invalid("invalid_cursor", "this cursor was made for another --group-by").into());
    }
    let page = paging.gather(async |after, limit| {
        let query = UsageQuery { after, limit, ..query.clone() };
        clerk.tables().usage(&workspace, &query).await
    });
    let answer = Listed { head: Head::of(&workspace, &view), page: page.await? };
    let columns = usage_columns(&query.group_by);
    clerk.print(&answer, || listed("rows of usage", &columns, &answer.page, usage_row))
}

fn check_usage(group_by: &[Dimension], is_turned: bool) -> Result<(), Refused> {
    let twice = group_by.iter().enumerate().find(|(at, by)| group_by[..*at].contains(by));
    if let Some((_, by)) = twice {
        return Err(invalid("invalid_parameter", &format!("--group-by names {} twice", by.as_str())));
    }
    if is_turned {
        return Err(invalid("invalid_parameter", "--from is after --to: days are from <= day < to"));
    }
    Ok(())
}

fn invalid(code: &'static str, words: &str) -> Refused {
    Refused::invalid(code, words.to_owned())
}

fn usage_columns(group_by: &[Dimension]) -> Vec<Column> {
    let dimensions = group_by.iter().map(|by| Column::Text(by.as_str()));
    dimensions.chain(UsageRow::SUMS.map(Column::Number)).collect()
}

fn usage_row(row: &UsageRow) -> Vec<String> {
    let value = |text: &String| or_dash(Some(text.clone()).filter(|text| !text.is_empty()));
    row.by.iter().map(|(_, text)| value(text)).chain(row.sums()).collect()
}

/// Alerts, newest first.
pub async fn alerts(clerk: &Clerk<'_>, args: AlertsArgs) -> Result<()> {
    let AlertsArgs { workspace, scope, id, paging } = args;
    let view = clerk.view(&workspace, None).await?;
    let query = AlertQuery { scope, id, ..AlertQuery::default() };
    let page = paging.gather(async |after, limit| {
        let query = AlertQuery { after, limit, ..query.clone() };
        clerk.tables().alerts(&workspace, &query).await
    });
    let Page { items, next_cursor } = page.await?;
    let page = Page { items: items.into_iter().map(AlertLine::from).collect(), next_cursor };
    let answer = Listed { head: Head::of(&workspace, &view), page };
    clerk.print(&answer, || listed("alerts", &ALERT_COLUMNS, &answer.page, alert_row))
}

const ALERT_COLUMNS: [Column; 9] = [
    Column::Text("raised (UTC)"),
    Column::Text("scope"),
    Column::Text("of"),
    Column::Text("state"),
    Column::Number("threshold"),
    Column::Number("ratio"),
    Column::Number("used"),
    Column::Number("total"),
    Column::Text("period"),
];

fn alert_row(item: &AlertLine) -> Vec<String> {
    vec![
        when(item.at),
        item.scope.as_str().to_owned(),
        item.id.clone(),
        item.state.as_str().to_owned(),
        format!("{} %", item.threshold),
        percent(Some(item.ratio)),
        item.used.to_string(),
        item.total.to_string(),
        item.period.to_string(),
    ]
}
