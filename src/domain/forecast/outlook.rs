//! Walks from now through the days that are left of the period: how much will be wanted, and where
//! on the way a bound is met. Within a day use counts as even.

use super::super::period::Instant;
use super::Horizon;
use super::backtest::Trial;
use super::series::Series;

const DAY_MICROS: i64 = 86_400_000_000;
const SECOND_MICROS: i64 = 1_000_000;

/// The rest of the period, in microcredits.
#[derive(Debug, Default)]
pub(super) struct Outlook {
    /// What will be wanted.
    pub(super) demand: f64,
    /// How much more or less it may be.
    pub(super) margin: f64,
    /// When the room is used up.
    pub(super) exhaustion: Option<Instant>,
    /// The same along the upper end of the range.
    pub(super) exhaustion_earliest: Option<Instant>,
}

/// What is left of today, or a day after it, or the part of one that the period's end leaves.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// 0 is today.
    ahead: usize,
    from: i64,
    to: i64,
}

impl Step {
    fn days(&self) -> f64 {
        (self.to - self.from) as f64 / DAY_MICROS as f64
    }
}

impl Horizon {
    /// Days from now to the end of the period, none when it is over.
    pub(super) fn days_left(&self) -> f64 {
        (self.period.end.micros() - self.now.micros()).max(0) as f64 / DAY_MICROS as f64
    }

    /// The share of today that has passed.
    fn passed(&self) -> f64 {
        let (start, end) = (self.today.start.micros(), self.today.end.micros());
        ((self.now.micros() - start) as f64 / (end - start).max(1) as f64).clamp(0.0, 1.0)
    }

    /// Days after today are taken as 24 hours: a change of clocks moves a step by an hour, no more.
    fn steps(&self) -> impl Iterator<Item = Step> {
        let (now, end) = (self.now.micros(), self.period.end.micros());
        let tomorrow = self.today.end.micros().max(now);
        let today = Step { ahead: 0, from: now, to: tomorrow.min(end) };
        let later = (1..).map(move |ahead| {
            let from = tomorrow + (ahead as i64 - 1) * DAY_MICROS;
            Step { ahead, from, to: (from + DAY_MICROS).min(end) }
        });
        std::iter::once(today).chain(later).take_while(|step| step.from < step.to)
    }
}

/// Adds up the days that are left; `room` is what may still be used.
pub(super) fn look_ahead(horizon: &Horizon, series: &Series, trial: &Trial, room: Option<f64>) -> Outlook {
    let mut sum = Outlook::default();
    for step in horizon.steps() {
        let demand = sum.demand + step_demand(horizon, series, trial, &step);
        let usual = trial.fit.mean_day(0.0);
        let margin = trial.spread.margin(if usual > 0.0 { demand / usual } else { 0.0 });
        let met = |before, after| room.and_then(|room| crossing(&step, before, after, room));
        sum.exhaustion = sum.exhaustion.or_else(|| met(sum.demand, demand));
        let earliest = met(sum.demand + sum.margin, demand + margin);
        sum.exhaustion_earliest = sum.exhaustion_earliest.or(earliest);
        (sum.demand, sum.margin) = (demand, margin);
    }
    let inside = |at: &Instant| *at < horizon.period.end;
    sum.exhaustion = sum.exhaustion.filter(inside);
    sum.exhaustion_earliest = sum.exhaustion_earliest.filter(inside);
    sum
}

fn step_demand(horizon: &Horizon, series: &Series, trial: &Trial, step: &Step) -> f64 {
    let whole = trial.fit.day(series.weekday(series.len() + step.ahead), step.ahead);
    match step.ahead {
        0 => rest_of_today(whole, series.used(series.len()), horizon.passed()),
        _ => whole * step.days(),
    }
}

/// Halfway between an even rest of a usual day and what a usual day still lacks: a day's use is
/// not even (nights), and a day that began high does not end at once.
fn rest_of_today(usual: f64, used: f64, passed: f64) -> f64 {
    if passed >= 1.0 { 0.0 } else { f64::midpoint(usual * (1.0 - passed), (usual - used).max(0.0)) }
}

/// Where in a step the room is used up, in whole seconds.
fn crossing(step: &Step, before: f64, after: f64, room: f64) -> Option<Instant> {
    if after < room || after <= 0.0 {
        return None;
    }
    let share = if after > before { ((room - before) / (after - before)).clamp(0.0, 1.0) } else { 0.0 };
    let at = step.from + ((step.to - step.from) as f64 * share) as i64;
    let rounded = (at + SECOND_MICROS / 2).div_euclid(SECOND_MICROS) * SECOND_MICROS;
    Some(Instant::from_micros(rounded.max(step.from)))
}
