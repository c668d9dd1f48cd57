//! The unit: a signed 64-bit count of microcredits, read and written as an exact decimal.
//! No float ever holds an amount on the way in or out.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// Microcredits in one credit.
pub const MICRO: i64 = 1_000_000;

/// An amount, in microcredits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Credits(i64);

/// Why a text is no amount; the words fit after the name of the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CreditsError {
    /// Not a decimal number.
    #[error("is not a decimal number")]
    Malformed,
    /// A seventh decimal that is not 0.
    #[error("has more than 6 decimals")]
    TooPrecise,
    /// Past [`Credits::TOTAL_MAX`].
    #[error("is more than 8000000000 credits")]
    TooMany,
}

impl Credits {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// Largest total anywhere: 8,000,000,000 credits, below 2^53 microcredits, so that a double tells all apart.
    pub const TOTAL_MAX: Self = Self(8_000_000_000 * MICRO);
    /// Largest amount of one event: 1,000,000,000 credits.
    pub const EVENT_MAX: Self = Self(1_000_000_000 * MICRO);

    /// An amount of microcredits.
    pub const fn from_micro(micro: i64) -> Self {
        Self(micro)
    }

    /// A whole number of credits.
    pub const fn whole(credits: i64) -> Self {
        Self(credits * MICRO)
    }

    /// The amount in microcredits.
    pub const fn micro(self) -> i64 {
        self.0
    }

    /// The amount, or 0 when it is below.
    pub fn at_least_zero(self) -> Self {
        self.max(Self::ZERO)
    }

    /// The sum, unless it passes [`Credits::TOTAL_MAX`].
    pub fn checked_total(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self).filter(|sum| *sum <= Self::TOTAL_MAX)
    }

    /// Reads a decimal as JSON writes numbers (`12`, `0.5`, `1e3`, `-2.50`), by value and exactly.
    pub fn parse(text: &str) -> Result<Self, CreditsError> {
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (digits, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return Err(CreditsError::Malformed),
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
            return Err(CreditsError::Malformed);
        }
        let micro = scale(whole, fraction, exponent + 6)?;
        Ok(Self(if negative { -micro } else { micro }))
    }

    /// Reads a string of digits with at most 6 decimals, the form of amounts inside JSON strings.
    pub fn parse_digits(text: &str) -> Result<Self, CreditsError> {
        let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let decimals = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        match (plain, decimals) {
            (false, _) => Err(CreditsError::Malformed),
            (true, 0..=6) => Self::parse(text),
            (true, _) => Err(CreditsError::TooPrecise),
        }
    }
}

fn parse_exponent(text: &str) -> Result<i64, CreditsError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(CreditsError::Malformed);
    }
    // An exponent too large for the type is as good as the largest: the amount is 0 or out of range.
    let size = digits.parse::<i64>().unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
    Ok(if text.starts_with('-') { -size } else { size })
}

/// `whole.fraction * 10^shift` as an integer.
fn scale(whole: &str, fraction: &str, shift: i64) -> Result<i64, CreditsError> {
    let digits = || whole.bytes().chain(fraction.bytes());
    let Some(first) = digits().position(|b| b != b'0') else { return Ok(0) };
    let last = whole.len() + fraction.len() - digits().rev().position(|b| b != b'0').unwrap_or(0);
    let zeros_after = shift + whole.len() as i64 - last as i64;
    if zeros_after < 0 {
        return Err(CreditsError::TooPrecise);
    }
    if zeros_after + (last - first) as i64 > 16 {
        return Err(CreditsError::TooMany);
    }
    let significant = digits().skip(first).take(last - first);
    let number = significant.fold(0_i64, |sum, b| sum * 10 + i64::from(b - b'0'));
    let micro = number * 10_i64.pow(zeros_after as u32);
    if micro > Credits::TOTAL_MAX.0 { Err(CreditsError::TooMany) } else { Ok(micro) }
}

impl fmt::Display for Credits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, micro) = (self.0.unsigned_abs() / MICRO as u64, self.0.unsigned_abs() % MICRO as u64);
        let sign = if self.0 < 0 { "-" } else { "" };
        if micro == 0 {
            return write!(f, "{sign}{whole}");
        }
        let decimals = format!("{micro:06}");
        write!(f, "{sign}{whole}.{}", decimals.trim_end_matches('0'))
    }
}

impl Serialize for Credits {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        if self.0 % MICRO == 0 {
            return out.serialize_i64(self.0 / MICRO);
        }
        let number = RawValue::from_string(self.to_string()).map_err(serde::ser::Error::custom)?;
        number.serialize(out)
    }
}

impl<'de> Deserialize<'de> for Credits {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(input)?;
        Self::parse(raw.get()).map_err(|fault| serde::de::Error::custom(format!("{} {fault}", raw.get())))
    }
}

impl Add for Credits {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for Credits {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Neg for Credits {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl AddAssign for Credits {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl SubAssign for Credits {
    fn sub_assign(&mut self, other: Self) {
        self.0 -= other.0;
    }
}

impl Sum for Credits {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_numbers_are_read_by_value() {
        for (text, micro) in [
            ("0", 0),
            ("-0.0", 0),
            ("12", 12_000_000),
            ("0.5", 500_000),
            ("1.50", 1_500_000),
            ("1e3", 1_000_000_000),
            ("2.5E-1", 250_000),
            ("0.0000010", 1),
            ("-7.25", -7_250_000),
            ("8000000000", 8_000_000_000_000_000),
            ("0e999999999999999999999", 0),
        ] {
            assert_eq!(Credits::parse(text), Ok(Credits(micro)), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", "-", ".5", "1.", "1e", "1e+", "NaN", "inf", "0x1", " 1", "1_000", "+1", "1.2.3"] {
            assert_eq!(Credits::parse(text), Err(CreditsError::Malformed), "{text}");
        }
        assert_eq!(Credits::parse("0.0000001"), Err(CreditsError::TooPrecise));
        assert_eq!(Credits::parse("1e-400"), Err(CreditsError::TooPrecise));
        for text in ["8000000000.000001", "1e400", "9007199254740993", "1e99999999999999999999"] {
            assert_eq!(Credits::parse(text), Err(CreditsError::TooMany), "{text}");
        }
        assert_eq!(Credits::parse_digits("1e3"), Err(CreditsError::Malformed));
        assert_eq!(Credits::parse_digits("-1"), Err(CreditsError::Malformed));
        assert_eq!(Credits::parse_digits("1.0000000"), Err(CreditsError::TooPrecise));
        assert_eq!(Credits::parse_digits("1.500000"), Ok(Credits(1_500_000)));
    }

    #[test]
    fn an_amount_prints_as_the_shortest_decimal_and_reads_back() {
        for (micro, text) in [(0, "0"), (1, "0.000001"), (-2_500_000, "-2.5"), (350_000_000_000, "350000")] {
            assert_eq!(Credits(micro).to_string(), text);
            assert_eq!(serde_json::to_string(&Credits(micro)).unwrap(), text);
            assert_eq!(serde_json::from_str::<Credits>(text).unwrap(), Credits(micro));
        }
    }
}
