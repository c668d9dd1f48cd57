//! A limit in a body: credits or the word `none`.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{OneOfBuilder, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::problem::Problem;
use super::value::{Amount, coded};
use crate::domain::Credits;
use crate::domain::change::LimitSetting;

/// A limit that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(pub LimitSetting);

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(input)?;
        match raw.get() {
            "\"none\"" => Ok(Self(LimitSetting::None)),
            text if text.starts_with('"') => {
                Err(coded("invalid_credits", "must be credits as a number, \"none\" or null"))
            }
            text => {
                let amount: Result<Amount, _> = serde_json::from_str(text);
                let Amount(credits) = amount.map_err(|fault| {
                    // The inner reader adds a place that is none in the body.
                    let words = fault.to_string();
                    serde::de::Error::custom(words.split(" at line ").next().unwrap_or_default())
                })?;
                Ok(Self(LimitSetting::Credits(credits)))
            }
        }
    }
}

impl PartialSchema for Limit {
    fn schema() -> RefOr<Schema> {
        let none = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["none"]));
        OneOfBuilder::new().item(Amount::schema()).item(none).into()
    }
}

impl ToSchema for Limit {
    fn name() -> Cow<'static, str> {
        "Limit".into()
    }
}

/// Credits that have to move something. Errors: 422 for 0.
pub fn above_zero(amount: Amount) -> Result<Credits, Problem> {
    let Amount(credits) = amount;
    if credits > Credits::ZERO {
        Ok(credits)
    } else {
        Err(Problem::invalid("invalid_credits", "credits: must be above 0; it is 0"))
    }
}

/// Credits that one event may ask for. Errors: 422 past 1,000,000,000.
pub fn of_one_event(amount: Amount) -> Result<Credits, Problem> {
    let Amount(credits) = amount;
    let detail = || format!("credits: one event takes at most 1000000000; it is {credits}");
    if credits > Credits::EVENT_MAX {
        Err(Problem::invalid("invalid_credits", detail()))
    } else {
        Ok(credits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_credits_or_none() {
        let read = |text: &str| serde_json::from_str::<Limit>(text).map(|Limit(limit)| limit);
        assert_eq!(read("\"none\"").unwrap(), LimitSetting::None);
        assert_eq!(read("0.000001").unwrap(), LimitSetting::Credits(Credits::from_micro(1)));
        for text in ["\"many\"", "-1", "null", "[]", "0.0000001"] {
            assert!(read(text).unwrap_err().to_string().starts_with("invalid_credits"), "{text}");
        }
        assert!(read("8000000001").unwrap_err().to_string().starts_with("too_many_credits"));
    }
}
