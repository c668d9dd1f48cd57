//! The forecast as a whole, on days made up by the tests: one must be able to fail for each promise.

use proptest::prelude::*;

use super::season::Pattern;
use super::series::Series;
use super::*;

const DAY: i64 = 86_400_000_000;
/// 2026-11-01, a Sunday.
const START: i32 = 20_758;

fn at(day: i32, passed: f64) -> Instant {
    Instant::from_micros(i64::from(day) * DAY + (passed * DAY as f64) as i64)
}

/// November 2026 in UTC, seen when `passed` of its day `today` (0 the first) has gone by.
fn november(today: i32, passed: f64) -> Horizon {
    let day = Day::from_number(START + today);
    let today_span = DaySpan { day, start: at(START + today, 0.0), end: at(START + today + 1, 0.0) };
    let name = Day::from_number(START);
    let period = Period { name, start: at(START, 0.0), end: at(START + 30, 0.0), planned: true };
    Horizon { now: at(START + today, passed), today: today_span, period }
}

/// The `count` days that end with the day `last` of November.
fn days(last: i32, count: i32, mut used: impl FnMut(i32) -> f64) -> Vec<DayUse> {
    let row = |day: i32| {
        let credits = Credits::from_micro((used(day) * 1e6).round() as i64);
        DayUse { day: Day::from_number(START + day), credits, denied: Credits::ZERO }
    };
    (last + 1 - count..=last).map(row).collect()
}

fn subject(days: &[DayUse], total: Option<i64>) -> Subject<'_> {
    let inside = days.iter().filter(|row| row.day.number() >= START);
    let used = inside.map(|row| row.credits).sum();
    Subject { days, since: None, used, held: Credits::ZERO, total: total.map(Credits::whole) }
}

fn workdays(day: i32) -> f64 {
    if matches!(day.rem_euclid(7), 0 | 6) { 10.0 } else { 100.0 }
}

fn near(credits: Option<Credits>, expected: f64, share: f64) {
    let value = micro(credits.unwrap()) / 1e6;
    assert!((value - expected).abs() <= expected * share, "{value} is not near {expected}");
}

#[test]
fn constant_use_goes_on() {
    let rows = days(9, 50, |_| 100.0);
    let told = forecast(&november(10, 0.0), &subject(&rows, Some(2500)));
    assert_eq!((told.method, told.history_days), (Method::WeeklyPattern, 50));
    assert_eq!(told.projected_use, Some(Credits::whole(3000)));
    assert_eq!(told.range, Some(Range { low: Credits::whole(3000), high: Credits::whole(3000) }));
    assert_eq!(told.projected_shortfall, Some(Credits::whole(500)));
    assert_eq!(told.exhaustion, Some(at(START + 25, 0.0)));
    assert_eq!(told.exhaustion_seconds(at(START + 10, 0.0)), Some(15 * 86_400));
    assert_eq!(told.backtest.map(|test| (test.error, test.horizon_days)), Some((0.0, 18)));
}

#[test]
fn a_strong_weekly_pattern_is_followed_to_the_day() {
    let truth: f64 = (0..30).map(workdays).sum();
    for seen in 5..28 {
        let rows = days(seen, 28, workdays);
        let told = forecast(&november(seen + 1, 0.0), &subject(&rows, None));
        near(told.projected_use, truth, 0.02);
    }
    // 520 in the first week and 10 on the Sunday are used; Monday and Tuesday 200, half of Wednesday 50.
    let rows = days(7, 56, workdays);
    let told = forecast(&november(8, 0.0), &subject(&rows, Some(520 + 10 + 250)));
    assert_eq!(told.exhaustion, Some(at(START + 10, 0.5)));
}

#[test]
fn the_weekly_pattern_beats_the_flat_mean_on_its_past() {
    let rows = days(9, 56, workdays);
    let series = Series::of(&rows, None, Day::from_number(START + 10));
    for left in [1.0, 3.0, 10.0] {
        let error = |pattern| backtest::run(&series, left, pattern).backtest.unwrap().error;
        let (weekly, flat) = (error(Pattern::Weekly), error(Pattern::Flat));
        assert!(weekly < flat / 4.0, "{left} days: {weekly} against {flat}");
    }
}

#[test]
fn steady_growth_is_followed_and_does_not_leave_the_range() {
    let growing = |day: i32| workdays(day) * 1.04_f64.powf(f64::from(day) / 7.0);
    let rows = days(9, 56, growing);
    let truth: f64 = (0..30).map(growing).sum();
    let told = forecast(&november(10, 0.0), &subject(&rows, None));
    near(told.projected_use, truth, 0.04);
    assert!(told.range.is_some_and(|range| micro(range.high) / 1e6 > truth), "{truth} is above {told:?}");
}

#[test]
fn too_little_history_says_so() {
    let rows = days(2, 2, |_| 100.0);
    let told = forecast(&november(3, 0.5), &subject(&rows, Some(1000)));
    assert_eq!((told.method, told.projected_use, told.range), (Method::TooLittleHistory, None, None));
    assert_eq!((told.exhaustion, &*told.note), (None, "2 full days of use are known; a projection needs 3."));
    let rows = days(4, 5, |_| 100.0);
    let told = forecast(&november(5, 0.0), &subject(&rows, None));
    assert_eq!((told.method, told.projected_use), (Method::DailyMean, Some(Credits::whole(3000))));
    assert!(told.backtest.is_none() && told.note.contains("too little past"), "{}", told.note);
    let nothing = forecast(&november(5, 0.0), &subject(&[], Some(1000)));
    assert_eq!((nothing.method, nothing.history_days), (Method::TooLittleHistory, 0));
}

#[test]
fn what_is_used_up_is_exhausted_now_with_any_history() {
    let rows = days(0, 1, |_| 100.0);
    let told = forecast(&november(1, 0.25), &subject(&rows, Some(100)));
    assert_eq!((told.exhaustion, told.exhaustion_earliest), (Some(at(START + 1, 0.25)), told.exhaustion));
    let rows = days(20, 50, |_| 100.0);
    let told =
        forecast(&november(21, 0.0), &Subject { held: Credits::whole(400), ..subject(&rows, Some(2500)) });
    assert_eq!(told.exhaustion, Some(at(START + 21, 0.0)));
}

#[test]
fn the_rest_of_the_running_day_counts_for_what_it_lacks() {
    let even = days(10, 50, |day| if day == 10 { 25.0 } else { 100.0 });
    let told = forecast(&november(10, 0.25), &subject(&even, None));
    assert_eq!(told.projected_use, Some(Credits::whole(3000)));
    let high = days(10, 50, |day| if day == 10 { 300.0 } else { 100.0 });
    let told = forecast(&november(10, 0.5), &subject(&high, None));
    near(told.projected_use, 1000.0 + 300.0 + 25.0 + 1900.0, 1e-9);
}

#[test]
fn no_use_stays_none_and_no_total_never_runs_out() {
    let rows = days(9, 30, |_| 0.0);
    let told = forecast(&november(10, 0.5), &subject(&rows, Some(100)));
    assert_eq!(told.range, Some(Range { low: Credits::ZERO, high: Credits::ZERO }));
    assert_eq!((told.projected_use, told.exhaustion_earliest), (Some(Credits::ZERO), None));
    let idle = Subject { since: Some(Day::from_number(START)), ..subject(&[], None) };
    assert_eq!(forecast(&november(10, 0.5), &idle).projected_use, Some(Credits::ZERO));
    let busy = days(9, 30, |_| 100.0);
    let told = forecast(&november(10, 0.5), &subject(&busy, None));
    assert_eq!((told.exhaustion, told.projected_shortfall, told.room()), (None, None, None));
}

#[test]
fn days_on_which_most_was_denied_do_not_lower_what_is_wanted() {
    let mut rows = days(-1, 40, |day| if day < -8 { 100.0 } else { 0.0 });
    for row in rows.iter_mut().filter(|row| row.credits == Credits::ZERO) {
        row.denied = Credits::whole(3);
    }
    near(forecast(&november(0, 0.0), &subject(&rows, None)).projected_use, 3000.0, 1e-9);
}

#[test]
fn a_period_that_is_over_or_cut_short_is_no_trouble() {
    let rows = days(29, 40, |_| 100.0);
    let mut horizon = november(29, 1.0);
    assert_eq!(forecast(&horizon, &subject(&rows, None)).projected_use, Some(Credits::whole(3000)));
    (horizon, horizon.period.end) = (november(28, 0.0), at(START + 29, 0.5));
    let rows = days(27, 40, |_| 100.0);
    assert_eq!(forecast(&horizon, &subject(&rows, None)).projected_use, Some(Credits::whole(2950)));
}

#[test]
fn it_is_written_in_the_words_of_the_contract() {
    let rows = days(9, 50, |_| 100.0);
    let json = serde_json::to_value(forecast(&november(10, 0.0), &subject(&rows, Some(2500)))).unwrap();
    assert_eq!(json["method"], "weekly_pattern");
    assert_eq!(json["range"], serde_json::json!({"low": 3000, "high": 3000}));
    assert_eq!(json["exhaustion"], "2026-11-26T00:00:00Z");
    assert_eq!(json["backtest"], serde_json::json!({"error": 0.0, "horizon_days": 18, "origins": 19}));
}

/// Numbers that look random and are the same on every machine.
struct Dice(u64);

impl Dice {
    /// Uniform in 0..1.
    fn throw(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// About normal, with mean 0 and deviation 1.
    fn bell(&mut self) -> f64 {
        (0..12).map(|_| self.throw()).sum::<f64>() - 6.0
    }
}

/// In how many of 200 months the truth ended inside the range; `next` makes up a day's use.
fn covered(history: i32, today: i32, next: impl Fn(i32, &mut Dice, &mut f64) -> f64) -> usize {
    let ends_inside = |seed: &u64| {
        let (mut dice, mut state) = (Dice(*seed), 0.0);
        let all = days(29, history + 30 - today, |day| next(day, &mut dice, &mut state).max(0.0));
        let seen: Vec<DayUse> = all.iter().filter(|row| row.day.number() < START + today).copied().collect();
        let range = forecast(&november(today, 0.0), &subject(&seen, None)).range.unwrap();
        let truth = subject(&all, None).used;
        range.low <= truth && truth <= range.high
    };
    (0..200).filter(ends_inside).count()
}

#[test]
fn the_range_holds_the_truth_about_four_times_in_five() {
    type Next = fn(i32, &mut Dice, &mut f64) -> f64;
    let noise: Next = |day, dice, _| workdays(day) * (1.0 + 0.3 * dice.bell());
    let skewed: Next = |day, dice, _| workdays(day) * (0.8 * dice.bell()).exp();
    let rare: Next = |_, dice, _| if dice.throw() < 0.15 { 400.0 * dice.throw() } else { 0.0 };
    let sticky: Next = |day, dice, state| {
        *state = 0.6 * *state + 0.25 * dice.bell();
        workdays(day) * (1.0 + *state)
    };
    let drifting: Next = |day, dice, state| {
        *state += 0.04 * dice.bell();
        workdays(day) * (*state + 0.2 * dice.bell()).exp()
    };
    let worlds =
        [("noise", noise), ("skewed", skewed), ("rare", rare), ("sticky", sticky), ("drifting", drifting)];
    for (name, next) in worlds {
        for (history, today) in [(56, 10), (56, 20), (56, 28), (28, 10), (21, 10), (16, 5), (9, 9)] {
            let inside = covered(history, today, next);
            println!("{name}, {history} days, on day {today}: {inside} of 200");
            // Little history makes the range wide or, where nothing rare was seen yet, a bit narrow.
            let right = if history == 56 { 130..=190 } else { 120..=199 };
            assert!(right.contains(&inside), "{name}, {history} days, on day {today}: {inside} of 200");
        }
    }
}

proptest! {
    #[test]
    fn whatever_was_used_the_projection_is_ordered(
        rows in prop::collection::vec((-70..35_i32, 0..3_000_000_000_000_i64, 0..5_000_000_i64), 0..80),
        (today, passed) in (0..30_i32, 0.0..1.0_f64),
        (held, total) in (0..1_000_i64, prop::option::of(0..100_000_i64)),
    ) {
        let make = |(day, credits, denied): (i32, i64, i64)| DayUse {
            day: Day::from_number(START + day),
            credits: Credits::from_micro(credits),
            denied: Credits::from_micro(denied),
        };
        let rows: Vec<DayUse> = rows.into_iter().map(make).collect();
        let asked = Subject { held: Credits::whole(held), ..subject(&rows, total) };
        let horizon = november(today, passed);
        let told = forecast(&horizon, &asked);
        if let (Some(projected), Some(range)) = (told.projected_use, told.range) {
            prop_assert!(projected >= asked.used + asked.held && range.low >= asked.used);
            prop_assert!(range.low <= projected && projected <= range.high);
            let short = told.projected_shortfall.is_some_and(|short| short > Credits::whole(1));
            prop_assert!(!short || told.exhaustion.is_some());
        }
        for at in [told.exhaustion, told.exhaustion_earliest].into_iter().flatten() {
            prop_assert!(horizon.now <= at && at < horizon.period.end);
        }
        prop_assert!(told.exhaustion.is_none() || told.exhaustion_earliest <= told.exhaustion);
    }
}
