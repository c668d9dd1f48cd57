//! The floor: the Kafka client alone. It fetches every record and counts its bytes; nobody who reads
//! Kafka with this client can be faster on this machine.

use std::time::Instant;

use super::job::{Job, commit, done, next};

pub fn run(job: &Job) {
    let consumer = job.consumer();
    let mut bytes = next(&consumer).payload_len();
    let started = Instant::now();
    for _ in 1..job.records {
        bytes += next(&consumer).payload_len();
    }
    assert!(bytes > 0, "records without content");
    commit(&consumer);
    done(job.records, started);
}
