//! RFC 3339, strictly: `T` and `Z` in either case, always an offset, no leap seconds. Digits past
//! the microsecond are cut off, however many there are.

use jiff::civil::Date;

use crate::domain::period::Instant;

const FORM: &str = "is not RFC 3339 with an offset, 2026-11-22T10:00:00Z for example";
const RANGE: &str = "is no day and time of day (leap seconds are not accepted)";
const SECOND: i64 = 1_000_000;

/// Reads a time. Errors: words that fit after the field and its value.
pub(super) fn parse(text: &str) -> Result<Instant, &'static str> {
    let (head, tail) = text.as_bytes().split_at_checked(19).ok_or(FORM)?;
    let (date, clock) = date_and_clock(head).ok_or(FORM)?;
    let (micros, zone) = fraction(tail).ok_or(FORM)?;
    let (sign, hours, minutes) = offset(zone).ok_or(FORM)?;
    let day = day_number(date).ok_or(RANGE)?;
    let [hour, minute, second] = clock;
    if hour > 23 || minute > 59 || second > 59 || hours > 23 || minutes > 59 {
        return Err(RANGE);
    }
    let seconds = day * 86_400 + hour * 3600 + minute * 60 + second - sign * (hours * 3600 + minutes * 60);
    Ok(Instant::from_micros(seconds * SECOND + micros))
}

/// `YYYY-MM-DDTHH:MM:SS`, not yet checked for range.
fn date_and_clock(b: &[u8]) -> Option<([i64; 3], [i64; 3])> {
    let marks = (b[4], b[7], b[10].to_ascii_uppercase(), b[13], b[16]);
    if marks != (b'-', b'-', b'T', b':', b':') {
        return None;
    }
    let date = [number(&b[0..4])?, number(&b[5..7])?, number(&b[8..10])?];
    let clock = [number(&b[11..13])?, number(&b[14..16])?, number(&b[17..19])?];
    Some((date, clock))
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |sum, b| b.is_ascii_digit().then(|| sum * 10 + i64::from(b - b'0')))
}

/// The microseconds of `.123456789`, and what follows.
fn fraction(tail: &[u8]) -> Option<(i64, &[u8])> {
    let Some(rest) = tail.strip_prefix(b".") else { return Some((0, tail)) };
    let count = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let (digits, zone) = rest.split_at(count);
    let kept = &digits[..count.min(6)];
    let missing = 6 - kept.len() as u32;
    (count > 0).then_some((number(kept)? * 10_i64.pow(missing), zone))
}

/// `Z` or `+02:00`, as sign, hours and minutes.
fn offset(zone: &[u8]) -> Option<(i64, i64, i64)> {
    match zone {
        b"Z" | b"z" => Some((1, 0, 0)),
        [sign @ (b'+' | b'-'), hours @ .., b':', m1, m2] if hours.len() == 2 => {
            Some((if *sign == b'-' { -1 } else { 1 }, number(hours)?, number(&[*m1, *m2])?))
        }
        _ => None,
    }
}

/// Days since 1970-01-01 of a day that exists. In numbers rather than by a timestamp, because the
/// last days of year 9999 are a valid time as well (and too far in the future, not malformed).
fn day_number([year, month, day]: [i64; 3]) -> Option<i64> {
    Date::new(year as i16, month as i8, day as i8).ok()?;
    // Years that begin in March put the leap day last: 719468 days lie before 1970-01-01.
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    Some(year * 365 + leaps + day_of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_numbered_as_the_calendar_does() {
        for (year, month, day) in
            [(1970, 1, 1), (2000, 2, 29), (2024, 3, 1), (1969, 12, 31), (0, 1, 1), (9999, 12, 31)]
        {
            let expected = Date::constant(1970, 1, 1).until(Date::new(year, month, day).unwrap()).unwrap();
            let number = day_number([year.into(), month.into(), day.into()]);
            assert_eq!(number, Some(i64::from(expected.get_days())), "{year}-{month}-{day}");
        }
    }

    #[test]
    fn a_time_is_cut_to_the_microsecond() {
        for (text, same) in [
            ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z"),
            ("2026-11-22t10:00:00z", "2026-11-22T10:00:00Z"),
            ("2026-11-22T10:00:00-00:00", "2026-11-22T10:00:00Z"),
            ("2026-11-22T10:00:00.1+02:30", "2026-11-22T07:30:00.1Z"),
            ("2026-11-22T23:59:59.9999999-01:00", "2026-11-23T00:59:59.999999Z"),
            ("2026-11-22T10:00:00.1234567891234567891234Z", "2026-11-22T10:00:00.123456Z"),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
            ("1969-12-31T23:59:59.0000005Z", "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(parse(text).map(|at| at.to_string()), Ok(same.into()), "{text}");
        }
        assert!(parse("9999-12-31T23:59:59Z").is_ok() && parse("0000-01-01T00:00:00Z").is_ok());
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "now",
            "1700000000",
            "2026-11-22",
            "2026-11-22T10:00:00",
            "2026-11-22 10:00:00Z",
            "2026-11-22T10:00Z",
            "2026-11-22T10:00:00.Z",
            "2026-11-22T10:00:00,5Z",
            "2026-11-22T10:00:00+02",
            "2026-11-22T10:00:00+0200",
            "2026-11-22T10:00:00Z ",
            "2026-11-22T10:00:00Z[UTC]",
            "+2026-11-22T10:00:00Z",
            "2026-11-22T10:00:0éZ",
            "２026-11-22T10:00:00Z",
        ] {
            assert_eq!(parse(text), Err(FORM), "{text}");
        }
        for text in [
            "2026-02-29T10:00:00Z",
            "2026-13-01T10:00:00Z",
            "2026-00-01T10:00:00Z",
            "2026-11-31T10:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T10:60:00Z",
            "2016-12-31T23:59:60Z",
            "2026-11-22T10:00:00+24:00",
            "2026-11-22T10:00:00+02:60",
        ] {
            assert_eq!(parse(text), Err(RANGE), "{text}");
        }
    }
}
