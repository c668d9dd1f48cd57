//! Checks: would it pass now? Nothing is changed by asking.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::answer::Head;
use super::auth::Caller;
use super::body::Body;
use super::desk::{Answer, ok};
use super::ids::Ids;
use super::limit::of_one_event;
use super::problem::Problem;
use super::route::{Access, Personal, Routes, Scope, post};
use super::value::{Amount, BlockedBy, FeatureName, Id, UserName};
use crate::domain::decision::Reason;
use crate::domain::hold::Wish;
use crate::domain::rates::RateCard;
use crate::domain::{Credits, FeatureId, UserId, WorkspaceId};

/// What somebody is about to spend: `credits`, or what the rate card prices.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CheckBody {
    /// Who.
    user: UserName,
    /// What on.
    feature: FeatureName,
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
    fn wish(self, rates: &RateCard) -> Result<Wish, Problem> {
        let credits = self.credits.map_or_else(|| self.priced(rates), of_one_event)?;
        Ok(Wish { user: self.user.0, feature: self.feature.0, credits })
    }

    fn priced(&self, rates: &RateCard) -> Result<Credits, Problem> {
        let Self { feature: Id(feature), model, quantity, input_tokens, output_tokens, .. } = self;
        let price = rates.price(feature, model.as_deref(), *quantity, *input_tokens, *output_tokens);
        let detail = || format!("no credits were given, and the rate card has no rate for {feature}");
        let price = price.ok_or_else(|| Problem::invalid("unpriced", detail()))?;
        price.map_err(|fault| Problem::invalid("invalid_credits", format!("credits {fault}")))
    }
}

/// Whether it would pass.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct CheckAnswer {
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

/// The routes of checks.
pub fn routes() -> Routes {
    let spec = post("/v1/workspaces/{workspace}/check", Access::Needs(Scope::Check))
        .says("Whether it would pass now; changes nothing")
        .personal(Personal::Handler)
        .takes::<CheckBody>()
        .gives::<CheckAnswer>(200, "`allowed`, or the first rule that fails")
        .refuses(422, "`unpriced`: neither credits nor a rate");
    Routes::of("checks").add(spec, check)
}

async fn check(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Ids(workspace): Ids<WorkspaceId>,
    Body { value, .. }: Body<CheckBody>,
) -> Answer<CheckAnswer> {
    caller.only(&value.user.0)?;
    let wish = value.wish(&api.rules.rates)?;
    let answer = api.office.check(&workspace, &wish).await?;
    ok(CheckAnswer {
        head: Head::new(&workspace, &answer.period, answer.at),
        allowed: answer.allowed,
        reason: answer.denial.as_ref().map(|denial| denial.reason),
        blocked_by: answer.denial.as_ref().map(BlockedBy::from),
        user: wish.user,
        feature: wish.feature,
        credits: wish.credits,
    })
}
