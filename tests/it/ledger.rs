//! The ledger in the real Redis: against the model, and what it remembers and for how long.

mod again;
mod calendar;
mod checks;
mod holds;
mod memory;
pub mod model;
mod periods;

use tollgate::domain::event::UsageEvent;
use tollgate::domain::period::Instant;
use tollgate::domain::{Credits, FeatureId, UserId, WorkspaceId};

/// An event of 1 credit.
pub fn event(id: &str, workspace: WorkspaceId, time: Instant) -> UsageEvent {
    UsageEvent {
        id: id.into(),
        source: "".into(),
        time,
        workspace,
        user: UserId::parse("ann").unwrap(),
        feature: FeatureId::parse("ai_chat").unwrap(),
        credits: Credits::whole(1),
        model: None,
        input_tokens: None,
        output_tokens: None,
        quantity: None,
        hold: None,
        rate_version: None,
    }
}
