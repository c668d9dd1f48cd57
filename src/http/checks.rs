//! Checks: would it pass now? Nothing is changed by asking.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{BlockedBy, Head};
use super::desk::Desk;
use super::form::{Amount, Invalid};
use super::seam::{Answer, Ask, Place, Problem, WriteProblems};
use crate::domain::decision::Reason;
use crate::domain::hold::Wish;
use crate::domain::rates::RateCard;
use crate::domain::{Credits, FeatureId, UserId, WorkspaceId};

/// What somebody is about to spend: `credits`, or what the rate card prices.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckBody {
    /// Who.
    user: UserId,
    /// What on.
    feature: FeatureId,
    /// How much; when left out, the rate card says.
    credits: Option<Amount>,
    /// The model that will answer.
    model: Option<String>,
    /// Units of whatever the feature counts.
    quantity: Option<u64>,
    /// Tokens that the model will read.
    input_tokens: Option<u64>,
    /// Tokens that the model will write.
    output_tokens: Option<u64>,
}

impl CheckBody {
    fn wish(&self, rates: &RateCard) -> Result<Wish, Invalid> {
        let credits = match &self.credits {
            Some(credits) => event_credits(credits)?,
            None => self.priced(rates)?,
        };
        Ok(Wish { user: self.user.clone(), feature: self.feature.clone(), credits })
    }

    fn priced(&self, rates: &RateCard) -> Result<Credits, Invalid> {
        let Self { feature, model, quantity, input_tokens, output_tokens, .. } = self;
        let price = rates.price(feature, model.as_deref(), *quantity, *input_tokens, *output_tokens);
        let words = || format!("no credits were given, and the rate card has no rate for {feature}");
        let price = price.ok_or_else(|| Invalid::new("unpriced", words()))?;
        price.map_err(|fault| Invalid::new("invalid_credits", format!("credits {fault}")))
    }
}

/// Credits that one event may ask for. Errors: as of [`Amount::of`], and more than 1,000,000,000.
pub fn event_credits(amount: &Amount) -> Result<Credits, Invalid> {
    let credits = amount.of("credits")?;
    let words = || format!("credits {credits} are more than one event may take, 1000000000");
    if credits > Credits::EVENT_MAX { Err(Invalid::new("invalid_credits", words())) } else { Ok(credits) }
}

/// Whether it would pass.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CheckLine {
    /// Whose, and when.
    #[serde(flatten)]
    head: Head,
    /// Whether the call may run; under soft enforcement also when a rule fails.
    allowed: bool,
    /// The first rule that fails.
    reason: Option<Reason>,
    /// Its level, with the numbers.
    blocked_by: Option<BlockedBy>,
    /// Who.
    user: UserId,
    /// What on.
    feature: FeatureId,
    /// How much, priced when it was not given.
    credits: Credits,
}

/// Says whether it would pass now.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace}/check", tag = "checks",
    params(("workspace" = WorkspaceId, Path)), request_body = CheckBody,
    responses((status = 200, description = "The answer", body = CheckLine), WriteProblems)
)]
pub async fn post(
    State(desk): State<Desk>,
    Place(workspace): Place<WorkspaceId>,
    Ask(body): Ask<CheckBody>,
) -> Result<Answer<CheckLine>, Problem> {
    let wish = body.wish(&desk.rates)?;
    let answer = desk.office.check(&workspace, &wish).await?;
    Ok(Answer::ok(CheckLine {
        head: Head::new(&workspace, &answer.period, answer.at),
        allowed: answer.allowed,
        reason: answer.denial.as_ref().map(|denial| denial.reason),
        blocked_by: answer.denial.as_ref().map(BlockedBy::from),
        user: wish.user,
        feature: wish.feature,
        credits: wish.credits,
    }))
}
