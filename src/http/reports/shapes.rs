//! Rows of usage: their columns are those that were asked for.

use std::borrow::Cow;

use serde::Serialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

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
