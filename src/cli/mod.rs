//! The commands. Each parses its arguments, calls one function and prints what came of it.

mod admin;
mod audit;
mod demo;
mod rebuild;
mod simulate;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::app;
use crate::config::{LogFormat, Settings};

/// Credits for AI features: checked before, debited exactly once, explained always.
#[derive(Parser)]
#[command(name = "tollgate", version, about)]
struct Cli {
    /// Settings that differ from the defaults (`tollgate config` prints them all)
    #[arg(long, global = true, env = "TOLLGATE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Decide events, keep the tables and answer over HTTP, until stopped
    Serve {
        /// Run only this part, so that several processes share the work
        #[arg(long, value_enum)]
        only: Option<app::Part>,
    },
    /// Make the tables and topics; safe to repeat
    Migrate,
    /// Print the settings in force, secrets hidden
    Config,
    /// Publish realistic usage events for a workspace
    Simulate(simulate::Args),
    /// Compare Redis, usage_events, usage_rollups and the ledger: 0 equal, 1 different, 2 could not tell
    Audit(audit::Args),
    /// Rebuild the state in Redis from ClickHouse and the ledger topic; safe to repeat
    Rebuild(rebuild::Args),
    /// Change and show plans, limits and credits
    Admin(admin::Args),
    /// Play a month of a workspace of 70 against the running service, and check each step
    Demo,
}

/// Parses, runs, and answers 0, or 1 after a sentence on what went wrong.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = Settings::load(cli.config.as_deref()).map_err(anyhow::Error::from).and_then(|settings| {
        install_logs(&settings, matches!(cli.command, Command::Serve { .. }));
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let outcome = runtime.block_on(run(cli.command, &settings));
        // A driver's thread may still wait for a server that is away.
        runtime.shutdown_timeout(std::time::Duration::from_secs(1));
        outcome
    });
    match outcome {
        Ok(code) => code,
        Err(fault) => {
            eprintln!("tollgate: {fault:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command, settings: &Settings) -> anyhow::Result<ExitCode> {
    if let Command::Audit(args) = command {
        return Ok(audit::run(args, settings).await);
    }
    run_plainly(command, settings).await.map(|()| ExitCode::SUCCESS)
}

/// The commands that do what they are asked or fail.
async fn run_plainly(command: Command, settings: &Settings) -> anyhow::Result<()> {
    match command {
        Command::Serve { only } => app::serve(settings, only, stop_signal()?).await,
        Command::Migrate => {
            let lines = app::migrate(settings).await?;
            lines.iter().for_each(|line| println!("{line}"));
            println!("tables and topics are up to date");
            Ok(())
        }
        Command::Config => {
            print!("{}", settings.effective());
            Ok(())
        }
        Command::Simulate(args) => simulate::run(args, settings).await,
        Command::Audit(_) => Ok(()),
        Command::Rebuild(args) => rebuild::run(args, settings).await,
        Command::Admin(args) => admin::run(args, settings).await,
        Command::Demo => demo::run(settings).await,
    }
}

/// Cancelled by SIGTERM or Ctrl-C.
fn stop_signal() -> anyhow::Result<CancellationToken> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let token = CancellationToken::new();
    let stop = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    Ok(token)
}

/// Logs go to standard error; commands for people say only what went wrong.
fn install_logs(settings: &Settings, service: bool) {
    let filter = if service { settings.log.filter.as_str() } else { "error" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(filter));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match settings.log.format {
        LogFormat::Text => logs.with_target(false).init(),
        LogFormat::Json => logs.json().flatten_event(true).with_current_span(false).init(),
    }
}
