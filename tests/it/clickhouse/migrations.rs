//! The schema is applied once, in order, and never edited; serving refuses any other.

use tollgate::clickhouse::WarehouseError;

use crate::support::{TestDatabase, database};

#[tokio::test]
async fn a_new_store_is_migrated_once() {
    let database = TestDatabase::unmigrated();
    let refused = database.store.check().await.unwrap_err();
    assert!(matches!(refused, WarehouseError::Unmigrated { found: 0, .. }), "{refused}");
    assert!(refused.to_string().contains("run `tollgate migrate`"), "{refused}");
    let all = ["usage", "accounts", "dead_letters", "reports", "arrival", "workspaces"];
    assert_eq!(database.store.migrate().await.unwrap(), all);
    database.store.check().await.unwrap();
    assert!(database.store.migrate().await.unwrap().is_empty());
    database.store.check().await.unwrap();
}

#[tokio::test]
async fn a_half_applied_migration_is_applied_again() {
    let database = database().await;
    record(&database, "ALTER TABLE schema_migrations DELETE WHERE version = 6 SETTINGS mutations_sync = 1")
        .await;
    let refused = database.store.check().await.unwrap_err();
    assert!(matches!(refused, WarehouseError::Unmigrated { found: 5, wanted: 6, .. }), "{refused}");
    assert_eq!(database.store.migrate().await.unwrap(), ["workspaces"]);
    database.store.check().await.unwrap();
}

#[tokio::test]
async fn an_edited_migration_is_refused() {
    let database = database().await;
    record(&database, "INSERT INTO schema_migrations (version, name, checksum) VALUES (2, 'accounts', 'ff')")
        .await;
    for refused in [database.store.migrate().await.unwrap_err(), database.store.check().await.unwrap_err()] {
        assert!(matches!(refused, WarehouseError::Edited { version: 2, .. }), "{refused}");
        assert!(!refused.is_transient());
    }
}

#[tokio::test]
async fn a_store_of_a_newer_program_is_refused() {
    let database = database().await;
    record(&database, "INSERT INTO schema_migrations (version, name, checksum) VALUES (99, 'later', 'ff')")
        .await;
    for refused in [database.store.migrate().await.unwrap_err(), database.store.check().await.unwrap_err()] {
        assert!(matches!(refused, WarehouseError::Newer { found: 99, .. }), "{refused}");
    }
}

async fn record(database: &TestDatabase, sql: &str) {
    database.client.query_raw(sql).execute().await.unwrap();
}
