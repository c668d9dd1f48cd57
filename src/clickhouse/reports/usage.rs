//! Sums of usage by any dimensions. `usage_rollups` answers what it can, `usage_events` the rest,
//! with the same numbers: a reversed event has lost its credits and stays counted.

use clickhouse::Row;
use serde::Deserialize;

use super::{Filter, instant, stored_day};
use crate::clickhouse::{Store, WarehouseError};
use crate::domain::credits::Credits;
use crate::domain::ids::WorkspaceId;
use crate::domain::ledger::Totals;
use crate::domain::period::Day;
use crate::domain::reports::{Dimension, Page, UsageQuery, UsageRow};

const OF_ROLLUPS: &str = "SELECT {by} AS by,
    sum(u.credits) AS credits, sum(u.overage_credits) AS overage_credits,
    sum(u.events) AS events, sum(u.overage_events) AS overage_events,
    sum(u.denied_events) AS denied_events, sum(u.denied_credits) AS denied_credits
FROM usage_rollups AS u
WHERE {filter}";

const OF_EVENTS: &str = "SELECT {by} AS by,
    sumIf(u.drawn_user + u.drawn_team + u.drawn_pool, u.reversed_at IS NULL) AS credits,
    sumIf(u.overage_credits, u.reversed_at IS NULL) AS overage_credits,
    countIf(u.outcome IN ('allowed', 'overage')) AS events,
    countIf(u.outcome = 'overage') AS overage_events,
    countIf(u.outcome = 'denied') AS denied_events,
    sumIf(u.credits, u.outcome = 'denied') AS denied_credits
FROM usage_events AS u
WHERE {filter}";

const ORDERED: &str = "{groups}
HAVING events > 0 OR denied_events > 0 {order} LIMIT {limit:UInt64}";

/// Longest way from a period's start to one of its days, and more: a change of the anchor day stretches
/// a month to two.
const PERIOD_DAYS_MAX: i32 = 95;
/// How far a day may lie from the UTC day of the event's time: a settle counts on the last day of
/// its hold's period, up to a day before it.
const DAY_SLACK: i32 = 3;
const DAY_MICROS: i64 = 86_400_000_000;

#[derive(Row, Deserialize)]
struct Sums {
    by: Vec<String>,
    credits: i128,
    overage_credits: i128,
    events: u64,
    overage_events: u64,
    denied_events: u64,
    denied_credits: i128,
}

impl Store {
    pub(super) async fn usage_page(
        &self,
        workspace: &WorkspaceId,
        query: &UsageQuery,
    ) -> Result<Page<UsageRow>, WarehouseError> {
        let of_events = query.group_by.iter().any(|dimension| dimension.is_of_events());
        let mut filter = filter(workspace, query, of_events);
        filter.bind("limit", query.limit + 1);
        let statement = if of_events { OF_EVENTS } else { OF_ROLLUPS };
        let query_of_sums = filter.query(self, &statement_by(statement, &query.group_by));
        let rows = self.fetch::<Sums>("usage", query_of_sums).await?;
        let rows = rows.into_iter().map(|row| row.usage(&query.group_by)).collect::<Result<_, _>>()?;
        Ok(Page::cut(rows, query.limit))
    }
}

fn column(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::User => "u.user",
        Dimension::Feature => "u.feature",
        Dimension::Team => "u.team",
        Dimension::Model => "u.model",
        Dimension::Day => "u.day",
        Dimension::Month => "u.period",
    }
}

fn statement_by(sums: &str, group_by: &[Dimension]) -> String {
    let columns: Vec<&str> = group_by.iter().map(|dimension| column(*dimension)).collect();
    let texts: Vec<String> = columns.iter().map(|column| format!("toString({column})")).collect();
    let by =
        if texts.is_empty() { "emptyArrayString()".to_owned() } else { format!("[{}]", texts.join(", ")) };
    let list = columns.join(", ");
    let clause = |word: &str| if list.is_empty() { String::new() } else { format!("{word} {list}") };
    let ordered = ORDERED.replace("{groups}", &clause(" GROUP BY")).replace("{order}", &clause("ORDER BY"));
    sums.replace("{by}", &by) + &ordered
}

fn filter(workspace: &WorkspaceId, query: &UsageQuery, of_events: bool) -> Filter {
    let mut filter = Filter::of(workspace);
    filter.add_some("u.user = {user:String}", "user", query.user.as_ref());
    filter.add_some("u.feature = {feature:String}", "feature", query.feature.as_ref());
    filter.add_some("u.period = {period:Date}", "period", query.period.map(|day| stored_day(day.number())));
    let (from, to) = (query.from.map(|day| day.number()), query.to.map(|day| day.number()));
    filter.add_some("u.day >= {from:Date}", "from", from.map(stored_day));
    filter.add_some("u.day < {to:Date}", "to", to.map(stored_day));
    // The day is in no key; these bounds follow from it, and are.
    if of_events {
        let micros = |day: i32| i64::from(day) * DAY_MICROS;
        let (first, last) = (from.map(|day| micros(day - DAY_SLACK)), to.map(|day| micros(day + DAY_SLACK)));
        filter.add_some(&format!("u.time >= {}", instant("first")), "first", first);
        filter.add_some(&format!("u.time < {}", instant("last")), "last", last);
    } else {
        let (first, last) = (from.map(|day| day - PERIOD_DAYS_MAX), to.map(|day| day + DAY_SLACK));
        filter.add_some("u.period >= {first:Date}", "first", first.map(stored_day));
        filter.add_some("u.period <= {last:Date}", "last", last.map(stored_day));
    }
    behind(&mut filter, query);
    filter
}

/// The rows behind a place.
fn behind(filter: &mut Filter, query: &UsageQuery) {
    let Some(place) = query.after.as_ref().filter(|place| !place.0.is_empty()) else { return };
    let mut marks = Vec::new();
    for (number, (dimension, value)) in query.group_by.iter().zip(&place.0).enumerate() {
        let name = format!("after_{number}");
        let kind = if dimension.is_date() { "Date" } else { "String" };
        marks.push(format!("{{{name}:{kind}}}"));
        match value.parse::<Day>() {
            Ok(day) if dimension.is_date() => filter.bind(&name, stored_day(day.number())),
            _ => filter.bind(&name, value),
        }
    }
    let columns: Vec<&str> = query.group_by.iter().map(|dimension| column(*dimension)).collect();
    filter.conditions.push(format!("tuple({}) > tuple({})", columns.join(", "), marks.join(", ")));
}

impl Sums {
    fn usage(self, group_by: &[Dimension]) -> Result<UsageRow, WarehouseError> {
        let totals = Totals {
            credits: credits(self.credits)?,
            overage_credits: credits(self.overage_credits)?,
            events: self.events,
            overage_events: self.overage_events,
            denied_events: self.denied_events,
            denied_micro: self.denied_credits,
        };
        Ok(UsageRow { by: group_by.iter().copied().zip(self.by).collect(), totals })
    }
}

/// A sum over periods may pass the largest total of one, but not 64 bits.
fn credits(micro: i128) -> Result<Credits, WarehouseError> {
    let fits = i64::try_from(micro).map(Credits::from_micro);
    fits.map_err(|_| WarehouseError::Stored(format!("a sum of {micro} microcredits")))
}
