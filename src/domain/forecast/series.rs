//! Daily use as the estimates want it: one number for each of the last full days, oldest first, and
//! what today came to so far. Nothing is estimated here.

use super::super::period::Day;
use super::{DAYS_MAX, DayUse, micro};

/// Share of what was wanted, denied, from which a day says only the least that was wanted.
const CAPPED_SHARE: f64 = 0.1;

/// The last full days of one subject, in microcredits.
pub(super) struct Series {
    today: Day,
    len: usize,
    used: [f64; DAYS_MAX],
    denied: [f64; DAYS_MAX],
    today_used: f64,
}

impl Series {
    /// Lays rows out by day; `since` opens the history earlier than the first row does.
    pub(super) fn of(rows: &[DayUse], since: Option<Day>, today: Day) -> Self {
        let empty = [0.0; DAYS_MAX];
        let mut series = Self { today, len: 0, used: empty, denied: empty, today_used: 0.0 };
        for row in rows {
            series.add(row);
        }
        series.open(since);
        series
    }

    fn add(&mut self, row: &DayUse) {
        self.open(Some(row.day));
        if row.day == self.today {
            self.today_used += micro(row.credits);
        }
        // Slots count back from yesterday while the length is not known yet.
        if let Some(slot) = self.age(row.day).filter(|age| *age < DAYS_MAX) {
            self.used[slot] += micro(row.credits);
            self.denied[slot] += micro(row.denied);
        }
    }

    fn open(&mut self, from: Option<Day>) {
        if let Some(age) = from.and_then(|day| self.age(day)) {
            self.len = self.len.max((age + 1).min(DAYS_MAX));
        }
    }

    /// 0 for yesterday; none for today and later.
    fn age(&self, day: Day) -> Option<usize> {
        usize::try_from(i64::from(self.today.number()) - i64::from(day.number()) - 1).ok()
    }

    /// Full days of history.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// What was used on a full day, 0 the oldest; the index `len` is today.
    pub(super) fn used(&self, index: usize) -> f64 {
        if index >= self.len { self.today_used } else { self.used[self.len - 1 - index] }
    }

    /// More was wanted on that day than was used.
    pub(super) fn capped(&self, index: usize) -> bool {
        let denied = self.denied[self.len - 1 - index];
        denied > CAPPED_SHARE * (self.used(index) + denied)
    }

    /// Which of the seven days a week a day is, also past today; which is which does not matter.
    pub(super) fn weekday(&self, index: usize) -> usize {
        let day = i64::from(self.today.number()) + index as i64 - self.len as i64;
        day.rem_euclid(7) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::credits::Credits;
    use super::*;

    fn row(day: i32, credits: i64, denied: i64) -> DayUse {
        let (credits, denied) = (Credits::from_micro(credits), Credits::from_micro(denied));
        DayUse { day: Day::from_number(day), credits, denied }
    }

    #[test]
    fn gaps_are_days_without_use_and_the_first_row_opens_the_history() {
        let rows = [row(103, 7, 0), row(100, 5, 0), row(105, 9, 0), row(106, 9, 0), row(103, 1, 0)];
        let series = Series::of(&rows, None, Day::from_number(105));
        let days: Vec<f64> = (0..=series.len()).map(|index| series.used(index)).collect();
        assert_eq!(days, [5.0, 0.0, 0.0, 8.0, 0.0, 9.0]);
        assert_eq!(Series::of(&rows, Some(Day::from_number(98)), Day::from_number(105)).len(), 7);
        assert_eq!(series.weekday(0), series.weekday(7));
    }

    #[test]
    fn a_row_from_before_the_window_opens_all_of_it() {
        let series = Series::of(&[row(-500, 5, 0), row(i32::MIN, 5, 0)], None, Day::from_number(105));
        assert_eq!((series.len(), series.used(0)), (DAYS_MAX, 0.0));
    }

    #[test]
    fn a_day_is_capped_from_a_tenth_denied() {
        let rows = [row(1, 90, 5), row(2, 90, 30), row(3, 0, 1), row(4, 0, 0)];
        let series = Series::of(&rows, None, Day::from_number(5));
        assert_eq!([0, 1, 2, 3].map(|index| series.capped(index)), [false, true, true, false]);
    }
}
