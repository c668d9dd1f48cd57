//! Words and numbers as an administrator types them. Every fault is a sentence that names the value.

use crate::domain::alert::Scope;
use crate::domain::calendar::Calendar;
use crate::domain::change::{CarryOver, Enforcement, LimitSetting, Thresholds};
use crate::domain::decision::Outcome;
use crate::domain::period::Instant;
use crate::domain::{Credits, TeamId};

/// Longest idempotency key, in characters.
const KEY_CHARS_MAX: usize = 255;
/// Longest reason or actor, in characters.
const WORDS_CHARS_MAX: usize = 500;

/// A user's limit: credits, `none` against a default, or `inherit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitWord(pub Option<LimitSetting>);

impl std::str::FromStr for LimitWord {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "inherit" => Ok(Self(None)),
            "none" => Ok(Self(Some(LimitSetting::None))),
            _ => credits(text)
                .map(|limit| Self(Some(LimitSetting::Credits(limit))))
                .map_err(|fault| format!("{fault}; give credits, none or inherit")),
        }
    }
}

/// A ceiling that inherits from nothing: credits, or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ceiling(pub Option<Credits>);

impl std::str::FromStr for Ceiling {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self(None)),
            "inherit" => Err("it inherits from nothing: give credits or none".to_owned()),
            _ => {
                credits(text).map(|limit| Self(Some(limit))).map_err(|f| format!("{f}; give credits or none"))
            }
        }
    }
}

/// A team, or `none`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamWord(pub Option<TeamId>);

impl std::str::FromStr for TeamWord {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        TeamId::parse(text).map(|team| Self(Some(team))).map_err(|fault| format!("team {text:?} {fault}"))
    }
}

/// An amount of credits.
pub fn credits(text: &str) -> Result<Credits, String> {
    let credits = Credits::parse_digits(text).map_err(|fault| format!("{text:?} {fault}"))?;
    at_most(Credits::TOTAL_MAX, credits)
}

/// An amount that has to move something.
pub fn above_zero(text: &str) -> Result<Credits, String> {
    let credits = credits(text)?;
    if credits > Credits::ZERO { Ok(credits) } else { Err("credits must be above 0".to_owned()) }
}

/// What one event may take.
pub fn of_one_event(text: &str) -> Result<Credits, String> {
    credits(text).and_then(|credits| at_most(Credits::EVENT_MAX, credits))
}

fn at_most(most: Credits, credits: Credits) -> Result<Credits, String> {
    if credits > most { Err(format!("{credits} is more than {most} credits")) } else { Ok(credits) }
}

/// Percentages with commas between, or `none`.
pub fn thresholds(text: &str) -> Result<Thresholds, String> {
    let percents: Result<Vec<u8>, _> =
        text.split(',').filter(|_| text != "none").map(|word| word.trim().parse()).collect();
    let words = || format!("{text:?} are no thresholds: give percentages such as 50,80,100, or none");
    percents.map_err(|_| words()).and_then(Thresholds::try_from)
}

/// An IANA time zone.
pub fn timezone(text: &str) -> Result<String, String> {
    let known = Calendar::default().with_plan(Instant::default(), text, 1);
    known.map(|_| text.to_owned()).map_err(|fault| fault.to_string())
}

/// What happens to an event that breaks a rule.
pub fn enforcement(text: &str) -> Result<Enforcement, String> {
    one_of(text, &[("hard", Enforcement::Hard), ("soft", Enforcement::Soft)])
}

/// What of a pool moves into the next period.
pub fn carry_over(text: &str) -> Result<CarryOver, String> {
    let modes = [("none", CarryOver::None), ("top_ups", CarryOver::TopUps), ("all", CarryOver::All)];
    one_of(&text.replace('-', "_"), &modes)
}

/// An outcome that has rows.
pub fn outcome(text: &str) -> Result<Outcome, String> {
    one_of(text, &[Outcome::Allowed, Outcome::Overage, Outcome::Denied].map(|word| (word.as_str(), word)))
}

/// Whose total an alert is about.
pub fn scope(text: &str) -> Result<Scope, String> {
    one_of(text, &[Scope::Pool, Scope::Team, Scope::User].map(|word| (word.as_str(), word)))
}

fn one_of<T: Copy>(text: &str, known: &[(&str, T)]) -> Result<T, String> {
    let found = known.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    let words = || known.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    found.ok_or_else(|| format!("{text:?} is none of {}", words()))
}

/// A time in RFC 3339.
pub fn moment(text: &str) -> Result<Instant, String> {
    let at: Result<jiff::Timestamp, _> = text.parse();
    let words =
        |_| format!("{text:?} is no time: give RFC 3339 with an offset, 2026-11-22T10:00:00Z for example");
    at.map(Instant::from_timestamp).map_err(words)
}

/// A key by which a retry is recognised.
pub fn key(text: &str) -> Result<String, String> {
    let visible = text.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
    if visible && (1..=KEY_CHARS_MAX).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err(format!("a key has 1 to {KEY_CHARS_MAX} visible ASCII characters without blanks"))
    }
}

/// A person's words for the ledger.
pub fn words(text: &str) -> Result<String, String> {
    let fits = text.chars().count() <= WORDS_CHARS_MAX && !text.chars().any(char::is_control);
    let fault = || format!("at most {WORDS_CHARS_MAX} characters in one line are allowed");
    fits.then(|| text.to_owned()).ok_or_else(fault)
}
