//! Small values to write: one line for what a test is about, the rest the same everywhere.

use std::sync::Arc;

use tollgate::domain::credits::Credits;
use tollgate::domain::decision::{Blocked, Decision, Drawn, Outcome, Reason, Verdict};
use tollgate::domain::event::{Header, Position, RejectReason, UsageEvent};
use tollgate::domain::ids::{FeatureId, TeamId, UserId, WorkspaceId};
use tollgate::domain::ledger::{Account, Balance, PoolState, Rollup, Totals, version};
use tollgate::domain::period::{Day, Instant};
use tollgate::domain::record::DeadLetter;

/// 2026-11-22T10:00:00Z.
pub const NOW: i64 = 1_795_341_600_000_000;

pub fn workspace(name: &str) -> WorkspaceId {
    name.parse().unwrap()
}

pub fn user(name: &str) -> UserId {
    name.parse().unwrap()
}

pub fn day(text: &str) -> Day {
    text.parse().unwrap()
}

/// An allowed event of 1.5 credits, all of it from the pool, on 2026-11-22.
pub fn allowed(of: &str, who: &str, sequence: u64) -> Decision {
    let credits = Credits::from_micro(1_500_000);
    Decision {
        event: Arc::new(UsageEvent {
            id: format!("e{sequence}").into(),
            source: "app".into(),
            time: Instant::from_micros(NOW + sequence as i64),
            workspace: workspace(of),
            user: user(who),
            feature: "ai_chat".parse().unwrap(),
            credits,
            model: Some("small-1".into()),
            input_tokens: Some(120),
            output_tokens: Some(0),
            quantity: None,
            hold: None,
            rate_version: None,
        }),
        position: Position { partition: 3, offset: 1000 + sequence as i64 },
        period: day("2026-11-01"),
        day: day("2026-11-22"),
        resets_at: Instant::from_micros(NOW),
        verdict: Verdict {
            outcome: Outcome::Allowed,
            reason: None,
            blocked: None,
            drawn: Drawn { pool: credits, ..Drawn::default() },
            team: Some("design".parse::<TeamId>().unwrap()),
            epoch: 1,
            sequence,
        },
        hold_ignored: false,
        arrived_at: Instant::default(),
        redelivered: false,
        decided_at: Instant::from_micros(NOW + 1_000_000),
    }
}

/// The same, denied by the user's limit of 10 credits.
pub fn denied(of: &str, who: &str, sequence: u64, credits: Credits) -> Decision {
    let mut decision = allowed(of, who, sequence);
    Arc::make_mut(&mut decision.event).credits = credits;
    decision.verdict.outcome = Outcome::Denied;
    decision.verdict.reason = Some(Reason::UserLimit);
    decision.verdict.drawn = Drawn::default();
    decision.verdict.blocked =
        Some(Blocked { limit: Some(Credits::whole(10)), used: Credits::whole(10), ..Blocked::default() });
    decision
}

/// Totals of one user's `ai_chat` on 2026-11-22.
pub fn rollup(of: &str, who: &str, sequence: u64, credits: Credits) -> Rollup {
    Rollup {
        workspace: workspace(of),
        period: day("2026-11-01"),
        user: user(who),
        feature: "ai_chat".parse::<FeatureId>().unwrap(),
        day: day("2026-11-22"),
        totals: Totals { credits, events: 1, ..Totals::default() },
        version: version(1, sequence),
    }
}

/// An account that was credited 100 and lost `used` to usage.
pub fn balance(of: &str, account: &str, sequence: u64, used: Credits) -> Balance {
    Balance {
        workspace: workspace(of),
        period: day("2026-11-01"),
        account: account.parse::<Account>().unwrap(),
        credited: Credits::whole(100),
        transferred_out: Credits::whole(20),
        used,
        held: Credits::whole(5),
        spent: used,
        limit: None,
        version: version(1, sequence),
    }
}

/// The workspace at a minute of 2026-11-22, 10 o'clock.
pub fn pool(of: &str, minute: i64, sequence: u64, used: Credits) -> PoolState {
    PoolState {
        workspace: workspace(of),
        period: day("2026-11-01"),
        total: Credits::whole(100),
        used,
        held: Credits::whole(5),
        unallocated: Credits::whole(60),
        version: version(1, sequence),
        at: Instant::from_micros(NOW + minute * 60_000_000 + 1),
    }
}

/// A record that was no JSON.
pub fn dead_letter(topic: &str, offset: i64) -> DeadLetter {
    DeadLetter {
        reason: RejectReason::MalformedJson,
        detail: "not JSON".into(),
        topic: topic.into(),
        position: Position { partition: 0, offset },
        timestamp: Instant::from_micros(NOW),
        key: Some(b"acme".to_vec()),
        payload: Some(b"{".to_vec()),
        headers: vec![Header { name: "ce_id".into(), value: Some(b"1".to_vec()) }],
    }
}
