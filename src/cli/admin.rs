//! `tollgate admin`: the writes and reads of an administrator, on the stores themselves. What is typed is
//! read by `args`, `asked`, `hold_args` and `words`; a `clerk` carries it out: `writes` and `holds` change
//! (`said` words what they did), `balances`, `show`, `lists` and `forecasts` read.

mod args;
mod asked;
mod balances;
mod bulk;
mod clerk;
mod forecasts;
mod hold_args;
mod holds;
mod lists;
mod paging;
mod refused;
mod said;
mod show;
#[cfg(test)]
mod tests;
mod words;
mod writes;

use std::path::Path;

use clap::{Args as ClapArgs, Subcommand};

use self::clerk::Clerk;
use self::refused::Refused;
use self::writes::Asker;
use super::table;
use crate::config::Settings;
use crate::domain::change::Change;
use crate::domain::ports::Trouble;

/// Change and show plans, limits and credits.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Print one JSON value, under the names of the API, instead of words and tables
    #[arg(long, global = true)]
    json: bool,
    /// Who makes the change, for the ledger
    #[arg(long, global = true, env = "TOLLGATE_ACTOR", default_value = "local", value_parser = words::words)]
    actor: String,
    /// Why, for the ledger
    #[arg(long, global = true, default_value = "", hide_default_value = true, value_parser = words::words)]
    reason: String,
    /// The same write under the same key is made once and answered alike, for 24 hours
    #[arg(long, global = true, value_parser = words::key, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Replace the plan: seats x credits per seat, or monthly credits
    ///
    /// What is not named is as by default. A changed amount enters or leaves the pool at once; a new time
    /// zone or anchor day holds from the end of the running period.
    #[command(
        after_help = "Example: tollgate admin plan acme --seats 70 --credits-per-seat 5000 --timezone Europe/Berlin"
    )]
    Plan(args::PlanArgs),
    /// Change a user, what is not named stays; or show them, when nothing is named
    #[command(after_help = "Examples:\n  tollgate admin user acme ann --limit 1000 --team design\n  \
                      tollgate admin user acme ann")]
    User(args::UserArgs),
    /// List users, the idle too; or change up to 1,000 out of a file, all or none
    #[command(after_help = "Examples:\n  tollgate admin users acme --sort -utilization --team design\n  \
        tollgate admin users acme --file users.csv\nA CSV file names its columns in the first line; an empty field \
        stays as it is:\n  user,limit,team,monthly_allocation,suspended\n  ann,1000,design,,\n  bob,none,,500,false")]
    Users(asked::UsersArgs),
    /// Replace a team's settings; or show it, when nothing is named
    #[command(
        after_help = "Examples:\n  tollgate admin team acme design --monthly-reserve 5000 --apply-now\n  \
                      tollgate admin team acme design"
    )]
    Team(args::TeamArgs),
    /// List teams
    #[command(after_help = "Example: tollgate admin teams acme")]
    Teams(asked::ListArgs),
    /// Set or lift the limit of a feature over all users; or show it, when nothing is named
    #[command(after_help = "Example: tollgate admin feature acme image_generation --limit 20000")]
    Feature(args::FeatureArgs),
    /// List features
    #[command(after_help = "Example: tollgate admin features acme")]
    Features(asked::ListArgs),
    /// Bring credits into the pool
    #[command(after_help = "Example: tollgate admin top-up acme 10000 --reason \"order 4711\"")]
    TopUp(args::TopUpArgs),
    /// Move credits from the pool to a user, and raise the user's limit alike
    #[command(
        after_help = "Example: tollgate admin grant acme ann 2000 --reason launch --idempotency-key ticket-17"
    )]
    Grant(args::GrantArgs),
    /// Move credits between accounts: pool, team:<id>, user:<id>
    #[command(after_help = "Example: tollgate admin transfer acme user:ann team:design 500")]
    Transfer(args::TransferArgs),
    /// Give an event's credits back to the accounts that they came from
    #[command(after_help = "Example: tollgate admin reverse acme 01J8ZK --source chat-gateway")]
    Reverse(args::ReverseArgs),
    /// Set credits aside for a call that is about to run
    #[command(after_help = "Example: tollgate admin hold acme ann ai_agent 200 --ttl-seconds 600")]
    Hold(hold_args::HoldArgs),
    /// Say what a call took that credits were held for; never refused for lack of credits
    #[command(after_help = "Example: tollgate admin settle acme HOLD 140")]
    Settle(hold_args::SettleArgs),
    /// Give back what a hold set aside: the call does not happen
    #[command(after_help = "Example: tollgate admin void acme HOLD")]
    Void(hold_args::VoidArgs),
    /// List the holds that have not ended
    #[command(after_help = "Example: tollgate admin holds acme --user ann")]
    Holds(hold_args::HoldsArgs),
    /// Would it pass now? Changes nothing
    #[command(after_help = "Example: tollgate admin check acme ann ai_chat 10")]
    Check(hold_args::CheckArgs),
    /// List the workspaces
    #[command(after_help = "Example: tollgate admin workspaces")]
    Workspaces(asked::WorkspacesArgs),
    /// Show a workspace: plan, pool, users, teams, features
    #[command(after_help = "Example: tollgate admin show acme --period 2026-11-01")]
    Show(asked::ShowArgs),
    /// List who changed what, newest first
    #[command(after_help = "Example: tollgate admin ledger acme --kind grant --account user:ann")]
    Ledger(asked::LedgerArgs),
    /// List decided events with their reasons, newest first
    #[command(after_help = "Example: tollgate admin events acme --user ann --outcome denied")]
    Events(asked::EventsArgs),
    /// Sum up usage
    #[command(
        after_help = "Example: tollgate admin usage acme --group-by user,feature --from 2026-11-01 --to 2026-12-01"
    )]
    Usage(asked::UsageArgs),
    /// List the thresholds that were crossed, newest first
    #[command(after_help = "Example: tollgate admin alerts acme --scope user")]
    Alerts(asked::AlertsArgs),
    /// Show what use will come to by the end of the period, and which idle credits could move
    #[command(after_help = "Example: tollgate admin forecast acme")]
    Forecast(asked::ForecastArgs),
}

/// Runs one action. Refused, a script gets the API's problem on standard output.
pub async fn run(args: Args, settings: &Settings) -> anyhow::Result<()> {
    let Args { json, actor, reason, idempotency_key: key, action } = args;
    let clerk = Clerk::new(settings, json)?;
    let outcome = act(&clerk, &Asker { actor, reason, key }, action).await;
    // What was told on the way, expired holds for example.
    clerk.administration.write_told().await;
    let outcome = outcome.map_err(as_refused);
    if let Err(fault) = &outcome
        && let Some(refused) = fault.downcast_ref::<Refused>().filter(|_| json)
    {
        table::print(&refused.json().await?)?;
    }
    outcome
}

/// A server that is away is a problem of the API too.
fn as_refused(fault: anyhow::Error) -> anyhow::Error {
    fault.downcast::<Trouble>().map_or_else(|other| other, |trouble| Refused::from(trouble).into())
}

async fn act(clerk: &Clerk<'_>, asker: &Asker, action: Action) -> anyhow::Result<()> {
    match action {
        Action::Plan(args) => writes::change(clerk, asker, &args.workspace, args.change()?).await,
        Action::User(args) => match args.change() {
            Some(change) => writes::change(clerk, asker, &args.workspace, change).await,
            None => balances::user(clerk, args).await,
        },
        Action::Users(args) => match &args.file {
            Some(file) => writes::change(clerk, asker, &args.of.workspace, of_file(file)?).await,
            None => balances::users(clerk, args).await,
        },
        Action::Team(args) => match args.change() {
            Some(change) => writes::change(clerk, asker, &args.workspace, change).await,
            None => balances::team(clerk, args).await,
        },
        Action::Feature(args) => match args.change() {
            Some(change) => writes::change(clerk, asker, &args.workspace, change).await,
            None => balances::feature(clerk, args).await,
        },
        Action::TopUp(args) => {
            let change = Change::TopUp { credits: args.credits };
            writes::change(clerk, asker, &args.workspace, change).await
        }
        Action::Grant(args) => {
            let change = Change::Grant { user: args.user, credits: args.credits };
            writes::change(clerk, asker, &args.workspace, change).await
        }
        Action::Transfer(args) => {
            let workspace = args.workspace.clone();
            writes::change(clerk, asker, &workspace, args.change()?).await
        }
        Action::Reverse(args) => {
            writes::reverse(clerk, asker, &args.workspace, &args.source, &args.event_id).await
        }
        Action::Hold(args) => holds::make(clerk, asker, args).await,
        Action::Settle(args) => holds::settle(clerk, asker, args).await,
        Action::Void(args) => holds::void(clerk, asker, args).await,
        read => look(clerk, read).await,
    }
}

async fn look(clerk: &Clerk<'_>, action: Action) -> anyhow::Result<()> {
    match action {
        Action::Teams(args) => balances::teams(clerk, args).await,
        Action::Features(args) => balances::features(clerk, args).await,
        Action::Holds(args) => holds::list(clerk, args).await,
        Action::Check(args) => holds::check(clerk, args).await,
        Action::Workspaces(args) => balances::workspaces(clerk, args).await,
        Action::Show(args) => show::show(clerk, args).await,
        Action::Ledger(args) => lists::ledger(clerk, args).await,
        Action::Events(args) => lists::events(clerk, args).await,
        Action::Usage(args) => lists::usage(clerk, args).await,
        Action::Alerts(args) => lists::alerts(clerk, args).await,
        Action::Forecast(args) => forecasts::show(clerk, args).await,
        other => anyhow::bail!("{other:?} is no read"),
    }
}

fn of_file(file: &Path) -> Result<Change, Refused> {
    bulk::read(file).map_err(|fault| Refused::invalid("invalid_users", format!("{fault:#}")))
}
