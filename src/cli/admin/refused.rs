//! What was asked for and not done: a sentence that says what to do, and the API's problem for scripts.

use anyhow::Context;
use axum::response::IntoResponse;

use crate::domain::change::Refusal;
use crate::domain::decision::Reason;
use crate::domain::ports::Trouble;
use crate::http::problem::Problem;

/// Nothing happened.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
pub struct Refused {
    sentence: String,
    problem: Problem,
}

impl Refused {
    /// What was never seen.
    pub fn unknown(code: &'static str, sentence: String) -> Self {
        let problem = Problem::unknown(code, sentence.clone());
        Self { sentence, problem }
    }

    /// What is no good.
    pub fn invalid(code: &'static str, sentence: String) -> Self {
        let problem = Problem::invalid(code, sentence.clone());
        Self { sentence, problem }
    }

    /// The problem as the API answers it.
    pub async fn json(&self) -> anyhow::Result<String> {
        let body = self.problem.clone().into_response().into_body();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.context("a problem in words")?;
        let value: serde_json::Value = serde_json::from_slice(&bytes)?;
        Ok(serde_json::to_string_pretty(&value)?)
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let sentence = format!("{refusal} ({}){}", refusal.code(), advice(&refusal));
        Self { sentence, problem: refusal.into() }
    }
}

impl From<Trouble> for Refused {
    fn from(trouble: Trouble) -> Self {
        Self { sentence: trouble.to_string(), problem: trouble.into() }
    }
}

/// What to do; empty where the refusal says it already.
fn advice(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::InsufficientCredits { .. } => {
            ". Ask for less, bring credits in with `admin top-up`, or take some back with `admin transfer`"
        }
        Refusal::NoPlan => ": `admin plan WORKSPACE --monthly-credits N`",
        Refusal::SameAccount(_) => ": name two accounts",
        Refusal::TooManyCredits => ". Ask for less",
        Refusal::UnknownEvent => ". `admin events` lists those that were, with id and source",
        Refusal::AlreadyReversed | Refusal::NothingToReverse => ". Nothing was changed",
        Refusal::Denied(denial) => denied(denial.reason),
        Refusal::UnknownHold => ". `admin holds` lists those that are open",
        Refusal::HoldSettled(_) | Refusal::HoldVoided | Refusal::HoldExpired(_) => {
            ". Make a new one if it is needed"
        }
        Refusal::LimitWithoutCredits { .. }
        | Refusal::NotPositive
        | Refusal::IdempotencyConflict
        | Refusal::HoldExists => "",
    }
}

fn denied(reason: Reason) -> &'static str {
    match reason {
        Reason::NoPlan => ". Set a plan with `admin plan`",
        Reason::Suspended => ". End the suspension with `admin user WORKSPACE USER --suspended false`",
        Reason::FeatureLimit => ". Raise the feature's limit with `admin feature`",
        Reason::UserLimit => ". Grant the user more with `admin grant`, or raise the limit with `admin user`",
        Reason::InsufficientCredits => ". Bring credits in with `admin top-up`",
        Reason::OverageLimit => ". Ask for less",
    }
}
