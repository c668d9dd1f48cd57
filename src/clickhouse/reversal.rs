//! The mark of an event whose credits went back: its row once more, with the time of the reversal
//! and the next version. What was drawn stays in the row as it was.

use serde::Deserialize;

use super::error::within;
use super::{Store, WarehouseError};
use crate::domain::ids::WorkspaceId;
use crate::domain::ledger::Entry;
use crate::domain::period::Instant;

/// Marked twice it is marked once; an original row that is written again has the lower version.
const MARK: &str = "INSERT INTO usage_events_raw
SELECT * REPLACE (
    toNullable(fromUnixTimestamp64Micro({at:Int64}, 'UTC')) AS reversed_at,
    e.version + 1 AS version
)
FROM usage_events_raw AS e FINAL
WHERE e.workspace = {workspace:String} AND e.time = fromUnixTimestamp64Micro({time:Int64}, 'UTC')
    AND e.source = {source:String} AND e.id = {id:String} AND e.reversed_at IS NULL";

/// What of a reversal's `change` names the row.
#[derive(Deserialize)]
struct Named {
    event_id: String,
    source: String,
    time: String,
}

impl Named {
    fn of(entry: &Entry) -> Result<(Self, Instant), WarehouseError> {
        let stored = |fault: &dyn std::fmt::Display| {
            WarehouseError::Stored(format!("a reversal that does not name its event ({fault})"))
        };
        let named = Self::deserialize(&entry.change).map_err(|fault| stored(&fault))?;
        let time: jiff::Timestamp = named.time.parse().map_err(|fault| stored(&fault))?;
        Ok((named, Instant::from_timestamp(time)))
    }
}

impl Store {
    /// Marks an event as reversed; to be repeated as it is after any error. An event without a row is
    /// passed over.
    pub async fn mark_reversed(
        &self,
        workspace: &WorkspaceId,
        time: Instant,
        source: &str,
        id: &str,
        at: Instant,
    ) -> Result<(), WarehouseError> {
        let mark =
            self.writer.query(MARK).param("workspace", workspace.as_str()).param("time", time.micros());
        let mark = mark.param("source", source).param("id", id).param("at", at.micros());
        within(self.insert_timeout, "mark of a reversal", mark.execute()).await
    }

    /// Marks the events of the reversals among the entries.
    pub(super) async fn mark_all_reversed(&self, entries: &[Entry]) -> Result<(), WarehouseError> {
        for entry in entries.iter().filter(|entry| entry.kind == "reversal") {
            match Named::of(entry) {
                Ok((named, time)) => {
                    let (source, id) = (&named.source, &named.event_id);
                    self.mark_reversed(&entry.workspace, time, source, id, entry.at).await?;
                }
                // The entry is in the ledger for good; to fail here would hold up all that follow it.
                Err(fault) => tracing::error!(%fault, sequence = entry.sequence, "row stays unmarked"),
            }
        }
        Ok(())
    }
}
