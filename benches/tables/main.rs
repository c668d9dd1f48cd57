//! How long the dashboard's queries take on tables of so many events: `cargo bench --bench tables`.
//!
//! `TOLLGATE_TABLES_EVENTS` (1000000,10000000) says how many. They fall on 1,000 workspaces, weight 1/rank, over the days
//! until now; each workspace has 5,000 users. What is asked about is the busiest workspace, a tenth of all events. Every
//! query of every dashboard is sent as Grafana would, and the medians of `TOLLGATE_TABLES_ROUNDS` (5) are printed.
#![expect(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "shares the helpers of the tests, of which it needs a few"
)]

#[path = "../../tests/it/support/database.rs"]
mod database;
#[path = "../../tests/it/dashboard/files.rs"]
mod files;
#[path = "../../tests/it/dashboard/macros.rs"]
mod macros;

use std::time::{Duration, Instant};

use jiff::{Timestamp, ToSpan};

use self::database::TestDatabase;
use self::files::queries;
use self::macros::Browser;

/// How long the only period has lasted.
const DAYS: i64 = 29;
/// Events in one insert.
const CHUNK: u64 = 1_000_000;
/// What was written is merged for so long at most before it is asked; it is over when nothing was merged for the pause.
const MERGE_WAIT_MAX: Duration = Duration::from_secs(300);
const MERGE_PAUSE: Duration = Duration::from_secs(2);
/// Events whose sums are made by one statement.
const DERIVED_AT_ONCE: u64 = 10_000_000;

fn main() {
    // `cargo test --all-targets` runs this too, and wants no benchmark.
    if std::env::args().any(|argument| argument == "--bench") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(bench());
    }
}

async fn bench() {
    let sizes = std::env::var("TOLLGATE_TABLES_EVENTS").unwrap_or_else(|_| "1000000,10000000".to_owned());
    let rounds = std::env::var("TOLLGATE_TABLES_ROUNDS")
        .map_or(5, |text| text.parse().expect("TOLLGATE_TABLES_ROUNDS"));
    // Asked for once: midnight may pass while tables are filled.
    let period: &'static str = (Timestamp::now() - (24 * DAYS).hours()).strftime("%F").to_string().leak();
    let mut columns = Vec::new();
    for events in sizes.split(',').map(|text| text.trim().parse().expect("TOLLGATE_TABLES_EVENTS")) {
        let database = database::database().await;
        let started = Instant::now();
        fill(&database, events, period).await;
        rest(&database).await;
        eprintln!(
            "{events} events: filled in {:.0} s, {}",
            started.elapsed().as_secs_f64(),
            sizes_of(&database).await
        );
        columns.push((events, measure(&database, rounds, period).await));
    }
    print!("| query, ms |");
    columns.iter().for_each(|(events, _)| print!(" {events} events |"));
    println!("\n|---|{}", "--:|".repeat(columns.len()));
    for (n, (title, _)) in columns[0].1.iter().enumerate() {
        print!("| {title} |");
        columns.iter().for_each(|(_, figures)| print!(" {:.0} |", figures[n].1));
        println!();
    }
}

/// The medians in milliseconds.
async fn measure(database: &TestDatabase, rounds: usize, period: &'static str) -> Vec<(String, f64)> {
    let browser = Browser::with([("workspace", "workspace-0001"), ("period", period)]);
    let mut figures = Vec::new();
    for query in queries() {
        let sql = browser.expand(&query.sql).unwrap();
        let mut millis = Vec::new();
        for _ in 0..rounds {
            let started = Instant::now();
            let answer =
                database.client.query_raw(&sql).fetch_bytes("JSON").unwrap().collect().await.unwrap();
            millis.push(started.elapsed().as_secs_f64() * 1e3);
            assert!(answer.windows(8).any(|word| word == b"\"rows\": "), "{}", query.title);
        }
        millis.sort_by(f64::total_cmp);
        figures.push((query.title, millis[millis.len() / 2]));
    }
    figures
}

async fn fill(database: &TestDatabase, events: u64, period: &str) {
    for from in (0..events).step_by(CHUNK as usize) {
        run(database, &events_of(from, CHUNK.min(events - from), events, period)).await;
        eprintln!("  {} of {events} events", from + CHUNK.min(events - from));
    }
    // A slice of the workspaces at a time, for the engine's memory.
    let slices = events.div_ceil(DERIVED_AT_ONCE);
    for slice in 0..slices {
        let some = format!("WHERE cityHash64(workspace) % {slices} = {slice}");
        for sql in DERIVED {
            run(database, &sql.replace("{some}", &some)).await;
        }
        eprintln!("  {} of {slices} slices of what is derived", slice + 1);
    }
}

/// Waits until the merges that so much writing at once has caused are over: a table that grows by the day has them behind it.
async fn rest(database: &TestDatabase) {
    let started = Instant::now();
    let merging = async || {
        let sql = "SELECT count() FROM system.merges WHERE database = currentDatabase()";
        database.client.query(sql).fetch_one::<u64>().await.unwrap() > 0
    };
    let mut still_since = Instant::now();
    while still_since.elapsed() < MERGE_PAUSE && started.elapsed() < MERGE_WAIT_MAX {
        if merging().await {
            still_since = Instant::now();
        }
        tokio::time::sleep(MERGE_PAUSE / 20).await;
    }
}

/// One minute after the other; workspaces by weight 1/rank, users, features and amounts evenly.
fn events_of(from: u64, count: u64, all: u64, period: &str) -> String {
    let micros = DAYS * 86_400_000_000;
    format!(
        "INSERT INTO usage_events_raw (workspace, time, source, id, user, feature, credits, model, team, period, day,
            outcome, reason, blocked_level, blocked_limit, blocked_used, drawn_pool, decided_at, topic_partition,
            topic_offset, epoch, sequence, version, arrived_at)
         SELECT
            concat('workspace-', leftPad(toString(toUInt32(floor(exp(cityHash64(number, 1) / 18446744073709551616.
                * log(1000))))), 4, '0')) AS workspace,
            toDateTime64('{period} 00:00:00', 6, 'UTC') + toIntervalMicrosecond(number * intDiv({micros}, {all}))
                AS time,
            'gateway', toString(generateUUIDv4(number)),
            concat('user-', leftPad(toString(cityHash64(number, 2) % 5000), 4, '0')),
            ['ai_chat', 'ai_field', 'ai_automation', 'ai_agent', 'image_generation'][1 + cityHash64(number, 3) % 5],
            toDecimal64((cityHash64(number, 4) % 2000) / 1000, 6) AS credits, 'small-1', 'design',
            '{period}', toDate('{period}') + intDiv(number * {DAYS}, {all}),
            cityHash64(number, 5) % 20 = 0 ? 'denied' : 'allowed' AS outcome,
            outcome = 'denied' ? 'user_limit' : '', outcome = 'denied' ? 'user' : '',
            outcome = 'denied' ? toDecimal64(100, 6) : NULL, outcome = 'denied' ? toDecimal64(100, 6) : toDecimal64(0, 6),
            outcome = 'denied' ? toDecimal64(0, 6) : credits, time, number % 12, number, 1, number, 1099511627776 + number,
            time
         FROM numbers({from}, {count})"
    )
}

/// What the service would have written beside the events.
const DERIVED: [&str; 3] = [
    "INSERT INTO usage_rollups_raw (workspace, period, user, feature, day, credits, overage_credits, events,
        overage_events, denied_events, denied_credits, version)
     SELECT workspace, period, user, feature, day, toDecimal64(sum(drawn_pool), 6), toDecimal64(0, 6), countIf(outcome = 'allowed'), toUInt64(0),
        countIf(outcome = 'denied'), sumIf(credits, outcome = 'denied'), max(version)
     FROM usage_events_raw {some} GROUP BY workspace, period, user, feature, day",
    "INSERT INTO account_balances_raw (workspace, period, account, credited, transferred_out, used, held, spent, `limit`,
        version)
     SELECT workspace, period, concat('user:', user), toDecimal64(0, 6), toDecimal64(0, 6), toDecimal64(0, 6),
        toDecimal64(0, 6), toDecimal64(sum(credits), 6), toNullable(toDecimal64(100, 6)), max(version)
     FROM usage_rollups_raw {some} GROUP BY workspace, period, user
     UNION ALL
     SELECT workspace, period, 'pool', toDecimal64(1000000, 6), toDecimal64(0, 6), toDecimal64(sum(credits), 6),
        toDecimal64(0, 6), toDecimal64(0, 6), NULL, max(version)
     FROM usage_rollups_raw {some} GROUP BY workspace, period",
    "INSERT INTO pool_history_raw (workspace, minute, period, total, used, held, unallocated, version)
     SELECT workspace, toStartOfMinute(time) AS minute, period, toDecimal64(1000000, 6),
        toDecimal64(sum(drawn_pool), 6), toDecimal64(0, 6), toDecimal64(900000, 6), max(version)
     FROM usage_events_raw {some} GROUP BY workspace, minute, period",
];

async fn run(database: &TestDatabase, sql: &str) {
    database.client.query_raw(sql).execute().await.unwrap();
}

/// Rows and parts of each table.
async fn sizes_of(database: &TestDatabase) -> String {
    let sql = "SELECT arrayStringConcat(groupArray(concat(table, ' ', toString(r), ' rows in ', toString(p), ' parts')), ', ')
        FROM (SELECT table, sum(rows) AS r, count() AS p FROM system.parts
              WHERE active AND database = currentDatabase() GROUP BY table ORDER BY table)";
    database.client.query(sql).fetch_one().await.unwrap()
}
