//! A ClickHouse database for one test, gone when the test ends.

use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use clickhouse::Client;
use tollgate::clickhouse::{Password, Settings, Store};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A migrated database under a unique name; dropped with the value.
pub struct TestDatabase {
    /// The store that is tested.
    pub store: Store,
    /// The driver, for what the store has no words for.
    pub client: Client,
    settings: Settings,
}

/// Settings of a database that does not exist yet.
pub fn settings() -> Settings {
    let url = std::env::var("TOLLGATE__CLICKHOUSE__URL").unwrap_or("http://127.0.0.1:18123".into());
    Settings {
        url,
        database: unique_name(),
        user: "default".into(),
        password: Password::default(),
        cluster: String::new(),
        insert_rows_max: 100_000,
        insert_timeout_ms: 60_000,
        query_timeout_ms: 60_000,
        migrate_timeout_ms: 60_000,
    }
}

/// A new database with the tables of this program.
pub async fn database() -> TestDatabase {
    let database = TestDatabase::unmigrated();
    database.store.migrate().await.expect("migrate");
    database
}

impl TestDatabase {
    /// A name for a database, without the database.
    pub fn unmigrated() -> Self {
        let settings = settings();
        let client = client(&settings).with_database(&settings.database);
        Self { store: Store::connect(&settings).expect("connect"), client, settings }
    }

    /// The settings with which somebody else may connect to it.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // A connection of the old client would wait for the runtime that waits here.
        let client = client(&self.settings);
        let sql = format!("DROP DATABASE IF EXISTS `{}` SYNC", self.settings.database);
        // A drop cannot await, and the test's own runtime may be single-threaded.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(client.query_raw(&sql).execute()).map_err(std::io::Error::other)
        });
        if !matches!(dropping.join(), Ok(Ok(()))) {
            eprintln!("database {} is left behind", self.settings.database);
        }
    }
}

fn client(settings: &Settings) -> Client {
    Client::default().with_url(&settings.url).with_user(&settings.user).with_setting("async_insert", "0")
}

fn unique_name() -> String {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("tollgate_test_{}_{nanos}_{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
