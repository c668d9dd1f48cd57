//! Tables in which ann was active once.

use futures::FutureExt;
use futures::future::{BoxFuture, ready};

use super::world::{at, past_event};
use crate::domain::alert::Alert;
use crate::domain::decision::Outcome;
use crate::domain::period::{Day, Period};
use crate::domain::ports::Trouble;
use crate::domain::reports::*;
use crate::domain::{FeatureId, UserId, WorkspaceId};

pub struct FakeReports;

type Asked<'a, T> = BoxFuture<'a, Result<T, Trouble>>;

fn away<'a, T: Send + 'a>() -> Asked<'a, T> {
    ready(Err(Trouble::Away("no tables in here".into()))).boxed()
}

impl Reports for FakeReports {
    fn usage<'a>(&'a self, _: &'a WorkspaceId, _: &'a UsageQuery) -> Asked<'a, Page<UsageRow>> {
        away()
    }

    fn events<'a>(&'a self, _: &'a WorkspaceId, _: &'a EventQuery) -> Asked<'a, Page<EventRow>> {
        away()
    }

    fn ledger<'a>(&'a self, _: &'a WorkspaceId, _: &'a LedgerQuery) -> Asked<'a, Page<LedgerRow>> {
        away()
    }

    fn alerts<'a>(&'a self, _: &'a WorkspaceId, _: &'a AlertQuery) -> Asked<'a, Page<Alert>> {
        away()
    }

    fn activity<'a>(
        &'a self,
        _: &'a WorkspaceId,
        _: &'a Period,
        _: Option<&'a UserId>,
    ) -> Asked<'a, Vec<Activity>> {
        let (user, top_feature) = (UserId::parse("ann").unwrap(), FeatureId::parse("ai_chat").ok());
        ready(Ok(vec![Activity { user, last_active: at(), top_feature }])).boxed()
    }

    fn daily<'a>(&'a self, _: &'a WorkspaceId, _: Day, _: Day) -> Asked<'a, Vec<UserDay>> {
        away()
    }

    fn daily_totals<'a>(&'a self, _: &'a WorkspaceId, _: Day, _: Day) -> Asked<'a, Vec<DayTotal>> {
        away()
    }

    fn event<'a>(&'a self, _: &'a WorkspaceId, _: &'a str, id: &'a str) -> Asked<'a, Option<PastEvent>> {
        let past = PastEvent { event: past_event(), outcome: Outcome::Allowed, reversed_at: None };
        ready(Ok(Some(past).filter(|past| past.event.event_id == id))).boxed()
    }
}
