//! Sums of usage: every grouping is what the events say, from whichever table it was read.

use std::collections::BTreeMap;
use std::sync::Arc;

use tollgate::domain::credits::Credits;
use tollgate::domain::decision::{Decision, Drawn, Outcome};
use tollgate::domain::ledger::{Rollup, Totals, version};
use tollgate::domain::period::{Day, Instant, Period};
use tollgate::domain::record::Rows;
use tollgate::domain::reports::{Dimension, Reports, UsageQuery, UsageRow};

use super::sample::{NOW, allowed, day, denied, user, workspace};
use crate::support::{TestDatabase, database};

const DAY_MICROS: i64 = 86_400_000_000;

/// Users, features, teams and models of three weeks about the turn of a month; all three outcomes.
fn events() -> Vec<Decision> {
    (1..=240).map(event).collect()
}

fn event(number: u64) -> Decision {
    let who = ["ann", "bob", "cy"][number as usize % 3];
    let mut event = match number % 7 {
        0 => denied("acme", who, number, Credits::from_micro(2_000_001)),
        _ => allowed("acme", who, number),
    };
    let days = (number % 21) as i64;
    Arc::make_mut(&mut event.event).time = Instant::from_micros(NOW + days * DAY_MICROS + number as i64);
    Arc::make_mut(&mut event.event).feature = ["ai_chat", "ai_agent"][number as usize % 2].parse().unwrap();
    Arc::make_mut(&mut event.event).model =
        (!number.is_multiple_of(5)).then(|| format!("m-{}", number % 4).into());
    event.verdict.team =
        (!number.is_multiple_of(4)).then(|| ["red", "blue"][number as usize % 2].parse().unwrap());
    event.day = Day::from_number(day("2026-11-22").number() + days as i32);
    event.period = if days < 9 { day("2026-11-01") } else { day("2026-12-01") };
    if number.is_multiple_of(11) && event.verdict.outcome == Outcome::Allowed {
        event.verdict.outcome = Outcome::Overage;
        let [user, team, pool, overage] = [1, 20, 300, 4_000].map(Credits::from_micro);
        event.verdict.drawn = Drawn { user, team, pool, overage };
    }
    event
}

fn is_reversed(event: &Decision) -> bool {
    event.verdict.sequence.is_multiple_of(13)
}

fn value(event: &Decision, by: Dimension) -> String {
    match by {
        Dimension::User => event.event.user.to_string(),
        Dimension::Feature => event.event.feature.to_string(),
        Dimension::Team => event.verdict.team.as_ref().map(ToString::to_string).unwrap_or_default(),
        Dimension::Model => event.event.model.as_ref().map(ToString::to_string).unwrap_or_default(),
        Dimension::Day => event.day.to_string(),
        Dimension::Month => event.period.to_string(),
    }
}

/// What the tables must answer, by other means.
fn expected(query: &UsageQuery) -> Vec<UsageRow> {
    let mut sums: BTreeMap<Vec<String>, Totals> = BTreeMap::new();
    for event in events().iter().filter(|event| is_asked(event, query)) {
        let key = query.group_by.iter().map(|by| value(event, *by)).collect();
        add(sums.entry(key).or_default(), event);
    }
    let row = |(key, totals): (Vec<String>, Totals)| UsageRow {
        by: query.group_by.iter().copied().zip(key).collect(),
        totals,
    };
    sums.into_iter().map(row).collect()
}

fn is_asked(event: &Decision, query: &UsageQuery) -> bool {
    query.from.is_none_or(|from| event.day >= from)
        && query.to.is_none_or(|to| event.day < to)
        && query.period.is_none_or(|period| event.period == period)
        && query.user.as_ref().is_none_or(|user| event.event.user == *user)
        && query.feature.as_ref().is_none_or(|feature| event.event.feature == *feature)
}

fn add(totals: &mut Totals, event: &Decision) {
    if event.verdict.outcome == Outcome::Denied {
        totals.denied_events += 1;
        totals.denied_micro += i128::from(event.event.credits.micro());
        return;
    }
    totals.events += 1;
    totals.overage_events += u64::from(event.verdict.outcome == Outcome::Overage);
    if !is_reversed(event) {
        totals.credits += event.verdict.drawn.from_accounts();
        totals.overage_credits += event.verdict.drawn.overage;
    }
}

fn rollups() -> Vec<Rollup> {
    let mut cells: BTreeMap<_, Totals> = BTreeMap::new();
    for event in &events() {
        let key = (event.period, event.event.user.clone(), event.event.feature.clone(), event.day);
        add(cells.entry(key).or_default(), event);
    }
    let cell = |((period, user, feature, day), totals)| Rollup {
        workspace: workspace("acme"),
        period,
        user,
        feature,
        day,
        totals,
        version: version(1, 9),
    };
    cells.into_iter().map(cell).collect()
}

/// The events and their rollups, some reversed, and another workspace's.
async fn recorded() -> TestDatabase {
    let database = database().await;
    let mut all = events();
    all.push(allowed("other", "ann", 1));
    let rows = Rows { events: all, rollups: rollups(), ..Rows::default() };
    database.store.record(&rows).await.unwrap();
    for event in events().iter().filter(|event| is_reversed(event)) {
        let (at, of) = (Instant::from_micros(NOW), &event.event);
        database.store.mark_reversed(&of.workspace, of.time, &of.source, &of.id, at).await.unwrap();
    }
    database
}

async fn usage(database: &TestDatabase, query: &UsageQuery) -> Vec<UsageRow> {
    let page = database.store.usage(&workspace("acme"), query).await.unwrap();
    assert_eq!(page.next, None);
    page.items
}

fn by(group_by: &[Dimension]) -> UsageQuery {
    UsageQuery { group_by: group_by.to_vec(), limit: 10_000, ..UsageQuery::default() }
}

#[tokio::test]
async fn every_grouping_is_what_the_events_say() {
    let database = recorded().await;
    for subset in 0..1_usize << Dimension::ALL.len() {
        let dimensions = Dimension::ALL.iter().enumerate().filter(|(bit, _)| subset >> bit & 1 == 1);
        let query = by(&dimensions.map(|(_, dimension)| *dimension).collect::<Vec<_>>());
        assert_eq!(usage(&database, &query).await, expected(&query), "{:?}", query.group_by);
    }
    let backwards = by(&[Dimension::Month, Dimension::Feature, Dimension::User]);
    assert_eq!(usage(&database, &backwards).await, expected(&backwards));
}

#[tokio::test]
async fn days_are_half_open_and_filters_hold_in_either_table() {
    let database = recorded().await;
    let span = UsageQuery { from: Some(day("2026-11-30")), to: Some(day("2026-12-02")), ..by(&[]) };
    let only = UsageQuery {
        user: Some(user("bob")),
        feature: Some("ai_agent".parse().unwrap()),
        period: Some(day("2026-12-01")),
        ..by(&[])
    };
    let empty = UsageQuery { from: Some(day("2026-12-02")), to: Some(day("2026-12-02")), ..by(&[]) };
    let far = UsageQuery { from: Some(day("0001-01-01")), to: Some(day("9998-12-31")), ..by(&[]) };
    for query in [span, only, empty, far] {
        for group_by in [vec![Dimension::Day], vec![Dimension::Day, Dimension::Team], vec![]] {
            let query = UsageQuery { group_by, ..query.clone() };
            assert_eq!(usage(&database, &query).await, expected(&query), "{query:?}");
        }
    }
}

#[tokio::test]
async fn pages_neither_repeat_nor_skip() {
    let database = recorded().await;
    for group_by in [
        vec![Dimension::User],
        vec![Dimension::Day, Dimension::User],
        vec![Dimension::Team, Dimension::Model, Dimension::Month],
    ] {
        let (mut query, mut rows) = (by(&group_by), Vec::new());
        query.limit = 2;
        loop {
            let page = database.store.usage(&workspace("acme"), &query).await.unwrap();
            assert!(page.items.len() <= 2);
            rows.extend(page.items);
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        assert_eq!(rows, expected(&by(&group_by)), "{group_by:?}");
    }
}

#[tokio::test]
async fn the_views_say_the_same() {
    let database = recorded().await;
    let monthly = database.store.monthly(&workspace("acme")).await.unwrap();
    let rows = usage(&database, &by(&[Dimension::Month, Dimension::User, Dimension::Feature])).await;
    let of_view = monthly.iter().map(|m| (m.user.clone(), m.credits, m.events, m.denied_micro));
    let of_report = rows.iter().map(|row| {
        let totals = row.totals;
        (row.by[1].1.clone(), totals.credits, totals.events, totals.denied_micro)
    });
    assert_eq!(of_view.collect::<Vec<_>>(), of_report.collect::<Vec<_>>());
    assert!(database.store.usage(&workspace("none"), &by(&[])).await.unwrap().items.is_empty(), "no zeros");
}

#[tokio::test]
async fn a_cell_of_nothing_is_no_row() {
    let database = database().await;
    let mut cells = rollups();
    cells.truncate(2);
    cells[1].totals = Totals::default();
    database.store.record(&Rows { rollups: cells.clone(), ..Rows::default() }).await.unwrap();
    let rows = usage(&database, &by(&[Dimension::User, Dimension::Feature, Dimension::Day])).await;
    assert_eq!(rows.iter().map(|row| row.totals).collect::<Vec<_>>(), [cells[0].totals]);
}

#[tokio::test]
async fn use_by_the_day_is_the_same_use() {
    let database = recorded().await;
    let (from, to) = (day("2026-11-25"), day("2026-12-05"));
    let days = database.store.daily(&workspace("acme"), from, to).await.unwrap();
    let query = UsageQuery { from: Some(from), to: Some(to), ..by(&[Dimension::Day, Dimension::User]) };
    let of_usage = expected(&query).into_iter().map(|row| {
        let (totals, by) = (row.totals, row.by);
        let denied = Credits::from_micro(totals.denied_micro as i64);
        (by[0].1.clone(), by[1].1.clone(), totals.credits + totals.overage_credits, denied)
    });
    let of_days = days.iter().map(|d| (d.day.to_string(), d.user.to_string(), d.spent, d.denied));
    assert_eq!(of_days.collect::<Vec<_>>(), of_usage.collect::<Vec<_>>());
    let totals = database.store.daily_totals(&workspace("acme"), from, to).await.unwrap();
    assert_eq!(totals.len(), 10);
    let (sum, all) = (totals.iter().map(|d| d.spent).sum::<Credits>(), days.iter().map(|d| d.spent).sum());
    assert_eq!(sum, all);
}

#[tokio::test]
async fn activity_is_the_newest_time_and_the_dearest_feature() {
    let database = recorded().await;
    let midnight = |text: &str| Instant::from_micros(i64::from(day(text).number()) * DAY_MICROS);
    let november = Period {
        name: day("2026-11-01"),
        start: midnight("2026-11-01"),
        end: midnight("2026-12-01"),
        planned: true,
    };
    let activity = database.store.activity(&workspace("acme"), &november, None).await.unwrap();
    assert_eq!(activity.len(), 3);
    for of_user in &activity {
        let mine = |event: &Decision| event.event.user == of_user.user && event.period == november.name;
        let newest = events().iter().filter(|event| mine(event)).map(|event| event.event.time).max().unwrap();
        assert_eq!(of_user.last_active, newest);
        let query = UsageQuery {
            user: Some(of_user.user.clone()),
            period: Some(november.name),
            ..by(&[Dimension::Feature])
        };
        let spent = |row: &UsageRow| row.totals.credits + row.totals.overage_credits;
        let mut features = expected(&query);
        features.sort_by_key(|row| std::cmp::Reverse(spent(row)));
        assert_eq!(of_user.top_feature.as_ref().unwrap().as_str(), features[0].by[0].1);
    }
    let bob = database.store.activity(&workspace("acme"), &november, Some(&user("bob"))).await.unwrap();
    assert_eq!(bob, activity[1..2]);
}
