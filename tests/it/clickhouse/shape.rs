//! The names and types that dashboards are built on, and that their filters reach the index.

use crate::support::{TestDatabase, database};

async fn columns(database: &TestDatabase, view: &str) -> Vec<String> {
    let sql = format!(
        "SELECT name || ' ' || type FROM system.columns \
         WHERE database = currentDatabase() AND table = '{view}' ORDER BY position"
    );
    database.client.query_raw(&sql).fetch_all::<String>().await.unwrap()
}
