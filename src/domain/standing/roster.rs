//! Every user of a workspace, sorted, filtered and cut into pages. A page ends at a [`Place`], sort
//! value and id, so that the next one starts right after it, whoever came or went in between.

use serde::{Deserialize, Serialize};

use super::known_users;
use super::user::{UserLine, may_still_spend, utilization};
use crate::domain::book::{Book, Workspace};
use crate::domain::ports::View;
use crate::domain::{TeamId, UserId};

/// By what users are sorted; ties by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sort {
    /// `-used`: who spent most first.
    #[default]
    UsedFalling,
    /// `used`.
    UsedRising,
    /// `-utilization`: who is nearest to their limit first; who has none last.
    UtilizationFalling,
    /// `remaining`: who may spend least first.
    RemainingRising,
    /// `user`: by id.
    User,
}

impl Sort {
    /// Every sort and its name.
    pub const ALL: [(&'static str, Self); 5] = [
        ("-used", Self::UsedFalling),
        ("used", Self::UsedRising),
        ("-utilization", Self::UtilizationFalling),
        ("remaining", Self::RemainingRising),
        ("user", Self::User),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, sort)| *sort == self).map_or("", |(name, _)| name)
    }

    /// The place of a line in the list.
    pub fn place(self, line: &UserLine) -> Place {
        let value = match self {
            Self::UsedFalling => -line.used.micro(),
            Self::UsedRising => line.used.micro(),
            Self::UtilizationFalling => falling(line.utilization),
            Self::RemainingRising => line.remaining.micro(),
            Self::User => 0,
        };
        Place { value, user: line.user.clone() }
    }

    /// The same value, without the line.
    fn value(self, state: &Workspace, book: &Book, id: &UserId) -> i64 {
        let user = book.users.get(id).copied().unwrap_or_default();
        let limit = || state.effective_limit(id, user.granted);
        match self {
            Self::UsedFalling => -user.spent.micro(),
            Self::UsedRising => user.spent.micro(),
            Self::UtilizationFalling => falling(utilization(limit(), user.spent)),
            Self::RemainingRising => may_still_spend(state, book, id, &user, limit()).micro(),
            Self::User => 0,
        }
    }
}

impl std::str::FromStr for Sort {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(|(name, _)| name).join(", ");
        let found = Self::ALL.into_iter().find(|(name, _)| *name == text);
        found.map(|(_, sort)| sort).ok_or_else(|| format!("{text:?} is none of {}", names()))
    }
}

/// Where a page ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    value: i64,
    user: UserId,
}

/// Which users, in which order, from where.
#[derive(Debug, Clone, Default)]
pub struct Roster {
    /// The order.
    pub sort: Sort,
    /// Only members of this team.
    pub team: Option<TeamId>,
    /// Only ids that contain this, whatever the case.
    pub contains: Option<String>,
    /// Only what comes after this place.
    pub after: Option<Place>,
}

impl Roster {
    /// The first so many lines. Only these are worked out; of the others the sort value is.
    pub fn lines(&self, view: &View, lines_max: usize) -> Vec<UserLine> {
        let (state, book) = (&view.state, view.book());
        let is_after = |value: i64, id: &UserId| {
            self.after.as_ref().is_none_or(|place| (place.value, &place.user) < (value, id))
        };
        let mut places: Vec<(i64, &UserId)> = known_users(view)
            .into_iter()
            .filter(|id| self.wants(state, id))
            .map(|id| (self.sort.value(state, &book, id), id))
            .filter(|(value, id)| is_after(*value, id))
            .collect();
        if places.len() > lines_max {
            places.select_nth_unstable(lines_max);
            places.truncate(lines_max);
        }
        places.sort_unstable();
        places.into_iter().map(|(_, id)| UserLine::of(state, &book, id)).collect()
    }

    fn wants(&self, state: &Workspace, id: &UserId) -> bool {
        let in_team = self.team.as_ref().is_none_or(|team| state.team_of(id) == Some(team));
        in_team && self.contains.as_ref().is_none_or(|part| contains(id.as_str(), part))
    }
}

/// The bits of floats that are not negative rise as the floats do; none comes last.
fn falling(share: Option<f64>) -> i64 {
    share.map_or(i64::MAX, |share| -(share.to_bits() as i64))
}

/// Ids are ASCII, so bytes are characters.
fn contains(id: &str, part: &str) -> bool {
    let (id, part) = (id.as_bytes(), part.as_bytes());
    part.is_empty() || id.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}
