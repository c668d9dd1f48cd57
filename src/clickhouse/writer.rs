//! Inserts. Each insert is one chunk of one partition, so it happens whole or not at all, and any
//! of it may happen twice. The rows stay with the caller until the server has answered.

use std::collections::BTreeMap;
use std::time::Instant;

use super::error::within;
use super::native::{self, Column};
use super::rows::Stored;
use super::{Store, WarehouseError};
use crate::domain::alert::Alert;
use crate::domain::decision::{Decision, Outcome};
use crate::domain::ledger::Entry;
use crate::domain::record::Rows;

impl Store {
    /// Writes one flush; to be repeated as it is after any error. Duplicates among the events are no rows.
    pub async fn record(&self, rows: &Rows) -> Result<(), WarehouseError> {
        // 1. What happened. When this fails, no total may tell of it.
        tokio::try_join!(self.insert(&rows.dead_letters), self.insert(rows.events.iter().filter(is_row)))?;
        crate::crash::point("between_events_and_rollups");
        // 2. What follows from it. When this fails, the repetition mends it; a rebuild never reads it.
        tokio::try_join!(self.insert(&rows.rollups), self.insert(&rows.balances), self.insert(&rows.pools))?;
        Ok(())
    }

    /// Writes entries of the ledger and marks the events that they reverse; to be repeated as it is after
    /// any error.
    pub async fn record_entries(&self, entries: &[Entry]) -> Result<(), WarehouseError> {
        self.insert(entries).await?;
        self.mark_all_reversed(entries).await
    }

    /// Writes alerts; to be repeated as it is after any error.
    pub async fn record_alerts(&self, alerts: &[Alert]) -> Result<(), WarehouseError> {
        self.insert(alerts).await
    }

    async fn insert<'a, T: Stored + 'a>(
        &self,
        rows: impl IntoIterator<Item = &'a T>,
    ) -> Result<(), WarehouseError> {
        for month in by_month(rows).values() {
            for chunk in month.chunks(self.insert_rows_max) {
                self.insert_chunk(chunk).await?;
            }
        }
        Ok(())
    }

    async fn insert_chunk<T: Stored>(&self, rows: &[&T]) -> Result<(), WarehouseError> {
        let started = Instant::now();
        let block = native::block(T::COLUMNS, rows).await;
        let work = async {
            let mut insert = self.writer.insert_formatted_with(insert_into::<T>());
            insert.send(block.into()).await?;
            insert.end().await
        };
        within(self.insert_timeout, T::TABLE, work).await?;
        metrics::histogram!("tollgate_clickhouse_insert_seconds").record(started.elapsed());
        Ok(())
    }
}

fn insert_into<T: Stored>() -> String {
    let names: Vec<String> = T::COLUMNS.iter().map(|Column(name, _)| format!("`{name}`")).collect();
    format!("INSERT INTO {} ({}) FORMAT Native", T::TABLE, names.join(", "))
}

/// A duplicate would take the place of the first answer: it has the same key and a higher version.
fn is_row(decision: &&Decision) -> bool {
    decision.verdict.outcome != Outcome::Duplicate
}

fn by_month<'a, T: Stored>(rows: impl IntoIterator<Item = &'a T>) -> BTreeMap<i32, Vec<&'a T>> {
    let mut months: BTreeMap<i32, Vec<&'a T>> = BTreeMap::new();
    for row in rows {
        months.entry(row.month()).or_default().push(row);
    }
    months
}
