//! Which status a refusal of the ledger has, and what its numbers are called; and what is said when
//! a server is away.

use axum::http::StatusCode;

use super::Problem;
use crate::domain::change::Refusal;
use crate::domain::credits::Credits;
use crate::domain::ports::Trouble;

fn status_of(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::UnknownEvent | Refusal::UnknownHold => StatusCode::NOT_FOUND,
        Refusal::Denied(_) => StatusCode::PAYMENT_REQUIRED,
        Refusal::HoldExpired(_) => StatusCode::GONE,
        Refusal::NotPositive | Refusal::TooManyCredits => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::CONFLICT,
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let mut problem = Self::new(status_of(&refusal), refusal.code(), refusal.to_string());
        match refusal {
            Refusal::InsufficientCredits { remaining, .. } => problem.more.remaining = Some(remaining.into()),
            Refusal::LimitWithoutCredits { .. } => problem.more.remaining = Some(Credits::ZERO.into()),
            Refusal::Denied(denial) => {
                problem.more.reason = Some(denial.reason.as_str());
                problem.more.resets_at = Some(denial.resets_at.into());
                problem.more.blocked_by = Some((&*denial).into());
            }
            _ => {}
        }
        problem
    }
}

impl From<Trouble> for Problem {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Away(fault) => {
                tracing::warn!(fault, "a request could not be answered");
                let detail = "a server behind this one is away: repeat the request later; a write with the \
                              same Idempotency-Key is never applied twice";
                Self::unavailable("unavailable", detail)
            }
            // Logged where it was found; the words may name what is inside.
            Trouble::Broken(_) => {
                let detail = "something that cannot be was found; the log says what, under this request's id";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use serde_json::json;

    use super::*;
    use crate::domain::change::Denial;
    use crate::domain::decision::{Blocked, Reason};
    use crate::domain::ledger::Account;
    use crate::domain::period::Instant;
    use crate::http::tests::json_of;

    #[test]
    fn every_refusal_has_the_status_of_the_contract() {
        for (refusal, status, code) in [
            (Refusal::NoPlan, 409, "no_plan"),
            (Refusal::UnknownEvent, 404, "unknown_event"),
            (Refusal::UnknownHold, 404, "unknown_hold"),
            (Refusal::HoldExpired(Instant::from_micros(0)), 410, "hold_expired"),
            (Refusal::HoldVoided, 409, "hold_voided"),
            (Refusal::NotPositive, 422, "invalid_credits"),
            (Refusal::TooManyCredits, 422, "too_many_credits"),
            (Refusal::SameAccount(Account::Pool), 409, "same_account"),
            (Refusal::IdempotencyConflict, 409, "idempotency_conflict"),
        ] {
            let problem = Problem::from(refusal);
            assert_eq!((problem.status().as_u16(), problem.code()), (status, code));
        }
    }

    #[tokio::test]
    async fn a_denial_tells_who_blocks_with_which_numbers() {
        let blocked =
            Blocked { limit: Some(Credits::whole(3)), used: Credits::whole(2), ..Blocked::default() };
        let (reason, blocked_id) = (Reason::UserLimit, "ann".to_owned());
        let denial = Denial { reason, blocked, blocked_id, resets_at: Instant::from_micros(0) };
        let body = json_of(Problem::from(Refusal::Denied(Box::new(denial))).into_response()).await;
        assert_eq!((&body["status"], &body["code"]), (&json!(402), &json!("user_limit")));
        assert_eq!(
            (&body["reason"], &body["resets_at"]),
            (&json!("user_limit"), &json!("1970-01-01T00:00:00Z"))
        );
        let blocked_by =
            json!({"level": "user", "id": "ann", "limit": 3, "used": 2, "held": 0, "remaining": 0});
        assert_eq!(body["blocked_by"], blocked_by);
    }

    #[tokio::test]
    async fn a_lack_tells_what_is_left() {
        let (remaining, wanted) = (Credits::from_micro(500_000), Credits::whole(2));
        let refusal = Refusal::InsufficientCredits { account: Account::Pool, remaining, wanted };
        assert_eq!(json_of(Problem::from(refusal).into_response()).await["remaining"], json!(0.5));
    }

    #[tokio::test]
    async fn what_is_inside_is_not_told_outside() {
        for (trouble, status) in [(Trouble::Away("db7".into()), 503), (Trouble::Broken("db7".into()), 500)] {
            let response = Problem::from(trouble).into_response();
            assert_eq!(response.status(), status);
            assert!(!json_of(response).await.to_string().contains("db7"));
        }
    }
}
