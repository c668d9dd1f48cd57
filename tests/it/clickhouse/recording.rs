//! Writing may be repeated, reordered and late: the views answer the same.

use std::sync::Arc;

use tollgate::clickhouse::{RankingOrder, UsageSource};
use tollgate::domain::credits::Credits;
use tollgate::domain::decision::{Drawn, Outcome};
use tollgate::domain::ledger::Totals;
use tollgate::domain::period::Instant;
use tollgate::domain::record::Rows;

use super::sample::{NOW, allowed, balance, day, dead_letter, denied, pool, rollup, user, workspace};
use crate::support::{TestDatabase, database};

const VIEWS: [&str; 7] = [
    "usage_events",
    "usage_rollups",
    "usage_monthly",
    "account_balances",
    "pool_history",
    "credit_ledger",
    "dead_letters",
];

/// Ann's and Bob's usage with the absolutes that follow.
fn rows() -> Rows {
    let mut ann = rollup("acme", "ann", 2, Credits::from_micro(3_000_000));
    ann.totals.events = 2;
    let mut bob = rollup("acme", "bob", 3, Credits::ZERO);
    bob.totals =
        Totals { denied_events: 1, denied_micro: Credits::whole(7).micro().into(), ..Totals::default() };
    Rows {
        events: vec![
            allowed("acme", "ann", 1),
            allowed("acme", "ann", 2),
            denied("acme", "bob", 3, Credits::whole(7)),
        ],
        rollups: vec![ann, bob],
        balances: vec![
            balance("acme", "pool", 3, Credits::whole(3)),
            balance("acme", "user:ann", 2, Credits::ZERO),
        ],
        pools: vec![pool("acme", 0, 3, Credits::whole(3))],
        dead_letters: vec![dead_letter("in", 1), dead_letter("in", 2)],
    }
}

/// Every row of every view, but for the time of receipt.
async fn everything(database: &TestDatabase) -> Vec<String> {
    let mut rows = Vec::new();
    for view in VIEWS {
        let sql = format!("SELECT toString(tuple(* EXCEPT (received_at))) AS row FROM {view} ORDER BY row");
        let sql = if view == "dead_letters" { sql } else { sql.replace(" EXCEPT (received_at)", "") };
        rows.extend(database.client.query_raw(&sql).fetch_all::<String>().await.unwrap());
    }
    rows
}

#[tokio::test]
async fn recording_twice_changes_nothing() {
    let database = database().await;
    database.store.record(&rows()).await.unwrap();
    let once = everything(&database).await;
    assert_eq!(once.len(), 3 + 2 + 2 + 2 + 1 + 2);
    let store = database.store.clone();
    tokio::spawn(async move { store.record(&rows()).await }).await.unwrap().unwrap();
    assert_eq!(everything(&database).await, once);
}

#[tokio::test]
async fn the_reads_answer_what_was_recorded() {
    let database = database().await;
    database.store.record(&rows()).await.unwrap();
    let (acme, november) = (workspace("acme"), day("2026-11-01"));
    let ranking = database.store.ranking(&acme, november, RankingOrder::MostSpent, 10).await.unwrap();
    let spent: Vec<_> =
        ranking.iter().map(|u| (u.user.as_str(), u.credits, u.events, u.denied_events)).collect();
    assert_eq!(spent, [("ann", Credits::whole(3), 2, 0), ("bob", Credits::ZERO, 0, 1)]);
    let least = database.store.ranking(&acme, november, RankingOrder::LeastSpent, 1).await.unwrap();
    assert_eq!(least[0].user, "bob");
    let features = database.store.by_feature(&acme, november).await.unwrap();
    assert_eq!((features.len(), features[0].credits), (1, Credits::whole(3)));
    assert_eq!(database.store.monthly(&acme).await.unwrap()[1].denied_micro, 7_000_000);
    assert_eq!(database.store.balances(&acme, november).await.unwrap(), rows().balances);
    assert!(database.store.monthly(&workspace("other")).await.unwrap().is_empty());
    assert!(database.store.balances(&acme, day("2026-12-01")).await.unwrap().is_empty());
}

#[tokio::test]
async fn events_and_rollups_sum_up_to_the_same() {
    let database = database().await;
    database.store.record(&rows()).await.unwrap();
    for of in [Some(workspace("acme")), None] {
        let events = database.store.totals(UsageSource::Events, of.as_ref()).await.unwrap();
        let rollups = database.store.totals(UsageSource::Rollups, of.as_ref()).await.unwrap();
        assert_eq!(events.len(), 2);
        assert_eq!(events, rollups);
    }
    let other = workspace("other");
    assert!(database.store.totals(UsageSource::Events, Some(&other)).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_older_version_that_is_written_later_loses() {
    let database = database().await;
    database.store.record(&rows()).await.unwrap();
    let newest = everything(&database).await;
    let older = Rows {
        rollups: vec![rollup("acme", "ann", 1, Credits::whole(1))],
        balances: vec![balance("acme", "pool", 1, Credits::whole(1))],
        pools: vec![pool("acme", 0, 1, Credits::whole(1))],
        ..Rows::default()
    };
    database.store.record(&older).await.unwrap();
    assert_eq!(everything(&database).await, newest);
    let rebuilt = tollgate::domain::ledger::version(2, 1);
    let mut newer = balance("acme", "pool", 0, Credits::whole(50));
    newer.version = rebuilt;
    database.store.record(&Rows { balances: vec![newer.clone()], ..Rows::default() }).await.unwrap();
    let balances = database.store.balances(&workspace("acme"), day("2026-11-01")).await.unwrap();
    assert_eq!(balances[0], newer, "a new epoch is later than any sequence of an old one");
}

#[tokio::test]
async fn rows_of_two_months_and_many_chunks_arrive_whole() {
    let database = database().await;
    let small = tollgate::clickhouse::Settings { insert_rows_max: 7, ..database.settings().clone() };
    let store = tollgate::clickhouse::Store::connect(&small).unwrap();
    let december = |sequence: u64| {
        let mut event = allowed("acme", "ann", sequence);
        Arc::make_mut(&mut event.event).time =
            Instant::from_micros(NOW + 9 * 86_400_000_000 + sequence as i64);
        (event.period, event.day) = (day("2026-12-01"), day("2026-12-01"));
        event
    };
    let events = (1..=40).map(|n| if n % 2 == 0 { allowed("acme", "ann", n) } else { december(n) }).collect();
    let rows = Rows { events, ..Rows::default() };
    store.record(&rows).await.unwrap();
    store.record(&rows).await.unwrap();
    let totals = store.totals(UsageSource::Events, None).await.unwrap();
    let months: Vec<_> =
        totals.iter().map(|(cell, totals)| (cell.period.to_string(), totals.events)).collect();
    assert_eq!(months, [("2026-11-01".into(), 20), ("2026-12-01".into(), 20)]);
}

#[tokio::test]
async fn one_key_twice_in_one_insert_is_one_row() {
    let database = database().await;
    let mut again = allowed("acme", "ann", 1);
    again.verdict.sequence = 2;
    again.verdict.outcome = Outcome::Overage;
    let rollups = [3, 1, 2].map(|n| rollup("acme", "ann", n, Credits::whole(n as i64))).to_vec();
    let rows = Rows { events: vec![again, allowed("acme", "ann", 1)], rollups, ..Rows::default() };
    database.store.record(&rows).await.unwrap();
    let events = database.store.totals(UsageSource::Events, None).await.unwrap();
    assert_eq!(
        events.values().map(|totals| (totals.events, totals.overage_events)).collect::<Vec<_>>(),
        [(1, 1)]
    );
    let rollups = database.store.totals(UsageSource::Rollups, None).await.unwrap();
    assert_eq!(rollups.values().map(|totals| totals.credits).collect::<Vec<_>>(), [Credits::whole(3)]);
}

#[tokio::test]
async fn a_duplicate_takes_no_ones_place() {
    let database = database().await;
    database.store.record(&rows()).await.unwrap();
    let before = everything(&database).await;
    let mut again = allowed("acme", "ann", 1);
    again.verdict.outcome = Outcome::Duplicate;
    again.verdict.drawn = Drawn::default();
    again.verdict.sequence = 9;
    database.store.record(&Rows { events: vec![again], ..Rows::default() }).await.unwrap();
    assert_eq!(everything(&database).await, before);
}

#[tokio::test]
async fn a_reversal_wins_over_a_replay_of_the_decision() {
    let database = database().await;
    database.store.record(&rows()).await.unwrap();
    let reverse = "INSERT INTO usage_events_raw SELECT * REPLACE (decided_at AS reversed_at, 9 + version AS version) \
                   FROM usage_events_raw WHERE id = 'e1'";
    database.client.query_raw(reverse).execute().await.unwrap();
    database.store.record(&rows()).await.unwrap();
    let totals = database.store.totals(UsageSource::Events, None).await.unwrap();
    let ann = totals.iter().find(|(cell, _)| cell.user == user("ann").as_str()).unwrap().1;
    assert_eq!((ann.credits, ann.events), (Credits::from_micro(1_500_000), 2));
    let standing =
        "SELECT toString(groupArray(id)) FROM usage_events WHERE reversed_at IS NULL AND user = 'ann'";
    let standing = database.client.query_raw(standing).fetch_one::<String>().await.unwrap();
    assert_eq!(standing, "['e2']", "a filter does not bring the older version back");
}

#[tokio::test]
async fn a_late_event_does_not_break_the_history_of_the_running_period() {
    let database = database().await;
    let mut old = pool("acme", 2, 7, Credits::whole(99));
    old.period = day("2026-10-01");
    let mut old_alone = pool("acme", 4, 8, Credits::whole(98));
    old_alone.period = day("2026-10-01");
    let mut before = pool("acme", -2, 1, Credits::whole(97));
    before.period = day("2026-10-01");
    let pools = vec![
        before,
        pool("acme", 0, 3, Credits::whole(3)),
        pool("acme", 2, 6, Credits::whole(4)),
        old,
        old_alone,
        pool("acme", 5, 9, Credits::whole(6)),
    ];
    database.store.record(&Rows { pools, ..Rows::default() }).await.unwrap();
    let sql = "SELECT formatDateTime(minute, '%H:%i'), toString(remaining) FROM pool_history ORDER BY minute";
    let history = database.client.query_raw(sql).fetch_all::<(String, String)>().await.unwrap();
    let expected = [("09:58", "-2"), ("10:00", "92"), ("10:02", "91"), ("10:05", "89")];
    assert_eq!(history, expected.map(|(minute, left)| (minute.to_owned(), left.to_owned())));
}
