//! Sums of usage by whatever dimensions are asked: the question, and the flat row that answers it.

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::Placed;
use crate::domain::credits::MICRO;
use crate::domain::event::shorten;
use crate::domain::ids::{FeatureId, UserId};
use crate::domain::ledger::Totals;
use crate::domain::period::{Day, PeriodName};

/// What usage is summed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// Who.
    User,
    /// What on.
    Feature,
    /// The user's team when it was decided; empty for none.
    Team,
    /// The model that was used; empty when it was not named.
    Model,
    /// The day in the workspace's zone.
    Day,
    /// The period, by its start date.
    Month,
}

impl Dimension {
    /// Every dimension.
    pub const ALL: [Self; 6] = [Self::User, Self::Feature, Self::Team, Self::Model, Self::Day, Self::Month];

    /// The name of its column in JSON and CSV.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Feature => "feature",
            Self::Team => "team",
            Self::Model => "model",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// Whether its values are dates.
    pub fn is_date(self) -> bool {
        matches!(self, Self::Day | Self::Month)
    }

    /// Whether only `usage_events` knows it.
    pub fn is_of_events(self) -> bool {
        matches!(self, Self::Team | Self::Model)
    }
}

impl std::str::FromStr for Dimension {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|dimension| dimension.as_str() == text);
        known.ok_or_else(|| {
            let text = shorten(text);
            format!("{text:?} is no dimension: give some of user, feature, team, model, day, month")
        })
    }
}

/// Which sums of usage.
#[derive(Debug, Clone, Default)]
pub struct UsageQuery {
    /// By what, each once; nothing is one sum of everything.
    pub group_by: Vec<Dimension>,
    /// From this day on, in the workspace's zone.
    pub from: Option<Day>,
    /// Before this day.
    pub to: Option<Day>,
    /// In this period.
    pub period: Option<PeriodName>,
    /// Of whom.
    pub user: Option<UserId>,
    /// On what.
    pub feature: Option<FeatureId>,
    /// Behind this place.
    pub after: Option<UsagePlace>,
    /// At most so many rows.
    pub limit: usize,
}

/// Where a row stands: its values of the dimensions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UsagePlace(pub Vec<String>);

impl UsagePlace {
    /// Whether it is a place in a list of these dimensions.
    pub fn fits(&self, group_by: &[Dimension]) -> bool {
        let fits = |(by, value): (&Dimension, &String)| !by.is_date() || value.parse::<Day>().is_ok();
        self.0.len() == group_by.len() && group_by.iter().zip(&self.0).all(fits)
    }
}

/// Usage of one combination of values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// The dimensions in the order in which they were asked, with their values.
    pub by: Vec<(Dimension, String)>,
    /// The sums.
    pub totals: Totals,
}

impl UsageRow {
    /// Names of the sums, in the order of [`UsageRow::sums`].
    pub const SUMS: [&'static str; 6] =
        ["credits", "overage_credits", "events", "denied_events", "denied_credits", "overage_events"];

    /// The sums as decimals.
    pub fn sums(&self) -> [String; 6] {
        let totals = &self.totals;
        [
            totals.credits.to_string(),
            totals.overage_credits.to_string(),
            totals.events.to_string(),
            totals.denied_events.to_string(),
            decimal(totals.denied_micro),
            totals.overage_events.to_string(),
        ]
    }
}

impl Placed for UsageRow {
    type Place = UsagePlace;

    fn place(&self) -> UsagePlace {
        UsagePlace(self.by.iter().map(|(_, value)| value.clone()).collect())
    }
}

/// Flat: the dimensions (null for no team or model), then the sums.
impl Serialize for UsageRow {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(Some(self.by.len() + Self::SUMS.len()))?;
        for (dimension, value) in &self.by {
            map.serialize_entry(dimension.as_str(), &Some(value).filter(|value| !value.is_empty()))?;
        }
        for (name, sum) in Self::SUMS.into_iter().zip(self.sums()) {
            let number = RawValue::from_string(sum).map_err(serde::ser::Error::custom)?;
            map.serialize_entry(name, &number)?;
        }
        map.end()
    }
}

/// Microcredits as the shortest decimal, without a largest total.
fn decimal(micro: i128) -> String {
    let (whole, rest) = (micro / i128::from(MICRO), (micro % i128::from(MICRO)).unsigned_abs());
    if rest == 0 {
        return whole.to_string();
    }
    format!("{whole}.{rest:06}").trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::credits::Credits;

    fn row() -> UsageRow {
        let totals = Totals {
            credits: Credits::from_micro(1_500_001),
            overage_credits: Credits::ZERO,
            events: 2,
            overage_events: 0,
            denied_events: 1,
            denied_micro: i128::from(i64::MAX) * 10 + 5,
        };
        UsageRow { by: vec![(Dimension::Team, String::new()), (Dimension::User, "ann".into())], totals }
    }

    #[test]
    fn a_row_is_flat_and_exact() {
        assert_eq!(
            serde_json::to_string(&row()).unwrap(),
            "{\"team\":null,\"user\":\"ann\",\"credits\":1.500001,\"overage_credits\":0,\"events\":2,\
             \"denied_events\":1,\"denied_credits\":92233720368547.758075,\"overage_events\":0}"
        );
    }

    #[test]
    fn a_place_fits_the_dimensions_it_was_made_for() {
        let place = UsagePlace(vec!["ann".into(), "2026-11-22".into()]);
        assert!(place.fits(&[Dimension::User, Dimension::Day]));
        assert!(!place.fits(&[Dimension::Day, Dimension::User]));
        assert!(!place.fits(&[Dimension::User]));
        assert!("hour".parse::<Dimension>().unwrap_err().contains("hour"));
    }
}
