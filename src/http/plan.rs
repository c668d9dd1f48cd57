//! The plan of a workspace: what enters its pool with each period, and the rules around it.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::answer::plan::PlanLine;
use super::answer::{About, Head, Written};
use super::body::Body;
use super::desk::{Answer, ok};
use super::idempotency::Write;
use super::ids::Ids;
use super::problem::Problem;
use super::route::{Access, Routes, Scope, get as read, put as write};
use super::value::{Amount, Reason};
use crate::domain::calendar::{Calendar, CalendarError};
use crate::domain::change::{CarryOver, Change, Enforcement, Plan, Seats, Thresholds};
use crate::domain::period::Instant;
use crate::domain::{Credits, WorkspaceId};

/// A plan, whole: what is left out is as by default. Give `monthly_credits`, or `seats` with
/// `credits_per_seat`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PlanBody {
    /// Credits that enter the pool with each period.
    monthly_credits: Option<Amount>,
    /// How many seats are paid for.
    seats: Option<u32>,
    /// What each brings a period.
    credits_per_seat: Option<Amount>,
    /// IANA name; `UTC` when left out.
    timezone: Option<String>,
    /// The day of the month on which periods begin, 1 to 28; 1 when left out.
    anchor_day: Option<i64>,
    /// What happens to an event that breaks a rule; `hard` when left out.
    enforcement: Option<Enforcement>,
    /// For users without a limit of their own or their team's; none when left out.
    default_user_limit: Option<Amount>,
    /// What moves into the next period; `top_ups` when left out.
    carry_over: Option<CarryOver>,
    /// At most 10 rising percentages, 1 to 100; 50, 80 and 100 when left out.
    thresholds: Option<Vec<i64>>,
    /// Why, for the ledger.
    reason: Option<Reason>,
}

impl PlanBody {
    /// The plan. Errors: the first field that is no good.
    fn plan(&self) -> Result<Plan, Problem> {
        let (monthly_credits, seats) = self.credits()?;
        let timezone = self.timezone.clone().unwrap_or_else(|| "UTC".to_owned());
        let anchor_day = self.anchor_day.map_or(1, |day| i8::try_from(day).unwrap_or(0));
        Calendar::default().with_plan(Instant::default(), &timezone, anchor_day).map_err(invalid_calendar)?;
        Ok(Plan {
            monthly_credits,
            seats,
            timezone,
            anchor_day,
            enforcement: self.enforcement.unwrap_or_default(),
            default_user_limit: self.default_user_limit.map(|Amount(limit)| limit),
            carry_over: self.carry_over.unwrap_or_default(),
            thresholds: self.thresholds()?,
        })
    }

    fn credits(&self) -> Result<(Credits, Option<Seats>), Problem> {
        let invalid = |words: &str| Err(Problem::invalid("invalid_plan", words));
        match (self.monthly_credits, self.seats, self.credits_per_seat) {
            (Some(Amount(monthly)), None, None) => Ok((monthly, None)),
            (None, Some(seats), Some(Amount(credits_per_seat))) => {
                let seats = Seats { seats, credits_per_seat };
                let words = "seats x credits_per_seat is more than 8000000000 credits";
                let credits = seats.credits().ok_or_else(|| Problem::invalid("too_many_credits", words))?;
                Ok((credits, Some(seats)))
            }
            (Some(_), _, _) => invalid("monthly_credits and seats exclude each other: give one of them"),
            (None, None, None) => invalid("give monthly_credits, or seats with credits_per_seat"),
            (None, _, _) => invalid("seats and credits_per_seat go together: give both"),
        }
    }

    fn thresholds(&self) -> Result<Thresholds, Problem> {
        let Some(percents) = &self.thresholds else { return Ok(Thresholds::default()) };
        // 0 stands for what fits no byte: it is no threshold either.
        let percents: Vec<u8> = percents.iter().map(|percent| u8::try_from(*percent).unwrap_or(0)).collect();
        Thresholds::try_from(percents).map_err(|words| Problem::invalid("invalid_thresholds", words))
    }
}

fn invalid_calendar(fault: CalendarError) -> Problem {
    let code = match fault {
        CalendarError::AnchorDay(_) => "invalid_anchor_day",
        CalendarError::TimeZone(_) | CalendarError::Stored(_) => "invalid_timezone",
    };
    let words = if code == "invalid_anchor_day" {
        "anchor_day must be between 1 and 28".to_owned()
    } else {
        fault.to_string()
    };
    Problem::invalid(code, words)
}

/// A plan that was put.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct PlanWritten {
    /// The change.
    #[serde(flatten)]
    written: Written,
    /// The plan.
    #[serde(flatten)]
    plan: PlanLine,
    /// From when time zone and anchor day hold.
    effective_from: Option<Instant>,
}

/// The routes of the plan.
pub fn routes() -> Routes {
    let path = "/v1/workspaces/{workspace}/plan";
    let shown = read(path, Access::Needs(Scope::Read)).says("The plan of a workspace");
    let put = write(path, Access::Needs(Scope::Admin))
        .says("Replaces the plan; a changed amount enters or leaves the pool at once")
        .keyed()
        .takes::<PlanBody>()
        .gives::<PlanWritten>(200, "The plan is replaced")
        .refuses(409, "`insufficient_credits`: the pool has not got what the plan is lowered by")
        .refuses(422, "`invalid_plan`, `invalid_timezone`, `invalid_anchor_day`, `invalid_thresholds`");
    Routes::of("workspaces").add(shown.gives::<About<PlanLine>>(200, "The plan"), show).add(put, replace)
}

async fn show(State(api): State<Arc<Api>>, Ids(workspace): Ids<WorkspaceId>) -> Answer<About<PlanLine>> {
    let view = api.view(&workspace, None).await?;
    if view.state.calendar.version() == 0 {
        return Err(Problem::unknown("unknown_plan", format!("workspace {workspace} has no plan yet")));
    }
    let plan = PlanLine::of(&view.state);
    ok(About { head: Head::of(&workspace, &view), it: plan })
}

async fn replace(
    State(api): State<Arc<Api>>,
    Ids(workspace): Ids<WorkspaceId>,
    write: Write,
    body: Body<PlanBody>,
) -> Answer<PlanWritten> {
    let plan = body.value.plan()?;
    let line = PlanLine::from(&plan);
    let author = write.author(&body.bytes, body.value.reason);
    let (written, changed) = api.change(&workspace, Change::Plan(plan), &author).await?;
    ok(PlanWritten { written, plan: line, effective_from: changed.effective_from })
}
