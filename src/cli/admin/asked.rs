//! What reads are given on the command line.

use clap::Args;

use super::paging::Paging;
use super::words;
use crate::domain::alert::Scope;
use crate::domain::decision::Outcome;
use crate::domain::ledger::Account;
use crate::domain::period::{Day, Instant, PeriodName};
use crate::domain::reports::Dimension;
use crate::domain::standing::Sort;
use crate::domain::{FeatureId, TeamId, UserId, WorkspaceId};

/// Every workspace.
#[derive(Debug, Args)]
pub struct WorkspacesArgs {
    #[command(flatten)]
    pub paging: Paging,
}

/// A workspace in a period.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The workspace
    pub workspace: WorkspaceId,
    /// The period by its start date; the running one when left out
    #[arg(long, value_name = "DATE")]
    pub period: Option<PeriodName>,
}

/// Teams or features of a workspace in a period.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub of: ShowArgs,
    #[command(flatten)]
    pub paging: Paging,
}

/// Users of a workspace: which to list, or the file that changes them.
#[derive(Debug, Args)]
pub struct UsersArgs {
    #[command(flatten)]
    pub of: ShowArgs,
    /// Change the users in this CSV or JSON file (`-`: standard input), all or none, up to 1,000
    #[arg(long, conflicts_with_all = ["period", "sort", "team", "q", "limit", "all", "cursor"])]
    pub file: Option<std::path::PathBuf>,
    /// One of -used, used, -utilization, remaining, user; ties by id
    #[arg(long, default_value = "-used", allow_hyphen_values = true)]
    pub sort: Sort,
    /// Only members of this team
    #[arg(long)]
    pub team: Option<TeamId>,
    /// Only ids that contain this, whatever the case
    #[arg(long, value_name = "TEXT")]
    pub q: Option<String>,
    #[command(flatten)]
    pub paging: Paging,
}

/// Entries of the ledger.
#[derive(Debug, Args)]
pub struct LedgerArgs {
    /// The workspace
    pub workspace: WorkspaceId,
    /// Made by this actor
    #[arg(long = "by", value_name = "ACTOR")]
    pub by: Option<String>,
    /// Of this kind: plan, user, top_up, grant, transfer, opening and others
    #[arg(long)]
    pub kind: Option<String>,
    /// With a posting on this account: pool, team:<id> or user:<id>
    #[arg(long)]
    pub account: Option<Account>,
    /// Made from this time on, RFC 3339
    #[arg(long, value_parser = words::moment, value_name = "TIME")]
    pub from: Option<Instant>,
    /// Made before this time
    #[arg(long, value_parser = words::moment, value_name = "TIME")]
    pub to: Option<Instant>,
    #[command(flatten)]
    pub paging: Paging,
}

/// Decided events.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// The workspace
    pub workspace: WorkspaceId,
    /// Of this user
    #[arg(long)]
    pub user: Option<UserId>,
    /// On this feature
    #[arg(long)]
    pub feature: Option<FeatureId>,
    /// allowed, overage or denied
    #[arg(long, value_parser = words::outcome)]
    pub outcome: Option<Outcome>,
    /// From this time on, RFC 3339
    #[arg(long, value_parser = words::moment, value_name = "TIME")]
    pub from: Option<Instant>,
    /// Before this time
    #[arg(long, value_parser = words::moment, value_name = "TIME")]
    pub to: Option<Instant>,
    #[command(flatten)]
    pub paging: Paging,
}

/// Sums of usage.
#[derive(Debug, Args)]
pub struct UsageArgs {
    /// The workspace
    pub workspace: WorkspaceId,
    /// Some of user, feature, team, model, day and month, with commas between; one sum without
    #[arg(long, value_delimiter = ',', value_name = "WHAT")]
    pub group_by: Vec<Dimension>,
    /// From this day on, in the workspace's time zone
    #[arg(long, value_name = "DATE")]
    pub from: Option<Day>,
    /// Before this day
    #[arg(long, value_name = "DATE")]
    pub to: Option<Day>,
    /// In this period, by its start date
    #[arg(long, value_name = "DATE")]
    pub period: Option<PeriodName>,
    /// Of this user
    #[arg(long)]
    pub user: Option<UserId>,
    /// On this feature
    #[arg(long)]
    pub feature: Option<FeatureId>,
    #[command(flatten)]
    pub paging: Paging,
}

/// Alerts.
#[derive(Debug, Args)]
pub struct AlertsArgs {
    /// The workspace
    pub workspace: WorkspaceId,
    /// Of pool, team or user
    #[arg(long, value_parser = words::scope)]
    pub scope: Option<Scope>,
    /// Of this workspace, team or user
    #[arg(long)]
    pub id: Option<String>,
    #[command(flatten)]
    pub paging: Paging,
}

/// A forecast.
#[derive(Debug, Args)]
pub struct ForecastArgs {
    /// The workspace
    pub workspace: WorkspaceId,
    /// Every user in the table, not only those who run out first
    #[arg(long)]
    pub all: bool,
}
