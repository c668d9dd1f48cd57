//! Who carries out a command: asks the office and the tables, and prints what came of it, for people
//! or for scripts.

use std::sync::Arc;

use serde::Serialize;

use super::refused::Refused;
use crate::app::Stores;
use crate::app::admin::Administration;
use crate::app::office::Desk;
use crate::cli::table;
use crate::clickhouse::Store;
use crate::config::Settings;
use crate::domain::WorkspaceId;
use crate::domain::period::PeriodName;
use crate::domain::ports::{Office, View};

/// One command's way to the stores and back.
pub struct Clerk<'a> {
    /// What is in force.
    pub settings: &'a Settings,
    /// The clients of the servers.
    pub stores: Stores,
    /// Makes changes.
    pub administration: Administration,
    json: bool,
}

impl<'a> Clerk<'a> {
    /// Ready to work.
    pub fn new(settings: &'a Settings, json: bool) -> anyhow::Result<Self> {
        let stores = Stores::new(settings)?;
        let administration = Administration::new(stores.clone(), settings);
        Ok(Self { settings, stores, administration, json })
    }

    /// Whether the answer is JSON.
    pub fn is_for_scripts(&self) -> bool {
        self.json
    }

    /// Balances, holds and checks.
    pub fn office(&self) -> &Desk {
        &self.administration.office
    }

    /// What was recorded.
    pub fn tables(&self) -> &Store {
        &self.stores.tables
    }

    /// A workspace in the running period, or in the one of that name.
    pub async fn view(
        &self,
        workspace: &WorkspaceId,
        period: Option<PeriodName>,
    ) -> Result<Arc<View>, Refused> {
        if let Some(view) = self.office().view(workspace, period).await? {
            return Ok(view);
        }
        if let Some(name) = period
            && self.office().view(workspace, None).await?.is_some()
        {
            let sentence = format!("workspace {workspace} has no period that starts on {name}");
            return Err(Refused::unknown("unknown_period", sentence));
        }
        let sentence = format!("workspace {workspace} was never seen: set a plan or publish an event");
        Err(Refused::unknown("unknown_workspace", sentence))
    }

    /// Prints the answer for scripts, or the text for people.
    pub fn print(&self, answer: &impl Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        if self.json { table::print(&serde_json::to_string_pretty(answer)?) } else { table::print(&text()) }
    }
}
