//! Rows of reports whose form in answers differs from the domain's: usage, whose columns are those that
//! were asked for, and alerts.

use std::borrow::Cow;

use serde::Serialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use crate::domain::Credits;
use crate::domain::alert::{Alert, AlertState, Scope};
use crate::domain::period::{Instant, PeriodName};
use crate::domain::reports::UsageRow;

/// A CSV with a header row; the names are those of JSON
#[derive(ToSchema)]
pub struct Csv(#[expect(dead_code, reason = "only its schema is used")] String);

/// A row of usage.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Usage(pub UsageRow);

/// Usage of one combination of values; the dimensions that were not asked for are absent
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct Columns {
    /// Who
    #[schema(nullable = false)]
    user: Option<String>,
    /// What on
    #[schema(nullable = false)]
    feature: Option<String>,
    /// The user's team when it was decided; null for none
    team: Option<String>,
    /// The model; null when it was not named
    model: Option<String>,
    /// The day in the workspace's time zone
    #[schema(format = Date, nullable = false)]
    day: Option<String>,
    /// The period, by its start date
    #[schema(format = Date, nullable = false)]
    month: Option<String>,
    /// Credits debited from accounts, without what was given back
    credits: f64,
    /// Credits spent beyond accounts, without what was given back
    overage_credits: f64,
    /// Events that were allowed or overage
    events: u64,
    /// Events that were denied
    denied_events: u64,
    /// Credits that the denied asked for
    denied_credits: f64,
    /// Events that were overage
    overage_events: u64,
}

impl PartialSchema for Usage {
    fn schema() -> RefOr<Schema> {
        Columns::schema()
    }
}

impl ToSchema for Usage {
    fn name() -> Cow<'static, str> {
        "Usage".into()
    }
}

/// A threshold that was crossed, up or down
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Alert)]
pub struct AlertLine {
    /// Whose total
    scope: Scope,
    /// The workspace, team or user
    id: String,
    /// The percentage, 1 to 100
    threshold: u8,
    /// Used and held over the total
    ratio: f64,
    /// Used and held; of a shortfall: what was got
    used: Credits,
    /// Of how much
    total: Credits,
    /// The period
    period: PeriodName,
    /// When it was raised
    at: Instant,
    /// Up, down, or a standing amount that did not fit
    state: AlertState,
}

impl From<Alert> for AlertLine {
    fn from(alert: Alert) -> Self {
        Self {
            ratio: alert.ratio(),
            scope: alert.scope,
            id: alert.id,
            threshold: alert.threshold,
            used: alert.used,
            total: alert.total,
            period: alert.period,
            at: alert.at,
            state: alert.state,
        }
    }
}
