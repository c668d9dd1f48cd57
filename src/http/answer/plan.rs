//! Plans as they are shown.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::Credits;
use crate::domain::book::Workspace;
use crate::domain::change::{CarryOver, Enforcement, Plan};

/// A plan as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PlanLine {
    /// Credits that enter the pool with each period.
    pub monthly_credits: Credits,
    /// Seats that these come from; null when they are given as such.
    pub seats: Option<u32>,
    /// What each seat brings.
    pub credits_per_seat: Option<Credits>,
    /// IANA name.
    pub timezone: String,
    /// The day of the month on which periods begin.
    pub anchor_day: i8,
    /// What happens to an event that breaks a rule.
    pub enforcement: Enforcement,
    /// For users without a limit of their own or their team's.
    pub default_user_limit: Option<Credits>,
    /// What moves into the next period.
    pub carry_over: CarryOver,
    /// Percentages at which alerts are raised.
    pub thresholds: Vec<u8>,
}

impl From<&Plan> for PlanLine {
    fn from(plan: &Plan) -> Self {
        let (seats, credits_per_seat) = plan.seats.map(|seats| (seats.seats, seats.credits_per_seat)).unzip();
        Self {
            monthly_credits: plan.monthly_credits,
            seats,
            credits_per_seat,
            timezone: plan.timezone.clone(),
            anchor_day: plan.anchor_day,
            enforcement: plan.enforcement,
            default_user_limit: plan.default_user_limit,
            carry_over: plan.carry_over,
            thresholds: plan.thresholds.percents().to_vec(),
        }
    }
}

impl PlanLine {
    /// The plan in force; a time zone or anchor day that waits for the next period shows already.
    pub fn of(state: &Workspace) -> Self {
        Self::from(&Plan {
            seats: state.seats,
            timezone: state.calendar.timezone().to_owned(),
            anchor_day: state.calendar.anchor_day(),
            enforcement: state.enforcement,
            default_user_limit: state.default_user_limit,
            carry_over: state.carry_over,
            thresholds: state.thresholds.clone(),
            ..Plan::monthly(state.monthly_credits)
        })
    }
}
