//! An office and tables that answer the same to everybody: what is in front of them is what is fuzzed.

use std::sync::{Arc, Mutex};

use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};
use tollgate::domain::WorkspaceId;
use tollgate::domain::alert::Alert;
use tollgate::domain::book::Workspace;
use tollgate::domain::change::{Author, Change, Changed, Refusal};
use tollgate::domain::event::DecodeRules;
use tollgate::domain::hold::{CheckAnswer, Hold, HoldAnswer, HoldRequest, Wish};
use tollgate::domain::ledger::Totals;
use tollgate::domain::period::{Day, Instant, Period, PeriodName};
use tollgate::domain::ports::{Claim, Intake, Office, Remembered, Trouble, View};
use tollgate::domain::rates::RateCard;
use tollgate::domain::reports::*;
use tollgate::http::auth::{self, Auth};
use tollgate::http::{Api, Settings, router};

type Asked<'a, T> = BoxFuture<'a, Result<T, Trouble>>;

fn away<'a, T: Send + 'a>() -> Asked<'a, T> {
    ready(Err(Trouble::Away("nobody is there".into()))).boxed()
}

/// Whatever is asked of it reached it whole.
pub struct Closed;

impl Office for Closed {
    fn change<'a>(
        &'a self,
        _: &'a WorkspaceId,
        _: &'a Change,
        _: &'a Author,
    ) -> Asked<'a, Result<Changed, Refusal>> {
        away()
    }

    fn refuse<'a>(
        &'a self,
        _: &'a WorkspaceId,
        _: Refusal,
        _: &'a Author,
    ) -> Asked<'a, Result<Changed, Refusal>> {
        away()
    }

    fn hold<'a>(
        &'a self,
        _: &'a WorkspaceId,
        _: &'a HoldRequest,
        _: &'a Author,
    ) -> Asked<'a, Result<HoldAnswer, Refusal>> {
        away()
    }

    fn check<'a>(&'a self, _: &'a WorkspaceId, _: &'a Wish) -> Asked<'a, CheckAnswer> {
        away()
    }

    fn holds<'a>(&'a self, _: &'a WorkspaceId) -> Asked<'a, Vec<Hold>> {
        away()
    }

    fn view<'a>(&'a self, _: &'a WorkspaceId, _: Option<PeriodName>) -> Asked<'a, Option<Arc<View>>> {
        let state = Workspace { epoch: 1, ..Workspace::default() };
        let at = Instant::from_timestamp("2026-11-22T10:00:00Z".parse().unwrap());
        let period = state.calendar.period_of(at);
        ready(Ok(Some(Arc::new(View { state, period, as_of: at })))).boxed()
    }

    fn workspaces(&self) -> Asked<'_, Vec<WorkspaceId>> {
        away()
    }
}

/// Tables with one row of usage, whose model is whatever a producer wrote.
#[derive(Default)]
pub struct Tables(pub Mutex<String>);

impl Reports for Tables {
    fn usage<'a>(&'a self, _: &'a WorkspaceId, query: &'a UsageQuery) -> Asked<'a, Page<UsageRow>> {
        let value = self.0.lock().unwrap().clone();
        let by = query.group_by.iter().map(|dimension| (*dimension, value.clone())).collect();
        ready(Ok(Page { items: vec![UsageRow { by, totals: Totals::default() }], next: None })).boxed()
    }

    fn events<'a>(&'a self, _: &'a WorkspaceId, _: &'a EventQuery) -> Asked<'a, Page<EventRow>> {
        ready(Ok(Page { items: Vec::new(), next: None })).boxed()
    }

    fn ledger<'a>(&'a self, _: &'a WorkspaceId, _: &'a LedgerQuery) -> Asked<'a, Page<LedgerRow>> {
        ready(Ok(Page { items: Vec::new(), next: None })).boxed()
    }

    fn alerts<'a>(&'a self, _: &'a WorkspaceId, _: &'a AlertQuery) -> Asked<'a, Page<Alert>> {
        ready(Ok(Page { items: Vec::new(), next: None })).boxed()
    }

    fn activity<'a>(
        &'a self,
        _: &'a WorkspaceId,
        _: &'a Period,
        _: Option<&'a tollgate::domain::UserId>,
    ) -> Asked<'a, Vec<Activity>> {
        ready(Ok(Vec::new())).boxed()
    }

    fn daily<'a>(&'a self, _: &'a WorkspaceId, _: Day, _: Day) -> Asked<'a, Vec<UserDay>> {
        ready(Ok(Vec::new())).boxed()
    }

    fn daily_totals<'a>(&'a self, _: &'a WorkspaceId, _: Day, _: Day) -> Asked<'a, Vec<DayTotal>> {
        ready(Ok(Vec::new())).boxed()
    }

    fn event<'a>(&'a self, _: &'a WorkspaceId, _: &'a str, _: &'a str) -> Asked<'a, Option<PastEvent>> {
        ready(Ok(None)).boxed()
    }
}

struct Nowhere;

impl Intake for Nowhere {
    fn publish(&self, _: Vec<(WorkspaceId, Vec<u8>)>) -> Asked<'_, ()> {
        ready(Ok(())).boxed()
    }

    fn claim<'a>(&'a self, _: &'a str, _: &'a str) -> Asked<'a, Claim> {
        ready(Ok(Claim::Ours)).boxed()
    }

    fn remember<'a>(&'a self, _: &'a str, _: &'a Remembered) -> Asked<'a, ()> {
        ready(Ok(())).boxed()
    }

    fn release<'a>(&'a self, _: &'a str) -> Asked<'a, ()> {
        ready(Ok(())).boxed()
    }
}

/// The whole API in front of them, open to everybody.
pub fn api(tables: &Arc<Tables>) -> axum::Router {
    let settings = Settings {
        listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
        head_timeout_ms: 5_000,
        request_timeout_ms: 5_000,
        requests_in_flight_max: 64,
        body_bytes_max: 1024 * 1024,
        retry_after_s: 1,
    };
    let rules = DecodeRules {
        age_micros_max: 72 * 3_600_000_000,
        ahead_micros_max: 300_000_000,
        payload_bytes_max: 262_144,
        rates: RateCard::default(),
    };
    let auth = Auth::new(&auth::Settings::default()).unwrap();
    let (office, intake) = (Arc::new(Closed), Arc::new(Nowhere));
    router(Arc::new(Api { office, reports: tables.clone(), intake, rules, auth, settings }))
}

/// Status and body of an answer; a fault of ours is never an answer to a fault of theirs.
pub async fn answer(api: &axum::Router, request: axum::http::Request<axum::body::Body>) -> (u16, String) {
    use tower::ServiceExt as _;
    let words = format!("{} {}", request.method(), request.uri());
    let response = api.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = axum::body::to_bytes(response.into_body(), 16 * 1024 * 1024).await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(status < 500 || status == 503, "{words}: {status} {text}");
    if (400..500).contains(&status) {
        let problem: serde_json::Value = serde_json::from_str(&text).expect(&text);
        for field in ["code", "detail"] {
            assert!(problem[field].as_str().is_some_and(|said| !said.is_empty()), "{words}: {text}");
        }
        assert!(text.len() < 4_096, "{words}: an answer of {} bytes", text.len());
    }
    (status, text)
}
