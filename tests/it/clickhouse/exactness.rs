//! Amounts and texts come back as they went in, to the last digit and byte.

use std::sync::Arc;

use tollgate::clickhouse::UsageSource;
use tollgate::domain::change::Change;
use tollgate::domain::credits::Credits;
use tollgate::domain::decision::{Blocked, Drawn, Outcome, Reason};
use tollgate::domain::event::Header;
use tollgate::domain::ledger::{Account, Entry, Posting};
use tollgate::domain::period::Instant;
use tollgate::domain::record::Rows;

use super::sample::{NOW, allowed, balance, day, dead_letter, denied, rollup, workspace};
use crate::support::{TestDatabase, database};

/// Quotes, backslashes, every escape of every format, a NUL, several alphabets and 10 kB of it.
fn hostile() -> String {
    let piece = "'\"`\\ \\' \\N \\0 \0 \t \r\n {x:String} ?fields ?? %s ; -- /* */ \u{202e} 日本 🦀 ";
    let mut text = piece.repeat(10_240 / piece.len() + 1);
    text.push('\\');
    text
}

async fn one(database: &TestDatabase, sql: &str) -> String {
    database.client.query_raw(sql).fetch_one::<String>().await.unwrap()
}

#[tokio::test]
async fn amounts_are_exact_up_to_the_largest_total() {
    let database = database().await;
    let largest = Credits::from_micro(Credits::TOTAL_MAX.micro() - 1);
    let mut pool = balance("acme", "pool", 1, Credits::ZERO);
    (pool.credited, pool.transferred_out, pool.held) = (largest, Credits::ZERO, Credits::from_micro(1));
    pool.limit = Some(Credits::TOTAL_MAX);
    let mut user = balance("acme", "user:ann", 1, Credits::from_micro(1));
    user.limit = Some(Credits::ZERO);
    let rollups = vec![rollup("acme", "ann", 1, Credits::TOTAL_MAX)];
    let rows = Rows { balances: vec![pool.clone(), user.clone()], rollups, ..Rows::default() };
    database.store.record(&rows).await.unwrap();
    let read = database.store.balances(&workspace("acme"), day("2026-11-01")).await.unwrap();
    assert_eq!(read, [pool, user]);
    let pool = "SELECT toString((credited, remaining, `limit`)) FROM account_balances WHERE account = 'pool'";
    assert_eq!(one(&database, pool).await, "(7999999999.999999,7999999999.999998,8000000000)");
    assert_eq!(one(&database, "SELECT toString(credits) FROM usage_monthly").await, "8000000000");
}

#[tokio::test]
async fn an_event_keeps_its_split_to_the_microcredit() {
    let database = database().await;
    let mut event = allowed("acme", "ann", 1);
    let [user, team, pool, overage] = [1, 20, 300, 999_999_999_999_679].map(Credits::from_micro);
    Arc::make_mut(&mut event.event).credits = user + team + pool + overage;
    event.verdict.outcome = Outcome::Overage;
    event.verdict.drawn = Drawn { user, team, pool, overage };
    assert_eq!(event.event.credits, Credits::EVENT_MAX);
    database.store.record(&Rows { events: vec![event], ..Rows::default() }).await.unwrap();
    let sql =
        "SELECT toString((credits, drawn_user, drawn_team, drawn_pool, overage_credits)) FROM usage_events";
    assert_eq!(one(&database, sql).await, "(1000000000,0.000001,0.00002,0.0003,999999999.999679)");
}

#[tokio::test]
async fn every_field_of_an_event_has_its_column() {
    let database = database().await;
    let mut full = allowed("acme", "ann", 7);
    Arc::make_mut(&mut full.event).input_tokens = Some(u64::MAX);
    Arc::make_mut(&mut full.event).quantity = Some(0);
    Arc::make_mut(&mut full.event).hold = Some("h-1".parse().unwrap());
    Arc::make_mut(&mut full.event).rate_version = Some("r-2".into());
    full.hold_ignored = true;
    let blocked = [11, 12, 13].map(Credits::from_micro);
    full.verdict.outcome = Outcome::Overage;
    full.verdict.reason = Some(Reason::InsufficientCredits);
    full.verdict.blocked = Some(Blocked {
        limit: Some(Credits::ZERO),
        used: blocked[0],
        held: blocked[1],
        remaining: blocked[2],
    });
    full.verdict.epoch = 2;
    full.arrived_at = Instant::from_micros(9);
    let mut bare = allowed("acme", "bob", 8);
    let event = Arc::make_mut(&mut bare.event);
    (event.model, event.input_tokens, event.output_tokens) = (None, None, None);
    bare.verdict.team = None;
    database.store.record(&Rows { events: vec![full, bare], ..Rows::default() }).await.unwrap();
    let event = |id: &str| format!("SELECT toString(tuple(*)) FROM usage_events WHERE id = '{id}'");
    assert_eq!(
        one(&database, &event("e7")).await,
        "('e7','app','2026-11-22 10:00:00.000007','acme','ann','ai_chat',1.5,'small-1',18446744073709551615,0,0,\
         'h-1',true,'design','2026-11-01','2026-11-22','overage','insufficient_credits',\
         'pool',0,0.000011,0.000012,0.000013,0,0,1.5,0,NULL,'r-2','2026-11-22 10:00:01.000000',\
         3,1007,2,7,2199023255559,'1970-01-01 00:00:00.000009')"
    );
    assert_eq!(
        one(&database, &event("e8")).await,
        "('e8','app','2026-11-22 10:00:00.000008','acme','bob','ai_chat',1.5,'',NULL,NULL,NULL,\
         '',false,'','2026-11-01','2026-11-22','allowed','',\
         '',NULL,0,0,0,0,0,1.5,0,NULL,'','2026-11-22 10:00:01.000000',\
         3,1008,1,8,1099511627784,'1970-01-01 00:00:00.000000')"
    );
}

#[tokio::test]
async fn the_sum_of_denials_passes_64_bits() {
    let database = database().await;
    let events: Vec<_> = (0..10_000).map(|n| denied("acme", "bob", n, Credits::EVENT_MAX)).collect();
    let sum = i128::from(Credits::EVENT_MAX.micro()) * 10_000;
    assert!(sum > i128::from(i64::MAX));
    let mut cell = rollup("acme", "bob", 9_999, Credits::ZERO);
    (cell.totals.events, cell.totals.denied_events, cell.totals.denied_micro) = (0, 10_000, sum);
    database.store.record(&Rows { events, rollups: vec![cell], ..Rows::default() }).await.unwrap();
    for source in [UsageSource::Events, UsageSource::Rollups] {
        let totals = database.store.totals(source, None).await.unwrap();
        assert_eq!(totals.values().next().unwrap().denied_micro, sum);
    }
}

#[tokio::test]
async fn hostile_texts_of_an_event_come_back_byte_for_byte() {
    let database = database().await;
    let mut event = allowed("acme", "ann", 1);
    let named = Arc::make_mut(&mut event.event);
    for text in [&mut named.id, &mut named.source] {
        *text = hostile().into();
    }
    Arc::make_mut(&mut event.event).model = Some(hostile().into());
    database.store.record(&Rows { events: vec![event], ..Rows::default() }).await.unwrap();
    for column in ["id", "source", "model"] {
        assert_eq!(one(&database, &format!("SELECT {column} FROM usage_events")).await, hostile());
    }
}

#[tokio::test]
async fn dead_letters_keep_the_original_bytes() {
    let database = database().await;
    let bytes: Vec<u8> = (0..=255).cycle().take(10_240).collect();
    let mut letter = dead_letter("in", 1);
    letter.detail = hostile();
    (letter.key, letter.payload) = (Some(bytes.clone()), Some(bytes.clone()));
    letter.headers = vec![
        Header { name: "h".into(), value: Some(bytes.clone()) },
        Header { name: "h".into(), value: None },
    ];
    let mut empty = dead_letter("in", 2);
    (empty.key, empty.payload, empty.headers) = (None, Some(Vec::new()), Vec::new());
    database.store.record(&Rows { dead_letters: vec![letter, empty], ..Rows::default() }).await.unwrap();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    let first = "FROM dead_letters WHERE offset = 1";
    assert_eq!(one(&database, &format!("SELECT detail {first}")).await, hostile());
    for column in ["key", "payload", "headers[1].2"] {
        assert_eq!(
            one(&database, &format!("SELECT hex(assumeNotNull({column})) {first}")).await,
            hex,
            "{column}"
        );
    }
    let nulls = format!("SELECT toString((headers[2].1, headers[2].2 IS NULL)) {first}");
    assert_eq!(one(&database, &nulls).await, "('h',1)");
    let absent = "SELECT toString((key IS NULL, payload, headers)) FROM dead_letters WHERE offset = 2";
    assert_eq!(one(&database, absent).await, "(1,'',[])");
}

#[tokio::test]
async fn entries_of_the_ledger_keep_their_words_and_postings() {
    let database = database().await;
    let credits = Credits::from_micro(-1_500_001);
    let period = day("2026-11-01");
    let change = Change::TopUp { credits: Credits::TOTAL_MAX };
    let entry = Entry {
        workspace: workspace("acme"),
        epoch: 1,
        sequence: 7,
        kind: change.kind().into(),
        actor: hostile(),
        reason: Some(hostile()),
        idempotency_key: None,
        request: None,
        period,
        at: Instant::from_micros(NOW + 123_456),
        postings: vec![Posting { account: Account::Pool, period, credits }],
        change: serde_json::to_value(&change).unwrap(),
    };
    database.store.record_entries(&[entry.clone(), entry.clone()]).await.unwrap();
    database.store.record_entries(&[entry]).await.unwrap();
    assert_eq!(one(&database, "SELECT toString(count()) FROM credit_ledger").await, "1");
    assert_eq!(one(&database, "SELECT actor || reason FROM credit_ledger").await, hostile() + &hostile());
    let postings = r#"[{"account":"pool","period":"2026-11-01","credits":-1.500001}]"#;
    assert_eq!(one(&database, "SELECT postings FROM credit_ledger").await, postings);
    let change = one(&database, "SELECT change FROM credit_ledger").await;
    assert!(change.contains("top_up") && change.contains("8000000000"), "{change}");
    assert_eq!(one(&database, "SELECT toString(at) FROM credit_ledger").await, "2026-11-22 10:00:00.123456");
}
