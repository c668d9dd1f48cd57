//! What stands in bodies and answers, with its rule and its schema: amounts, ids, instants. An error
//! of reading one carries its `code` in front, which [`super::body`] takes off again.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{KnownFormat, RefOr, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::change::Denial;
use crate::domain::credits::{Credits, CreditsError};
use crate::domain::ids::{ID_BYTES_MAX, IdError};
use crate::domain::period::{Day, Instant};
use crate::domain::{FeatureId, HoldId, TeamId, UserId, WorkspaceId};

/// Between a code and the words of an error.
pub(super) const CODE_END: char = '\u{1f}';
/// What ids look like, as a pattern.
pub(super) const ID_PATTERN: &str = r"^[A-Za-z0-9._~@+:\-]{1,128}$";
/// Longest reason of a change, in characters.
const REASON_CHARS_MAX: usize = 500;

/// An error of reading with a code of its own; without one it is an `invalid_field`.
pub fn coded<E: Error>(code: &'static str, words: impl fmt::Display) -> E {
    E::custom(format_args!("{code}{CODE_END}{words}"))
}

/// Reads a field that was sent, so that `null` and absent differ: for `Option<Option<T>>` with
/// `#[serde(default, deserialize_with = "value::sent")]`.
pub fn sent<'de, T: Deserialize<'de>, D: Deserializer<'de>>(input: D) -> Result<Option<T>, D::Error> {
    T::deserialize(input).map(Some)
}

macro_rules! schemas {
    ($($name:ty, $word:literal, $schema:expr;)*) => {$(
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                RefOr::T(Schema::Object($schema.build()))
            }
        }
        impl ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                $word.into()
            }
        }
    )*};
}

fn typed(kind: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::Type(kind))
}

fn text(format: KnownFormat) -> ObjectBuilder {
    typed(Type::String).format(Some(SchemaFormat::KnownFormat(format)))
}

schemas! {
    Amount, "Amount", typed(Type::Number).minimum(Some(0)).maximum(Some(8_000_000_000_i64))
        .description(Some("Credits, exact to 6 decimals"));
    Signed, "SignedAmount", typed(Type::Number).description(Some("Credits, exact to 6 decimals"));
    Moment, "Moment", text(KnownFormat::DateTime).description(Some("RFC 3339, to the microsecond"));
    Date, "Date", text(KnownFormat::Date).description(Some("A day in the workspace's time zone"));
    Reason, "Reason", typed(Type::String).max_length(Some(REASON_CHARS_MAX))
        .description(Some("Why, for the ledger"));
}

/// Credits, 0 or more, at most [`Credits::TOTAL_MAX`] when read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[serde(transparent)]
pub struct Amount(pub Credits);

/// Credits that may be below 0; only in answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[serde(transparent)]
pub struct Signed(pub Credits);

impl From<Credits> for Amount {
    fn from(credits: Credits) -> Self {
        Self(credits)
    }
}

impl From<Credits> for Signed {
    fn from(credits: Credits) -> Self {
        Self(credits)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(input)?;
        match Credits::parse(raw.get()) {
            Ok(credits) if credits < Credits::ZERO => Err(coded("invalid_credits", "must not be below 0")),
            Ok(credits) => Ok(Self(credits)),
            Err(fault @ CreditsError::TooMany) if !raw.get().starts_with('-') => {
                Err(coded("too_many_credits", fault))
            }
            Err(fault) => Err(coded("invalid_credits", fault)),
        }
    }
}

/// An instant, written as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Moment(pub Instant);

impl From<Instant> for Moment {
    fn from(at: Instant) -> Self {
        Self(at)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        let at = text.parse::<jiff::Timestamp>().map_err(|_| {
            coded::<D::Error>(
                "invalid_time",
                "is no RFC 3339 time with an offset, as 2026-11-01T09:30:00Z is",
            )
        })?;
        Ok(Self(Instant::from_timestamp(at)))
    }
}

/// A day, written as `2026-11-01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Date(pub Day);

impl From<Day> for Date {
    fn from(day: Day) -> Self {
        Self(day)
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        let plain = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        let day = text.parse::<Day>().ok().filter(|_| plain);
        day.map(Self).ok_or_else(|| coded("invalid_date", "is no date, as 2026-11-01 is"))
    }
}

/// The words of whoever changes something.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Reason(pub String);

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        if text.chars().nth(REASON_CHARS_MAX).is_some() {
            return Err(D::Error::custom(format_args!("has more than {REASON_CHARS_MAX} characters")));
        }
        Ok(Self(text))
    }
}

/// An id of the domain in a body or an answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Id<T>(pub T);

/// The id of a workspace. The aliases are for structs with a schema, whose derive cannot see through
/// `Id<...>`.
pub type WorkspaceName = Id<WorkspaceId>;
/// The id of a user.
pub type UserName = Id<UserId>;
/// The id of a team.
pub type TeamName = Id<TeamId>;
/// The id of a feature.
pub type FeatureName = Id<FeatureId>;
/// The id of a hold.
pub type HoldName = Id<HoldId>;

impl<T> From<T> for Id<T> {
    fn from(id: T) -> Self {
        Self(id)
    }
}

impl<'de, T: FromStr<Err = IdError>> Deserialize<'de> for Id<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let raw = std::borrow::Cow::<'de, str>::deserialize(input)?;
        T::from_str(&raw).map(Self).map_err(|fault| coded("invalid_id", fault))
    }
}

impl<T> PartialSchema for Id<T> {
    fn schema() -> RefOr<Schema> {
        RefOr::T(Schema::Object(id_schema().build()))
    }
}

impl<T> ToSchema for Id<T> {
    fn name() -> std::borrow::Cow<'static, str> {
        "Id".into()
    }
}

/// The schema of every id.
pub(super) fn id_schema() -> ObjectBuilder {
    typed(Type::String).pattern(Some(ID_PATTERN)).min_length(Some(1)).max_length(Some(ID_BYTES_MAX))
}

/// A JSON object and nothing else: serde would take an array for a struct as well. For structs that
/// stand inside of lists (with `#[schema(value_type = Vec<Item>)]`); the body itself is checked already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object<T>(pub T);

impl<T: Serialize> Serialize for Object<T> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(out)
    }
}

struct Members<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for Members<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members))
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_map(Members(PhantomData)).map(Self)
    }
}

/// The level that blocks, with its numbers as they stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct BlockedBy {
    /// `workspace`, `feature`, `user` or `pool`
    #[schema(value_type = String)]
    pub level: crate::domain::decision::Level,
    /// Whose level; of pool and workspace it is the workspace's id
    pub id: String,
    /// The ceiling; null for accounts
    pub limit: Option<Amount>,
    /// Spent (limits) or used (accounts)
    pub used: Amount,
    /// Set aside by holds
    pub held: Amount,
    /// What would still have fitted
    pub remaining: Amount,
}

impl From<&Denial> for BlockedBy {
    fn from(denial: &Denial) -> Self {
        let blocked = denial.blocked;
        Self {
            level: denial.reason.level(),
            id: denial.blocked_id.clone(),
            limit: blocked.limit.map(Amount),
            used: blocked.used.into(),
            held: blocked.held.into(),
            remaining: blocked.remaining.into(),
        }
    }
}
