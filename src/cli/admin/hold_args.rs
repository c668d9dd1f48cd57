//! What holds and checks are given on the command line.

use clap::Args;

use super::paging::Paging;
use super::refused::Refused;
use super::words;
use crate::domain::hold::Wish;
use crate::domain::rates::RateCard;
use crate::domain::{Credits, FeatureId, HoldId, UserId, WorkspaceId};

/// A hold to be made.
#[derive(Debug, Args)]
pub struct HoldArgs {
    /// The workspace
    pub workspace: WorkspaceId,
    /// Who is about to spend
    pub user: UserId,
    /// What on
    pub feature: FeatureId,
    /// How much
    #[arg(value_parser = words::of_one_event)]
    pub credits: Credits,
    /// For how long, 1 to 86400 seconds
    #[arg(
        long,
        default_value_t = 300,
        value_parser = clap::value_parser!(u32).range(1..=86_400),
        value_name = "SECONDS"
    )]
    pub ttl_seconds: u32,
    /// The hold's name; one is made when left out
    #[arg(long)]
    pub id: Option<HoldId>,
}

/// A hold to be settled.
#[derive(Debug, Args)]
pub struct SettleArgs {
    /// The workspace
    pub workspace: WorkspaceId,
    /// The hold
    pub hold: HoldId,
    /// What the call took, 0 or more
    #[arg(value_parser = words::of_one_event)]
    pub credits: Credits,
}

/// A hold to be given back.
#[derive(Debug, Args)]
pub struct VoidArgs {
    /// The workspace
    pub workspace: WorkspaceId,
    /// The hold
    pub hold: HoldId,
}

/// Holds that have not ended.
#[derive(Debug, Args)]
pub struct HoldsArgs {
    /// The workspace
    pub workspace: WorkspaceId,
    /// Of this user
    #[arg(long)]
    pub user: Option<UserId>,
    #[command(flatten)]
    pub paging: Paging,
}

/// A question: would it pass now?
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The workspace
    pub workspace: WorkspaceId,
    /// Who is about to spend
    user: UserId,
    /// What on
    feature: FeatureId,
    /// How much; when left out, the rate card says
    #[arg(
        value_parser = words::of_one_event,
        conflicts_with_all = ["model", "quantity", "input_tokens", "output_tokens"]
    )]
    credits: Option<Credits>,
    /// The model that will answer, for the rate card
    #[arg(long)]
    model: Option<String>,
    /// Units of whatever the feature counts
    #[arg(long)]
    quantity: Option<u64>,
    /// Tokens that the model will read
    #[arg(long)]
    input_tokens: Option<u64>,
    /// Tokens that the model will write
    #[arg(long)]
    output_tokens: Option<u64>,
}

impl CheckArgs {
    /// What is about to be spent. Errors: no credits, and no rate that prices it.
    pub fn wish(&self, rates: &RateCard) -> Result<Wish, Refused> {
        let credits = self.credits.map_or_else(|| self.priced(rates), Ok)?;
        Ok(Wish { user: self.user.clone(), feature: self.feature.clone(), credits })
    }

    fn priced(&self, rates: &RateCard) -> Result<Credits, Refused> {
        let Self { feature, model, quantity, input_tokens, output_tokens, .. } = self;
        let price = rates.price(feature, model.as_deref(), *quantity, *input_tokens, *output_tokens);
        let words =
            format!("no credits were given, and the rate card has no rate for {feature}: name credits");
        let price = price.ok_or_else(|| Refused::invalid("unpriced", words))?;
        price.map_err(|fault| Refused::invalid("invalid_credits", format!("credits {fault}")))
    }
}
