//! What writes are given on the command line, and the changes that they ask for.

use clap::Args;

use super::refused::Refused;
use super::words::{self, Ceiling, LimitWord, TeamWord};
use crate::domain::change::{CarryOver, Change, Enforcement, Plan, Seats, Thresholds, UserChange};
use crate::domain::ledger::Account;
use crate::domain::period::PeriodName;
use crate::domain::{Credits, FeatureId, TeamId, UserId, WorkspaceId};

/// A plan, whole.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The workspace
    pub workspace: WorkspaceId,
    /// Seats that are paid for
    #[arg(long, requires = "credits_per_seat", conflicts_with = "monthly_credits")]
    seats: Option<u32>,
    /// Credits that each seat brings a period
    #[arg(
        long,
        value_parser = words::credits,
        requires = "seats",
        conflicts_with = "monthly_credits",
        value_name = "CREDITS"
    )]
    credits_per_seat: Option<Credits>,
    /// Credits a period
    #[arg(long, value_parser = words::credits, required_unless_present = "seats", value_name = "CREDITS")]
    monthly_credits: Option<Credits>,
    /// IANA time zone in which periods and days begin
    #[arg(long, default_value = "UTC", value_parser = words::timezone)]
    timezone: String,
    /// Day of the month on which periods begin, 1 to 28
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i8).range(1..=28), value_name = "DAY")]
    anchor_day: i8,
    /// What happens to an event that breaks a rule: hard denies it, soft lets it through as overage
    #[arg(long, default_value = "hard", value_parser = words::enforcement, value_name = "hard|soft")]
    enforcement: Enforcement,
    /// The same as --enforcement soft
    #[arg(long, conflicts_with = "enforcement")]
    soft: bool,
    /// Limit of users without one of their own or their team's: credits, or `none`
    #[arg(long, default_value = "none", value_name = "CREDITS")]
    default_user_limit: Ceiling,
    /// What moves into the next period: `none`, `top_ups` or `all`
    #[arg(long, default_value = "top_ups", value_parser = words::carry_over, value_name = "WHAT")]
    carry_over: CarryOver,
    /// Percentages at which alerts are raised, or `none`
    #[arg(long, default_value = "50,80,100", value_parser = words::thresholds, value_name = "PERCENTS")]
    thresholds: Thresholds,
}

impl PlanArgs {
    /// The plan. Errors: more credits than there can be.
    pub fn change(&self) -> Result<Change, Refused> {
        let seats = self.seats.zip(self.credits_per_seat);
        let seats = seats.map(|(seats, credits_per_seat)| Seats { seats, credits_per_seat });
        let words = || "seats x credits per seat is more than 8000000000 credits".to_owned();
        let of_seats =
            |seats: Seats| seats.credits().ok_or_else(|| Refused::invalid("too_many_credits", words()));
        let of_seats = seats.map(of_seats).transpose()?;
        Ok(Change::Plan(Plan {
            seats,
            timezone: self.timezone.clone(),
            anchor_day: self.anchor_day,
            enforcement: if self.soft { Enforcement::Soft } else { self.enforcement },
            default_user_limit: self.default_user_limit.0,
            carry_over: self.carry_over,
            thresholds: self.thresholds.clone(),
            ..Plan::monthly(of_seats.or(self.monthly_credits).unwrap_or_default())
        }))
    }
}

/// A user, and what is changed of them.
#[derive(Debug, Args)]
pub struct UserArgs {
    /// The workspace
    pub workspace: WorkspaceId,
    /// The user
    pub user: UserId,
    /// Credits a period, `none` for no limit against a default, or `inherit`
    #[arg(long, value_name = "CREDITS")]
    limit: Option<LimitWord>,
    /// The team they belong to from the next event on, or `none`
    #[arg(long)]
    team: Option<TeamWord>,
    /// Credits moved from the pool to the user when a period opens
    #[arg(long, value_parser = words::credits, value_name = "CREDITS")]
    monthly_allocation: Option<Credits>,
    /// Move now too what the running period lacks of the allocation, or has too much
    #[arg(long)]
    apply_now: bool,
    /// Deny everything, or end it
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "true|false")]
    suspended: Option<bool>,
    /// Show them in this period (its start date) instead of the running one
    #[arg(
        long,
        value_name = "DATE",
        conflicts_with_all = ["limit", "team", "monthly_allocation", "apply_now", "suspended"]
    )]
    pub period: Option<PeriodName>,
}

impl UserArgs {
    /// What is to be changed; none when nothing was named.
    pub fn change(&self) -> Option<Change> {
        let change = UserChange {
            limit: self.limit.map(|word| word.0),
            team: self.team.clone().map(|word| word.0),
            monthly_allocation: self.monthly_allocation,
            apply_now: self.apply_now,
            suspended: self.suspended,
            ..UserChange::of(self.user.clone())
        };
        (change != UserChange::of(self.user.clone())).then_some(Change::User(change))
    }
}

/// A team, and its settings.
#[derive(Debug, Args)]
pub struct TeamArgs {
    /// The workspace
    pub workspace: WorkspaceId,
    /// The team
    pub team: TeamId,
    /// Credits moved from the pool to the team when a period opens; 0 when only the other is named
    #[arg(long, value_parser = words::credits, value_name = "CREDITS")]
    monthly_reserve: Option<Credits>,
    /// Move now too what the running period lacks of the reserve, or has too much
    #[arg(long, requires = "monthly_reserve")]
    apply_now: bool,
    /// Limit of members without one of their own: credits, or `none`, as when only the other is named
    #[arg(long, value_name = "CREDITS")]
    default_user_limit: Option<Ceiling>,
    /// Show it in this period (its start date) instead of the running one
    #[arg(long, value_name = "DATE", conflicts_with_all = ["monthly_reserve", "default_user_limit"])]
    pub period: Option<PeriodName>,
}

impl TeamArgs {
    /// The settings that replace the old ones; none when nothing was named.
    pub fn change(&self) -> Option<Change> {
        let named = self.monthly_reserve.is_some() || self.default_user_limit.is_some();
        named.then(|| Change::Team {
            team: self.team.clone(),
            monthly_reserve: self.monthly_reserve.unwrap_or_default(),
            apply_now: self.apply_now,
            default_user_limit: self.default_user_limit.and_then(|ceiling| ceiling.0),
        })
    }
}

/// A feature, and its limit.
#[derive(Debug, Args)]
pub struct FeatureArgs {
    /// The workspace
    pub workspace: WorkspaceId,
    /// The feature
    pub feature: FeatureId,
    /// Credits a period over all users, or `none`
    #[arg(long, value_name = "CREDITS")]
    limit: Option<Ceiling>,
    /// Show it in this period (its start date) instead of the running one
    #[arg(long, value_name = "DATE", conflicts_with = "limit")]
    pub period: Option<PeriodName>,
}

impl FeatureArgs {
    /// The new limit; none when none was named.
    pub fn change(&self) -> Option<Change> {
        self.limit.map(|limit| Change::Feature { feature: self.feature.clone(), limit: limit.0 })
    }
}

/// Credits for the pool.
#[derive(Debug, Args)]
pub struct TopUpArgs {
    /// The workspace
    pub workspace: WorkspaceId,
    /// How many
    #[arg(value_parser = words::above_zero)]
    pub credits: Credits,
}

/// Credits from the pool to a user.
#[derive(Debug, Args)]
pub struct GrantArgs {
    /// The workspace
    pub workspace: WorkspaceId,
    /// Who gets them
    pub user: UserId,
    /// How many
    #[arg(value_parser = words::above_zero)]
    pub credits: Credits,
}

/// Credits from one account to another.
#[derive(Debug, Args)]
pub struct TransferArgs {
    /// The workspace
    pub workspace: WorkspaceId,
    /// Source: pool, team:<id> or user:<id>
    pub from: Account,
    /// Destination
    pub to: Account,
    /// How many
    #[arg(value_parser = words::above_zero)]
    pub credits: Credits,
    /// Raise the receiving user's limit of this period by the same amount
    #[arg(long)]
    raise_limit: bool,
}

impl TransferArgs {
    /// The transfer. Errors: a limit to be raised where there is none.
    pub fn change(self) -> Result<Change, Refused> {
        let Self { from, to, credits, raise_limit, .. } = self;
        if raise_limit && !matches!(to, Account::User(_)) {
            let words = "--raise-limit needs a user as destination: other accounts have no limit";
            return Err(Refused::invalid("invalid_raise_limit", words.to_owned()));
        }
        Ok(Change::Transfer { from, to, credits, raise_limit })
    }
}

/// An event whose credits go back.
#[derive(Debug, Args)]
pub struct ReverseArgs {
    /// The workspace
    pub workspace: WorkspaceId,
    /// The producer's id of the event
    pub event_id: String,
    /// The producer; empty for events that name none
    #[arg(long, default_value = "")]
    pub source: String,
}
