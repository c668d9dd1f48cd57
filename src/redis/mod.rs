//! The ledger in Redis: every key spelled once, every change one script call, no rule in Rust.
//!
//! [`RedisLedger`] decides batches of events and makes administrative changes. The scripts hold the
//! rules; [`crate::domain::model`] says in plain Rust what they must do. Nothing here knows Kafka or
//! ClickHouse.

mod change;
mod codec;
mod hold;
mod inspect;
mod joined;
mod keys;
mod ledger;
mod link;
mod marks;
mod mend;
mod outbox;
mod rebuild;
mod remembered;
mod reply;
mod request;
mod scripts;
mod told;
mod view;

use serde::Deserialize;

use crate::domain::ports::Fault;

pub use codec::{Malformed, Packer, Unpacker};
pub use hold::Held;
pub use inspect::Snapshot;
pub use ledger::RedisLedger;
pub use rebuild::{Restored, Seen};
pub use scripts::{Misfit, Scripts};

/// Where Redis is, and how its state is laid out.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `redis://host:port/db`; a password in it is never printed.
    pub url: String,
    /// Every key begins with it.
    pub name: String,
    /// Shards that workspaces are spread over; fixed once the first event is decided.
    pub shards: u16,
    /// Events in one script call.
    pub call_events_max: usize,
    /// Distinct users in one script call: a full one takes 3 to 5 ms of Redis.
    pub call_users_max: usize,
    /// Deadline of a connection attempt.
    pub connect_timeout_ms: u64,
    /// Deadline of an answer; a call past it may have run, and is safe to repeat.
    pub response_timeout_ms: u64,
}

/// How long duplicates are recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dedupe {
    /// Oldest accepted age of an event, in seconds: how long the same `time` is recognised.
    pub age_seconds_max: i64,
    /// After the first arrival, in seconds: how long a resend with another `time` is recognised.
    pub window_seconds: i64,
    /// How long the consumer may stand still without forgetting, in seconds.
    pub outage_seconds_max: i64,
}

impl Dedupe {
    /// How long the name of a hold that has ended stays taken, in seconds.
    pub fn taken_seconds(&self) -> i64 {
        self.age_seconds_max + self.window_seconds
    }
}

/// What can go wrong between us and Redis.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RedisError {
    /// Not reachable, too slow, or an error of the server or a script.
    #[error("redis: {0}")]
    Server(#[from] ::redis::RedisError),
    /// The script answered what its contract does not know.
    #[error(transparent)]
    Malformed(#[from] codec::Malformed),
    /// A workspace's state is missing or older than what was already seen: nothing was decided.
    #[error(
        "the state of workspace {0} in redis is missing or stale, and must be rebuilt before anything is decided: a \
         running service does so by itself, `tollgate rebuild --workspace {0}` does it now"
    )]
    NeedsRebuild(String),
    /// Redis has failed, and what it has now could not be compared with what was recorded.
    #[error("cannot tell whether redis lost anything: {0}")]
    Unsure(String),
    /// The scripts use commands of Redis 7.
    #[error("redis {0} is too old: version 7.0 or newer is needed")]
    TooOld(String),
    /// A stored calendar that cannot be read.
    #[error("workspace {0}: {1}")]
    Calendar(String, crate::domain::calendar::CalendarError),
    /// Something had to be mended before every attempt: a plan that changed, a period to open, holds that expired.
    #[error("workspace {0}: plan, period or holds kept changing under this call; try again")]
    Contended(String),
}

impl Fault for RedisError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Server(fault) => {
                !matches!(fault.kind(), ::redis::ErrorKind::Server(::redis::ServerErrorKind::ResponseError))
            }
            Self::NeedsRebuild(_) | Self::Unsure(_) | Self::Contended(_) => true,
            Self::Malformed(_) | Self::Calendar(..) | Self::TooOld(_) => false,
        }
    }
}
