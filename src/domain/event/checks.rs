//! What each field has to be. One [`Named`] is one field of one record: it knows how the producer
//! spelled it, so that every rejection names the field and its value.

use std::borrow::Cow;
use std::fmt::Display;

use compact_str::CompactString;

use super::fields::{Field, Kind, Token, resolve};
use super::wording::{is_control, quote, reject};
use super::{RejectReason, Rejection, time};
use crate::domain::credits::{Credits, CreditsError};
use crate::domain::ids::IdError;
use crate::domain::period::Instant;

/// Longest `id` and `source`, in bytes.
const LABEL_BYTES_MAX: usize = 256;

/// A field as the producer spelled it, with what stood there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named<'a> {
    /// `data.` or `ce_`, when the encoding puts one before the name.
    pub(super) prefix: &'static str,
    /// Which field.
    pub(super) field: Field,
    /// Its value; none when the key is absent.
    pub(super) token: Option<Token<'a>>,
}

impl<'a> Named<'a> {
    /// The value, when there is one: `null` is none.
    pub(super) fn present(&self) -> Option<Token<'a>> {
        self.token.filter(|token| token.kind != Kind::Null)
    }

    /// A rejection that names the field and its value, followed by `words`.
    #[cold]
    pub(super) fn reject(&self, reason: RejectReason, words: impl Display) -> Rejection {
        let value = self.token.map(quote).unwrap_or_default();
        reject(reason, format_args!("{}{} {value} {words}", self.prefix, self.field.name()))
    }

    /// The rejection of a required field without a value.
    #[cold]
    pub(super) fn missing(&self) -> Rejection {
        let state = if self.token.is_some() { "null" } else { "missing" };
        reject(RejectReason::MissingField, format_args!("{}{} is {state}", self.prefix, self.field.name()))
    }

    /// A string. Errors: `reason` for any other type, and for one that is no text.
    #[inline]
    fn text_or(&self, reason: RejectReason) -> Result<Option<Cow<'a, str>>, Rejection> {
        let Some(token) = self.present() else { return Ok(None) };
        let Some(inside) = token.inside() else { return Err(self.reject(reason, "is not a string")) };
        let text = resolve(token.kind, inside);
        text.map(Some).ok_or_else(|| self.reject(reason, "has half of a surrogate pair"))
    }

    /// A string without further rules.
    pub(super) fn text(&self) -> Result<Option<Cow<'a, str>>, Rejection> {
        self.text_or(RejectReason::InvalidField)
    }

    /// An `id` or `source`: 1..256 bytes, no control characters.
    pub(super) fn label(&self) -> Result<Option<CompactString>, Rejection> {
        let Some(text) = self.text()? else { return Ok(None) };
        let fault = |words: &dyn Display| self.reject(RejectReason::InvalidField, words);
        match text.len() {
            0 => return Err(fault(&"must not be empty")),
            1..=LABEL_BYTES_MAX => {}
            bytes => {
                return Err(fault(&format_args!("has {bytes} bytes, at most {LABEL_BYTES_MAX} are allowed")));
            }
        }
        let plain = text.bytes().all(|b| matches!(b, b' '..=b'~')); // as good as every one of them is
        match if plain { None } else { text.chars().find(|c| is_control(*c)) } {
            None => Ok(Some(CompactString::from(text))),
            Some(c) => Err(fault(&format_args!("has the control character U+{:04X}", u32::from(c)))),
        }
    }

    /// An id of the alphabet, read by `parse`.
    pub(super) fn id<T>(&self, parse: fn(&str) -> Result<T, IdError>) -> Result<Option<T>, Rejection> {
        let Some(text) = self.text_or(RejectReason::InvalidId)? else { return Ok(None) };
        parse(&text).map(Some).map_err(|fault| self.reject(RejectReason::InvalidId, fault))
    }

    /// RFC 3339 with an offset.
    pub(super) fn time(&self) -> Result<Option<Instant>, Rejection> {
        let Some(text) = self.text_or(RejectReason::InvalidTime)? else { return Ok(None) };
        time::parse(&text).map(Some).map_err(|words| self.reject(RejectReason::InvalidTime, words))
    }

    /// An integer from 0, by value: `12`, `12.0` and `1.2e1` are the same number.
    pub(super) fn integer(&self) -> Result<Option<u64>, Rejection> {
        let fault = |words: &str| self.reject(RejectReason::InvalidField, words);
        match self.present() {
            None => Ok(None),
            Some(Token { kind: Kind::Number, raw }) => integer(raw).map(Some).map_err(fault),
            Some(_) => Err(fault("is not a number")),
        }
    }

    /// An amount: a JSON number by value, or a string of digits with at most 6 decimals.
    pub(super) fn credits(&self) -> Result<Option<Credits>, Rejection> {
        let fault = |words: &str| self.reject(RejectReason::InvalidCredits, words);
        let (negative, amount) = match self.present() {
            None => return Ok(None),
            Some(Token { kind: Kind::Number, raw }) => (raw.starts_with('-'), Credits::parse(raw)),
            Some(token) if token.inside().is_some() => {
                let text = self.text_or(RejectReason::InvalidCredits)?.unwrap_or_default();
                (false, Credits::parse_digits(&text))
            }
            Some(_) => return Err(fault("is neither a number nor a string of digits")),
        };
        match amount {
            Ok(credits) if credits < Credits::ZERO => Err(fault("is below 0")),
            Err(CreditsError::TooMany) if negative => Err(fault("is below 0")),
            Ok(credits) if credits <= Credits::EVENT_MAX => Ok(Some(credits)),
            Ok(_) | Err(CreditsError::TooMany) => Err(fault("is more than 1000000000")),
            Err(CreditsError::TooPrecise) => Err(fault("has more than 6 decimals")),
            Err(CreditsError::Malformed) => Err(fault("is not a string of digits")),
        }
    }
}

/// The value of a JSON number that is a whole number of 0 or more.
fn integer(number: &str) -> Result<u64, &'static str> {
    const TOO_LARGE: &str = "is more than 18446744073709551615";
    if number.bytes().all(|b| b.is_ascii_digit()) {
        return number.parse().map_err(|_| TOO_LARGE);
    }
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole.trim_start_matches('-'), fraction].concat();
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Ok(0);
    }
    if number.starts_with('-') {
        return Err("is below 0");
    }
    // An exponent past i64 moves the point further than any payload has digits.
    let far = if exponent.starts_with('-') { i64::MIN / 2 } else { i64::MAX / 2 };
    let point = whole.len() as i64 + exponent.parse::<i64>().unwrap_or(far).clamp(i64::MIN / 2, i64::MAX / 2);
    let zeros = point - significant.len() as i64;
    if zeros < 0 {
        return Err("is not a whole number");
    }
    let leading = significant.trim_start_matches('0');
    let scale = u32::try_from(zeros).ok().and_then(|zeros| 10_u64.checked_pow(zeros));
    leading
        .parse::<u64>()
        .ok()
        .zip(scale)
        .and_then(|(number, scale)| number.checked_mul(scale))
        .ok_or(TOO_LARGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_by_value() {
        for (text, value) in [
            ("0", 0),
            ("-0", 0),
            ("-0.0e5", 0),
            ("0e99999999999999999999", 0),
            ("12", 12),
            ("12.000", 12),
            ("1.2e1", 12),
            ("1200e-2", 12),
            ("0.0012E+4", 12),
            ("18446744073709551615", u64::MAX),
            ("1844674407370955161.5e1", u64::MAX),
        ] {
            assert_eq!(integer(text), Ok(value), "{text}");
        }
        for text in ["18446744073709551616", "1e20", "1e99999999999999999999", "2e19"] {
            assert!(integer(text).unwrap_err().starts_with("is more than"), "{text}");
        }
        for text in ["0.5", "12.5", "1e-1", "123e-99999999999999999999", "1.25e1"] {
            assert_eq!(integer(text), Err("is not a whole number"), "{text}");
        }
        for text in ["-1", "-0.5", "-1e400"] {
            assert_eq!(integer(text), Err("is below 0"), "{text}");
        }
    }
}
