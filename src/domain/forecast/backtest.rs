//! Walks once through the past as if each day were today: forecasts the next day and the days after
//! it, then looks at what they came to. From that come the error that is shown and the spread of the
//! range. Not here: the estimate itself ([`season`](super::season)).

use serde::Serialize;

use super::season::{Fit, Habit, Pattern};
use super::series::Series;
use super::{DAYS_MAX, DAYS_MIN, WEEKLY_DAYS_MIN};

/// Origins below which an error would be an anecdote.
const ORIGINS_MIN: usize = 5;
/// Nine of ten outcomes lie below the estimate plus so many standard deviations.
const NINE_IN_TEN: f64 = 1.2816;
/// How far the errors of longer forecasts may widen the range.
const STRETCH_MAX: f64 = 4.0;

/// How wrong the method was on the subject's own past.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Backtest {
    /// Sum of absolute errors over the sum of what was used: 0.08 is 8 % (WAPE).
    pub error: f64,
    /// Days of use whose total was forecast.
    pub horizon_days: usize,
    /// Past days from which it was forecast.
    pub origins: usize,
}

/// How far off a forecast may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spread {
    /// Standard deviation of a mean day around its forecast; a busier weekday varies more, a quiet one less.
    daily: f64,
    /// How many days the level is known from.
    memory: f64,
    /// What longer forecasts missed, against what the daily errors say.
    stretch: f64,
}

impl Spread {
    /// Half the width of the range over so many mean days: their own noise, and the level's for all of them.
    pub(super) fn margin(&self, mean_days: f64) -> f64 {
        NINE_IN_TEN * self.stretch * self.daily * (mean_days + mean_days * mean_days / self.memory).sqrt()
    }
}

/// The estimate, and what the past says of it.
pub(super) struct Trial {
    /// The estimate from all days.
    pub(super) fit: Fit,
    /// How far off it may be.
    pub(super) spread: Spread,
    /// What is shown.
    pub(super) backtest: Option<Backtest>,
}

/// What was wanted up to each day, and on how many of those days more was wanted than is known.
struct Ahead {
    len: usize,
    used: [f64; DAYS_MAX + 1],
    capped: [usize; DAYS_MAX + 1],
}

impl Ahead {
    fn of(series: &Series) -> Self {
        let mut ahead = Self { len: series.len(), used: [0.0; DAYS_MAX + 1], capped: [0; DAYS_MAX + 1] };
        for day in 0..series.len() {
            ahead.used[day + 1] = ahead.used[day] + series.used(day);
            ahead.capped[day + 1] = ahead.capped[day] + usize::from(series.capped(day));
        }
        ahead
    }

    /// The total of some days; none when what was wanted on one of them is not known, or not yet.
    fn total(&self, from: usize, days: usize) -> Option<f64> {
        let to = from + days;
        let known = to <= self.len && self.capped[to] == self.capped[from];
        known.then(|| self.used[to] - self.used[from])
    }
}

#[derive(Default)]
struct Errors {
    /// Sum of squares of one-day errors, how many mean days these were, and how many days.
    daily_square: f64,
    daily_weight: f64,
    daily: usize,
    /// The same of longer forecasts, each against the variance that a daily one of 1 would give it.
    long_square: f64,
    absolute: f64,
    actual: f64,
    origins: usize,
}

impl Errors {
    fn note_day(&mut self, fit: &Fit, weekday: usize, used: f64) {
        let error = fit.day(weekday, 0) - used;
        self.daily_square += error * error;
        self.daily_weight += fit.factors[weekday];
        self.daily += 1;
    }

    fn note_total(&mut self, fit: &Fit, weekday: usize, days: usize, actual: f64) {
        let mean_days = fit.mean_days(weekday, days);
        let error = (fit.total(weekday, days) - actual).abs();
        self.long_square += error * error / (mean_days + mean_days * mean_days / fit.memory);
        self.absolute += error;
        self.actual += actual;
        self.origins += 1;
    }

    /// Variance of a mean day around its forecast; few errors may have been lucky ones, so they count for more.
    fn variance(&self) -> f64 {
        let count = self.daily as f64;
        let luck = (count + 1.0) / (count - 1.0);
        if self.daily < 2 { 0.0 } else { self.daily_square / self.daily_weight * luck }
    }

    fn spread(&self, memory: f64, horizon: usize) -> Spread {
        let variance = self.variance();
        let ratio = self.long_square / (self.origins as f64 * variance);
        // Windows overlap: only so many of them tell something of their own.
        let windows = self.origins as f64 / horizon as f64 + 1.0;
        let excess = if ratio.is_finite() { (ratio - 1.0).max(0.0) * windows / (windows + 1.0) } else { 0.0 };
        Spread { daily: variance.sqrt(), memory, stretch: (1.0 + excess).sqrt().min(STRETCH_MAX) }
    }

    fn shown(&self, horizon_days: usize) -> Option<Backtest> {
        let error = if self.absolute == 0.0 { 0.0 } else { self.absolute / self.actual };
        let told = self.origins >= ORIGINS_MIN && error.is_finite();
        let error = (error * 10_000.0).round() / 10_000.0;
        told.then_some(Backtest { error, horizon_days, origins: self.origins })
    }
}

/// The first day whose one-day error counts: one that the method of the whole series forecast, if two are.
fn first_error(len: usize) -> usize {
    if len >= WEEKLY_DAYS_MIN + 2 { WEEKLY_DAYS_MIN } else { (len / 4).max(1) }
}

/// The first day from which totals are forecast, by the same method as the one that is shown.
fn first_origin(len: usize) -> usize {
    if len >= WEEKLY_DAYS_MIN { WEEKLY_DAYS_MIN } else { DAYS_MIN }
}

/// Learns the series and tests itself on the way, on totals of `days_left` days or as many as the past allows.
pub(super) fn run(series: &Series, days_left: f64, pattern: Pattern) -> Trial {
    let (first_error, first_origin) = (first_error(series.len()), first_origin(series.len()));
    let horizon = (days_left.ceil() as usize).min(series.len().saturating_sub(first_origin) / 2).max(1);
    let (ahead, mut habit, mut errors) = (Ahead::of(series), Habit::new(pattern), Errors::default());
    let mut fit = habit.fit();
    for day in 0..series.len() {
        let (weekday, used, capped) = (series.weekday(day), series.used(day), series.capped(day));
        if day >= first_error && !capped {
            errors.note_day(&fit, weekday, habit.tempered(used));
        }
        if let Some(actual) = ahead.total(day, horizon).filter(|_| day >= first_origin) {
            errors.note_total(&fit, weekday, horizon, actual);
        }
        // At least what was used was wanted, and at least what is usual.
        habit.learn(weekday, if capped { used.max(fit.day(weekday, 0)) } else { used });
        fit = habit.fit();
    }
    let spread = errors.spread(fit.memory, horizon);
    Trial { fit, spread, backtest: errors.shown(horizon) }
}
