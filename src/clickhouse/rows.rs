//! Rows as they travel to the tables: they borrow from the domain's values, and each says into
//! which table and which partition it goes. Column names are the field names.

use clickhouse::{Row, RowWrite};
use serde::{Serialize, Serializer};

use crate::domain::credits::Credits;
use crate::domain::decision::{Decision, Level, Reason};
use crate::domain::event::Header;
use crate::domain::ids::{HoldId, TeamId};
use crate::domain::ledger::{self, Balance, Entry, PoolState, Rollup};
use crate::domain::period::{Day, Instant};
use crate::domain::record::DeadLetter;

/// A value with a table of its own.
pub(super) trait Stored {
    /// The table, without the database.
    const TABLE: &'static str;
    /// The form in which it is sent, borrowing for `'static`; [`Stored::row`] shortens that.
    type Row: RowWrite;

    /// Two values in different partitions never share a month.
    fn month(&self) -> i32;
    /// The row.
    fn row(&self) -> <Self::Row as Row>::Value<'_>;
}

#[derive(Row, Serialize)]
pub(super) struct EventRow<'a> {
    workspace: &'a str,
    time: i64,
    source: &'a str,
    id: &'a str,
    user: &'a str,
    feature: &'a str,
    credits: i64,
    model: &'a str,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    quantity: Option<u64>,
    hold: &'a str,
    hold_ignored: bool,
    team: &'a str,
    period: u16,
    day: u16,
    outcome: &'a str,
    reason: &'a str,
    blocked_level: &'a str,
    blocked_limit: Option<i64>,
    blocked_used: i64,
    blocked_held: i64,
    blocked_remaining: i64,
    drawn_user: i64,
    drawn_team: i64,
    drawn_pool: i64,
    overage_credits: i64,
    reversed_at: Option<i64>,
    rate_version: &'a str,
    decided_at: i64,
    topic_partition: i32,
    topic_offset: i64,
    epoch: u64,
    sequence: u64,
    version: u64,
}

impl Stored for Decision {
    const TABLE: &'static str = "usage_events_raw";
    type Row = EventRow<'static>;

    fn month(&self) -> i32 {
        month_of(self.event.time)
    }

    fn row(&self) -> EventRow<'_> {
        let (event, verdict) = (&self.event, &self.verdict);
        let blocked = verdict.blocked.unwrap_or_default();
        EventRow {
            workspace: event.workspace.as_str(),
            time: event.time.micros(),
            source: &event.source,
            id: &event.id,
            user: event.user.as_str(),
            feature: event.feature.as_str(),
            credits: event.credits.micro(),
            model: event.model.as_deref().unwrap_or_default(),
            input_tokens: event.input_tokens,
            output_tokens: event.output_tokens,
            quantity: event.quantity,
            hold: event.hold.as_ref().map_or("", HoldId::as_str),
            hold_ignored: self.hold_ignored,
            team: verdict.team.as_ref().map_or("", TeamId::as_str),
            period: date(self.period),
            day: date(self.day),
            outcome: verdict.outcome.as_str(),
            reason: verdict.reason.map_or("", Reason::as_str),
            blocked_level: verdict.reason.map_or("", |reason| level(reason.level())),
            blocked_limit: blocked.limit.map(Credits::micro),
            blocked_used: blocked.used.micro(),
            blocked_held: blocked.held.micro(),
            blocked_remaining: blocked.remaining.micro(),
            drawn_user: verdict.drawn.user.micro(),
            drawn_team: verdict.drawn.team.micro(),
            drawn_pool: verdict.drawn.pool.micro(),
            overage_credits: verdict.drawn.overage.micro(),
            reversed_at: None,
            rate_version: event.rate_version.as_deref().unwrap_or_default(),
            decided_at: self.decided_at.micros(),
            topic_partition: self.position.partition,
            topic_offset: self.position.offset,
            epoch: verdict.epoch,
            sequence: verdict.sequence,
            version: ledger::version(verdict.epoch, verdict.sequence),
        }
    }
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

#[derive(Row, Serialize)]
pub(super) struct RollupRow<'a> {
    workspace: &'a str,
    period: u16,
    user: &'a str,
    feature: &'a str,
    day: u16,
    credits: i64,
    overage_credits: i64,
    events: u64,
    overage_events: u64,
    denied_events: u64,
    denied_credits: i128,
    version: u64,
}

impl Stored for Rollup {
    const TABLE: &'static str = "usage_rollups_raw";
    type Row = RollupRow<'static>;

    fn month(&self) -> i32 {
        month(self.period)
    }

    fn row(&self) -> RollupRow<'_> {
        RollupRow {
            workspace: self.workspace.as_str(),
            period: date(self.period),
            user: self.user.as_str(),
            feature: self.feature.as_str(),
            day: date(self.day),
            credits: self.totals.credits.micro(),
            overage_credits: self.totals.overage_credits.micro(),
            events: self.totals.events,
            overage_events: self.totals.overage_events,
            denied_events: self.totals.denied_events,
            denied_credits: self.totals.denied_micro,
            version: self.version,
        }
    }
}

#[derive(Row, Serialize)]
pub(super) struct BalanceRow<'a> {
    workspace: &'a str,
    period: u16,
    account: String,
    credited: i64,
    transferred_out: i64,
    used: i64,
    held: i64,
    spent: i64,
    limit: Option<i64>,
    version: u64,
}

impl Stored for Balance {
    const TABLE: &'static str = "account_balances_raw";
    type Row = BalanceRow<'static>;

    fn month(&self) -> i32 {
        month(self.period)
    }

    fn row(&self) -> BalanceRow<'_> {
        BalanceRow {
            workspace: self.workspace.as_str(),
            period: date(self.period),
            account: self.account.to_string(),
            credited: self.credited.micro(),
            transferred_out: self.transferred_out.micro(),
            used: self.used.micro(),
            held: self.held.micro(),
            spent: self.spent.micro(),
            limit: self.limit.map(Credits::micro),
            version: self.version,
        }
    }
}

#[derive(Row, Serialize)]
pub(super) struct PoolRow<'a> {
    workspace: &'a str,
    minute: u32,
    period: u16,
    total: i64,
    used: i64,
    held: i64,
    unallocated: i64,
    version: u64,
}

impl Stored for PoolState {
    const TABLE: &'static str = "pool_history_raw";
    type Row = PoolRow<'static>;

    fn month(&self) -> i32 {
        month_of(self.at)
    }

    fn row(&self) -> PoolRow<'_> {
        PoolRow {
            workspace: self.workspace.as_str(),
            minute: minute(self.at),
            period: date(self.period),
            total: self.total.micro(),
            used: self.used.micro(),
            held: self.held.micro(),
            unallocated: self.unallocated.micro(),
            version: self.version,
        }
    }
}

#[derive(Row, Serialize)]
pub(super) struct DeadLetterRow<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: i64,
    reason: &'a str,
    detail: &'a str,
    key: Option<Bytes<'a>>,
    payload: Option<Bytes<'a>>,
    headers: Vec<(&'a str, Option<Bytes<'a>>)>,
}

impl Stored for DeadLetter {
    const TABLE: &'static str = "dead_letters_raw";
    type Row = DeadLetterRow<'static>;

    fn month(&self) -> i32 {
        month_of(self.timestamp)
    }

    fn row(&self) -> DeadLetterRow<'_> {
        DeadLetterRow {
            topic: &self.topic,
            partition: self.position.partition,
            offset: self.position.offset,
            timestamp: self.timestamp.millis(),
            reason: self.reason.as_str(),
            detail: &self.detail,
            key: self.key.as_deref().map(Bytes),
            payload: self.payload.as_deref().map(Bytes),
            headers: self.headers.iter().map(header).collect(),
        }
    }
}

fn header(header: &Header) -> (&str, Option<Bytes<'_>>) {
    (&header.name, header.value.as_deref().map(Bytes))
}

#[derive(Row, Serialize)]
pub(super) struct EntryRow<'a> {
    workspace: &'a str,
    epoch: u64,
    sequence: u64,
    kind: &'a str,
    actor: &'a str,
    reason: &'a str,
    idempotency_key: &'a str,
    period: u16,
    at: i64,
    postings: String,
    change: String,
}

impl Stored for Entry {
    const TABLE: &'static str = "credit_ledger_raw";
    type Row = EntryRow<'static>;

    fn month(&self) -> i32 {
        0 // the ledger has no partitions
    }

    fn row(&self) -> EntryRow<'_> {
        EntryRow {
            workspace: self.workspace.as_str(),
            epoch: self.epoch,
            sequence: self.sequence,
            kind: &self.kind,
            actor: &self.actor,
            reason: self.reason.as_deref().unwrap_or_default(),
            idempotency_key: self.idempotency_key.as_deref().unwrap_or_default(),
            period: date(self.period),
            at: self.at.micros(),
            // Texts and numbers always serialise.
            postings: serde_json::to_string(&self.postings).unwrap_or_default(),
            change: self.change.to_string(),
        }
    }
}

/// Bytes as they are, in a column of type String.
#[derive(Clone, Copy)]
pub(super) struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_bytes(self.0)
    }
}

/// A ClickHouse `Date`; a day outside 1970..2149, which no accepted event has, becomes the nearest inside.
fn date(day: Day) -> u16 {
    day.number().clamp(0, i32::from(u16::MAX)) as u16
}

/// The start of the minute as a ClickHouse `DateTime`, with the same care for what cannot happen.
fn minute(at: Instant) -> u32 {
    (at.micros().div_euclid(60_000_000) * 60).clamp(0, i64::from(u32::MAX)) as u32
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

    #[test]
    fn what_a_column_cannot_hold_becomes_the_nearest() {
        assert_eq!(date(Day::from_number(-1)), 0);
        assert_eq!(date(Day::from_number(70_000)), u16::MAX);
        assert_eq!(minute(Instant::from_micros(119_999_999)), 60);
        assert_eq!(minute(Instant::from_micros(-1)), 0);
    }
}
