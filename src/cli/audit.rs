//! `tollgate audit`: the four sources side by side, and the exit code says whether they agree.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args as ClapArgs;
use indicatif::HumanCount;

use super::table::{Column, columns};
use crate::app::Stores;
use crate::app::audit::{Auditor, Ledger};
use crate::app::rebuild::Rebuilder;
use crate::config::Settings;
use crate::domain::audit::{Audit, Difference};
use crate::domain::{Credits, WorkspaceId};

/// Compare Redis with its truths.
#[derive(ClapArgs)]
pub struct Args {
    /// Only this one; without it every workspace
    #[arg(long)]
    workspace: Option<WorkspaceId>,
}

const COLUMNS: [Column; 8] = [
    Column::Text("period"),
    Column::Text("account"),
    Column::Text("what"),
    Column::Number("redis"),
    Column::Number("usage_events"),
    Column::Number("usage_rollups"),
    Column::Number("ledger"),
    Column::Number("difference"),
];

/// Compares, says a line for each workspace and a table where one differs: 0 equal, 1 different, 2 could not tell.
pub async fn run(args: Args, settings: &Settings) -> ExitCode {
    match compare(args, settings).await {
        Ok(code) => ExitCode::from(code),
        Err(fault) => {
            eprintln!("tollgate: could not tell: {fault:#}");
            ExitCode::from(2)
        }
    }
}

async fn compare(args: Args, settings: &Settings) -> anyhow::Result<u8> {
    let stores = Stores::new(settings)?;
    let rebuilder = Arc::new(Rebuilder::new(&stores, settings, Arc::new(stores.relay(settings))));
    let auditor = Auditor::new(&stores, settings, Arc::clone(&rebuilder), Ledger::Topic);
    let chosen: BTreeSet<WorkspaceId> = match args.workspace {
        Some(one) => [one].into(),
        None => rebuilder.workspaces().await?,
    };
    let (mut different, mut untold) = (false, false);
    for workspace in chosen {
        match auditor.audit(&workspace).await {
            Ok(audit) if audit.differences.is_empty() => println!("{workspace}: equal, {}", counted(&audit)),
            Ok(audit) => {
                different = true;
                println!("{workspace}: {} differences, {}", audit.differences.len(), counted(&audit));
                println!("{}", columns(&COLUMNS, audit.differences.iter().map(row)));
            }
            Err(fault) => {
                untold = true;
                println!("{workspace}: could not tell: {fault}");
            }
        }
    }
    Ok(if different { 1 } else { 2 * u8::from(untold) })
}

fn counted(audit: &Audit) -> String {
    let numbers = HumanCount(audit.compared as u64);
    match audit.moving {
        0 => format!("{numbers} numbers compared"),
        moving => format!("{numbers} numbers compared, {moving} rollups moved meanwhile"),
    }
}

fn row(difference: &Difference) -> Vec<String> {
    let none = |source: Option<Credits>| source.map_or_else(|| "-".to_owned(), |credits| credits.to_string());
    vec![
        difference.period.to_string(),
        difference.account.clone(),
        difference.what.to_owned(),
        difference.redis.to_string(),
        none(difference.events),
        none(difference.rollups),
        none(difference.ledger),
        difference.amount().to_string(),
    ]
}
