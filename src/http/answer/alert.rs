//! Alerts as they are shown.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::Credits;
use crate::domain::alert::{Alert, AlertState, Scope};
use crate::domain::period::{Instant, PeriodName};

/// A threshold that was crossed, up or down
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Alert)]
pub struct AlertLine {
    /// Whose total
    pub scope: Scope,
    /// The workspace, team or user
    pub id: String,
    /// The percentage, 1 to 100
    pub threshold: u8,
    /// Used and held over the total
    pub ratio: f64,
    /// Used and held; of a shortfall: what was got
    pub used: Credits,
    /// Of how much
    pub total: Credits,
    /// The period
    pub period: PeriodName,
    /// When it was raised
    pub at: Instant,
    /// Up, down, or a standing amount that did not fit
    pub state: AlertState,
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
