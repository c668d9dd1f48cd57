//! The names of workspaces, users, teams, features and holds. Parsing is the only way to make one,
//! so whoever holds an id may put it into a key, a query or a path as it stands.

use std::fmt;

use compact_str::CompactString;
use serde::{Deserialize, Deserializer, Serialize};

/// Longest id, in bytes (contract, section 3).
pub const ID_BYTES_MAX: usize = 128;

/// Why a text is no id; the words fit after the name of the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// No characters at all.
    #[error("must not be empty")]
    Empty,
    /// Longer than [`ID_BYTES_MAX`].
    #[error("has {0} characters, at most 128 are allowed")]
    TooLong(usize),
    /// A character outside the alphabet.
    #[error("has the character {0:?}; allowed are A-Z a-z 0-9 . _ ~ @ + : -")]
    Character(char),
    /// `.` and `..` would be folders in a path.
    #[error("must not be {0:?}")]
    Dots(&'static str),
}

/// Checks one id: 1..128 characters of `A-Z a-z 0-9 . _ ~ @ + : -`, but not `.` or `..`.
pub fn check_id(text: &str) -> Result<(), IdError> {
    match text {
        "" => return Err(IdError::Empty),
        "." => return Err(IdError::Dots(".")),
        ".." => return Err(IdError::Dots("..")),
        _ if text.len() > ID_BYTES_MAX => return Err(IdError::TooLong(text.chars().count())),
        _ => {}
    }
    let stranger = text.chars().find(|c| !c.is_ascii_alphanumeric() && !"._~@+:-".contains(*c));
    stranger.map_or(Ok(()), |c| Err(IdError::Character(c)))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(CompactString);

        impl $name {
            /// Checks and keeps the text. Errors: [`IdError`].
            pub fn parse(text: &str) -> Result<Self, IdError> {
                check_id(text).map(|()| Self(CompactString::from(text)))
            }

            /// The text of the id.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                let text = CompactString::deserialize(input)?;
                check_id(&text).map_err(serde::de::Error::custom)?;
                Ok(Self(text))
            }
        }
    )*};
}

ids! {
    /// The tenant: owns one pool of credits a period.
    WorkspaceId
    /// Who spends.
    UserId
    /// The department a user belongs to, at most one.
    TeamId
    /// What credits are spent on, `ai_chat` for example.
    FeatureId
    /// A reservation made before a call.
    HoldId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_to_128_characters_of_the_alphabet() {
        for good in ["a", "...", "ann@example.com", "A-Z_~+:09.", &"x".repeat(128)] {
            assert_eq!(check_id(good), Ok(()), "{good}");
        }
        assert_eq!(check_id(""), Err(IdError::Empty));
        assert_eq!(check_id("."), Err(IdError::Dots(".")));
        assert_eq!(check_id(".."), Err(IdError::Dots("..")));
        assert_eq!(check_id(&"x".repeat(129)), Err(IdError::TooLong(129)));
        for (bad, c) in [("a b", ' '), ("a}{", '}'), ("ü", 'ü'), ("a/b", '/'), ("a\0", '\0')] {
            assert_eq!(check_id(bad), Err(IdError::Character(c)));
        }
    }
}
