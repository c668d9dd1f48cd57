//! Learns a level, a trend and weekday factors, one day at a time, so that a walk through the past
//! costs no more than one look at it. Newer days weigh more. Factors are drawn towards 1 by as much as
//! the days of one weekday differ among themselves, and a trend has to be more than chance, so that
//! noise makes neither. Not here: how far off the estimates are ([`backtest`](super::backtest)).

use super::WEEKLY_DAYS_MIN;

/// Days after which a day weighs half as much for the level.
const LEVEL_HALF_LIFE_DAYS: f64 = 10.0;
/// The same for the weekdays' factors, which change more slowly.
const WEEKDAY_HALF_LIFE_DAYS: f64 = 28.0;
/// How old the days are, on average, that the level is made of.
const LEVEL_AGE_DAYS: f64 = LEVEL_HALF_LIFE_DAYS * std::f64::consts::LOG2_E;
/// Days of history from which there may be a trend: [`WEEKLY_DAYS_MIN`] of them had an estimate to miss.
const TREND_DAYS_MIN: usize = 2 * WEEKLY_DAYS_MIN;
/// Days ahead after which a trend is not drawn further: none goes on for ever.
const TREND_DAYS_MAX: f64 = 14.0;
/// A trend counts from where its evidence passes this: twice its standard error, squared.
const TREND_EVIDENCE: f64 = 4.0;
/// A day counts for at most this many times the largest before it, so that one accident is no habit.
const SPIKE: f64 = 3.0;
/// Days before which nothing is called a spike.
const SPIKE_AFTER: usize = 7;

/// Whether weekdays are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pattern {
    /// From [`WEEKLY_DAYS_MIN`] days on.
    Weekly,
    /// Never: what the weekly pattern has to beat.
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests compare with it"))]
    Flat,
}

/// Weighted sums by weekday. Weights grow from day to day instead of the old ones shrinking: nothing
/// has to be touched again.
struct Sums {
    growth: f64,
    /// Weight of the newest day.
    newest: f64,
    weight: [f64; 7],
    value: [f64; 7],
    mean: [f64; 7],
    square: f64,
}

impl Sums {
    fn new(half_life_days: f64) -> Self {
        let growth = (1.0 / half_life_days).exp2();
        Self { growth, newest: 1.0, weight: [0.0; 7], value: [0.0; 7], mean: [0.0; 7], square: 0.0 }
    }

    fn add(&mut self, weekday: usize, value: f64) {
        self.newest *= self.growth;
        self.weight[weekday] += self.newest;
        self.value[weekday] += self.newest * value;
        self.mean[weekday] = self.value[weekday] / self.weight[weekday];
        self.square += self.newest * value * value;
    }
}

/// By how much days came out above the level, weighted as the weekdays are.
#[derive(Default)]
struct Misses {
    weight: f64,
    sum: f64,
    /// Sum of the squares of what was added to `sum`.
    square: f64,
}

impl Misses {
    fn add(&mut self, miss: f64, weight: f64) {
        self.weight += weight;
        self.sum += weight * miss;
        self.square += (weight * miss) * (weight * miss);
    }

    /// The mean miss, as far as chance does not explain it: the level is always late by it.
    fn lateness(&self) -> f64 {
        let evidence = self.sum * self.sum / self.square;
        if evidence > TREND_EVIDENCE {
            self.sum / self.weight * (1.0 - TREND_EVIDENCE / evidence)
        } else {
            0.0
        }
    }
}

/// What has been learned so far.
pub(super) struct Habit {
    pattern: Pattern,
    days: usize,
    peak: f64,
    recent: Sums,
    recent_weight_squared: f64,
    weekly: Sums,
    misses: Misses,
    fit: Fit,
}

/// An estimate of the days to come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fit {
    /// Use of a mean day, as of some days ago.
    level: f64,
    /// How much more a mean day of now is.
    late: f64,
    /// How much more each day after it.
    slope: f64,
    /// Each weekday against the mean day; their mean is 1.
    pub(super) factors: [f64; 7],
    /// How many equally weighted days the level is as good as.
    pub(super) memory: f64,
}

impl Habit {
    /// Knows nothing.
    pub(super) fn new(pattern: Pattern) -> Self {
        Self {
            pattern,
            days: 0,
            peak: 0.0,
            recent: Sums::new(LEVEL_HALF_LIFE_DAYS),
            recent_weight_squared: 0.0,
            weekly: Sums::new(WEEKDAY_HALF_LIFE_DAYS),
            misses: Misses::default(),
            fit: Fit { level: 0.0, slope: 0.0, late: 0.0, factors: [1.0; 7], memory: 1.0 },
        }
    }

    /// What one day counts for, given the days before.
    pub(super) fn tempered(&self, value: f64) -> f64 {
        let ceiling = if self.days < SPIKE_AFTER || self.peak == 0.0 { value } else { SPIKE * self.peak };
        value.min(ceiling)
    }

    /// Takes in the next day.
    pub(super) fn learn(&mut self, weekday: usize, value: f64) {
        let counted = self.tempered(value);
        if self.days >= WEEKLY_DAYS_MIN {
            let usual = self.fit.level * self.fit.factors[weekday];
            self.misses.add(counted - usual, self.weekly.newest);
        }
        self.recent.add(weekday, counted);
        self.recent_weight_squared += self.recent.newest * self.recent.newest;
        self.weekly.add(weekday, counted);
        self.peak = self.peak.max(value);
        self.days += 1;
        self.fit = self.estimate();
    }

    /// The estimate from the days so far.
    pub(super) fn fit(&self) -> Fit {
        self.fit
    }

    fn estimate(&self) -> Fit {
        let weekly = self.pattern == Pattern::Weekly && self.days >= WEEKLY_DAYS_MIN;
        let factors = if weekly { factors(&self.weekly, self.days) } else { [1.0; 7] };
        let weight = sum(&self.recent.weight);
        let expected = sum(&std::array::from_fn(|weekday| self.recent.weight[weekday] * factors[weekday]));
        let value = sum(&self.recent.value);
        let level = if expected > 0.0 { value / expected } else { 0.0 };
        let late = if self.days >= TREND_DAYS_MIN { self.misses.lateness() } else { 0.0 };
        Fit {
            level,
            slope: late / (LEVEL_AGE_DAYS + 1.0),
            late,
            factors,
            memory: (weight * weight / self.recent_weight_squared.max(1.0)).max(1.0),
        }
    }
}

impl Fit {
    /// Use of a mean day, so many days from the first unknown one.
    pub(super) fn mean_day(&self, ahead: f64) -> f64 {
        (self.level + self.late + self.slope * ahead.min(TREND_DAYS_MAX)).max(0.0)
    }

    /// Use of a whole day.
    pub(super) fn day(&self, weekday: usize, ahead: usize) -> f64 {
        self.mean_day(ahead as f64) * self.factors[weekday]
    }

    /// Use of `days` whole days, the first of them a `weekday`.
    pub(super) fn total(&self, weekday: usize, days: usize) -> f64 {
        if self.slope == 0.0 {
            return self.mean_day(0.0) * self.mean_days(weekday, days); // nearly always, and quicker
        }
        (0..days).map(|ahead| self.day((weekday + ahead) % 7, ahead)).sum()
    }

    /// How many mean days `days` days are worth, the first of them a `weekday`.
    pub(super) fn mean_days(&self, weekday: usize, days: usize) -> f64 {
        let rest: f64 = (0..days % 7).map(|ahead| self.factors[(weekday + ahead) % 7]).sum();
        (days - days % 7) as f64 + rest
    }
}

/// In pairs, which a processor adds at once.
fn sum(of: &[f64; 7]) -> f64 {
    ((of[0] + of[1]) + (of[2] + of[3])) + ((of[4] + of[5]) + of[6])
}

/// Each weekday's mean against the mean day, as far as it stands out from the noise.
fn factors(sums: &Sums, days: usize) -> [f64; 7] {
    let mean = sum(&sums.mean) / 7.0;
    if mean <= 0.0 {
        return [1.0; 7];
    }
    let pull = pull(sums, mean, days) * sums.newest;
    let raw: [f64; 7] = std::array::from_fn(|weekday| {
        let weight = sums.weight[weekday];
        mean + (sums.mean[weekday] - mean) * weight / (weight + pull)
    });
    let scale = 7.0 / sum(&raw);
    raw.map(|factor| factor * scale)
}

/// How many days' worth of evidence the mean day is, against each weekday's own days: the variance
/// among days of one weekday over the variance between weekdays (empirical Bayes).
fn pull(sums: &Sums, mean: f64, days: usize) -> f64 {
    let weight = sum(&sums.weight);
    let explained = sum(&std::array::from_fn(|weekday| sums.value[weekday] * sums.mean[weekday]));
    let freedom = days as f64 / (days as f64 - 7.0);
    let within = ((sums.square - explained) / weight * freedom).max(0.0);
    let days_seen = weight / sums.newest / 7.0;
    let spread = sum(&sums.mean.map(|of| (of - mean) * (of - mean))) / 6.0;
    let between = spread - within / days_seen;
    if between > 0.0 { within / between } else { f64::INFINITY }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(pattern: Pattern, days: &[f64]) -> Fit {
        let mut habit = Habit::new(pattern);
        days.iter().enumerate().for_each(|(index, value)| habit.learn(index % 7, *value));
        habit.fit()
    }

    #[test]
    fn a_clean_pattern_is_learned_exactly_and_a_flat_one_is_none() {
        let week = [100.0, 100.0, 100.0, 100.0, 100.0, 10.0, 10.0];
        let fit = learned(Pattern::Weekly, &week.repeat(2));
        (0..7).for_each(|weekday| assert!((fit.day(weekday, 0) - week[weekday]).abs() < 1e-6));
        assert!((fit.total(5, 9) - 540.0).abs() < 1e-6, "{fit:?}");
        assert_eq!(learned(Pattern::Weekly, &[4.0; 30]).factors, [1.0; 7]);
        assert_eq!(learned(Pattern::Flat, &week.repeat(2)).factors, [1.0; 7]);
    }

    #[test]
    fn noise_makes_no_pattern() {
        let noisy: Vec<f64> =
            (0_u32..56).map(|day| f64::from(day.wrapping_mul(2_654_435_761) >> 25)).collect();
        let fit = learned(Pattern::Weekly, &noisy);
        assert!(fit.factors.iter().all(|factor| (factor - 1.0).abs() < 0.2), "{fit:?}");
    }

    #[test]
    fn one_accident_is_no_habit_but_a_new_level_is() {
        let mut days = [10.0; 30];
        days[20] = 10_000.0;
        assert!(learned(Pattern::Weekly, &days).level < 12.0);
        let moved: Vec<f64> = (0..40).map(|day| if day < 20 { 1.0 } else { 100.0 }).collect();
        assert!(learned(Pattern::Weekly, &moved).level > 70.0);
    }
}
