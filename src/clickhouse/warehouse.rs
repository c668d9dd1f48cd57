//! The store, as the pipeline sees it.

use super::{Store, WarehouseError};
use crate::domain::alert::Alert;
use crate::domain::ledger::Entry;
use crate::domain::ports::{Fault, Warehouse};
use crate::domain::record::Rows;

impl Warehouse for Store {
    type Error = WarehouseError;

    async fn record(&self, rows: &Rows) -> Result<(), WarehouseError> {
        Self::record(self, rows).await
    }

    async fn record_entries(&self, entries: &[Entry]) -> Result<(), WarehouseError> {
        Self::record_entries(self, entries).await
    }

    async fn record_alerts(&self, alerts: &[Alert]) -> Result<(), WarehouseError> {
        Self::record_alerts(self, alerts).await
    }
}

impl Fault for WarehouseError {
    fn is_transient(&self) -> bool {
        Self::is_transient(self)
    }
}
