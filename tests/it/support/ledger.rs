//! Names and ledgers in the real Redis.

use tollgate::redis::{Dedupe, RedisLedger, Scripts, Settings};

/// A name that no other test and no other run has.
pub fn unique(what: &str) -> String {
    format!("{what}-{}", uuid::Uuid::now_v7().simple())
}

/// Where Redis is.
pub fn redis_url() -> String {
    let port = std::env::var("REDIS_PORT").unwrap_or_else(|_| "16379".to_owned());
    format!("redis://127.0.0.1:{port}/0")
}

/// Duplicate windows as in the default configuration.
pub const DEDUPE: Dedupe =
    Dedupe { age_seconds_max: 72 * 3600, window_seconds: 3600, outage_seconds_max: 6 * 3600 };

/// A ledger under a name of its own, with few shards so that workspaces meet in calls.
pub fn ledger(name: &str, call_events_max: usize) -> RedisLedger {
    ledger_of(name, call_events_max, &Scripts::default())
}

/// The same over these scripts.
pub fn ledger_of(name: &str, call_events_max: usize, scripts: &Scripts) -> RedisLedger {
    let settings = Settings {
        url: redis_url(),
        name: name.to_owned(),
        shards: 2,
        call_events_max,
        call_users_max: 140,
        connect_timeout_ms: 2_000,
        response_timeout_ms: 5_000,
    };
    RedisLedger::with_scripts(&settings, DEDUPE, scripts).unwrap()
}

/// Runs one command on the real Redis.
pub fn redis<T: ::redis::FromRedisValue>(command: &::redis::Cmd) -> T {
    let mut redis = ::redis::Client::open(redis_url()).unwrap().get_connection().unwrap();
    command.query(&mut redis).unwrap()
}

/// A name for the keys of one test; they go with it, whether the test succeeds or not.
pub struct Name(String);

impl Name {
    /// A name that nobody else has.
    pub fn new(what: &str) -> Self {
        Self(unique(what))
    }
}

impl std::ops::Deref for Name {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        forget(self);
    }
}

/// Deletes the keys of a ledger.
pub fn forget(name: &str) {
    let keys: Vec<String> = redis(::redis::cmd("KEYS").arg(format!("{name}:*")));
    if !keys.is_empty() {
        redis::<i64>(::redis::cmd("UNLINK").arg(keys));
    }
}
