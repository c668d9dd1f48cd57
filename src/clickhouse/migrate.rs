//! The schema: numbered files of statements, applied once, in order, and never edited afterwards.
//!
//! A crash may leave a migration half applied and unrecorded; the next run applies the whole of it
//! again, so every statement must be repeatable (`IF NOT EXISTS`, `OR REPLACE`). There is no way
//! back: what must be undone is undone by a newer migration.

use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::within;
use super::{Store, WarehouseError};

struct Migration {
    version: u32,
    name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: [Migration; 6] = [
    Migration { version: 1, name: "usage", sql: include_str!("migrations/0001_usage.sql") },
    Migration { version: 2, name: "accounts", sql: include_str!("migrations/0002_accounts.sql") },
    Migration { version: 3, name: "dead_letters", sql: include_str!("migrations/0003_dead_letters.sql") },
    Migration { version: 4, name: "reports", sql: include_str!("migrations/0004_reports.sql") },
    Migration { version: 5, name: "arrival", sql: include_str!("migrations/0005_arrival.sql") },
    Migration { version: 6, name: "workspaces", sql: include_str!("migrations/0006_workspaces.sql") },
];

/// The version that this program needs.
const WANTED: u32 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// What the migrations themselves are recorded in; the first statements of every run.
const BOOKS: &str = "CREATE DATABASE IF NOT EXISTS {database}{on_cluster};
CREATE TABLE IF NOT EXISTS {database}.schema_migrations{on_cluster} (
    version UInt32,
    name String,
    checksum String COMMENT 'SHA-256 of the file',
    applied_at DateTime('UTC') DEFAULT now()
)
ENGINE = {replicated}ReplacingMergeTree
ORDER BY version;
";

/// ClickHouse's numbers for a table and a database that do not exist.
const UNKNOWN: [Option<u32>; 2] = [Some(60), Some(81)];

#[derive(Row, Serialize, Deserialize)]
struct Applied {
    version: u32,
    name: String,
    checksum: String,
}

impl Migration {
    fn checksum(&self) -> String {
        Sha256::digest(self.sql).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn applied(&self) -> Applied {
        Applied { version: self.version, name: self.name.to_owned(), checksum: self.checksum() }
    }
}

impl Store {
    /// Makes the database and applies what is missing; answers the names of what it applied.
    /// Errors: also [`WarehouseError::Edited`] and [`WarehouseError::Newer`], before anything is changed.
    pub async fn migrate(&self) -> Result<Vec<&'static str>, WarehouseError> {
        let applied = self.applied().await?;
        self.compare(&applied)?;
        self.run(BOOKS).await?;
        let mut names = Vec::new();
        for migration in MIGRATIONS.iter().skip(applied.len()) {
            self.run(migration.sql).await?;
            self.note(&migration.applied()).await?;
            tracing::info!(version = migration.version, name = migration.name, "migration applied");
            names.push(migration.name);
        }
        self.writer.clear_cached_metadata().await;
        Ok(names)
    }

    /// Says whether the tables are the ones that this program was made for. Errors:
    /// [`WarehouseError::Unmigrated`], [`WarehouseError::Newer`], [`WarehouseError::Edited`].
    pub async fn check(&self) -> Result<(), WarehouseError> {
        let applied = self.applied().await?;
        self.compare(&applied)?;
        if applied.len() < MIGRATIONS.len() {
            let (database, found) = (self.database.clone(), newest(&applied));
            return Err(WarehouseError::Unmigrated { database, found, wanted: WANTED });
        }
        Ok(())
    }

    async fn applied(&self) -> Result<Vec<Applied>, WarehouseError> {
        let sql = "SELECT version, name, checksum FROM schema_migrations FINAL ORDER BY version";
        let read = self.reader.query_raw(sql).fetch_all::<Applied>();
        match within(self.query_timeout, "list of migrations", read).await {
            Err(error) if UNKNOWN.contains(&error.code()) => Ok(Vec::new()),
            answer => answer,
        }
    }

    /// What was applied must be the beginning of what this program knows, unedited.
    fn compare(&self, applied: &[Applied]) -> Result<(), WarehouseError> {
        let found = newest(applied);
        if found > WANTED {
            return Err(WarehouseError::Newer { database: self.database.clone(), found, wanted: WANTED });
        }
        let edited = MIGRATIONS.iter().zip(applied).find(|(migration, applied)| {
            applied.version != migration.version || applied.checksum != migration.checksum()
        });
        edited.map_or(Ok(()), |(migration, _)| {
            Err(WarehouseError::Edited { version: migration.version, name: migration.name })
        })
    }

    async fn run(&self, sql: &str) -> Result<(), WarehouseError> {
        let client: Client = self.writer.clone().with_database("default");
        for statement in statements(&self.fill(sql)) {
            within(self.migrate_timeout, "migration", client.query_raw(statement).execute()).await?;
        }
        Ok(())
    }

    async fn note(&self, applied: &Applied) -> Result<(), WarehouseError> {
        let insert = async {
            let mut insert = self.writer.insert::<Applied>("schema_migrations").await?;
            insert.write(applied).await?;
            insert.end().await
        };
        within(self.migrate_timeout, "record of a migration", insert).await
    }

    /// Puts in the names, which [`Store::connect`] has checked.
    fn fill(&self, sql: &str) -> String {
        let clustered = !self.cluster.is_empty();
        let on_cluster = if clustered { format!(" ON CLUSTER '{}'", self.cluster) } else { String::new() };
        sql.replace("{database}", &format!("`{}`", self.database))
            .replace("{on_cluster}", &on_cluster)
            .replace("{replicated}", if clustered { "Replicated" } else { "" })
    }
}

fn newest(applied: &[Applied]) -> u32 {
    applied.iter().map(|applied| applied.version).max().unwrap_or(0)
}

/// The statements of a file: each ends with a `;` at the end of a line.
fn statements(sql: &str) -> impl Iterator<Item = &str> {
    sql.split(";\n").map(str::trim).filter(|statement| !statement.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_from_1_without_gaps() {
        let versions: Vec<u32> = MIGRATIONS.iter().map(|migration| migration.version).collect();
        assert_eq!(versions, (1..=MIGRATIONS.len() as u32).collect::<Vec<_>>());
        assert_eq!(WANTED, MIGRATIONS.len() as u32);
    }

    #[test]
    fn names_are_put_into_every_statement() {
        let settings = |cluster: &str| super::super::tests::settings(cluster);
        let single = Store::connect(&settings("")).unwrap();
        let many = Store::connect(&settings("main")).unwrap();
        for sql in MIGRATIONS.iter().map(|migration| migration.sql).chain([BOOKS]) {
            for filled in [single.fill(sql), many.fill(sql)] {
                assert!(!filled.contains(['{', '}']), "{filled}");
                assert!(filled.contains("`tollgate`"));
            }
            if sql.contains("ENGINE") {
                assert!(single.fill(sql).contains("ENGINE = ReplacingMergeTree"));
                assert!(many.fill(sql).contains("ENGINE = ReplicatedReplacingMergeTree"));
            }
            let (statements, clustered) = (statements(sql).count(), many.fill(sql));
            assert_eq!(clustered.matches(" ON CLUSTER 'main'").count(), statements);
        }
    }

    #[test]
    fn every_statement_may_be_repeated_and_names_its_database() {
        let repeatable = [
            "CREATE DATABASE IF NOT EXISTS",
            "CREATE TABLE IF NOT EXISTS",
            "CREATE OR REPLACE VIEW",
            "ADD COLUMN IF NOT EXISTS",
            "ADD INDEX IF NOT EXISTS",
            "MATERIALIZE INDEX",
        ];
        for sql in MIGRATIONS.iter().map(|migration| migration.sql).chain([BOOKS]) {
            assert!(sql.ends_with(";\n"));
            for statement in statements(sql) {
                let comments = |line: &&str| line.is_empty() || line.starts_with("--");
                let head = statement.lines().find(|line| !comments(line)).unwrap();
                let verb = |verb: &&str| {
                    head.starts_with(verb) || head.starts_with("ALTER TABLE") && statement.contains(verb)
                };
                assert!(repeatable.iter().any(verb), "{head}");
                assert!(head.contains("{database}"), "{head}");
                assert!(head.contains("{on_cluster}"), "{head}");
            }
        }
    }
}
