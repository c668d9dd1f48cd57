//! The usual design: one script call an event, raw rows and sums in ClickHouse. In two forms: each call
//! awaited before the next, as a consumer is written first, or 500 of them in one pipeline.
//!
//! Everything happens in one thread, one step after the other: fetch, ask Redis, and from time to time
//! write and commit. A crash between the debit and the commit is not survived: what was debited is a
//! duplicate the next time, and its rows are lost. That is left as it is usually left.

mod event;
mod tables;

use std::time::Instant;

use ::redis::{Connection, Pipeline};
use rdkafka::Message as _;
use rdkafka::consumer::BaseConsumer;

use self::event::Event;
use self::tables::Tables;
use super::job::{Job, commit, done, next};

/// Calls that wait for their answers together.
pub const AWAITED: usize = 1;
/// The same.
pub const PIPELINED: usize = 500;

const SCRIPT: &str = include_str!("debit.lua");
/// How long an id is remembered, in seconds.
const REMEMBERED_SECONDS: u64 = 72 * 3600;

/// What the script answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Sent before.
    Duplicate,
    /// Debited.
    Allowed,
    /// Over the user's limit.
    UserLimit,
    /// The pool had too little left.
    InsufficientCredits,
}

pub fn run(job: &Job, calls_in_pipeline: usize) {
    let mut redis = ::redis::Client::open(job.redis.as_str()).unwrap().get_connection().unwrap();
    let sha: String = ::redis::cmd("SCRIPT").arg("LOAD").arg(SCRIPT).query(&mut redis).unwrap();
    let mut tables = Tables::new(job);
    let consumer = job.consumer();
    let (mut records, mut started) = (0, None);
    while records < job.records {
        let wanted = calls_in_pipeline.min((job.records - records) as usize);
        let events = take(&consumer, wanted);
        started.get_or_insert_with(Instant::now);
        records += events.len() as u64;
        let outcomes = ask(&mut redis, &sha, &job.name, &events);
        for (event, outcome) in events.into_iter().zip(outcomes) {
            tables.add(event, outcome);
        }
        if tables.is_due() || records == job.records {
            tables.flush();
            commit(&consumer);
        }
    }
    done(records, started.unwrap());
}

fn take(consumer: &BaseConsumer, records: usize) -> Vec<Event> {
    (0..records).map(|_| Event::parse(next(consumer).payload().unwrap())).collect()
}

fn ask(redis: &mut Connection, sha: &str, name: &str, events: &[Event]) -> Vec<Outcome> {
    if let [event] = events {
        return vec![outcome(call(sha, name, event).query(redis).unwrap())];
    }
    let mut pipeline = Pipeline::with_capacity(events.len());
    for event in events {
        pipeline.add_command(call(sha, name, event));
    }
    let answers: Vec<i64> = pipeline.query(redis).unwrap();
    answers.into_iter().map(outcome).collect()
}

fn call(sha: &str, name: &str, event: &Event) -> ::redis::Cmd {
    let Event { workspace, user, id, .. } = event;
    let mut call = ::redis::cmd("EVALSHA");
    call.arg(sha).arg(4);
    call.arg(format!("{name}:seen:{workspace}:{id}"));
    call.arg(format!("{name}:user:{workspace}:{user}"));
    call.arg(format!("{name}:pool:{workspace}"));
    call.arg(format!("{name}:features:{workspace}:{user}"));
    call.arg(event.micro).arg(&event.feature).arg(REMEMBERED_SECONDS);
    call
}

fn outcome(answer: i64) -> Outcome {
    use Outcome::{Allowed, Duplicate, InsufficientCredits, UserLimit};
    [Duplicate, Allowed, UserLimit, InsufficientCredits][answer as usize]
}
