//! Which value goes into which column of which table, and into which partition.

use super::native::{Column, Get};
use crate::domain::alert::Alert;
use crate::domain::decision::{Blocked, Decision, Level, Reason};
use crate::domain::ids::{HoldId, TeamId};
use crate::domain::ledger::{self, Balance, Entry, PoolState, Rollup};
use crate::domain::period::{Day, Instant};
use crate::domain::record::DeadLetter;

/// A value with a table of its own.
pub(super) trait Stored: Sized + Sync + 'static {
    /// The table, without the database.
    const TABLE: &'static str;
    /// Its columns; those left out take their defaults.
    const COLUMNS: &'static [Column<Self>];

    /// Two values in different partitions never share a month.
    fn month(&self) -> i32;
}

impl Stored for Decision {
    const TABLE: &'static str = "usage_events_raw";
    const COLUMNS: &'static [Column<Self>] = &[
        Column("workspace", Get::Text(|d| d.event.workspace.as_str())),
        Column("time", Get::Micros(|d| d.event.time)),
        Column("source", Get::Text(|d| &d.event.source)),
        Column("id", Get::Text(|d| &d.event.id)),
        Column("user", Get::Text(|d| d.event.user.as_str())),
        Column("feature", Get::Text(|d| d.event.feature.as_str())),
        Column("credits", Get::Amount(|d| d.event.credits)),
        Column("model", Get::Text(|d| d.event.model.as_deref().unwrap_or_default())),
        Column("input_tokens", Get::CountOrNull(|d| d.event.input_tokens)),
        Column("output_tokens", Get::CountOrNull(|d| d.event.output_tokens)),
        Column("quantity", Get::CountOrNull(|d| d.event.quantity)),
        Column("hold", Get::Text(|d| d.event.hold.as_ref().map_or("", HoldId::as_str))),
        Column("hold_ignored", Get::Flag(|d| d.hold_ignored)),
        Column("team", Get::Text(|d| d.verdict.team.as_ref().map_or("", TeamId::as_str))),
        Column("period", Get::Day(|d| d.period)),
        Column("day", Get::Day(|d| d.day)),
        Column("outcome", Get::Text(|d| d.verdict.outcome.as_str())),
        Column("reason", Get::Text(|d| d.verdict.reason.map_or("", Reason::as_str))),
        Column("blocked_level", Get::Text(|d| d.verdict.reason.map_or("", |reason| level(reason.level())))),
        Column("blocked_limit", Get::AmountOrNull(|d| blocked(d).limit)),
        Column("blocked_used", Get::Amount(|d| blocked(d).used)),
        Column("blocked_held", Get::Amount(|d| blocked(d).held)),
        Column("blocked_remaining", Get::Amount(|d| blocked(d).remaining)),
        Column("drawn_user", Get::Amount(|d| d.verdict.drawn.user)),
        Column("drawn_team", Get::Amount(|d| d.verdict.drawn.team)),
        Column("drawn_pool", Get::Amount(|d| d.verdict.drawn.pool)),
        Column("overage_credits", Get::Amount(|d| d.verdict.drawn.overage)),
        Column("rate_version", Get::Text(|d| d.event.rate_version.as_deref().unwrap_or_default())),
        Column("decided_at", Get::Micros(|d| d.decided_at)),
        Column("topic_partition", Get::Int32(|d| d.position.partition)),
        Column("topic_offset", Get::Int64(|d| d.position.offset)),
        Column("epoch", Get::Count(|d| d.verdict.epoch)),
        Column("sequence", Get::Count(|d| d.verdict.sequence)),
        Column("version", Get::Count(|d| ledger::version(d.verdict.epoch, d.verdict.sequence))),
        Column("arrived_at", Get::Micros(|d| d.arrived_at)),
    ];

    fn month(&self) -> i32 {
        month_of(self.event.time)
    }
}

fn blocked(decision: &Decision) -> Blocked {
    decision.verdict.blocked.unwrap_or_default()
}

/// The word that the decisions topic uses.
fn level(level: Level) -> &'static str {
    match level {
        Level::Workspace => "workspace",
        Level::Feature => "feature",
        Level::User => "user",
        Level::Pool => "pool",
    }
}

impl Stored for Rollup {
    const TABLE: &'static str = "usage_rollups_raw";
    const COLUMNS: &'static [Column<Self>] = &[
        Column("workspace", Get::Text(|r| r.workspace.as_str())),
        Column("period", Get::Day(|r| r.period)),
        Column("user", Get::Text(|r| r.user.as_str())),
        Column("feature", Get::Text(|r| r.feature.as_str())),
        Column("day", Get::Day(|r| r.day)),
        Column("credits", Get::Amount(|r| r.totals.credits)),
        Column("overage_credits", Get::Amount(|r| r.totals.overage_credits)),
        Column("events", Get::Count(|r| r.totals.events)),
        Column("overage_events", Get::Count(|r| r.totals.overage_events)),
        Column("denied_events", Get::Count(|r| r.totals.denied_events)),
        Column("denied_credits", Get::WideAmount(|r| r.totals.denied_micro)),
        Column("version", Get::Count(|r| r.version)),
    ];

    fn month(&self) -> i32 {
        month(self.period)
    }
}

impl Stored for Balance {
    const TABLE: &'static str = "account_balances_raw";
    const COLUMNS: &'static [Column<Self>] = &[
        Column("workspace", Get::Text(|b| b.workspace.as_str())),
        Column("period", Get::Day(|b| b.period)),
        Column("account", Get::Made(|b| b.account.to_string())),
        Column("credited", Get::Amount(|b| b.credited)),
        Column("transferred_out", Get::Amount(|b| b.transferred_out)),
        Column("used", Get::Amount(|b| b.used)),
        Column("held", Get::Amount(|b| b.held)),
        Column("spent", Get::Amount(|b| b.spent)),
        Column("limit", Get::AmountOrNull(|b| b.limit)),
        Column("version", Get::Count(|b| b.version)),
    ];

    fn month(&self) -> i32 {
        month(self.period)
    }
}

impl Stored for PoolState {
    const TABLE: &'static str = "pool_history_raw";
    const COLUMNS: &'static [Column<Self>] = &[
        Column("workspace", Get::Text(|p| p.workspace.as_str())),
        Column("minute", Get::Minute(|p| p.at)),
        Column("period", Get::Day(|p| p.period)),
        Column("total", Get::Amount(|p| p.total)),
        Column("used", Get::Amount(|p| p.used)),
        Column("held", Get::Amount(|p| p.held)),
        Column("unallocated", Get::Amount(|p| p.unallocated)),
        Column("version", Get::Count(|p| p.version)),
    ];

    fn month(&self) -> i32 {
        month_of(self.at)
    }
}

impl Stored for DeadLetter {
    const TABLE: &'static str = "dead_letters_raw";
    const COLUMNS: &'static [Column<Self>] = &[
        Column("topic", Get::Text(|l| &l.topic)),
        Column("partition", Get::Int32(|l| l.position.partition)),
        Column("offset", Get::Int64(|l| l.position.offset)),
        Column("timestamp", Get::Millis(|l| l.timestamp)),
        Column("reason", Get::Text(|l| l.reason.as_str())),
        Column("detail", Get::Text(|l| &l.detail)),
        Column("key", Get::Bytes(|l| l.key.as_deref())),
        Column("payload", Get::Bytes(|l| l.payload.as_deref())),
        Column("headers", Get::Headers(|l| &l.headers)),
    ];

    fn month(&self) -> i32 {
        month_of(self.timestamp)
    }
}

impl Stored for Entry {
    const TABLE: &'static str = "credit_ledger_raw";
    const COLUMNS: &'static [Column<Self>] = &[
        Column("workspace", Get::Text(|e| e.workspace.as_str())),
        Column("epoch", Get::Count(|e| e.epoch)),
        Column("sequence", Get::Count(|e| e.sequence)),
        Column("kind", Get::Text(|e| &e.kind)),
        Column("actor", Get::Text(|e| &e.actor)),
        Column("reason", Get::Text(|e| e.reason.as_deref().unwrap_or_default())),
        Column("idempotency_key", Get::Text(|e| e.idempotency_key.as_deref().unwrap_or_default())),
        Column("period", Get::Day(|e| e.period)),
        Column("at", Get::Micros(|e| e.at)),
        // Texts and numbers always serialise.
        Column("postings", Get::Made(|e| serde_json::to_string(&e.postings).unwrap_or_default())),
        Column("change", Get::Made(|e| e.change.to_string())),
    ];

    fn month(&self) -> i32 {
        0 // the ledger has no partitions
    }
}

impl Stored for Alert {
    const TABLE: &'static str = "credit_alerts_raw";
    const COLUMNS: &'static [Column<Self>] = &[
        Column("workspace", Get::Text(|a| a.workspace.as_str())),
        Column("epoch", Get::Count(|a| a.epoch)),
        Column("sequence", Get::Count(|a| a.sequence)),
        Column("period", Get::Day(|a| a.period)),
        Column("scope", Get::Text(|a| a.scope.as_str())),
        Column("id", Get::Text(|a| &a.id)),
        Column("threshold", Get::Count(|a| u64::from(a.threshold))),
        Column("state", Get::Text(|a| a.state.as_str())),
        Column("at", Get::Micros(|a| a.at)),
        Column("used", Get::Amount(|a| a.used)),
        Column("total", Get::Amount(|a| a.total)),
    ];

    fn month(&self) -> i32 {
        0 // nor have the alerts
    }
}

/// The UTC month of an instant.
fn month_of(at: Instant) -> i32 {
    // The years 1..9998 have less than 2^22 days.
    month(Day::from_number(at.micros().div_euclid(86_400_000_000) as i32))
}

/// Months from 0000-03 to the month of a day (Howard Hinnant's `civil_from_days`, cut at the month).
fn month(day: Day) -> i32 {
    let days = day.number() + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    (era * 400 + year) * 12 + (5 * of_year + 2) / 153
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_changes_exactly_where_the_calendar_does() {
        let first_days = (-40_000..80_000).filter(|d| Day::from_number(*d).to_string().ends_with("-01"));
        let mut months = first_days.map(|d| (d, month(Day::from_number(d))));
        let mut before = months.next().unwrap();
        for (day, number) in months {
            assert_eq!(number, before.1 + 1, "{day}");
            assert_eq!(month(Day::from_number(day - 1)), before.1, "{day}");
            before = (day, number);
        }
    }
}
