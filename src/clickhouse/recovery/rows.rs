//! What the questions of a rebuild and an audit are answered with, row by row.

use clickhouse::Row;
use serde::Deserialize;

use super::CellName;
use crate::clickhouse::reads::{day, micro};
use crate::domain::credits::Credits;
use crate::domain::decision::Drawn;
use crate::domain::fold::Usage;
use crate::domain::ids::{FeatureId, IdError, TeamId, UserId, WorkspaceId};
use crate::domain::ledger::{Entry, Totals};
use crate::domain::period::{Day, Instant, PeriodName};

#[derive(Row, Deserialize)]
pub(super) struct UsageRow {
    pub(super) workspace: String,
    #[serde(deserialize_with = "day")]
    pub(super) period: PeriodName,
    #[serde(deserialize_with = "day")]
    pub(super) day: Day,
    pub(super) user: String,
    pub(super) feature: String,
    pub(super) team: String,
    #[serde(deserialize_with = "micro")]
    pub(super) from_user: Credits,
    #[serde(deserialize_with = "micro")]
    pub(super) from_team: Credits,
    #[serde(deserialize_with = "micro")]
    pub(super) from_pool: Credits,
    #[serde(deserialize_with = "micro")]
    pub(super) overage: Credits,
    pub(super) events: u64,
    pub(super) overage_events: u64,
    pub(super) denied_events: u64,
    pub(super) denied_micro: i128,
}

#[derive(Row, Deserialize)]
pub(super) struct CellRow {
    pub(super) workspace: String,
    #[serde(deserialize_with = "day")]
    pub(super) period: PeriodName,
    #[serde(deserialize_with = "day")]
    pub(super) day: Day,
    pub(super) user: String,
    pub(super) feature: String,
    #[serde(deserialize_with = "micro")]
    pub(super) credits: Credits,
    #[serde(deserialize_with = "micro")]
    pub(super) overage_credits: Credits,
    pub(super) events: u64,
    pub(super) overage_events: u64,
    pub(super) denied_events: u64,
    pub(super) denied_credits: i128,
    pub(super) version: u64,
}

#[derive(Row, Deserialize)]
pub(super) struct AccountRow {
    pub(super) workspace: String,
    #[serde(deserialize_with = "day")]
    pub(super) period: PeriodName,
    pub(super) account: String,
}

#[derive(Row, Deserialize)]
pub(super) struct FloorRow {
    pub(super) workspace: String,
    pub(super) partition: i32,
    pub(super) last: i64,
}

#[derive(Row, Deserialize)]
pub(super) struct VersionRow {
    pub(super) workspace: String,
    pub(super) version: u64,
}

#[derive(Row, Deserialize)]
pub(super) struct EntryName {
    pub(super) workspace: String,
    pub(super) epoch: u64,
    pub(super) sequence: u64,
}

#[derive(Row, Deserialize)]
pub(super) struct EntryRow {
    pub(super) epoch: u64,
    pub(super) sequence: u64,
    pub(super) kind: String,
    pub(super) actor: String,
    #[serde(deserialize_with = "day")]
    pub(super) period: PeriodName,
    pub(super) at: i64,
    pub(super) postings: String,
    pub(super) change: String,
}

#[derive(Row, Deserialize)]
pub(super) struct ReversedRow {
    pub(super) workspace: String,
    pub(super) period: u16,
    pub(super) name: String,
}

impl EntryRow {
    pub(super) fn entry(self, workspace: &WorkspaceId) -> Result<Entry, serde_json::Error> {
        Ok(Entry {
            workspace: workspace.clone(),
            epoch: self.epoch,
            sequence: self.sequence,
            kind: self.kind,
            actor: self.actor,
            reason: None,
            idempotency_key: None,
            request: None,
            period: self.period,
            at: Instant::from_micros(self.at),
            postings: serde_json::from_str(&self.postings)?,
            change: serde_json::from_str(&self.change)?,
        })
    }
}

impl UsageRow {
    pub(super) fn usage(self) -> Result<(String, Usage), IdError> {
        let drawn =
            Drawn { user: self.from_user, team: self.from_team, pool: self.from_pool, overage: self.overage };
        let team = Some(self.team).filter(|team| !team.is_empty());
        let usage = Usage {
            period: self.period,
            day: self.day,
            user: UserId::parse(&self.user)?,
            feature: FeatureId::parse(&self.feature)?,
            team: team.map(|team| TeamId::parse(&team)).transpose()?,
            drawn,
            totals: Totals {
                credits: drawn.from_accounts(),
                overage_credits: drawn.overage,
                events: self.events,
                overage_events: self.overage_events,
                denied_events: self.denied_events,
                denied_micro: self.denied_micro,
            },
        };
        Ok((self.workspace, usage))
    }
}

/// A rollup by its key, with its version.
type Cell = (CellName, (Totals, u64));

impl CellRow {
    pub(super) fn cell(self) -> Result<(String, Cell), IdError> {
        let name = (self.period, UserId::parse(&self.user)?, FeatureId::parse(&self.feature)?, self.day);
        let totals = Totals {
            credits: self.credits,
            overage_credits: self.overage_credits,
            events: self.events,
            overage_events: self.overage_events,
            denied_events: self.denied_events,
            denied_micro: self.denied_credits,
        };
        Ok((self.workspace, (name, (totals, self.version))))
    }
}
