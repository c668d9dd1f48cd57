//! The tables: connection, migrations, rows, the writer and typed reads.
//!
//! Everything that is written here may be written again: rows carry natural keys, and absolute
//! values carry the version of the state that they were taken from. So a caller whose write failed,
//! or who does not know, repeats it. When to retry and when to give up is the caller's to say, by
//! [`WarehouseError::is_transient`].

mod error;
mod migrate;
mod native;
mod reads;
mod recovery;
mod reports;
mod reversal;
mod rows;
mod warehouse;
mod writer;

use std::fmt;
use std::time::Duration;

use clickhouse::Client;
use serde::{Deserialize, Serialize, Serializer};

pub use error::WarehouseError;
pub use reads::{Cell, FeatureUsage, MonthUsage, RankingOrder, UsageSource, UserUsage};
pub use recovery::{Recorded, Versions};

use error::within;

/// A word that no log, debug output or printed configuration shows.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Password(String);

impl Password {
    /// Takes the word.
    pub fn new(word: impl Into<String>) -> Self {
        Self(word.into())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<hidden>")
    }
}

impl Serialize for Password {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str("<hidden>")
    }
}

/// `[clickhouse]` of the configuration; `config/default.toml` holds and explains the defaults.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// HTTP endpoint, without a database.
    pub url: String,
    /// Letters, digits, `_` and `-`; made by `migrate`.
    pub database: String,
    /// Who connects.
    pub user: String,
    /// Their password.
    pub password: Password,
    /// Name of the cluster for `ON CLUSTER` and replicated engines; empty for a single server.
    pub cluster: String,
    /// Most rows of one insert. At or below the server's `max_insert_block_size`, so that an insert is all or nothing.
    pub insert_rows_max: usize,
    /// One insert, connection and answer included.
    pub insert_timeout_ms: u64,
    /// One read.
    pub query_timeout_ms: u64,
    /// One statement of a migration.
    pub migrate_timeout_ms: u64,
}

/// The tables of one database. Clones share the connections.
#[derive(Debug, Clone)]
pub struct Store {
    writer: Client,
    reader: Client,
    database: String,
    cluster: String,
    insert_rows_max: usize,
    insert_timeout: Duration,
    query_timeout: Duration,
    migrate_timeout: Duration,
}

impl Store {
    /// Prepares the connections; nothing is sent yet. Errors: [`WarehouseError::Name`].
    pub fn connect(settings: &Settings) -> Result<Self, WarehouseError> {
        check_name("clickhouse.database", &settings.database)?;
        if !settings.cluster.is_empty() {
            check_name("clickhouse.cluster", &settings.cluster)?;
        }
        let client = Client::default()
            .with_url(&settings.url)
            .with_database(&settings.database)
            .with_user(&settings.user)
            .with_password(&settings.password.0)
            .with_product_info(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        Ok(Self {
            // The server's default has been 1 since 26.2: it would answer before the rows are readable.
            // Merging each insert by itself first would double its cost there; readers merge anyway.
            writer: client.clone().with_setting("async_insert", "0").with_setting("optimize_on_insert", "0"),
            // A read that this side gave up must not go on over there.
            reader: client
                .with_setting("max_execution_time", settings.query_timeout_ms.div_ceil(1000).to_string()),
            database: settings.database.clone(),
            cluster: settings.cluster.clone(),
            insert_rows_max: settings.insert_rows_max.max(1),
            insert_timeout: Duration::from_millis(settings.insert_timeout_ms),
            query_timeout: Duration::from_millis(settings.query_timeout_ms),
            migrate_timeout: Duration::from_millis(settings.migrate_timeout_ms),
        })
    }

    /// The database that this store reads and writes.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Asks the server to answer, whatever is in it.
    pub async fn ping(&self) -> Result<(), WarehouseError> {
        // The default database always exists; ours may not, and that is `check`'s to say.
        let ping = self.reader.clone().with_database("default").query_raw("SELECT 1").execute();
        within(self.query_timeout, "ping", ping).await
    }
}

/// Names are put into statements, so they are kept to an alphabet that needs no escaping.
fn check_name(setting: &'static str, name: &str) -> Result<(), WarehouseError> {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if plain && (1..=64).contains(&name.len()) {
        return Ok(());
    }
    Err(WarehouseError::Name { setting, name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn settings(cluster: &str) -> Settings {
        Settings {
            url: "http://127.0.0.1:1".into(),
            database: "tollgate".into(),
            user: "default".into(),
            password: Password::new("open sesame"),
            cluster: cluster.into(),
            insert_rows_max: 100_000,
            insert_timeout_ms: 1000,
            query_timeout_ms: 1500,
            migrate_timeout_ms: 1000,
        }
    }

    #[test]
    fn no_form_of_the_settings_shows_the_password() {
        let shown = format!("{:?} {}", settings(""), serde_json::to_string(&settings("")).unwrap());
        assert!(!shown.contains("sesame"), "{shown}");
        assert_eq!(shown.matches("<hidden>").count(), 2);
        assert!(!format!("{:?}", Store::connect(&settings("")).unwrap()).contains("sesame"));
    }

    #[test]
    fn a_name_that_would_need_escaping_is_refused() {
        for name in ["", "a`b", "a b", "a;b", "ä", &"x".repeat(65)] {
            let faulty = Settings { database: name.into(), ..settings("") };
            assert!(matches!(Store::connect(&faulty), Err(WarehouseError::Name { .. })), "{name}");
        }
        let faulty = Settings { cluster: "a'b".into(), ..settings("") };
        assert!(Store::connect(&faulty).unwrap_err().to_string().contains("clickhouse.cluster"));
    }
}
