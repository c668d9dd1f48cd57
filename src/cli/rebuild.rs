//! `tollgate rebuild`: Redis from its two truths, one workspace or all. The running service needs not stop.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args as ClapArgs;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use crate::app::Stores;
use crate::app::rebuild::{Rebuilder, Rebuilt};
use crate::config::Settings;
use crate::domain::WorkspaceId;

/// Rebuild the state in Redis.
#[derive(ClapArgs)]
pub struct Args {
    /// Only this one; without it every workspace
    #[arg(long)]
    workspace: Option<WorkspaceId>,
}

/// Rebuilds, and says a line for each workspace.
pub async fn run(args: Args, settings: &Settings) -> anyhow::Result<()> {
    let stores = Stores::new(settings)?;
    let rebuilder = Rebuilder::new(&stores, settings, Arc::new(stores.relay(settings)));
    let all = rebuilder.workspaces().await?;
    let chosen: BTreeSet<WorkspaceId> = match args.workspace {
        None => all,
        Some(one) if all.contains(&one) => [one].into(),
        Some(one) => anyhow::bail!("workspace {one}: neither Redis nor a table nor the ledger knows it"),
    };
    let bar = progress_bar();
    let started = Instant::now();
    let told = std::sync::Mutex::new((0, 0));
    let progress = |workspace: &WorkspaceId, done: u64, of: u64| {
        bar.set_length(of);
        bar.set_position(done);
        bar.set_message(workspace.to_string());
    };
    let tell = |rebuilt: &Rebuilt| {
        if let Ok(mut sums) = told.lock() {
            sums.0 += 1;
            sums.1 += rebuilt.events;
        }
        bar.suspend(|| println!("{}", line(rebuilt)));
    };
    rebuilder.rebuild(&chosen, &progress, &tell).await?;
    bar.finish_and_clear();
    let (workspaces, events) = told.into_inner().unwrap_or_default();
    let took = started.elapsed();
    println!(
        "{workspaces} rebuilt, {} events in {:.1} s: {} events/s",
        HumanCount(events),
        took.as_secs_f64(),
        HumanCount(rate(events, took))
    );
    Ok(())
}

fn line(rebuilt: &Rebuilt) -> String {
    let Rebuilt { workspace, epoch, entries, events, marked, took } = rebuilt;
    format!(
        "{workspace}: epoch {epoch}, {} ledger entries folded, {} events summed, {} recognised again, \
         out of use for {:.2} s",
        HumanCount(*entries as u64),
        HumanCount(*events),
        HumanCount(*marked),
        took.as_secs_f64()
    )
}

fn rate(events: u64, took: Duration) -> u64 {
    (events as f64 / took.as_secs_f64().max(0.001)) as u64
}

/// On a terminal a bar; otherwise nothing but the lines.
fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} events {per_sec}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
