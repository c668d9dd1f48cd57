//! What bodies are made of: amounts that name their own fault, and fields whose absence says another
//! thing than their null. What a body asks for is its resource's to say.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{OneOfBuilder, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::Credits;
use crate::domain::change::{Author, LimitSetting};
use crate::domain::credits::CreditsError;

/// Longest reason, in characters.
pub const REASON_CHARS_MAX: usize = 1000;

/// A field that is no good: 422 under this code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The stable code.
    pub code: &'static str,
    /// A sentence that names the field.
    pub detail: String,
}

impl Invalid {
    /// A fault of a field, or of several together.
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

/// An amount as it came, so that each field says by itself what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amount(Result<Credits, CreditsError>);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        Ok(Self(Credits::parse(Box::<RawValue>::deserialize(input)?.get())))
    }
}

impl Amount {
    /// The amount, 0 or more. Errors: no decimal, too precise, below 0, more than any total may be.
    pub fn of(&self, field: &str) -> Result<Credits, Invalid> {
        match &self.0 {
            Ok(credits) if *credits >= Credits::ZERO => Ok(*credits),
            Ok(credits) => Err(Invalid::new("invalid_credits", format!("{field} {credits} is below 0"))),
            Err(fault @ CreditsError::TooMany) => {
                Err(Invalid::new("too_many_credits", format!("{field} {fault}")))
            }
            Err(fault) => Err(Invalid::new("invalid_credits", format!("{field} {fault}"))),
        }
    }

    /// The amount, above 0.
    pub fn above_zero(&self, field: &str) -> Result<Credits, Invalid> {
        let nothing = || Invalid::new("invalid_credits", format!("{field} must be above 0"));
        Some(self.of(field)?).filter(|credits| *credits > Credits::ZERO).ok_or_else(nothing)
    }
}

/// The amount of an optional field.
pub fn optional(amount: Option<&Amount>, field: &str) -> Result<Option<Credits>, Invalid> {
    amount.map(|amount| amount.of(field)).transpose()
}

/// A limit as it came: an amount or `"none"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitField {
    /// `"none"`.
    None,
    /// Anything else.
    Amount(Amount),
}

impl<'de> Deserialize<'de> for LimitField {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(input)?;
        let none = raw.get() == "\"none\"";
        Ok(if none { Self::None } else { Self::Amount(Amount(Credits::parse(raw.get()))) })
    }
}

impl LimitField {
    /// The setting. Errors: as of [`Amount::of`].
    pub fn setting(&self, field: &str) -> Result<LimitSetting, Invalid> {
        match self {
            Self::None => Ok(LimitSetting::None),
            Self::Amount(amount) => amount.of(field).map(LimitSetting::Credits),
        }
    }
}

/// Tells a field that is null from one that is absent (with `#[serde(default)]`).
pub fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    input: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(input).map(Some)
}

/// Who makes a change, with the words from its body.
pub fn with_reason(author: Author, reason: Option<&str>) -> Result<Author, Invalid> {
    let reason = reason.unwrap_or_default();
    if reason.chars().count() > REASON_CHARS_MAX {
        let words = format!("reason has more than {REASON_CHARS_MAX} characters");
        return Err(Invalid::new("invalid_reason", words));
    }
    Ok(Author { reason: reason.to_owned(), ..author })
}

fn amount() -> ObjectBuilder {
    let words = "Credits: at most 6 decimals, exact";
    ObjectBuilder::new()
        .schema_type(Type::Number)
        .description(Some(words))
        .minimum(Some(0))
        .maximum(Some(8_000_000_000_i64))
}

impl PartialSchema for Amount {
    fn schema() -> RefOr<Schema> {
        amount().into()
    }
}

impl ToSchema for Amount {}

impl PartialSchema for LimitField {
    fn schema() -> RefOr<Schema> {
        let none = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["none"]));
        OneOfBuilder::new().item(amount()).item(none).into()
    }
}

impl ToSchema for LimitField {}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Body {
        #[serde(default, deserialize_with = "given")]
        limit: Option<Option<LimitField>>,
        credits: Option<Amount>,
    }

    fn read(text: &str) -> Body {
        let mut input = serde_json::Deserializer::from_str(text);
        serde_path_to_error::deserialize(&mut input).unwrap()
    }

    #[test]
    fn absent_null_none_and_an_amount_are_four_things() {
        let limit = |text| read(text).limit;
        assert_eq!(limit("{}"), None);
        assert_eq!(limit(r#"{"limit": null}"#), Some(None));
        assert_eq!(limit(r#"{"limit": "none"}"#), Some(Some(LimitField::None)));
        let Some(Some(set)) = limit(r#"{"limit": 0}"#) else { panic!("a limit of 0 is given") };
        assert_eq!(set.setting("limit"), Ok(LimitSetting::Credits(Credits::ZERO)));
        let Some(Some(text)) = limit(r#"{"limit": "many"}"#) else { panic!("a text is given") };
        assert_eq!(text.setting("limit").unwrap_err().code, "invalid_credits");
    }

    #[test]
    fn an_amount_is_exact_or_says_what_is_wrong() {
        let of = |text: &str| read(&format!(r#"{{"credits": {text}}}"#)).credits.unwrap().of("credits");
        for text in ["0.1", "0.000001", "8000000000", "7999999999.999999"] {
            assert_eq!(of(text).unwrap().to_string(), text);
        }
        for (text, code) in [
            ("0.0000001", "invalid_credits"),
            ("-1", "invalid_credits"),
            ("\"5\"", "invalid_credits"),
            ("[]", "invalid_credits"),
            ("8000000000.000001", "too_many_credits"),
        ] {
            let fault = of(text).unwrap_err();
            assert_eq!(fault.code, code, "{text}");
            assert!(fault.detail.starts_with("credits "), "{}", fault.detail);
        }
        assert_eq!(read(r#"{"credits": null}"#).credits, None);
    }
}
