//! The same work by others: each contender is a process of its own, so that its CPU time and memory are
//! its own. This program starts itself again with the word `contender`; the Java one is started by `java`.
//!
//! All of them speak alike with the one who starts them: `ready` when they are connected, then they wait
//! for a line; at the end one line of JSON, and they stay until their standard input ends, so that they
//! can still be looked at.

mod floor;
mod job;
mod usual;

pub use job::{Job, Line};

/// The work of a contender that is written in Rust.
pub fn run(name: &str, job: &str) {
    let job: Job = serde_json::from_str(job).unwrap();
    match name {
        "floor" => floor::run(&job),
        "awaited" => usual::run(&job, usual::AWAITED),
        "pipelined" => usual::run(&job, usual::PIPELINED),
        other => panic!("{other} is no contender"),
    }
}
