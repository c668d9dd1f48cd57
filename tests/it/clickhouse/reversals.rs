//! A reversal marks the event's row, once, and no repetition of anything takes the mark away.

use std::sync::Arc;

use tollgate::domain::change::{Change, Reversed};
use tollgate::domain::credits::Credits;
use tollgate::domain::decision::{Decision, Drawn, Outcome};
use tollgate::domain::ledger::Entry;
use tollgate::domain::period::Instant;
use tollgate::domain::record::Rows;
use tollgate::domain::reports::Reports;

use super::sample::{NOW, allowed, day, workspace};
use crate::support::{TestDatabase, database};

const HOSTILE: &str = "e'; DROP TABLE usage_events_raw; -- \\' {id:String} \t\n ?";

fn event() -> Decision {
    let mut event = allowed("acme", "ann", 1);
    let named = Arc::make_mut(&mut event.event);
    (named.id, named.source) = (HOSTILE.into(), HOSTILE.into());
    event
}

fn reversed(event: &Decision) -> Reversed {
    let of = &event.event;
    Reversed {
        event_id: of.id.to_string(),
        source: of.source.to_string(),
        time: of.time,
        period: event.period,
        day: event.day,
        user: of.user.clone(),
        team: event.verdict.team.clone(),
        feature: of.feature.clone(),
        drawn: event.verdict.drawn,
    }
}

fn entry(event: &Decision) -> Entry {
    let change = Change::Reversal(reversed(event));
    Entry {
        workspace: event.event.workspace.clone(),
        epoch: 1,
        sequence: 4,
        kind: change.kind().into(),
        actor: "ops".into(),
        reason: None,
        idempotency_key: None,
        request: None,
        period: day("2026-11-01"),
        at: Instant::from_micros(NOW + 5),
        postings: Vec::new(),
        change: serde_json::to_value(&change).unwrap(),
    }
}

async fn marks(database: &TestDatabase) -> Vec<(String, String)> {
    let sql =
        "SELECT id, toString(assumeNotNull(reversed_at)) FROM usage_events WHERE reversed_at IS NOT NULL";
    database.client.query_raw(sql).fetch_all().await.unwrap()
}

async fn record(database: &TestDatabase, events: &[Decision]) {
    database.store.record(&Rows { events: events.to_vec(), ..Rows::default() }).await.unwrap();
}

#[tokio::test]
async fn a_mark_is_made_once_and_survives_a_replay() {
    let database = database().await;
    let (event, other) = (event(), allowed("acme", "ann", 2));
    record(&database, &[event.clone(), other.clone()]).await;
    let of = &event.event;
    for at in [NOW, NOW + 99] {
        let at = Instant::from_micros(at);
        database.store.mark_reversed(&of.workspace, of.time, &of.source, &of.id, at).await.unwrap();
    }
    let once = [(HOSTILE.to_owned(), "2026-11-22 10:00:00.000000".to_owned())];
    assert_eq!(marks(&database).await, once, "the first time stays");
    record(&database, &[event, other]).await;
    assert_eq!(marks(&database).await, once);
    let rows = "SELECT toString(count()) FROM usage_events";
    assert_eq!(database.client.query_raw(rows).fetch_one::<String>().await.unwrap(), "2");
}

#[tokio::test]
async fn an_event_without_a_row_is_passed_over() {
    let database = database().await;
    let (at, acme) = (Instant::from_micros(NOW), workspace("acme"));
    database.store.mark_reversed(&acme, at, "app", "none", at).await.unwrap();
    assert!(marks(&database).await.is_empty());
}

#[tokio::test]
async fn an_entry_of_a_reversal_marks_its_event() {
    let database = database().await;
    let event = event();
    record(&database, std::slice::from_ref(&event)).await;
    let mut broken = entry(&event);
    (broken.sequence, broken.change) = (5, serde_json::json!({"kind": "reversal"}));
    for _ in 0..2 {
        database.store.record_entries(&[entry(&event), broken.clone()]).await.unwrap();
    }
    assert_eq!(marks(&database).await, [(HOSTILE.to_owned(), "2026-11-22 10:00:00.000005".to_owned())]);
    let entries = "SELECT toString(count()) FROM credit_ledger";
    assert_eq!(database.client.query_raw(entries).fetch_one::<String>().await.unwrap(), "2");
}

#[tokio::test]
async fn an_event_is_found_by_source_and_id_alone() {
    let database = database().await;
    let (old, mut new) = (event(), event());
    Arc::make_mut(&mut new.event).time = Instant::from_micros(NOW + 60_000_000);
    new.verdict.sequence = 2;
    new.verdict.outcome = Outcome::Overage;
    new.verdict.drawn = Drawn { overage: Credits::from_micro(7), ..new.verdict.drawn };
    record(&database, &[old, new.clone()]).await;
    let acme = workspace("acme");
    let found = database.store.event(&acme, HOSTILE, HOSTILE).await.unwrap().unwrap();
    assert_eq!((found.event, found.outcome, found.reversed_at), (reversed(&new), Outcome::Overage, None));
    database.store.record_entries(&[entry(&new)]).await.unwrap();
    let found = database.store.event(&acme, HOSTILE, HOSTILE).await.unwrap().unwrap();
    assert_eq!(found.reversed_at, Some(Instant::from_micros(NOW + 5)));
    for (of, source, id) in [("acme", "app", HOSTILE), ("acme", HOSTILE, "e1"), ("other", HOSTILE, HOSTILE)] {
        assert_eq!(database.store.event(&workspace(of), source, id).await.unwrap(), None);
    }
}
