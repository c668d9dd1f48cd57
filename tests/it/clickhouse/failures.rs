//! A server that is away, or there and silent, is told within the deadline, as something that passes.

use std::time::{Duration, Instant};

use tollgate::clickhouse::{Settings, Store, UsageSource, WarehouseError};
use tollgate::domain::record::Rows;

use super::sample::allowed;
use crate::support::{TestDatabase, settings};

fn store(url: &str) -> Store {
    let deadlines =
        Settings { insert_timeout_ms: 400, query_timeout_ms: 400, migrate_timeout_ms: 400, ..settings() };
    Store::connect(&Settings { url: url.into(), ..deadlines }).unwrap()
}

async fn every_failure(store: &Store) -> Vec<WarehouseError> {
    let rows = Rows { events: vec![allowed("acme", "ann", 1)], ..Rows::default() };
    vec![
        store.ping().await.unwrap_err(),
        store.record(&rows).await.unwrap_err(),
        store.totals(UsageSource::Events, None).await.unwrap_err(),
        store.check().await.unwrap_err(),
        store.migrate().await.unwrap_err(),
    ]
}

#[tokio::test]
async fn a_server_that_is_down_is_a_transient_failure() {
    let started = Instant::now();
    for failure in every_failure(&store("http://127.0.0.1:1")).await {
        assert!(failure.is_transient(), "{failure}");
        assert!(failure.to_string().contains("refused"), "{failure}");
    }
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_in_time() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let started = Instant::now();
    for failure in every_failure(&store(&format!("http://{}", silent.local_addr().unwrap()))).await {
        assert!(matches!(failure, WarehouseError::TimedOut { limit_ms: 400, .. }), "{failure}");
        assert!(failure.is_transient());
    }
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_store_without_tables_is_no_transient_failure() {
    let database = TestDatabase::unmigrated();
    let rows = Rows { events: vec![allowed("acme", "ann", 1)], ..Rows::default() };
    let failure = database.store.record(&rows).await.unwrap_err();
    assert!(!failure.is_transient(), "{failure}");
    assert!(matches!(failure.code(), Some(60 | 81)), "{failure}");
    database.store.ping().await.unwrap();
}
