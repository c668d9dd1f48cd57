//! A server that is away, or there and silent, is told within the deadline, as something that passes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use tollgate::clickhouse::{Settings, Store, UsageSource, WarehouseError};
use tollgate::domain::credits::Credits;
use tollgate::domain::record::Rows;

use super::sample::{allowed, rollup};
use crate::support::{TestDatabase, database, settings};

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
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let started = Instant::now();
    for failure in every_failure(&store(&format!("http://{}", silent.local_addr().unwrap()))).await {
        assert!(matches!(failure, WarehouseError::TimedOut { limit_ms: 400, .. }), "{failure}");
        assert!(failure.is_transient());
    }
    assert!(started.elapsed() < Duration::from_secs(5));
}

/// Passes everything on to the real server, but hangs up in the middle of an insert into `table`.
fn cutting_proxy(table: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let upstream = settings().url.replace("http://", "");
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = TcpStream::connect(&upstream).unwrap();
            let (mut back, mut answers) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut answers, &mut back));
            std::thread::spawn(move || pass_on(client, server, table));
        }
    });
    address
}

fn pass_on(mut client: TcpStream, mut server: TcpStream, table: &str) {
    let mut buffer = vec![0; 65_536];
    while let Ok(read @ 1..) = client.read(&mut buffer) {
        let head = String::from_utf8_lossy(&buffer[..read]);
        if head.contains("INSERT") && head.contains(table) {
            break;
        }
        server.write_all(&buffer[..read]).unwrap();
    }
    for stream in [client, server] {
        stream.shutdown(Shutdown::Both).ok();
    }
}

#[tokio::test]
async fn a_connection_that_breaks_under_an_insert_leaves_nothing_that_a_repetition_does_not_mend() {
    let database = database().await;
    let events = (0..20_000).map(|n| allowed("acme", "ann", n)).collect();
    let rows = Rows { events, rollups: vec![rollup("acme", "ann", 1, Credits::whole(1))], ..Rows::default() };
    for (table, events_before, rollups_before) in [("usage_events_raw", 0, 0), ("usage_rollups_raw", 1, 0)] {
        let url = format!("http://{}", cutting_proxy(table));
        let cut = Store::connect(&Settings { url, ..database.settings().clone() }).unwrap();
        let failure = cut.record(&rows).await.unwrap_err();
        assert!(failure.is_transient(), "{failure}");
        assert_eq!(cells(&database).await, (events_before, rollups_before), "{table}");
    }
    database.store.record(&rows).await.unwrap();
    assert_eq!(cells(&database).await, (1, 1));
    let events = database.store.totals(UsageSource::Events, None).await.unwrap();
    assert_eq!(events.values().next().unwrap().events, 20_000);
}

async fn cells(database: &TestDatabase) -> (usize, usize) {
    let events = database.store.totals(UsageSource::Events, None).await.unwrap();
    (events.len(), database.store.totals(UsageSource::Rollups, None).await.unwrap().len())
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
