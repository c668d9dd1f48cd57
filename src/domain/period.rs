//! When: instants, days and billing periods. Which period and day an instant belongs to is the
//! [`calendar`](super::calendar)'s to say.

use std::fmt;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(i64);

/// Earliest and latest instant that has a calendar day in every zone: years 1..=9998.
const MICROS: std::ops::RangeInclusive<i64> = -62_135_510_400_000_000..=253_370_678_400_000_000;

impl Instant {
    /// An instant; one past the years 1..9998 becomes the nearest inside.
    pub fn from_micros(micros: i64) -> Self {
        Self(micros.clamp(*MICROS.start(), *MICROS.end()))
    }

    /// An instant of milliseconds, as Kafka counts.
    pub fn from_millis(millis: i64) -> Self {
        Self::from_micros(millis.saturating_mul(1000))
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since the epoch, rounded down.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The instant of a timestamp, truncated to the microsecond.
    pub fn from_timestamp(at: Timestamp) -> Self {
        // The range of `Timestamp` in microseconds fits an i64 with room to spare.
        Self::from_micros(at.as_nanosecond().div_euclid(1000) as i64)
    }

    /// The same instant for calendar arithmetic.
    pub fn timestamp(self) -> Timestamp {
        // In range by construction; the epoch stands for what cannot happen.
        Timestamp::from_microsecond(self.0).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.timestamp().fmt(f)
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        text.parse().map(Self::from_timestamp).map_err(serde::de::Error::custom)
    }
}

/// A calendar day, as days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Day(i32);

/// A period's name: the day on which it starts, in the workspace's zone.
pub type PeriodName = Day;

const EPOCH: Date = Date::constant(1970, 1, 1);

impl Day {
    /// A day by its distance to 1970-01-01.
    pub const fn from_number(days: i32) -> Self {
        Self(days)
    }

    /// Days since 1970-01-01.
    pub const fn number(self) -> i32 {
        self.0
    }

    /// A day by its date.
    pub(super) fn of(date: Date) -> Self {
        Self(EPOCH.until(date).map(|span| span.get_days()).unwrap_or(0))
    }

    fn date(self) -> Date {
        EPOCH.checked_add(self.0.days()).unwrap_or(EPOCH)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.date().fmt(f)
    }
}

impl std::str::FromStr for Day {
    type Err = jiff::Error;
    fn from_str(text: &str) -> Result<Self, jiff::Error> {
        text.parse::<Date>().map(Self::of)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A billing period, half open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Period {
    /// Its start date in the workspace's zone.
    pub name: PeriodName,
    /// First instant inside.
    pub start: Instant,
    /// First instant after it.
    pub end: Instant,
    /// A plan was in force; without one the period is a UTC month and nothing can be spent.
    pub planned: bool,
}

/// The day of an instant, with its bounds, so that a caller may keep it for the next instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DaySpan {
    /// The day in the workspace's zone.
    pub day: Day,
    /// First instant inside.
    pub start: Instant,
    /// First instant after it.
    pub end: Instant,
}
