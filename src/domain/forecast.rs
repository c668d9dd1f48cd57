//! What use will come to by the end of the period, from daily use with its weekly pattern: the
//! projection with its range, when the credits run out, how wrong the method was on its own past,
//! and which idle credits could move. Amounts go in and out as [`Credits`]; between them is plain
//! floating point, since a projection is an estimate. Not here: where the numbers are read, and the
//! clock. In reading order: `series`, `season`, `backtest`, `outlook`, `advice`.

mod advice;
mod backtest;
mod outlook;
mod season;
mod series;
#[cfg(test)]
mod tests;

pub use advice::{Advice, Holder, MOVES_MAX, Move, advise};
pub use backtest::Backtest;

use serde::Serialize;

use super::credits::Credits;
use super::period::{Day, DaySpan, Instant, Period};
use backtest::Trial;
use outlook::Outlook;
use season::Pattern;
use series::Series;

/// Full days of history below which nothing is projected.
pub const DAYS_MIN: usize = 3;
/// Full days of history from which weekdays are told apart: each has been seen twice.
pub const WEEKLY_DAYS_MIN: usize = 14;
/// Full days of history that are looked at; older ones say little about now.
pub const DAYS_MAX: usize = 56;

/// When a forecast is made, and how far it reaches.
#[derive(Debug, Clone, Copy)]
pub struct Horizon {
    /// The instant of the forecast.
    pub now: Instant,
    /// The day that contains `now`, in the workspace's zone.
    pub today: DaySpan,
    /// The period that contains `now`.
    pub period: Period,
}

/// What one day came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayUse {
    /// The day in the workspace's zone.
    pub day: Day,
    /// What was used: debited and overage.
    pub credits: Credits,
    /// What was denied; a day on which much was denied shows less than was wanted.
    pub denied: Credits,
}

/// Whose use is forecast: the workspace's, a team's or a user's.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Daily use in any order, the running day included; a missing day is one without use.
    pub days: &'a [DayUse],
    /// The first day on which there could have been use; none: the day of the first row.
    pub since: Option<Day>,
    /// Used so far in this period.
    pub used: Credits,
    /// Held now; it counts as about to be used.
    pub held: Credits,
    /// The most that can be used in this period, `used` and `held` included; none: no bound.
    pub total: Option<Credits>,
}

/// How a forecast was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ForecastMethod)]
pub enum Method {
    /// Fewer than [`DAYS_MIN`] full days: nothing is projected.
    TooLittleHistory,
    /// Fewer than [`WEEKLY_DAYS_MIN`] full days: every day counts as the mean day.
    DailyMean,
    /// A recent level, with its trend where there is one, times a factor for each day of the week.
    WeeklyPattern,
}

/// Between which amounts use will end in about four of five periods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = ForecastRange)]
pub struct Range {
    /// One period in ten ends below.
    pub low: Credits,
    /// One period in ten ends above.
    pub high: Credits,
}

/// The forecast of one subject until the end of the period.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Forecast {
    /// How it was made.
    pub method: Method,
    /// The same for a human, with what is not known.
    pub note: String,
    /// Full days of use that it was made from.
    pub history_days: usize,
    /// Used so far in the period.
    pub used: Credits,
    /// Held now.
    pub held: Credits,
    /// The most that can be used in the period.
    pub total: Option<Credits>,
    /// What will be wanted by the period's end, even where `total` will not allow it.
    pub projected_use: Option<Credits>,
    /// About 80 % of outcomes.
    pub range: Option<Range>,
    /// How much more will be wanted than `total` allows.
    pub projected_shortfall: Option<Credits>,
    /// When `total` is reached; none: not in this period, or unknown.
    pub exhaustion: Option<Instant>,
    /// When it is reached if use runs along the upper end of the range.
    pub exhaustion_earliest: Option<Instant>,
    /// How the method did on this subject's past; none: too little of it.
    pub backtest: Option<Backtest>,
}

impl Forecast {
    /// Seconds from `now` until the credits run out; none: not in this period, or unknown.
    pub fn exhaustion_seconds(&self, now: Instant) -> Option<i64> {
        self.exhaustion.map(|at| (at.micros() - now.micros()).max(0) / 1_000_000)
    }

    /// What may still be used; none: no bound.
    pub fn room(&self) -> Option<Credits> {
        self.total.map(|total| (total - self.used - self.held).at_least_zero())
    }
}

/// Forecasts one subject's use until the end of the period.
pub fn forecast(horizon: &Horizon, subject: &Subject<'_>) -> Forecast {
    let series = Series::of(subject.days, subject.since, horizon.today.day);
    let known = known(horizon, subject, series.len());
    if series.len() < DAYS_MIN {
        return known;
    }
    let trial = backtest::run(&series, horizon.days_left(), Pattern::Weekly);
    let outlook = outlook::look_ahead(horizon, &series, &trial, known.room().map(micro));
    project(known, trial, outlook)
}

/// What is so without any projection.
fn known(horizon: &Horizon, subject: &Subject<'_>, history_days: usize) -> Forecast {
    let Subject { used, held, total, .. } = *subject;
    let spent = total.is_some_and(|total| total <= used + held);
    let exhaustion = spent.then_some(horizon.now);
    Forecast {
        method: Method::TooLittleHistory,
        note: format!("{} known; a projection needs {DAYS_MIN}.", full_days(history_days)),
        history_days,
        used,
        held,
        total,
        projected_use: None,
        range: None,
        projected_shortfall: None,
        exhaustion,
        exhaustion_earliest: exhaustion,
        backtest: None,
    }
}

fn project(known: Forecast, trial: Trial, outlook: Outlook) -> Forecast {
    let (used, held) = (known.used, known.held);
    let projected = added(used + held, outlook.demand);
    // A hold may be voided, so the lower end does not count on it.
    let low = added(used, outlook.demand - outlook.margin).min(projected);
    let range = Range { low, high: added(used + held, outlook.demand + outlook.margin) };
    let method = if known.history_days < WEEKLY_DAYS_MIN { Method::DailyMean } else { Method::WeeklyPattern };
    Forecast {
        method,
        note: note(method, known.history_days, trial.backtest.is_some()),
        projected_use: Some(projected),
        range: Some(range),
        projected_shortfall: known.total.map(|total| (projected - total).at_least_zero()),
        exhaustion: known.exhaustion.or(outlook.exhaustion),
        exhaustion_earliest: known.exhaustion.or(outlook.exhaustion_earliest),
        backtest: trial.backtest,
        ..known
    }
}

fn note(method: Method, days: usize, tested: bool) -> String {
    let how = match method {
        Method::WeeklyPattern => "use follows its recent level and trend and its weekly pattern".to_owned(),
        _ => format!("a weekly pattern needs {WEEKLY_DAYS_MIN}, so every day counts as the mean day"),
    };
    let untested = if tested { "" } else { ", and there is too little past to test that on" };
    format!("{} known; {how}{untested}.", full_days(days))
}

fn full_days(days: usize) -> String {
    format!(
        "{days} full day{} of use {}",
        if days == 1 { "" } else { "s" },
        if days == 1 { "is" } else { "are" }
    )
}

/// Microcredits, as the estimates count.
fn micro(credits: Credits) -> f64 {
    credits.micro() as f64
}

/// An amount and an estimate of what is added to it: never less than the amount, never past what can be.
fn added(base: Credits, estimate: f64) -> Credits {
    let sum = micro(base) + estimate.max(0.0);
    Credits::from_micro(sum.round() as i64).min(Credits::TOTAL_MAX).max(base)
}
