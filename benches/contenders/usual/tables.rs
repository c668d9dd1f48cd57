//! Raw rows and sums, written in batches of 50,000 rows or every 500 ms, by the driver that Rust programs
//! take for that.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use clickhouse::{Client, Row};
use serde::Serialize;

use super::Outcome;
use super::event::Event;
use crate::contenders::Job;

const ROWS_MAX: usize = 50_000;
const INTERVAL: Duration = Duration::from_millis(500);

const TABLES: [&str; 2] = [
    "CREATE TABLE events (
        time DateTime64(6, 'UTC'), workspace String, user String, feature LowCardinality(String),
        id String, source LowCardinality(String), micro Int64, model LowCardinality(String),
        input_tokens UInt64, output_tokens UInt64, quantity UInt64, outcome LowCardinality(String)
    ) ENGINE = MergeTree PARTITION BY toYYYYMM(time) ORDER BY (workspace, time)",
    "CREATE TABLE rollups (
        workspace String, user String, feature LowCardinality(String),
        events UInt64, micro Int64, denied UInt64
    ) ENGINE = SummingMergeTree ORDER BY (workspace, user, feature)",
];

#[derive(Row, Serialize)]
struct RawRow {
    time: i64,
    workspace: String,
    user: String,
    feature: String,
    id: String,
    source: String,
    micro: i64,
    model: String,
    input_tokens: u64,
    output_tokens: u64,
    quantity: u64,
    outcome: &'static str,
}

#[derive(Row, Serialize)]
struct Delta<'a> {
    workspace: &'a str,
    user: &'a str,
    feature: &'a str,
    events: u64,
    micro: i64,
    denied: u64,
}

/// What waits to be written.
pub struct Tables {
    runtime: tokio::runtime::Runtime,
    client: Client,
    rows: Vec<RawRow>,
    sums: HashMap<[String; 3], (u64, i64, u64)>,
    flushed: Instant,
}

impl Tables {
    /// Makes the tables in the job's database.
    pub fn new(job: &Job) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client =
            Client::default().with_url(&job.clickhouse).with_database(&job.name).with_validation(false);
        for table in TABLES {
            runtime.block_on(client.query(table).execute()).unwrap();
        }
        Self { runtime, client, rows: Vec::new(), sums: HashMap::new(), flushed: Instant::now() }
    }

    /// Keeps one decided event; a duplicate is no row.
    pub fn add(&mut self, event: Event, outcome: Outcome) {
        let (allowed, text) = match outcome {
            Outcome::Duplicate => return,
            Outcome::Allowed => (true, "allowed"),
            Outcome::UserLimit => (false, "user_limit"),
            Outcome::InsufficientCredits => (false, "insufficient_credits"),
        };
        let key = [&event.workspace, &event.user, &event.feature].map(String::clone);
        let (events, micro, denied) = self.sums.entry(key).or_default();
        if allowed {
            *events += 1;
            *micro += event.micro;
        } else {
            *denied += 1;
        }
        self.rows.push(RawRow {
            time: event.time.as_microsecond(),
            workspace: event.workspace,
            user: event.user,
            feature: event.feature,
            id: event.id,
            source: event.source,
            micro: event.micro,
            model: event.model,
            input_tokens: event.input_tokens,
            output_tokens: event.output_tokens,
            quantity: event.quantity,
            outcome: text,
        });
    }

    /// Whether it is time to write.
    pub fn is_due(&self) -> bool {
        self.rows.len() >= ROWS_MAX || self.flushed.elapsed() >= INTERVAL
    }

    /// Writes all.
    pub fn flush(&mut self) {
        let (rows, sums) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.sums));
        self.runtime.block_on(async {
            let mut insert = self.client.insert::<RawRow>("events").await.unwrap();
            for row in &rows {
                insert.write(row).await.unwrap();
            }
            insert.end().await.unwrap();
            let mut insert = self.client.insert::<Delta<'_>>("rollups").await.unwrap();
            for ([workspace, user, feature], (events, micro, denied)) in &sums {
                let (events, micro, denied) = (*events, *micro, *denied);
                insert.write(&Delta { workspace, user, feature, events, micro, denied }).await.unwrap();
            }
            insert.end().await.unwrap();
        });
        self.flushed = Instant::now();
    }
}
