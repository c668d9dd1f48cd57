//! What administrators change. No amount in here is negative; what comes of a change stands in
//! [`super::ledger`], and why one is not made in [`super::refusal`].

use serde::{Deserialize, Serialize};

use super::book::{UserSettings, UserState};
use super::credits::Credits;
use super::decision::Drawn;
use super::ids::{FeatureId, TeamId, UserId};
use super::ledger::{Account, Effects};
use super::period::{Day, Instant, Period, PeriodName};
pub use super::refusal::{Denial, Refusal};

/// What happens to an event that breaks a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Enforcement {
    /// It is denied.
    #[default]
    Hard,
    /// It is debited as far as accounts reach; the rest is overage.
    Soft,
}

/// What of a period's pool moves into the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CarryOver {
    /// Nothing.
    None,
    /// What was topped up and is left, plan credits being used first.
    #[default]
    TopUps,
    /// Everything that is left in the pool.
    All,
}

impl CarryOver {
    /// Every mode, in the order in which the scripts number them from 0.
    pub const ALL: [Self; 3] = [Self::None, Self::TopUps, Self::All];
}

/// Percentages of a total at which an alert is raised: 1..=100, rising, at most 10.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub struct Thresholds(Vec<u8>);

/// Most thresholds of one workspace.
const THRESHOLDS_MAX: usize = 10;

impl Thresholds {
    /// The percentages, rising.
    pub fn percents(&self) -> &[u8] {
        &self.0
    }
}

impl Default for Thresholds {
    fn default() -> Self {
        Self(vec![50, 80, 100])
    }
}

impl TryFrom<Vec<u8>> for Thresholds {
    type Error = String;
    fn try_from(percents: Vec<u8>) -> Result<Self, String> {
        let rising = percents.windows(2).all(|pair| pair[0] < pair[1]);
        let inside = percents.iter().all(|percent| (1..=100).contains(percent));
        if rising && inside && percents.len() <= THRESHOLDS_MAX {
            Ok(Self(percents))
        } else {
            Err(format!("{percents:?} are no thresholds: give up to 10 rising percentages between 1 and 100"))
        }
    }
}

impl From<Thresholds> for Vec<u8> {
    fn from(thresholds: Thresholds) -> Self {
        thresholds.0
    }
}

/// A ceiling as a setting: absent inherits, `"none"` says no limit against a default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitSetting {
    /// At most this much a period.
    Credits(Credits),
    /// No limit, whatever the defaults say.
    None,
}

impl<'de> Deserialize<'de> for LimitSetting {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(input)?;
        if value == "none" {
            return Ok(Self::None);
        }
        serde_json::from_value(value).map(Self::Credits).map_err(serde::de::Error::custom)
    }
}

impl Serialize for LimitSetting {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Credits(credits) => credits.serialize(out),
            Self::None => out.serialize_str("none"),
        }
    }
}

/// A plan that is counted in seats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Seats {
    /// How many are paid for.
    pub seats: u32,
    /// Credits that each brings a period.
    pub credits_per_seat: Credits,
}

impl Seats {
    /// What they bring together; none past [`Credits::TOTAL_MAX`].
    pub fn credits(&self) -> Option<Credits> {
        let micro = self.credits_per_seat.micro().checked_mul(i64::from(self.seats))?;
        Some(Credits::from_micro(micro)).filter(|credits| *credits <= Credits::TOTAL_MAX)
    }
}

/// The plan of a workspace; a new one replaces the whole of the old.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Credits that enter the pool with each period.
    pub monthly_credits: Credits,
    /// Where these come from, when they are counted in seats.
    #[serde(flatten)]
    pub seats: Option<Seats>,
    /// IANA name.
    pub timezone: String,
    /// 1..=28.
    pub anchor_day: i8,
    /// What happens to an event that breaks a rule.
    pub enforcement: Enforcement,
    /// For users without a limit of their own or their team's.
    pub default_user_limit: Option<Credits>,
    /// What moves into the next period.
    pub carry_over: CarryOver,
    /// When alerts are raised.
    pub thresholds: Thresholds,
}

impl Plan {
    /// A plan of so many credits a period, everything else by default.
    pub fn monthly(credits: Credits) -> Self {
        Self {
            monthly_credits: credits,
            seats: None,
            timezone: "UTC".to_owned(),
            anchor_day: 1,
            enforcement: Enforcement::Hard,
            default_user_limit: None,
            carry_over: CarryOver::default(),
            thresholds: Thresholds::default(),
        }
    }
}

/// What is changed of one user; a field left out stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserChange {
    /// Whose settings.
    pub user: UserId,
    /// Outer none: stays. Inner none: inherits.
    #[serde(default, deserialize_with = "named", skip_serializing_if = "Option::is_none")]
    pub limit: Option<Option<LimitSetting>>,
    /// Outer none: stays. Inner none: leaves the team.
    #[serde(default, deserialize_with = "named", skip_serializing_if = "Option::is_none")]
    pub team: Option<Option<TeamId>>,
    /// Credits moved from the pool to the user when a period opens. None: stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly_allocation: Option<Credits>,
    /// Moves now too what the running period lacks of the allocation in force, all or nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub apply_now: bool,
    /// None: stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<bool>,
}

/// A field that is there, be it null: absent and null mean two things.
fn named<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(input: D) -> Result<Option<T>, D::Error> {
    T::deserialize(input).map(Some)
}

impl UserChange {
    /// A change of nothing, to be filled in.
    pub fn of(user: UserId) -> Self {
        Self { user, limit: None, team: None, monthly_allocation: None, apply_now: false, suspended: None }
    }
}

/// An event whose credits go back, as its row tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reversed {
    /// The producer's id.
    pub event_id: String,
    /// The producer.
    pub source: String,
    /// When it happened.
    pub time: Instant,
    /// The period it counts in.
    pub period: PeriodName,
    /// The day it counts on.
    pub day: Day,
    /// Who spent.
    pub user: UserId,
    /// The team that was drawn on.
    pub team: Option<TeamId>,
    /// What on.
    pub feature: FeatureId,
    /// From where the credits came.
    pub drawn: Drawn,
}

impl Reversed {
    /// What it took, overage included.
    pub fn credits(&self) -> Credits {
        self.drawn.from_accounts() + self.drawn.overage
    }
}

/// One administrative change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Change {
    /// Replaces the plan.
    Plan(Plan),
    /// Changes what is named of a user.
    User(UserChange),
    /// Changes many users, all or none.
    Users {
        /// At least one, each user once.
        users: Vec<UserChange>,
    },
    /// Replaces a team's settings.
    Team {
        /// Which team.
        team: TeamId,
        /// Credits moved from the pool to the team when a period opens.
        monthly_reserve: Credits,
        /// Moves now too what the running period lacks of it (or has too much), all or nothing.
        apply_now: bool,
        /// For members without a limit of their own.
        default_user_limit: Option<Credits>,
    },
    /// Replaces a feature's settings.
    Feature {
        /// Which feature.
        feature: FeatureId,
        /// Ceiling over all users; none lifts it.
        limit: Option<Credits>,
    },
    /// Brings credits into the pool.
    TopUp {
        /// How much, above 0.
        credits: Credits,
    },
    /// Moves credits between two accounts.
    Transfer {
        /// Source.
        from: Account,
        /// Destination.
        to: Account,
        /// How much, above 0.
        credits: Credits,
        /// A transfer into a user raises their limit of this period by the same amount.
        raise_limit: bool,
    },
    /// Moves credits from the pool to a user and raises the user's limit of this period alike.
    Grant {
        /// Who gets them.
        user: UserId,
        /// How much, above 0.
        credits: Credits,
    },
    /// Gives an event's credits back to where they came from.
    Reversal(Reversed),
}

impl Change {
    /// The `kind` of the ledger entry.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Plan(_) => "plan",
            Self::User(_) => "user",
            Self::Users { .. } => "users",
            Self::Team { .. } => "team",
            Self::Feature { .. } => "feature",
            Self::TopUp { .. } => "top_up",
            Self::Transfer { .. } => "transfer",
            Self::Grant { .. } => "grant",
            Self::Reversal(_) => "reversal",
        }
    }
}

/// Who makes a change, and why.
#[derive(Debug, Clone, Default)]
pub struct Author {
    /// The name in the ledger.
    pub actor: String,
    /// Their words; empty for none.
    pub reason: String,
    /// By which a retry is recognised.
    pub key: Option<IdempotencyKey>,
}

/// By which a retry of a request is recognised for 24 hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// As the client chose it, for the ledger.
    pub key: String,
    /// Digest of method, path and key: the name under which the answer is kept in the workspace.
    pub place: String,
    /// Digest of the request's body: another one under the same key is a conflict.
    pub request: String,
}

/// A change that was made; the same again under the same key.
#[derive(Debug, Clone)]
pub struct Changed {
    /// The period it was made in.
    pub period: Period,
    /// When it was made.
    pub at: Instant,
    /// Epoch of its entry in the ledger.
    pub epoch: u64,
    /// Sequence of its entry in the ledger.
    pub sequence: u64,
    /// From when a new time zone or anchor day holds; only plans have it.
    pub effective_from: Option<Instant>,
    /// The shard whose outbox holds its entry until Kafka has it.
    pub shard: u16,
    /// The users that it touched, as they stood after it.
    pub users: Vec<UserStanding>,
    /// The accounts and cells that it touched, as they stood after it.
    pub effects: Effects,
}

/// A user's settings and sums.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserStanding {
    /// Who.
    pub user: UserId,
    /// What was set of them.
    pub settings: UserSettings,
    /// What they did in the period.
    pub state: UserState,
    /// The effective limit; none for none.
    pub limit: Option<Credits>,
}
