//! Lists newest first: filters, pages that neither repeat nor skip, and values that stay values.

use std::sync::Arc;

use std::collections::BTreeSet;

use tollgate::domain::alert::{Alert, AlertState, Scope};
use tollgate::domain::credits::Credits;
use tollgate::domain::decision::{Decision, Outcome};
use tollgate::domain::ledger::{Account, Entry, Posting};
use tollgate::domain::period::Instant;
use tollgate::domain::record::Rows;
use tollgate::domain::reports::{AlertQuery, EventQuery, LedgerQuery, Reports};

use super::sample::{NOW, allowed, day, denied, user, workspace};
use crate::support::{TestDatabase, database};

const HOSTILE: &str = "x' OR 1=1; -- \\' {id:String} \t\n\0 ?";

/// Collects all pages of two rows; `$read` is the call, `$query` what it asks.
macro_rules! pages {
    ($database:expr, $read:ident, $query:expr) => {{
        let (mut query, mut items) = ($query, Vec::new());
        query.limit = 2;
        loop {
            let page = $database.store.$read(&workspace("acme"), &query).await.unwrap();
            assert!(page.items.len() <= 2);
            items.extend(page.items);
            query.after = page.next;
            if query.after.is_none() {
                break items;
            }
        }
    }};
}

/// Four at one instant, three on other days, one of long ago, and another workspace's.
async fn events() -> (TestDatabase, Vec<Decision>) {
    let database = database().await;
    let days_ago = [0, 0, 0, 0, 1, 30, 30, 900];
    let mut events: Vec<Decision> =
        (1..=8).map(|n| allowed("acme", ["ann", "bob"][n as usize % 2], n)).collect();
    events[2] = denied("acme", "bob", 3, Credits::whole(7));
    for (event, days) in events.iter_mut().zip(days_ago) {
        Arc::make_mut(&mut event.event).time = Instant::from_micros(NOW - days * 86_400_000_000);
    }
    Arc::make_mut(&mut events[1].event).source = HOSTILE.into();
    let fourth = Arc::make_mut(&mut events[4].event);
    (fourth.id, fourth.model) = (HOSTILE.into(), Some(HOSTILE.into()));
    let mut all = events.clone();
    all.push(allowed("other", "ann", 1));
    database.store.record(&Rows { events: all, ..Rows::default() }).await.unwrap();
    events.sort_by_key(|e| std::cmp::Reverse((e.event.time, e.event.source.clone(), e.event.id.clone())));
    (database, events)
}

fn ids<'a>(events: impl IntoIterator<Item = &'a Decision>) -> Vec<String> {
    events.into_iter().map(|event| event.event.id.to_string()).collect()
}

#[tokio::test]
async fn events_come_newest_first_in_whole_pages() {
    let (database, events) = events().await;
    let listed = pages!(database, events, EventQuery::default());
    assert_eq!(listed.iter().map(|row| row.event_id.clone()).collect::<Vec<_>>(), ids(&events));
    let denied = listed.iter().find(|row| row.outcome == Outcome::Denied).unwrap();
    assert_eq!(
        serde_json::to_string(denied).unwrap(),
        "{\"event_id\":\"e3\",\"source\":\"app\",\"time\":\"2026-11-22T10:00:00Z\",\"user\":\"bob\",\
         \"feature\":\"ai_chat\",\"credits\":7,\"model\":\"small-1\",\"input_tokens\":120,\"output_tokens\":0,\
         \"quantity\":null,\"hold\":null,\"hold_ignored\":false,\"team\":\"design\",\"period\":\"2026-11-01\",\
         \"day\":\"2026-11-22\",\"outcome\":\"denied\",\"reason\":\"user_limit\",\
         \"blocked_by\":{\"level\":\"user\",\"id\":\"bob\",\"limit\":10,\"used\":10,\"held\":0,\"remaining\":0},\
         \"drawn\":{\"user\":0,\"team\":0,\"pool\":0,\"overage\":0},\"reversed_at\":null,\"rate_version\":null,\
         \"decided_at\":\"2026-11-22T10:00:01Z\",\"partition\":3,\"offset\":1003,\"epoch\":1,\"sequence\":3}"
    );
}

#[tokio::test]
async fn events_are_filtered_by_what_is_given() {
    let (database, events) = events().await;
    let at = |days: i64| Some(Instant::from_micros(NOW - days * 86_400_000_000));
    let base = EventQuery::default;
    for (query, keep) in [
        (
            EventQuery { user: Some(user("bob")), ..base() },
            (|e: &Decision| e.event.user == user("bob")) as fn(&Decision) -> bool,
        ),
        (EventQuery { outcome: Some(Outcome::Denied), ..base() }, |e| e.verdict.outcome == Outcome::Denied),
        (EventQuery { feature: Some("none".parse().unwrap()), ..base() }, |_| false),
        (EventQuery { from: at(30), to: at(0), ..base() }, |e| {
            e.event.time.micros() < NOW && e.event.time.micros() >= NOW - 30 * 86_400_000_000
        }),
        (EventQuery { to: at(31), ..base() }, |e| e.event.time.micros() < NOW - 31 * 86_400_000_000),
    ] {
        let listed = pages!(database, events, query.clone());
        let found: Vec<String> = listed.into_iter().map(|row| row.event_id).collect();
        assert_eq!(found, ids(events.iter().filter(|event| keep(event))), "{query:?}");
    }
}

fn entry(sequence: u64, actor: &str, kind: &str, account: Account) -> Entry {
    let period = day("2026-11-01");
    let posting =
        |account: Account, micro: i64| Posting { account, period, credits: Credits::from_micro(micro) };
    Entry {
        workspace: workspace("acme"),
        epoch: 1 + sequence / 4,
        sequence,
        kind: kind.into(),
        actor: actor.into(),
        reason: Some(HOSTILE.into()),
        idempotency_key: None,
        request: None,
        period,
        at: Instant::from_micros(NOW + sequence as i64),
        postings: vec![posting(Account::Pool, -1_500_001), posting(account, 1_500_001)],
        change: serde_json::json!({"kind": kind, "credits": 1.5}),
    }
}

#[tokio::test]
async fn the_ledger_is_listed_and_filtered() {
    let database = database().await;
    let ann = || Account::User(user("ann"));
    let entries: Vec<Entry> = (1..=7)
        .map(|n| match n % 3 {
            0 => entry(n, HOSTILE, "grant", ann()),
            1 => entry(n, "ops", "transfer", Account::Team("ann".parse().unwrap())),
            _ => entry(n, "ops", "grant", Account::User(user("an"))),
        })
        .collect();
    database.store.record_entries(&entries).await.unwrap();
    let base = LedgerQuery::default;
    let at = |n: i64| Some(Instant::from_micros(NOW + n));
    for (query, expected) in [
        (base(), vec![7, 6, 5, 4, 3, 2, 1]),
        (LedgerQuery { actor: Some(HOSTILE.into()), ..base() }, vec![6, 3]),
        (LedgerQuery { actor: Some("ops' --".into()), ..base() }, vec![]),
        (LedgerQuery { kind: Some("grant".into()), ..base() }, vec![6, 5, 3, 2]),
        (LedgerQuery { account: Some(ann()), ..base() }, vec![6, 3]),
        (LedgerQuery { account: Some(Account::Pool), ..base() }, vec![7, 6, 5, 4, 3, 2, 1]),
        (LedgerQuery { from: at(2), to: at(5), ..base() }, vec![4, 3, 2]),
    ] {
        let listed = pages!(database, ledger, query.clone());
        assert_eq!(listed.iter().map(|row| row.sequence).collect::<Vec<_>>(), expected, "{query:?}");
    }
    let newest = pages!(database, ledger, base()).remove(1);
    assert_eq!((newest.reason.as_deref(), newest.actor.as_str()), (Some(HOSTILE), HOSTILE));
    let shown = serde_json::to_string(&newest).unwrap();
    assert!(
        shown
            .contains("\"postings\":[{\"account\":\"pool\",\"period\":\"2026-11-01\",\"credits\":-1.500001}")
    );
    assert!(shown.contains("\"change\":{\"credits\":1.5,\"kind\":\"grant\"}"), "{shown}");
}

fn alert(sequence: u64, scope: Scope, id: &str, threshold: u8) -> Alert {
    Alert {
        workspace: workspace("acme"),
        scope,
        id: id.into(),
        threshold,
        used: Credits::from_micro(800_000),
        total: Credits::whole(1),
        period: day("2026-11-01"),
        at: Instant::from_micros(NOW + 1),
        state: AlertState::Crossed,
        epoch: 1,
        sequence,
    }
}

#[tokio::test]
async fn alerts_are_kept_once_and_listed_newest_first() {
    let database = database().await;
    let mut recovered = alert(9, Scope::Pool, "acme", 80);
    recovered.state = AlertState::Recovered;
    let alerts = vec![
        recovered,
        alert(7, Scope::User, "x' OR 1=1 --", 100),
        alert(7, Scope::User, "ann", 100),
        alert(7, Scope::User, "ann", 50),
        alert(7, Scope::Team, "ann", 80),
        alert(3, Scope::Pool, "acme", 80),
    ];
    for _ in 0..2 {
        database.store.record_alerts(&alerts).await.unwrap();
    }
    assert_eq!(pages!(database, alerts, AlertQuery::default()), alerts);
    let of_pools = AlertQuery { scope: Some(Scope::Pool), ..AlertQuery::default() };
    assert_eq!(pages!(database, alerts, of_pools), [alerts[0].clone(), alerts[5].clone()]);
    let of_one = AlertQuery { id: Some("x' OR 1=1 --".into()), ..AlertQuery::default() };
    assert_eq!(pages!(database, alerts, of_one), alerts[1..2]);
    let ratios = "SELECT DISTINCT toString(ratio) FROM credit_alerts";
    assert_eq!(database.client.query_raw(ratios).fetch_all::<String>().await.unwrap(), ["0.8"]);
}

#[tokio::test]
async fn many_events_of_one_instant_are_told_apart() {
    let database = database().await;
    let at_once = |n: u64| {
        let mut event = allowed("acme", "ann", n);
        Arc::make_mut(&mut event.event).time = Instant::from_micros(NOW);
        event
    };
    let events: Vec<Decision> = (1..=25).map(at_once).collect();
    database.store.record(&Rows { events, ..Rows::default() }).await.unwrap();
    let listed = pages!(database, events, EventQuery::default());
    let distinct: BTreeSet<&str> = listed.iter().map(|row| row.event_id.as_str()).collect();
    assert_eq!((listed.len(), distinct.len()), (25, 25));
}
