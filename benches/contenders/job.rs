//! What a contender is told, and what it says.

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::message::BorrowedMessage;
use serde::{Deserialize, Serialize};

/// Nothing came for so long: the contender gives up.
const STILL_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

/// What is to be drained, and where to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// `host:port` of Kafka.
    pub brokers: String,
    /// The data set.
    pub topic: String,
    /// How many records it has.
    pub records: u64,
    /// Name of the consumer group, of the database, and before every key: no other run has it.
    pub name: String,
    /// Redis.
    pub redis: String,
    /// ClickHouse.
    pub clickhouse: String,
    /// Pools and limits, for who does not look them up in Redis.
    pub plans: PathBuf,
}

/// The last word of a contender.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Line {
    /// Records it has worked off.
    pub records: u64,
    /// From the first record to the last commit.
    pub seconds: f64,
}

impl Job {
    /// A consumer of the topic in the job's own group; offsets are committed when the caller says so.
    pub fn consumer(&self) -> BaseConsumer {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", &self.name)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer = config.create().unwrap();
        wait_for_go();
        consumer.subscribe(&[&self.topic]).unwrap();
        consumer
    }
}

/// The next record.
pub fn next(consumer: &BaseConsumer) -> BorrowedMessage<'_> {
    let asked = Instant::now();
    loop {
        match consumer.poll(POLL) {
            Some(record) => return record.unwrap(),
            None => assert!(asked.elapsed() < STILL_MAX, "no record came"),
        }
    }
}

/// Commits everything that was polled, and waits for the answer.
pub fn commit(consumer: &BaseConsumer) {
    consumer.commit_consumer_state(CommitMode::Sync).unwrap();
}

/// Says what was done, and stays to be looked at.
pub fn done(records: u64, started: Instant) {
    let line = Line { records, seconds: started.elapsed().as_secs_f64() };
    println!("{}", serde_json::to_string(&line).unwrap());
    wait_for_line();
}

fn wait_for_go() {
    println!("ready");
    std::io::stdout().flush().unwrap();
    wait_for_line();
}

fn wait_for_line() {
    std::io::stdin().lock().read_line(&mut String::new()).unwrap();
}
