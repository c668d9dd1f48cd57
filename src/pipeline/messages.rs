//! Decisions and ledger entries as their topics carry them.

use serde::Serialize;

use crate::domain::alert::{Alert, AlertState, Scope};
use crate::domain::decision::{Blocked, Decision, Drawn, Level};
use crate::domain::hold::Settle;
use crate::domain::ledger::Entry;
use crate::domain::model::SETTLES;
use crate::domain::period::{Instant, PeriodName};
use crate::domain::{Credits, FeatureId, HoldId, TeamId, UserId, WorkspaceId};
use crate::kafka::Message;

/// Room for most decisions.
const USUAL_BYTES: usize = 768;

#[derive(Serialize)]
struct BlockedBy<'a> {
    level: Level,
    id: &'a str,
    limit: Option<Credits>,
    used: Credits,
    held: Credits,
    remaining: Credits,
}

#[derive(Serialize)]
struct DecisionMessage<'a> {
    event_id: &'a str,
    source: &'a str,
    workspace: &'a WorkspaceId,
    user: &'a UserId,
    team: Option<&'a TeamId>,
    feature: &'a FeatureId,
    credits: Credits,
    outcome: &'static str,
    reason: Option<&'static str>,
    blocked_by: Option<BlockedBy<'a>>,
    resets_at: Instant,
    drawn: Drawn,
    hold: Option<&'a HoldId>,
    hold_ignored: bool,
    period: PeriodName,
    time: Instant,
    decided_at: Instant,
    epoch: u64,
    sequence: u64,
    partition: i32,
    offset: i64,
}

/// A decision for the decisions topic, keyed by its workspace.
pub fn decision(decision: &Decision) -> Message {
    let (event, verdict) = (&decision.event, &decision.verdict);
    message(
        &event.workspace,
        &DecisionMessage {
            event_id: &event.id,
            source: &event.source,
            workspace: &event.workspace,
            user: &event.user,
            team: verdict.team.as_ref(),
            feature: &event.feature,
            credits: event.credits,
            outcome: verdict.outcome.as_str(),
            reason: verdict.reason.map(crate::domain::decision::Reason::as_str),
            blocked_by: blocked_by(decision),
            resets_at: decision.resets_at,
            drawn: verdict.drawn,
            hold: event.hold.as_ref(),
            hold_ignored: decision.hold_ignored,
            period: decision.period,
            time: event.time,
            decided_at: decision.decided_at,
            epoch: verdict.epoch,
            sequence: verdict.sequence,
            partition: decision.position.partition,
            offset: decision.position.offset,
        },
    )
}

fn blocked_by(decision: &Decision) -> Option<BlockedBy<'_>> {
    let level = decision.verdict.reason?.level();
    let Blocked { limit, used, held, remaining } = decision.verdict.blocked?;
    let id = match level {
        Level::Workspace | Level::Pool => decision.event.workspace.as_str(),
        Level::Feature => decision.event.feature.as_str(),
        Level::User => decision.event.user.as_str(),
    };
    Some(BlockedBy { level, id, limit, used, held, remaining })
}

#[derive(Serialize)]
struct AlertMessage<'a> {
    workspace: &'a WorkspaceId,
    scope: Scope,
    id: &'a str,
    threshold: u8,
    ratio: f64,
    used: Credits,
    total: Credits,
    period: PeriodName,
    at: Instant,
    state: AlertState,
    epoch: u64,
    sequence: u64,
}

/// An alert for the alerts topic, keyed by its workspace.
pub fn alert(alert: &Alert) -> Message {
    let content = AlertMessage {
        workspace: &alert.workspace,
        scope: alert.scope,
        id: &alert.id,
        threshold: alert.threshold,
        ratio: alert.ratio(),
        used: alert.used,
        total: alert.total,
        period: alert.period,
        at: alert.at,
        state: alert.state,
        epoch: alert.epoch,
        sequence: alert.sequence,
    };
    message(&alert.workspace, &content)
}

#[derive(Serialize)]
struct SettleMessage<'a> {
    id: &'a HoldId,
    source: &'static str,
    time: Instant,
    workspace: &'a WorkspaceId,
    user: &'a UserId,
    feature: &'a FeatureId,
    credits: Credits,
    hold: &'a HoldId,
}

/// The event of a hold that is settling, for the events topic.
pub fn settle(settle: &Settle) -> Message {
    let content = SettleMessage {
        id: &settle.hold,
        source: SETTLES,
        time: settle.at,
        workspace: &settle.workspace,
        user: &settle.user,
        feature: &settle.feature,
        credits: settle.credits,
        hold: &settle.hold,
    };
    message(&settle.workspace, &content)
}

/// A ledger entry for the ledger topic, keyed by its workspace.
pub fn entry(entry: &Entry) -> Message {
    message(&entry.workspace, entry)
}

fn message<T: Serialize>(workspace: &WorkspaceId, content: &T) -> Message {
    Message { key: Some(workspace.as_str().as_bytes().to_vec()), payload: json(content), headers: Vec::new() }
}

/// Structs of strings and numbers always serialise.
fn json<T: Serialize>(content: &T) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(USUAL_BYTES);
    serde_json::to_writer(&mut text, content).ok().map(|()| text)
}
