//! Who means harm, in front of the real service: names that would break out of keys and queries, bodies that
//! would fill memory, clients that never come to an end, and more names than anybody has.

mod many;
mod names;
mod slow;

use crate::support::{Installation, Service};

/// Memory that the service has now, and the most that it ever had, in MiB.
fn memory_mib(service: &Service) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).unwrap();
    let line = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
    };
    (line("VmRSS:"), line("VmHWM:"))
}

/// What ClickHouse answers, tabs between columns.
async fn rows(it: &Installation, sql: &str) -> String {
    let settings = &it.settings.clickhouse;
    let client = clickhouse::Client::default().with_url(&settings.url).with_database(&settings.database);
    let answer = client.query(sql).fetch_bytes("TSV").unwrap().collect().await.unwrap();
    String::from_utf8_lossy(&answer).trim().to_owned()
}

/// Waits until ClickHouse answers so.
async fn until(it: &Installation, sql: &str, wanted: &str) {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(120);
    loop {
        let found = rows(it, sql).await;
        if found == wanted {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{sql}: {found}, not {wanted}; {}", it.log());
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}
