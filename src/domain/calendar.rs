//! Turns an instant into the period and the day it belongs to. A [`Calendar`] knows every time zone
//! and anchor day that its workspace ever had, so that what was placed once is never moved.

use std::collections::BTreeSet;
use std::iter::successors;

use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::period::{Day, DaySpan, Instant, Period, PeriodName};

/// A time zone and anchor day, and the periods that they rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Rule {
    /// Start of the first period under this rule, in microseconds.
    from: i64,
    /// Start of the last period under the rule before, which this one stretched to `from`.
    stretched: Option<i64>,
    timezone: String,
    anchor_day: i8,
}

/// A time zone or anchor day that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    /// Not in the IANA database.
    #[error("timezone {0:?} is not an IANA time zone, \"Europe/Berlin\" for example")]
    TimeZone(String),
    /// Outside 1..28.
    #[error("anchor_day {0} is not between 1 and 28")]
    AnchorDay(i8),
    /// Stored text that this version does not understand.
    #[error("the stored calendar cannot be read: {0}")]
    Stored(String),
}

/// Every rule that a workspace's periods ever followed. Its version grows by one with each change,
/// so that whoever placed an event by an older one can be told.
#[derive(Debug, Clone, Default)]
pub struct Calendar {
    version: u64,
    rules: Vec<Rule>,
    zones: Vec<TimeZone>,
}

#[derive(Serialize, Deserialize)]
struct StoredCalendar {
    version: u64,
    rules: Vec<Rule>,
}

impl Calendar {
    /// The version; 0 before the first plan.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The time zone in force for the newest rule, `UTC` before the first plan.
    pub fn timezone(&self) -> &str {
        self.rules.last().map_or("UTC", |rule| &rule.timezone)
    }

    /// The anchor day of the newest rule, 1 before the first plan.
    pub fn anchor_day(&self) -> i8 {
        self.rules.last().map_or(1, |rule| rule.anchor_day)
    }

    /// Reads what [`Calendar::stored`] wrote.
    pub fn from_stored(text: &str) -> Result<Self, CalendarError> {
        let stored: StoredCalendar =
            serde_json::from_str(text).map_err(|fault| CalendarError::Stored(fault.to_string()))?;
        let zones = stored.rules.iter().map(|rule| zone(&rule.timezone)).collect::<Result<_, _>>()?;
        Ok(Self { version: stored.version, rules: stored.rules, zones })
    }

    /// The form kept beside the counters.
    pub fn stored(&self) -> String {
        let form = StoredCalendar { version: self.version, rules: self.rules.clone() };
        // A struct of numbers and strings always serialises.
        serde_json::to_string(&form).unwrap_or_default()
    }

    /// The calendar after a plan with this zone and anchor day is put at `now`, and the instant from
    /// which the change holds. A first plan starts with the period that contains `now`; a change
    /// waits for the end of the running period, stretched to the first new anchor instant.
    pub fn with_plan(
        &self,
        now: Instant,
        timezone: &str,
        anchor_day: i8,
    ) -> Result<(Self, Instant), CalendarError> {
        if !(1..=28).contains(&anchor_day) {
            return Err(CalendarError::AnchorDay(anchor_day));
        }
        let tz = zone(timezone)?;
        let mut next = self.clone();
        if next.rules.last().is_some_and(|rule| rule.from > now.micros()) {
            next.rules.pop(); // a change that has not begun is replaced by the newer one
            next.zones.pop();
        }
        let same = next.rules.last().is_some_and(|r| r.timezone == timezone && r.anchor_day == anchor_day);
        let (from, stretched) = match next.rules.last() {
            None => (anchor_at_or_before(&tz, anchor_day, now), None),
            Some(_) => {
                let running = next.period_of(now);
                (anchor_at_or_after(&tz, anchor_day, running.end), Some(running.start.micros()))
            }
        };
        if !same {
            next.rules.push(Rule { from: from.micros(), stretched, timezone: timezone.into(), anchor_day });
            next.zones.push(tz);
        }
        if next.rules != self.rules {
            next.version += 1;
        }
        Ok((next, if same { now } else { from }))
    }

    /// The period that contains an instant.
    pub fn period_of(&self, at: Instant) -> Period {
        let Some(index) = self.rule_index(at) else {
            let month = month_of(&TimeZone::UTC, 1, at, false);
            let first_plan = self.rules.first().map_or(month.end, |rule| Instant::from_micros(rule.from));
            return Period { end: month.end.min(first_plan), ..month };
        };
        let rule_month = month_of(&self.zones[index], self.rules[index].anchor_day, at, true);
        match self.rules.get(index + 1) {
            Some(Rule { from, stretched: Some(start), .. }) if at.micros() >= *start => {
                let start = Instant::from_micros(*start);
                let name = day_in(&self.zones[index], start);
                Period { name, start, end: Instant::from_micros(*from), planned: true }
            }
            _ => rule_month,
        }
    }

    /// The names of the periods that have a part between two instants.
    pub fn periods_between(&self, from: Instant, to: Instant) -> BTreeSet<PeriodName> {
        let next = |period: &Period| Some(self.period_of(period.end)).filter(|next| next.start <= to);
        successors(Some(self.period_of(from)), next).map(|period| period.name).collect()
    }

    /// The period that ends where this one starts.
    pub fn period_before(&self, period: &Period) -> Period {
        self.period_of(Instant::from_micros(period.start.micros() - 1))
    }

    /// The period of that name; none when no period ever began on that day.
    pub fn period_named(&self, name: PeriodName) -> Option<Period> {
        let noon = Instant::from_micros((i64::from(name.number()) * 86_400 + 43_200) * 1_000_000);
        let near = self.period_of(noon);
        let after = self.period_of(near.end);
        [near, after, self.period_before(&near)].into_iter().find(|period| period.name == name)
    }

    /// A period and those before it back to the last one that was opened, which is left out; in their order.
    pub fn chain(&self, opened: Option<PeriodName>, period: Period) -> Vec<Period> {
        let mut chain = vec![period];
        while let (Some(opened), Some(first)) = (opened, chain.last()) {
            let before = self.period_before(first);
            if !before.planned || before.name <= opened {
                break;
            }
            chain.push(before);
        }
        chain.reverse();
        chain
    }

    /// The first and the last day of a period.
    pub fn days_of(&self, period: &Period) -> (Day, Day) {
        let last = Instant::from_micros(period.end.micros() - 1);
        (self.day_of(period.start).day, self.day_of(last).day)
    }

    /// The day that contains an instant, in the zone in force then (before the first plan: in the first zone).
    pub fn day_of(&self, at: Instant) -> DaySpan {
        let index = self.rule_index(at).unwrap_or(0);
        let tz = self.zones.get(index).cloned().unwrap_or(TimeZone::UTC);
        let date = at.timestamp().to_zoned(tz.clone()).date();
        let next = date.tomorrow().unwrap_or(date);
        let (mut start, mut end) = (first_instant(&tz, date), first_instant(&tz, next));
        if let Some(rule) = self.rules.get(index).filter(|rule| rule.from <= at.micros()) {
            start = start.max(Instant::from_micros(rule.from));
        }
        if let Some(rule) = self.rules.iter().find(|rule| rule.from > at.micros()) {
            end = end.min(Instant::from_micros(rule.from)); // from there on another zone counts
        }
        DaySpan { day: Day::of(date), start, end }
    }

    fn rule_index(&self, at: Instant) -> Option<usize> {
        self.rules.iter().rposition(|rule| rule.from <= at.micros())
    }
}

fn zone(name: &str) -> Result<TimeZone, CalendarError> {
    TimeZone::get(name).map_err(|_| CalendarError::TimeZone(name.into()))
}

fn day_in(tz: &TimeZone, at: Instant) -> Day {
    Day::of(at.timestamp().to_zoned(tz.clone()).date())
}

/// The first instant of a day: midnight, or the end of the gap when midnight was skipped.
fn first_instant(tz: &TimeZone, date: Date) -> Instant {
    tz.to_timestamp(date.at(0, 0, 0, 0)).map_or(Instant::default(), Instant::from_timestamp)
}

fn anchor_date(tz: &TimeZone, anchor_day: i8, at: Instant) -> Date {
    let date = at.timestamp().to_zoned(tz.clone()).date();
    let here = Date::new(date.year(), date.month(), anchor_day).unwrap_or(date);
    if here <= date { here } else { here.saturating_sub(1.month()) }
}

fn anchor_at_or_before(tz: &TimeZone, anchor_day: i8, at: Instant) -> Instant {
    first_instant(tz, anchor_date(tz, anchor_day, at))
}

fn anchor_at_or_after(tz: &TimeZone, anchor_day: i8, at: Instant) -> Instant {
    let before = anchor_date(tz, anchor_day, at);
    let start = first_instant(tz, before);
    if start == at { start } else { first_instant(tz, before.saturating_add(1.month())) }
}

fn month_of(tz: &TimeZone, anchor_day: i8, at: Instant, planned: bool) -> Period {
    let date = anchor_date(tz, anchor_day, at);
    let end = first_instant(tz, date.saturating_add(1.month()));
    Period { name: Day::of(date), start: first_instant(tz, date), end, planned }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        Instant::from_timestamp(text.parse().unwrap())
    }

    fn planned(now: &str, timezone: &str, anchor_day: i8) -> Calendar {
        Calendar::default().with_plan(at(now), timezone, anchor_day).unwrap().0
    }

    fn span(period: Period) -> (String, String, String) {
        (period.name.to_string(), period.start.to_string(), period.end.to_string())
    }

    #[test]
    fn the_periods_between_two_instants_are_all_that_have_a_part_there() {
        let names = |calendar: &Calendar, from, to| -> Vec<String> {
            calendar.periods_between(at(from), at(to)).iter().map(ToString::to_string).collect()
        };
        let (plain, anchored) = (Calendar::default(), planned("2026-11-22T10:00:00Z", "Europe/Berlin", 15));
        assert_eq!(names(&plain, "2026-11-30T00:00:00Z", "2026-11-30T23:59:59Z"), ["2026-11-01"]);
        assert_eq!(
            names(&plain, "2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z"),
            ["2026-11-01", "2026-12-01"]
        );
        let both = ["2026-11-01", "2026-11-15", "2026-12-15"];
        assert_eq!(names(&anchored, "2026-11-14T22:59:59Z", "2026-12-14T23:00:00Z"), both);
    }

    #[test]
    fn before_the_first_plan_a_period_is_a_utc_month() {
        let period = Calendar::default().period_of(at("2026-11-22T10:00:00Z"));
        assert!(!period.planned);
        assert_eq!(
            span(period),
            ("2026-11-01".into(), "2026-11-01T00:00:00Z".into(), "2026-12-01T00:00:00Z".into())
        );
        let calendar = planned("2026-11-22T10:00:00Z", "Europe/Berlin", 15);
        let before = calendar.period_of(at("2026-11-14T22:59:59Z"));
        assert_eq!((before.planned, before.end), (false, at("2026-11-14T23:00:00Z")));
        assert!(calendar.period_of(at("2026-11-14T23:00:00Z")).planned);
    }

    #[test]
    fn a_period_starts_at_local_midnight_of_the_anchor_day_through_daylight_saving() {
        let calendar = planned("2026-03-10T00:00:00Z", "America/New_York", 1);
        let march = calendar.period_of(at("2026-03-31T23:00:00Z"));
        assert_eq!(
            span(march),
            ("2026-03-01".into(), "2026-03-01T05:00:00Z".into(), "2026-04-01T04:00:00Z".into())
        );
        assert_eq!(calendar.period_of(at("2026-04-01T04:00:00Z")).name.to_string(), "2026-04-01");
        let leap = planned("2024-02-01T00:00:00Z", "UTC", 28);
        assert_eq!(leap.period_of(at("2024-02-29T12:00:00Z")).name.to_string(), "2024-02-28");
        assert_eq!(leap.period_of(at("2024-02-27T23:59:59Z")).name.to_string(), "2024-01-28");
    }

    #[test]
    fn a_day_is_the_workspaces_own_even_when_midnight_is_skipped() {
        let calendar = planned("2024-03-01T00:00:00Z", "Africa/Cairo", 1);
        let day = calendar.day_of(at("2024-04-26T10:00:00Z")); // clocks went from 00:00 to 01:00
        assert_eq!(day.day.to_string(), "2024-04-26");
        assert_eq!(day.start.to_string(), "2024-04-25T22:00:00Z");
        assert_eq!(day.end.to_string(), "2024-04-26T21:00:00Z");
    }

    #[test]
    fn a_change_stretches_the_running_period_to_the_next_new_anchor() {
        let first = planned("2026-11-22T00:00:00Z", "UTC", 1);
        let (next, from) = first.with_plan(at("2026-11-23T00:00:00Z"), "Asia/Tokyo", 10).unwrap();
        assert_eq!(from.to_string(), "2026-12-09T15:00:00Z");
        let running = next.period_of(at("2026-12-05T00:00:00Z"));
        assert_eq!(
            span(running),
            ("2026-11-01".into(), "2026-11-01T00:00:00Z".into(), "2026-12-09T15:00:00Z".into())
        );
        assert_eq!(next.period_of(from).name.to_string(), "2026-12-10");
        assert!(!next.period_of(at("2026-10-31T00:00:00Z")).planned);
        assert_eq!(next.version(), 2);
    }

    #[test]
    fn a_change_that_has_not_begun_is_replaced_or_taken_back() {
        let first = planned("2026-11-22T00:00:00Z", "UTC", 1);
        let (second, _) = first.with_plan(at("2026-11-23T00:00:00Z"), "UTC", 10).unwrap();
        let (third, from) = second.with_plan(at("2026-11-24T00:00:00Z"), "UTC", 5).unwrap();
        assert_eq!(from.to_string(), "2026-12-05T00:00:00Z");
        assert_eq!(third.period_of(at("2026-12-04T00:00:00Z")).name.to_string(), "2026-11-01");
        let (back, _) = third.with_plan(at("2026-11-25T00:00:00Z"), "UTC", 1).unwrap();
        assert_eq!(back.period_of(at("2026-12-04T00:00:00Z")).name.to_string(), "2026-12-01");
        assert_eq!(back.version(), 4);
        assert_eq!(Calendar::from_stored(&back.stored()).unwrap().rules, back.rules);
    }

    #[test]
    fn a_zone_or_anchor_that_cannot_be_is_named() {
        let fault = Calendar::default().with_plan(Instant::default(), "Mars/Base", 1).unwrap_err();
        assert!(fault.to_string().contains("Mars/Base"));
        assert!(Calendar::default().with_plan(Instant::default(), "UTC", 29).is_err());
    }
}
