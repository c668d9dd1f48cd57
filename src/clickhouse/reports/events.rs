//! Decided events: the list, newest first, and the one that a reversal names.
//!
//! The list is looked for backwards, in spans that grow: a page of a large workspace must not merge
//! and sort all it ever used.

use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use clickhouse::Row;
use serde::Deserialize;

use super::{Filter, instant, read_as, some_text};
use crate::clickhouse::reads::{day, micro};
use crate::clickhouse::{Store, WarehouseError};
use crate::domain::change::Reversed;
use crate::domain::credits::Credits;
use crate::domain::decision::{Blocked, Drawn, Level, Outcome, Reason};
use crate::domain::ids::WorkspaceId;
use crate::domain::period::{Day, Instant};
use crate::domain::reports::{BlockedBy, EventQuery, EventRow, Page, PastEvent};

const COLUMNS: &str =
    "id, source, time, user, feature, credits, model, input_tokens, output_tokens, quantity,
    hold, hold_ignored, team, period, day, outcome, reason,
    blocked_limit, blocked_used, blocked_held, blocked_remaining,
    drawn_user, drawn_team, drawn_pool, overage_credits, reversed_at, rate_version, decided_at,
    topic_partition, topic_offset, epoch, sequence";

const NEWEST: &str = "SELECT {columns} FROM usage_events WHERE {filter}
ORDER BY time DESC, source DESC, id DESC LIMIT {limit:UInt64}";

/// Hours before now (or before the place where the list goes on) at which a span begins; the last has no
/// beginning.
const SPANS: [i64; 5] = [1, 24, 8 * 24, 32 * 24, 128 * 24];
const HOUR_MICROS: i64 = 3_600_000_000;

#[derive(Row, Deserialize)]
struct EventRecord {
    id: String,
    source: String,
    time: i64,
    user: String,
    feature: String,
    #[serde(deserialize_with = "micro")]
    credits: Credits,
    model: String,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    quantity: Option<u64>,
    hold: String,
    hold_ignored: bool,
    team: String,
    #[serde(deserialize_with = "day")]
    period: Day,
    #[serde(deserialize_with = "day")]
    day: Day,
    outcome: String,
    reason: String,
    blocked_limit: Option<i64>,
    #[serde(deserialize_with = "micro")]
    blocked_used: Credits,
    #[serde(deserialize_with = "micro")]
    blocked_held: Credits,
    #[serde(deserialize_with = "micro")]
    blocked_remaining: Credits,
    #[serde(deserialize_with = "micro")]
    drawn_user: Credits,
    #[serde(deserialize_with = "micro")]
    drawn_team: Credits,
    #[serde(deserialize_with = "micro")]
    drawn_pool: Credits,
    #[serde(deserialize_with = "micro")]
    overage_credits: Credits,
    reversed_at: Option<i64>,
    rate_version: String,
    decided_at: i64,
    topic_partition: i32,
    topic_offset: i64,
    epoch: u64,
    sequence: u64,
}

impl Store {
    pub(super) async fn events_page(
        &self,
        workspace: &WorkspaceId,
        query: &EventQuery,
    ) -> Result<Page<EventRow>, WarehouseError> {
        let mut rows = Vec::new();
        for span in spans(query, now()) {
            let missing = query.limit + 1 - rows.len();
            let found = self.events_within(workspace, query, span, missing).await?;
            rows.extend(found);
            if rows.len() > query.limit {
                break;
            }
        }
        Ok(Page::cut(rows, query.limit))
    }

    async fn events_within(
        &self,
        workspace: &WorkspaceId,
        query: &EventQuery,
        span: Range<i64>,
        limit: usize,
    ) -> Result<Vec<EventRow>, WarehouseError> {
        let mut filter = Filter::of(workspace);
        filter.add(&format!("time >= {}", instant("first")), "first", span.start);
        filter.add(&format!("time < {}", instant("last")), "last", span.end);
        filter.add_some("user = {user:String}", "user", query.user.as_ref());
        filter.add_some("feature = {feature:String}", "feature", query.feature.as_ref());
        filter.add_some("outcome = {outcome:String}", "outcome", query.outcome.map(Outcome::as_str));
        if let Some(place) = &query.after {
            let below =
                format!("(time, source, id) < ({}, {{source:String}}, {{id:String}})", instant("below"));
            filter.add(&below, "below", place.micros);
            filter.bind("source", &place.source);
            filter.bind("id", &place.id);
        }
        filter.bind("limit", limit);
        self.event_rows(&filter).await?.into_iter().map(|row| row.event(workspace)).collect()
    }

    pub(super) async fn past_event(
        &self,
        workspace: &WorkspaceId,
        source: &str,
        event_id: &str,
    ) -> Result<Option<PastEvent>, WarehouseError> {
        let mut filter = Filter::of(workspace);
        filter.add("id = {id:String}", "id", event_id);
        filter.add("source = {source:String}", "source", source);
        filter.bind("limit", 1);
        let row = self.event_rows(&filter).await?.into_iter().next();
        row.map(EventRecord::past).transpose()
    }

    async fn event_rows(&self, filter: &Filter) -> Result<Vec<EventRecord>, WarehouseError> {
        self.fetch("events", filter.query(self, &NEWEST.replace("{columns}", COLUMNS))).await
    }
}

fn now() -> Instant {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Instant::from_micros(i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX))
}

/// Half-open spans of microseconds, the newest first, that together are all that was asked for.
fn spans(query: &EventQuery, now: Instant) -> Vec<Range<i64>> {
    let bottom = query.from.map_or(i64::MIN, Instant::micros);
    let below = query.after.as_ref().map(|place| place.micros.saturating_add(1));
    let asked = [query.to.map(Instant::micros), below].into_iter().flatten().min();
    let mut end = asked.unwrap_or(i64::MAX);
    let top = end.min(now.micros());
    let starts = SPANS.iter().map(|hours| top.saturating_sub(hours * HOUR_MICROS)).chain([i64::MIN]);
    let mut spans = Vec::new();
    for start in starts.map(|start| start.max(bottom)) {
        if start < end {
            spans.push(start..end);
            end = start;
        }
    }
    spans
}

impl EventRecord {
    fn event(self, workspace: &WorkspaceId) -> Result<EventRow, WarehouseError> {
        let reason = reason(&self.reason)?;
        Ok(EventRow {
            time: Instant::from_micros(self.time),
            user: read_as(&self.user)?,
            feature: read_as(&self.feature)?,
            credits: self.credits,
            model: some_text(self.model.clone()),
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            quantity: self.quantity,
            hold: some_text(self.hold.clone()).map(|hold| read_as(&hold)).transpose()?,
            hold_ignored: self.hold_ignored,
            team: some_text(self.team.clone()).map(|team| read_as(&team)).transpose()?,
            period: self.period,
            day: self.day,
            outcome: outcome(&self.outcome)?,
            blocked_by: reason.map(|reason| self.blocked_by(workspace, reason.level())),
            reason,
            drawn: self.drawn(),
            reversed_at: self.reversed_at.map(Instant::from_micros),
            rate_version: some_text(self.rate_version.clone()),
            decided_at: Instant::from_micros(self.decided_at),
            partition: self.topic_partition,
            offset: self.topic_offset,
            epoch: self.epoch,
            sequence: self.sequence,
            event_id: self.id,
            source: self.source,
        })
    }

    fn past(self) -> Result<PastEvent, WarehouseError> {
        let event = Reversed {
            time: Instant::from_micros(self.time),
            period: self.period,
            day: self.day,
            user: read_as(&self.user)?,
            team: some_text(self.team.clone()).map(|team| read_as(&team)).transpose()?,
            feature: read_as(&self.feature)?,
            drawn: self.drawn(),
            event_id: self.id,
            source: self.source,
        };
        let reversed_at = self.reversed_at.map(Instant::from_micros);
        Ok(PastEvent { event, outcome: outcome(&self.outcome)?, reversed_at })
    }

    fn drawn(&self) -> Drawn {
        let (user, team, pool) = (self.drawn_user, self.drawn_team, self.drawn_pool);
        Drawn { user, team, pool, overage: self.overage_credits }
    }

    fn blocked_by(&self, workspace: &WorkspaceId, level: Level) -> BlockedBy {
        let id = match level {
            Level::Workspace | Level::Pool => workspace.as_str(),
            Level::Feature => &self.feature,
            Level::User => &self.user,
        };
        let limit = self.blocked_limit.map(Credits::from_micro);
        let (used, held, remaining) = (self.blocked_used, self.blocked_held, self.blocked_remaining);
        BlockedBy { level, id: id.to_owned(), numbers: Blocked { limit, used, held, remaining } }
    }
}

fn outcome(word: &str) -> Result<Outcome, WarehouseError> {
    let known = [Outcome::Allowed, Outcome::Overage, Outcome::Denied].into_iter();
    let found = known.into_iter().find(|outcome| outcome.as_str() == word);
    found.ok_or_else(|| WarehouseError::Stored(format!("the outcome {word:?}")))
}

fn reason(word: &str) -> Result<Option<Reason>, WarehouseError> {
    if word.is_empty() {
        return Ok(None);
    }
    let found = Reason::ALL.into_iter().find(|reason| reason.as_str() == word);
    found.map(Some).ok_or_else(|| WarehouseError::Stored(format!("the reason {word:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &EventQuery, first_end: i64, last_start: i64) {
        let found = spans(query, Instant::from_micros(1_795_341_600_000_000));
        assert_eq!((found[0].end, found[found.len() - 1].start), (first_end, last_start));
        assert!(found.windows(2).all(|pair| pair[0].start == pair[1].end), "{found:?}");
        assert!(found.iter().all(|span| span.start < span.end), "{found:?}");
    }

    #[test]
    fn spans_leave_nothing_out_and_do_not_overlap() {
        check(&EventQuery::default(), i64::MAX, i64::MIN);
        let (from, to) = (Some(Instant::from_micros(5)), Some(Instant::from_micros(9)));
        check(&EventQuery { from, to, ..EventQuery::default() }, 9, 5);
        let from = Some(Instant::from_micros(1_795_341_600_000_000));
        check(&EventQuery { from, ..EventQuery::default() }, i64::MAX, 1_795_341_600_000_000);
        let nothing = EventQuery { from: to, to: Some(Instant::from_micros(5)), ..EventQuery::default() };
        assert!(spans(&nothing, Instant::default()).is_empty());
    }
}
