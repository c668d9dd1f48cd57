//! `tollgate admin`: the writes and reads of an administrator.

use anyhow::{Context, bail};
use clap::{Args as ClapArgs, Subcommand};

use super::show;
use crate::app::Stores;
use crate::app::admin::Administration;
use crate::config::Settings;
use crate::domain::change::Author;
use crate::domain::change::{Change, Enforcement, LimitSetting, Plan, Seats, UserChange};
use crate::domain::ledger::Account;
use crate::domain::{Credits, FeatureId, TeamId, UserId, WorkspaceId};

/// Change and show plans, limits and credits.
#[derive(ClapArgs)]
pub struct Args {
    /// Print JSON instead of a table
    #[arg(long, global = true)]
    json: bool,
    /// Who makes the change, for the ledger
    #[arg(long, global = true, env = "TOLLGATE_ACTOR", default_value = "local")]
    actor: String,
    /// Why, for the ledger
    #[arg(long, global = true, default_value = "")]
    reason: String,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Show a workspace: pool, users, features
    Show {
        /// The workspace
        workspace: WorkspaceId,
    },
    /// Replace the plan: seats x credits per seat, or monthly credits
    Plan(PlanArgs),
    /// Change a user's limit, team or suspension; what is not named stays
    User(UserArgs),
    /// Replace a team's settings
    Team(TeamArgs),
    /// Set or lift the limit of a feature over all users
    Feature {
        /// The workspace
        workspace: WorkspaceId,
        /// The feature
        feature: FeatureId,
        /// Credits a period, or `none`
        #[arg(long)]
        limit: LimitWord,
    },
    /// Bring credits into the pool
    TopUp {
        /// The workspace
        workspace: WorkspaceId,
        /// How many
        #[arg(value_parser = credits)]
        credits: Credits,
    },
    /// Move credits from the pool to a user, and raise the user's limit alike
    Grant {
        /// The workspace
        workspace: WorkspaceId,
        /// Who gets them
        user: UserId,
        /// How many
        #[arg(value_parser = credits)]
        credits: Credits,
    },
    /// Move credits between accounts: pool, team:<id>, user:<id>
    Transfer {
        /// The workspace
        workspace: WorkspaceId,
        /// Source
        from: Account,
        /// Destination
        to: Account,
        /// How many
        #[arg(value_parser = credits)]
        credits: Credits,
        /// Raise the receiving user's limit by the same amount
        #[arg(long)]
        raise_limit: bool,
    },
}

#[derive(ClapArgs)]
struct PlanArgs {
    /// The workspace
    workspace: WorkspaceId,
    /// Seats that are paid for
    #[arg(long, requires = "credits_per_seat", conflicts_with = "monthly_credits")]
    seats: Option<u32>,
    /// Credits that each seat brings a period
    #[arg(long, value_parser = credits, requires = "seats")]
    credits_per_seat: Option<Credits>,
    /// Credits a period
    #[arg(long, value_parser = credits, required_unless_present = "seats")]
    monthly_credits: Option<Credits>,
    /// IANA time zone in which periods and days begin
    #[arg(long, default_value = "UTC")]
    timezone: String,
    /// Day of the month on which periods begin, 1 to 28
    #[arg(long, default_value_t = 1)]
    anchor_day: i8,
    /// Let events past a limit through as overage
    #[arg(long)]
    soft: bool,
    /// Limit of users without one of their own or their team's
    #[arg(long, value_parser = credits)]
    default_user_limit: Option<Credits>,
}

#[derive(ClapArgs)]
struct UserArgs {
    /// The workspace
    workspace: WorkspaceId,
    /// The user
    user: UserId,
    /// Credits a period, `none` for no limit against a default, or `inherit`
    #[arg(long)]
    limit: Option<LimitWord>,
    /// The team, or `none`
    #[arg(long)]
    team: Option<String>,
    /// Deny everything, or end it: true or false
    #[arg(long)]
    suspended: Option<bool>,
}

#[derive(ClapArgs)]
struct TeamArgs {
    /// The workspace
    workspace: WorkspaceId,
    /// The team
    team: TeamId,
    /// Credits moved from the pool to the team when a period opens
    #[arg(long, value_parser = credits, default_value = "0")]
    monthly_reserve: Credits,
    /// Move the difference now too
    #[arg(long)]
    apply_now: bool,
    /// Limit of members without one of their own
    #[arg(long, value_parser = credits)]
    default_user_limit: Option<Credits>,
}

/// A limit as it is typed.
#[derive(Debug, Clone, Copy)]
enum LimitWord {
    Inherit,
    Set(LimitSetting),
}

impl std::str::FromStr for LimitWord {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "inherit" => Ok(Self::Inherit),
            "none" => Ok(Self::Set(LimitSetting::None)),
            _ => credits(text).map(LimitSetting::Credits).map(Self::Set),
        }
    }
}

fn credits(text: &str) -> Result<Credits, String> {
    let credits = Credits::parse_digits(text).map_err(|fault| format!("{text:?} {fault}"))?;
    if credits > Credits::TOTAL_MAX {
        Err(format!("{text} is more than 8000000000 credits"))
    } else {
        Ok(credits)
    }
}

/// Runs one action.
pub async fn run(args: Args, settings: &Settings) -> anyhow::Result<()> {
    let stores = Stores::new(settings)?;
    let (workspace, change) = match args.action {
        Action::Show { workspace } => return show::workspace(&stores.ledger, &workspace, args.json).await,
        other => change(other)?,
    };
    let author = Author { actor: args.actor, reason: args.reason, ..Author::default() };
    let administration = Administration::new(stores.clone(), settings);
    match administration.change(&workspace, &change, &author).await? {
        Ok(_) => show::workspace(&stores.ledger, &workspace, args.json).await,
        Err(refusal) => bail!("{refusal} ({})", refusal.code()),
    }
}

fn change(action: Action) -> anyhow::Result<(WorkspaceId, Change)> {
    Ok(match action {
        Action::Show { workspace } => bail!("show of {workspace} changes nothing"),
        Action::Plan(args) => (args.workspace.clone(), Change::Plan(plan(args)?)),
        Action::User(args) => {
            let limit = args.limit.map(|word| match word {
                LimitWord::Inherit => None,
                LimitWord::Set(limit) => Some(limit),
            });
            let team = args.team.map(|team| team_or_none(&team)).transpose()?;
            let suspended = args.suspended;
            (args.workspace, Change::User(UserChange { limit, team, suspended, ..UserChange::of(args.user) }))
        }
        Action::Team(args) => {
            let TeamArgs { workspace, team, monthly_reserve, apply_now, default_user_limit } = args;
            (workspace, Change::Team { team, monthly_reserve, apply_now, default_user_limit })
        }
        Action::Feature { workspace, feature, limit } => {
            let limit = match limit {
                LimitWord::Set(LimitSetting::Credits(limit)) => Some(limit),
                LimitWord::Set(LimitSetting::None) => None,
                LimitWord::Inherit => bail!("a feature's limit inherits from nothing: give credits or none"),
            };
            (workspace, Change::Feature { feature, limit })
        }
        Action::TopUp { workspace, credits } => (workspace, Change::TopUp { credits }),
        Action::Grant { workspace, user, credits } => (workspace, Change::Grant { user, credits }),
        Action::Transfer { workspace, from, to, credits, raise_limit } => {
            (workspace, Change::Transfer { from, to, credits, raise_limit })
        }
    })
}

fn team_or_none(text: &str) -> anyhow::Result<Option<TeamId>> {
    if text == "none" {
        return Ok(None);
    }
    TeamId::parse(text).map(Some).map_err(|fault| anyhow::anyhow!("team {text:?} {fault}"))
}

fn plan(args: PlanArgs) -> anyhow::Result<Plan> {
    let seats = args.seats.zip(args.credits_per_seat);
    let seats = seats.map(|(seats, credits_per_seat)| Seats { seats, credits_per_seat });
    let monthly_credits = match seats {
        Some(seats) => seats.credits().context("too many credits")?,
        None => args.monthly_credits.context("name seats and credits per seat, or monthly credits")?,
    };
    Ok(Plan {
        seats,
        timezone: args.timezone,
        anchor_day: args.anchor_day,
        enforcement: if args.soft { Enforcement::Soft } else { Enforcement::Hard },
        default_user_limit: args.default_user_limit,
        ..Plan::monthly(monthly_credits)
    })
}
