//! Why something that was asked for was not done: a sentence, a stable code, and the numbers that help.

use super::credits::Credits;
use super::decision::{Blocked, Reason};
use super::ledger::Account;
use super::period::Instant;

/// Why something that was asked for was not done; nothing happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The source holds too little.
    #[error("{account} has {remaining} credits left, {wanted} are needed")]
    InsufficientCredits {
        /// The source.
        account: Account,
        /// What it holds.
        remaining: Credits,
        /// What was asked for.
        wanted: Credits,
    },
    /// The source is a user who spends from team and pool under a limit.
    #[error(
        "{account} holds no credits of its own: its limit only caps what it spends from team and pool. \
         Transfer from there, or lower the limit"
    )]
    LimitWithoutCredits {
        /// The source.
        account: Account,
        /// What was asked for.
        wanted: Credits,
    },
    /// The workspace has no plan yet, so it has no credits to move.
    #[error("the workspace has no plan yet: set one first")]
    NoPlan,
    /// From an account to itself.
    #[error("source and destination are both {0}")]
    SameAccount(Account),
    /// A total would pass the largest.
    #[error("more than 8000000000 credits in one workspace and period")]
    TooManyCredits,
    /// An amount of 0 or below where something must move.
    #[error("credits must be above 0")]
    NotPositive,
    /// No such event was decided, or its row is not there yet.
    #[error("no event of this id and source was decided (a row is there at most 5 s after its decision)")]
    UnknownEvent,
    /// Its credits went back before.
    #[error("the event was reversed before")]
    AlreadyReversed,
    /// It took no credits.
    #[error("the event took no credits: there is nothing to reverse")]
    NothingToReverse,
    /// The same idempotency key with another request.
    #[error("this Idempotency-Key came with another request before: use a new key for a new request")]
    IdempotencyConflict,
    /// A hold that does not fit; no credits are set aside.
    #[error("the hold does not fit: {}", .0.reason.as_str())]
    Denied(Box<Denial>),
    /// No such hold, or it ended too long ago.
    #[error("no such hold")]
    UnknownHold,
    /// The id was used before.
    #[error("this hold id was used before: choose another")]
    HoldExists,
    /// It was settled, or is settling, with another amount or before it should be voided.
    #[error("the hold was settled with {0} credits")]
    HoldSettled(Credits),
    /// It was voided before.
    #[error("the hold was voided")]
    HoldVoided,
    /// It ended by itself; its credits are free.
    #[error("the hold expired at {0}")]
    HoldExpired(Instant),
}

/// Why something would not pass, with the numbers of the level that blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The first rule that fails.
    pub reason: Reason,
    /// The numbers of its level.
    pub blocked: Blocked,
    /// Whose level it is.
    pub blocked_id: String,
    /// When the period ends and limits start anew.
    pub resets_at: Instant,
}

impl Refusal {
    /// The stable code of the API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InsufficientCredits { .. } | Self::LimitWithoutCredits { .. } => "insufficient_credits",
            Self::NoPlan => "no_plan",
            Self::SameAccount(_) => "same_account",
            Self::TooManyCredits => "too_many_credits",
            Self::NotPositive => "invalid_credits",
            Self::UnknownEvent => "unknown_event",
            Self::AlreadyReversed => "already_reversed",
            Self::NothingToReverse => "nothing_to_reverse",
            Self::IdempotencyConflict => "idempotency_conflict",
            Self::Denied(denial) => denial.reason.as_str(),
            Self::UnknownHold => "unknown_hold",
            Self::HoldExists => "hold_exists",
            Self::HoldSettled(_) => "hold_settled",
            Self::HoldVoided => "hold_voided",
            Self::HoldExpired(_) => "hold_expired",
        }
    }
}
