//! Lists by pages: how many at once, from where on.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::domain::period::PeriodName;
use crate::http::form::Invalid;
use crate::http::users::period_name;

/// How many at once when nobody says.
const LIMIT: usize = 100;
/// How many at once at most.
const LIMIT_MAX: usize = 1000;

/// A part of a list as it is asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// At most so many, 1 to 1000; 100 when left out.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    limit: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// The same of a period.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeriodCut {
    period: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

impl PeriodCut {
    /// The period and the part.
    pub fn parts(self) -> Result<(Option<PeriodName>, Part), Invalid> {
        let Self { period, limit, cursor } = self;
        Ok((period_name(period.as_deref())?, Cut { limit, cursor }.parse()?))
    }
}

/// A part of a list that goes by id.
#[derive(Debug)]
pub struct Part {
    limit: usize,
    after: Option<String>,
}

impl Cut {
    /// What was meant.
    pub fn parse(&self) -> Result<Part, Invalid> {
        let after = self.cursor.as_deref().map(decode).transpose()?;
        Ok(Part { limit: limit(self.limit.as_deref())?, after })
    }
}

impl Part {
    /// The part of a list in the order of its ids, and the cursor of the next.
    pub fn of<T>(&self, mut all: Vec<T>, id: impl Fn(&T) -> &str) -> (Vec<T>, Option<String>) {
        all.retain(|it| self.after.as_deref().is_none_or(|after| id(it) > after));
        let more = all.len() > self.limit;
        all.truncate(self.limit);
        let next = all.last().filter(|_| more).map(|it| encode(id(it)));
        (all, next)
    }
}

/// How many at once. Errors: not 1 to 1,000.
pub fn limit(text: Option<&str>) -> Result<usize, Invalid> {
    let Some(text) = text else { return Ok(LIMIT) };
    let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| {
        Invalid::new("invalid_limit", format!("limit {text:?} is not between 1 and {LIMIT_MAX}"))
    })
}

/// A cursor that says nothing to its reader.
pub fn encode(place: &str) -> String {
    URL_SAFE_NO_PAD.encode(place)
}

/// The place of a cursor.
pub fn decode(cursor: &str) -> Result<String, Invalid> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| stranger())?;
    String::from_utf8(bytes).map_err(|_| stranger())
}

/// A cursor that this list did not give.
pub fn stranger() -> Invalid {
    Invalid::new("invalid_cursor", "cursor is none that this list has given")
}
