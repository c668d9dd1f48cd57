//! What is asked of reports behind `?`, read into the domain's questions. Every fault is a 422 that names
//! the parameter.

use axum::http::{HeaderMap, header};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::domain::alert::Scope;
use crate::domain::decision::Outcome;
use crate::domain::event::shorten;
use crate::domain::ledger::Account;
use crate::domain::reports::{
    AlertPlace, AlertQuery, Dimension, EventPlace, EventQuery, LedgerPlace, LedgerQuery, UsagePlace,
    UsageQuery,
};
use crate::http::page::{Limit, Wanted};
use crate::http::problem::Problem;
use crate::http::value::{Date, FeatureName, Moment, UserName};

/// How usage is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// In pages.
    Json,
    /// Whole.
    Csv,
}

/// Which sums of usage.
#[derive(Debug, Deserialize, IntoParams)]
pub struct UsageAsked {
    /// Some of user, feature, team, model, day and month, with commas between; none is one sum
    #[param(inline, nullable = false)]
    group_by: Option<String>,
    /// From this day on, in the workspace's time zone
    #[param(inline, nullable = false)]
    from: Option<Date>,
    /// Before this day
    #[param(inline, nullable = false)]
    to: Option<Date>,
    /// In this period, by its start date
    #[param(inline, nullable = false)]
    period: Option<Date>,
    /// Of this user
    #[param(inline, nullable = false)]
    user: Option<UserName>,
    /// On this feature
    #[param(inline, nullable = false)]
    feature: Option<FeatureName>,
    /// `json` or `csv`; wins over `Accept`
    #[param(inline, nullable = false)]
    format: Option<Format>,
    /// Rows of a page of JSON; of a CSV, which is whole without it, rows at most
    #[param(inline, nullable = false)]
    limit: Option<Limit>,
    /// Behind this row
    #[param(inline, nullable = false)]
    cursor: Option<String>,
}

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
pub struct EventsAsked {
    /// Of this user
    #[param(inline, nullable = false)]
    user: Option<UserName>,
    /// On this feature
    #[param(inline, nullable = false)]
    feature: Option<FeatureName>,
    /// `allowed`, `overage` or `denied`
    #[param(inline, nullable = false)]
    outcome: Option<String>,
    /// From this time on, RFC 3339
    #[param(inline, nullable = false)]
    from: Option<Moment>,
    /// Before this time
    #[param(inline, nullable = false)]
    to: Option<Moment>,
    /// Events of a page
    #[param(inline, nullable = false)]
    limit: Option<Limit>,
    /// Behind this event
    #[param(inline, nullable = false)]
    cursor: Option<String>,
}

/// Which entries of the ledger.
#[derive(Debug, Deserialize, IntoParams)]
pub struct LedgerAsked {
    /// Made by this actor
    #[param(inline, nullable = false)]
    actor: Option<String>,
    /// Of this kind
    #[param(inline, nullable = false)]
    kind: Option<String>,
    /// With a posting on this account: `pool`, `team:<id>` or `user:<id>`
    #[param(inline, nullable = false)]
    account: Option<String>,
    /// Made from this time on, RFC 3339
    #[param(inline, nullable = false)]
    from: Option<Moment>,
    /// Made before this time
    #[param(inline, nullable = false)]
    to: Option<Moment>,
    /// Entries of a page
    #[param(inline, nullable = false)]
    limit: Option<Limit>,
    /// Behind this entry
    #[param(inline, nullable = false)]
    cursor: Option<String>,
}

/// Which alerts.
#[derive(Debug, Deserialize, IntoParams)]
pub struct AlertsAsked {
    /// `pool`, `team` or `user`
    #[param(inline, nullable = false)]
    scope: Option<String>,
    /// Of this workspace, team or user
    #[param(inline, nullable = false)]
    id: Option<String>,
    /// Alerts of a page
    #[param(inline, nullable = false)]
    limit: Option<Limit>,
    /// Behind this alert
    #[param(inline, nullable = false)]
    cursor: Option<String>,
}

impl UsageAsked {
    /// The question. Errors: an unknown or doubled dimension, days in the wrong order, a strange cursor.
    pub fn query(&self) -> Result<UsageQuery, Problem> {
        let group_by = dimensions(self.group_by.as_deref().unwrap_or_default())?;
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from > to
        {
            return Err(refused("from is after to: days are from <= day < to"));
        }
        let wanted = Wanted::<UsagePlace>::read(self.limit, self.cursor.as_deref())?;
        if wanted.after.as_ref().is_some_and(|place| !place.fits(&group_by)) {
            return Err(Problem::invalid("invalid_cursor", "this cursor was made for another group_by"));
        }
        Ok(UsageQuery {
            group_by,
            from: self.from.map(|day| day.0),
            to: self.to.map(|day| day.0),
            period: self.period.map(|day| day.0),
            user: self.user.clone().map(|id| id.0),
            feature: self.feature.clone().map(|id| id.0),
            after: wanted.after,
            limit: wanted.limit,
        })
    }

    /// How to answer: as `format` says, else as `Accept` prefers.
    pub fn format(&self, headers: &HeaderMap) -> Format {
        let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        let csv = if wish(accept, "text/csv") > wish(accept, "application/json") {
            Format::Csv
        } else {
            Format::Json
        };
        self.format.unwrap_or(csv)
    }

    /// Rows of a CSV at most; none: all.
    pub fn rows_max(&self) -> Option<usize> {
        self.limit.map(|limit| limit.0)
    }
}

/// How much a content type is wished for in thousandths; 0 when it is not named.
fn wish(accept: &str, content_type: &str) -> u16 {
    let named = accept.split(',').map(|item| item.split(';').map(str::trim).collect::<Vec<_>>());
    let weight = |item: Vec<&str>| {
        let quality = item.iter().find_map(|part| part.strip_prefix("q="));
        quality
            .map_or(1000, |quality| (quality.parse::<f32>().unwrap_or(0.0).clamp(0.0, 1.0) * 1000.0) as u16)
    };
    named.filter(|item| item[0].eq_ignore_ascii_case(content_type)).map(weight).max().unwrap_or(0)
}

fn dimensions(text: &str) -> Result<Vec<Dimension>, Problem> {
    let mut dimensions = Vec::new();
    for word in text.split(',').filter(|_| !text.is_empty()) {
        let dimension: Dimension = word.parse().map_err(|fault| refused(format!("group_by: {fault}")))?;
        if dimensions.contains(&dimension) {
            return Err(refused(format!("group_by names {word} twice")));
        }
        dimensions.push(dimension);
    }
    Ok(dimensions)
}

impl EventsAsked {
    /// The question. Errors: an outcome without rows, a strange cursor.
    pub fn query(&self) -> Result<EventQuery, Problem> {
        let wanted = Wanted::<EventPlace>::read(self.limit, self.cursor.as_deref())?;
        let outcomes =
            [Outcome::Allowed, Outcome::Overage, Outcome::Denied].map(|word| (word.as_str(), word));
        Ok(EventQuery {
            user: self.user.clone().map(|id| id.0),
            feature: self.feature.clone().map(|id| id.0),
            outcome: self.outcome.as_deref().map(|word| one_of("outcome", word, &outcomes)).transpose()?,
            from: self.from.map(|at| at.0),
            to: self.to.map(|at| at.0),
            after: wanted.after,
            limit: wanted.limit,
        })
    }
}

impl LedgerAsked {
    /// The question. Errors: what is no account, a strange cursor.
    pub fn query(&self) -> Result<LedgerQuery, Problem> {
        let wanted = Wanted::<LedgerPlace>::read(self.limit, self.cursor.as_deref())?;
        let account = self.account.as_deref().map(str::parse::<Account>).transpose();
        Ok(LedgerQuery {
            actor: self.actor.clone(),
            kind: self.kind.clone(),
            account: account.map_err(|fault| refused(format!("account: {fault}")))?,
            from: self.from.map(|at| at.0),
            to: self.to.map(|at| at.0),
            after: wanted.after,
            limit: wanted.limit,
        })
    }
}

impl AlertsAsked {
    /// The question. Errors: an unknown scope, a strange cursor.
    pub fn query(&self) -> Result<AlertQuery, Problem> {
        let wanted = Wanted::<AlertPlace>::read(self.limit, self.cursor.as_deref())?;
        let scopes = [Scope::Pool, Scope::Team, Scope::User].map(|word| (word.as_str(), word));
        let scope = self.scope.as_deref().map(|word| one_of("scope", word, &scopes)).transpose()?;
        Ok(AlertQuery { scope, id: self.id.clone(), after: wanted.after, limit: wanted.limit })
    }
}

fn one_of<T: Copy>(name: &str, word: &str, known: &[(&str, T)]) -> Result<T, Problem> {
    let found = known.iter().find(|(text, _)| *text == word).map(|(_, value)| *value);
    found.ok_or_else(|| {
        let words: Vec<&str> = known.iter().map(|(text, _)| *text).collect();
        refused(format!("{name} {:?} is none of {}", shorten(word), words.join(", ")))
    })
}

fn refused(detail: impl Into<String>) -> Problem {
    Problem::invalid("invalid_parameter", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimensions_come_in_their_order_and_once() {
        assert_eq!(dimensions("day,user").unwrap(), [Dimension::Day, Dimension::User]);
        assert_eq!(dimensions("").unwrap(), []);
        for bad in ["hour", "user,user", "user,", ",", " user", "User"] {
            assert_eq!(dimensions(bad).unwrap_err().code(), "invalid_parameter", "{bad}");
        }
    }

    #[test]
    fn what_is_preferred_is_answered() {
        for (accept, csv) in [
            ("text/csv", true),
            ("text/csv;q=0.5, application/json;q=0.4", true),
            ("application/json, text/csv", false),
            ("*/*", false),
            ("text/csv;q=0", false),
            ("", false),
        ] {
            assert_eq!(wish(accept, "text/csv") > wish(accept, "application/json"), csv, "{accept}");
        }
    }
}
