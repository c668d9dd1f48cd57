//! The names and types that dashboards are built on, and that their filters reach the index.

use crate::support::{TestDatabase, database};

const COLUMNS: &str = include_str!("shape.txt");

async fn lines(database: &TestDatabase, sql: &str) -> Vec<String> {
    database.client.query_raw(sql).fetch_all::<String>().await.unwrap()
}

#[tokio::test]
async fn the_views_have_the_columns_that_readers_rely_on() {
    let database = database().await;
    let sql = "SELECT table || '.' || name || ' ' || type FROM system.columns \
               WHERE database = currentDatabase() AND table NOT LIKE '%\\_raw' AND table != 'schema_migrations' \
               ORDER BY table, position";
    let columns = lines(&database, sql).await.join("\n") + "\n";
    assert_eq!(columns, COLUMNS, "a column may be added at the end of its view; nothing else may change");
}

/// What the plan of a read says of the primary key, from one line to the next word of another kind.
fn primary_key(plan: &[String]) -> String {
    let words: Vec<&str> = plan.iter().flat_map(|line| line.split_whitespace()).collect();
    let after = words.iter().position(|word| *word == "PrimaryKey").expect("a primary key in the plan");
    words[after + 1..].iter().copied().take_while(|word| *word != "Condition:").collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn filters_on_a_view_reach_the_key_of_its_table() {
    let database = database().await;
    let (of_one, of_period) = ("workspace = 'acme'", "workspace = 'acme' AND period = '2026-11-01'");
    for (table, view, filter, keys) in [
        ("usage_events_raw", "usage_events", of_one, "Keys: workspace"),
        ("usage_rollups_raw", "usage_rollups", of_period, "Keys: workspace period"),
        ("usage_rollups_raw", "usage_monthly", of_period, "Keys: workspace period"),
        ("account_balances_raw", "account_balances", of_period, "Keys: workspace period"),
        ("pool_history_raw", "pool_history", of_one, "Keys: workspace"),
        ("credit_alerts_raw", "credit_alerts", of_one, "Keys: workspace"),
        ("credit_ledger_raw", "credit_ledger", of_one, "Keys: workspace"),
    ] {
        // Without a row there would be nothing to read, and no plan of how.
        let insert = format!("INSERT INTO {table} (workspace, period) VALUES ('acme', '2026-11-01')");
        database.client.query_raw(&insert).execute().await.unwrap();
        let explain = format!("EXPLAIN indexes = 1 SELECT count() FROM {view} WHERE {filter}");
        assert_eq!(primary_key(&lines(&database, &explain).await), keys, "{view}");
    }
}
