//! Grafana's dashboards: every query runs on the real engine as Grafana's read-only user would send
//! it, and answers with these columns and these numbers.

mod files;
mod macros;

use std::collections::BTreeSet;

use crate::support::{TestDatabase, database};
use files::{dashboards, panels, queries, targets};
use macros::Browser;

/// Two workspaces; `acme` has three users in November (one idle, one without a limit) and one in October.
const ROWS: [&str; 5] = [
    "INSERT INTO account_balances_raw
        (workspace, period, account, credited, transferred_out, used, held, spent, `limit`, version) VALUES
        ('acme', '2026-11-01', 'pool', 1000, 50, 60.5, 1, 0, NULL, 1),
        ('acme', '2026-11-01', 'user:ann', 50, 0, 50, 0, 100, 200, 1),
        ('acme', '2026-11-01', 'user:idle', 0, 0, 0, 0, 0, 30, 1),
        ('acme', '2026-10-01', 'pool', 500, 0, 7, 0, 0, NULL, 1),
        ('beta', '2026-11-01', 'pool', 9000, 0, 0, 0, 0, NULL, 1)",
    "INSERT INTO usage_rollups_raw
        (workspace, period, user, feature, day, credits, overage_credits, events, overage_events,
         denied_events, denied_credits, version) VALUES
        ('acme', '2026-11-01', 'ann', 'ai_chat', today(), 60, 0, 4, 0, 2, 14, 1),
        ('acme', '2026-11-01', 'ann', 'ai_chat', today() - 1, 40, 0, 3, 0, 0, 0, 1),
        ('acme', '2026-11-01', 'bob', 'ai_agent', today(), 10.5, 2, 5, 1, 0, 0, 1),
        ('acme', '2026-10-01', 'ann', 'ai_chat', today() - 29, 7, 0, 1, 0, 0, 0, 1)",
    "INSERT INTO pool_history_raw (workspace, minute, period, total, used, held, unallocated, version) VALUES
        ('acme', toStartOfMinute(now()), '2026-11-01', 1000, 110.5, 1, 888.5, 2)",
    "INSERT INTO usage_events_raw
        (workspace, time, source, id, user, feature, credits, team, period, day, outcome, reason,
         blocked_level, blocked_limit, blocked_used, blocked_remaining, decided_at) VALUES
        ('acme', now64(6) - 60, '', '1', 'ann', 'ai_chat', 5, 'sales', '2026-11-01', today(),
         'denied', 'insufficient_credits', 'pool', NULL, 990, 4, now64(6)),
        ('acme', now64(6), '', '2', 'ann', 'ai_chat', 9, 'sales', '2026-11-01', today(),
         'denied', 'user_limit', 'user', 105, 100, 5, now64(6)),
        ('acme', now64(6), '', '3', 'ann', 'ai_chat', 1, 'sales', '2026-11-01', today(),
         'allowed', '', '', NULL, 0, 0, now64(6))",
    "INSERT INTO dead_letters_raw (topic, partition, offset, timestamp, reason, detail) VALUES
        ('ai.usage.events', 0, 7, now64(3), 'missing_field', 'user is missing')",
];

/// What a query answers: its title, its columns, its rows. `*` stands for a moment or a day.
struct Answer(&'static str, &'static str, &'static [&'static str]);

const ANSWERS: [Answer; 14] = [
    Answer("variable workspace", "workspace", &["acme", "beta"]),
    Answer("variable period", "period", &["2026-11-01", "2026-10-01"]),
    Answer(
        "Credits of the period",
        "total | used | held | remaining | unallocated | overage",
        &["1000 | 110.5 | 1 | 888.5 | 888.5 | 2"],
    ),
    Answer("Left of the period's credits", "remaining_ratio", &["0.8885"]),
    Answer("Pool over time", "time | total | used | held | remaining", &["* | 1000 | 110.5 | 1 | 888.5"]),
    Answer(
        "Spend per user this period",
        "user | spent | limit | limit_left | utilization | held | allocation_left | overage | events | denied_events",
        &[
            "ann | 100 | 200 | 100 | 0.5 | 0 | 0 | 0 | 7 | 2",
            r"bob | 12.5 | \N | \N | \N | 0 | 0 | 2 | 5 | 0",
            "idle | 0 | 30 | 30 | 0 | 0 | 0 | 0 | 0 | 0",
        ],
    ),
    Answer("Most spent", "user | spent", &["ann | 100", "bob | 12.5", "idle | 0"]),
    Answer("Least spent", "user | spent", &["idle | 0", "bob | 12.5", "ann | 100"]),
    Answer(
        "By feature this period",
        "feature | credits | overage_credits",
        &["ai_chat | 100 | 0", "ai_agent | 10.5 | 2"],
    ),
    Answer(
        "By month",
        "period | credits | overage_credits",
        &["2026-10-01 | 7 | 0", "2026-11-01 | 110.5 | 2"],
    ),
    Answer(
        "By day and feature",
        "time | feature | credits",
        &["* | ai_chat | 7", "* | ai_chat | 40", "* | ai_agent | 12.5", "* | ai_chat | 60"],
    ),
    Answer(
        "Denials by reason this period",
        "reason | events",
        &["insufficient_credits | 1", "user_limit | 1"],
    ),
    Answer("Dead letters by reason, all workspaces", "reason | records", &["missing_field | 1"]),
    Answer(
        "Recently denied",
        "time | user | team | feature | model | credits | reason | blocked_by | limit | used | held | remaining",
        &[
            "* | ann | sales | ai_chat |  | 9 | user_limit | user | 105 | 100 | 0 | 5",
            r"* | ann | sales | ai_chat |  | 5 | insufficient_credits | pool | \N | 990 | 0 | 4",
        ],
    ),
];

#[tokio::test]
async fn every_query_answers_with_its_columns_and_numbers() {
    let database = filled().await;
    let browser = Browser::with([("workspace", "acme"), ("period", "2026-11-01")]);
    let mut asked = BTreeSet::new();
    for query in queries() {
        let Some(Answer(title, columns, rows)) = ANSWERS.iter().find(|answer| answer.0 == query.title) else {
            panic!("no answer is known for {}", query.title);
        };
        let lines = ask(&database, &browser, &query.sql).await;
        assert_eq!(lines[0], *columns, "{title}");
        assert_eq!(lines.len() - 1, rows.len(), "{title}: {lines:#?}");
        for (line, row) in lines[1..].iter().zip(*rows) {
            assert!(matches(line, row), "{title}: {line:?} is not {row:?}");
        }
        asked.insert(*title);
    }
    assert_eq!(asked.len(), ANSWERS.len(), "an answer is known for a query that nobody asks");
}

/// A new installation has neither workspaces nor periods, and a browser sends what is not chosen as ''.
#[tokio::test]
async fn every_query_runs_before_there_is_anything() {
    let database = database().await;
    let browser = Browser::with([("workspace", ""), ("period", "")]);
    for query in queries() {
        let lines = ask(&database, &browser, &query.sql).await;
        let sums = ["Credits of the period", "Left of the period's credits"];
        assert_eq!(lines.len(), if sums.contains(&query.title.as_str()) { 2 } else { 1 }, "{}", query.title);
    }
}

#[test]
fn only_the_exact_views_are_read() {
    let words = |sql: &str| -> Vec<String> {
        sql.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_owned).collect()
    };
    for query in queries() {
        for word in words(&query.sql) {
            assert!(
                !word.ends_with("_raw") && word != "FINAL" && word != "system",
                "{}: {word}",
                query.title
            );
        }
    }
}

#[test]
fn panels_have_numbers_places_and_sources_of_their_own() {
    let folder =
        concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/grafana/provisioning/datasources/tollgate.yaml");
    let sources = std::fs::read_to_string(folder).expect("provisioned data sources");
    for dashboard in dashboards() {
        let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
        for panel in panels(&dashboard) {
            assert!(ids.insert(panel["id"].as_u64()), "two panels {}", panel["id"]);
            assert!(places.insert(panel["gridPos"].to_string()), "two panels at {}", panel["gridPos"]);
            assert!(!targets(panel).is_empty(), "{}", panel["title"]);
            for source in targets(panel).iter().chain([panel]).map(|part| &part["datasource"]["uid"]) {
                let line = format!("uid: {}\n", source.as_str().expect("a data source"));
                assert!(sources.contains(&line), "{}: {line}", panel["title"]);
            }
        }
    }
}

async fn filled() -> TestDatabase {
    let database = database().await;
    for sql in ROWS {
        database.client.query_raw(sql).execute().await.expect("insert");
    }
    database
}

/// Names and rows, one a line, as a user who may only read gets them.
async fn ask(database: &TestDatabase, browser: &Browser, sql: &str) -> Vec<String> {
    let sql = browser.expand(sql).expect("known macros");
    let reader = database.client.clone().with_setting("readonly", "1");
    let cursor = reader.query_raw(&sql).fetch_bytes("TSVWithNames");
    let bytes = cursor.expect("sent").collect().await.unwrap_or_else(|error| panic!("{error}\n{sql}"));
    let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
    text.lines().map(|line| line.replace('\t', " | ")).collect()
}

fn matches(line: &str, wanted: &str) -> bool {
    let (cells, wanted) = (line.split(" | "), wanted.split(" | "));
    cells.clone().count() == wanted.clone().count() && cells.zip(wanted).all(|(a, b)| b == "*" || a == b)
}
