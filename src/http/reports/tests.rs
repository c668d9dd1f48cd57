//! Requests against reports over tables in memory.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::to_bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use serde_json::{Value, json};

use crate::domain::alert::{Alert, AlertState, Scope};
use crate::domain::ledger::Totals;
use crate::domain::period::{Day, Instant, Period};
use crate::domain::ports::Trouble;
use crate::domain::reports::*;
use crate::domain::{Credits, UserId, WorkspaceId};
use crate::http::desk::tests::world::FakeOffice;
use crate::http::{self, router};

type Asked<'a, T> = BoxFuture<'a, Result<T, Trouble>>;

fn answer<'a, T: Send + 'a>(it: T) -> Asked<'a, T> {
    ready(Ok(it)).boxed()
}

/// So many rows of usage, two alerts, and twenty days of ann's use; remembers what was asked.
#[derive(Default)]
struct Tables {
    rows: usize,
    usage: Mutex<Vec<UsageQuery>>,
    events: Mutex<Vec<EventQuery>>,
    ledger: Mutex<Vec<LedgerQuery>>,
}

fn row(number: usize) -> UsageRow {
    let model = if number == 1 { "a,\"b\"".to_owned() } else { String::new() };
    let totals = Totals { credits: Credits::from_micro(1_500_000), events: 2, ..Totals::default() };
    UsageRow { by: vec![(Dimension::User, format!("u{number:05}")), (Dimension::Model, model)], totals }
}

fn alert(sequence: u64) -> Alert {
    Alert {
        workspace: "w".parse().unwrap(),
        scope: Scope::User,
        id: "ann".into(),
        threshold: 80,
        used: Credits::whole(4),
        total: Credits::whole(5),
        period: "2026-11-01".parse().unwrap(),
        at: Instant::from_micros(0),
        state: AlertState::Crossed,
        epoch: 1,
        sequence,
    }
}

impl Reports for Tables {
    fn usage<'a>(&'a self, _: &'a WorkspaceId, query: &'a UsageQuery) -> Asked<'a, Page<UsageRow>> {
        self.usage.lock().unwrap().push(query.clone());
        let after = query.after.as_ref().map(|place| place.0[0].clone()).unwrap_or_default();
        let behind = (1..=self.rows).map(row).filter(|row| row.by[0].1 > after);
        answer(Page::cut(behind.take(query.limit + 1).collect(), query.limit))
    }

    fn events<'a>(&'a self, _: &'a WorkspaceId, query: &'a EventQuery) -> Asked<'a, Page<EventRow>> {
        self.events.lock().unwrap().push(query.clone());
        answer(Page::cut(Vec::new(), query.limit))
    }

    fn ledger<'a>(&'a self, _: &'a WorkspaceId, query: &'a LedgerQuery) -> Asked<'a, Page<LedgerRow>> {
        self.ledger.lock().unwrap().push(query.clone());
        answer(Page::cut(Vec::new(), query.limit))
    }

    fn alerts<'a>(&'a self, _: &'a WorkspaceId, query: &'a AlertQuery) -> Asked<'a, Page<Alert>> {
        let after = query.after.as_ref().map_or(u64::MAX, |place| place.sequence);
        let behind = [alert(9), alert(7)].into_iter().filter(|alert| alert.sequence < after);
        answer(Page::cut(behind.collect(), query.limit))
    }

    fn activity<'a>(
        &'a self,
        _: &'a WorkspaceId,
        _: &'a Period,
        _: Option<&'a UserId>,
    ) -> Asked<'a, Vec<Activity>> {
        answer(Vec::new())
    }

    fn daily<'a>(&'a self, _: &'a WorkspaceId, _: Day, to: Day) -> Asked<'a, Vec<UserDay>> {
        let (user, spent, denied) = (UserId::parse("ann").unwrap(), Credits::whole(10), Credits::ZERO);
        let day = |back: i32| UserDay {
            day: Day::from_number(to.number() - 1 - back),
            user: user.clone(),
            spent,
            denied,
        };
        answer((1..=20).rev().map(day).collect())
    }

    fn daily_totals<'a>(&'a self, _: &'a WorkspaceId, _: Day, _: Day) -> Asked<'a, Vec<DayTotal>> {
        answer(Vec::new())
    }

    fn event<'a>(&'a self, _: &'a WorkspaceId, _: &'a str, _: &'a str) -> Asked<'a, Option<PastEvent>> {
        answer(None)
    }
}

/// An API over these tables, with a workspace of 1,000 credits.
async fn over(tables: &Arc<Tables>) -> Router {
    let reports: Arc<dyn Reports> = Arc::clone(tables) as _;
    let router = router(Arc::new(http::Api { reports, ..http::tests::api(FakeOffice::new()) }));
    let plan = r#"{"monthly_credits": 1000}"#;
    assert_eq!(http::tests::send(&router, "PUT", "/v1/workspaces/w/plan", &[], plan).await.status(), 200);
    router
}

async fn get(router: &Router, path: &str) -> (u16, Value) {
    let response = http::tests::send(router, "GET", &format!("/v1/workspaces{path}"), &[], "").await;
    (response.status().as_u16(), http::tests::json_of(response).await)
}

async fn csv(router: &Router, path: &str, accept: &str) -> String {
    let path = format!("/v1/workspaces{path}");
    let response = http::tests::send(router, "GET", &path, &[("accept", accept)], "").await;
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/csv"));
    String::from_utf8(to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn usage_is_flat_and_goes_on_where_its_cursor_says() {
    let tables = Arc::new(Tables { rows: 3, ..Tables::default() });
    let api = over(&tables).await;
    let path = "/w/usage?group_by=user,model&from=2026-11-01&to=2026-12-01&limit=2";
    let (status, page) = get(&api, path).await;
    assert_eq!((status, &page["period"]["name"]), (200, &json!("2026-11-01")));
    assert_eq!(
        page["items"][0],
        json!({"user": "u00001", "model": "a,\"b\"", "credits": 1.5, "overage_credits": 0, "events": 2,
               "denied_events": 0, "denied_credits": 0, "overage_events": 0})
    );
    assert_eq!(page["items"][1]["model"], Value::Null);
    let next = format!("{path}&cursor={}", page["next_cursor"].as_str().unwrap());
    let (_, page) = get(&api, &next).await;
    assert_eq!((page["items"][0]["user"].as_str(), &page["next_cursor"]), (Some("u00003"), &Value::Null));
    let asked = tables.usage.lock().unwrap()[0].clone();
    assert_eq!(asked.group_by, [Dimension::User, Dimension::Model]);
    assert_eq!(asked.to.map(|day| day.to_string()), Some("2026-12-01".into()));
}

#[tokio::test]
async fn a_csv_is_whole_and_has_the_names_of_json() {
    let tables = Arc::new(Tables { rows: 20_001, ..Tables::default() });
    let api = over(&tables).await;
    let text = csv(&api, "/w/usage?group_by=user,model", "text/csv").await;
    let lines: Vec<&str> = text.split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 20_002);
    let names = "user,model,credits,overage_credits,events,denied_events,denied_credits,overage_events";
    assert_eq!(lines[0], names);
    assert_eq!(lines[1], "u00001,\"a,\"\"b\"\"\",1.5,0,2,0,0,0");
    assert_eq!(lines[20_001], "u20001,,1.5,0,2,0,0,0");
    let limits: Vec<usize> = tables.usage.lock().unwrap().iter().map(|query| query.limit).collect();
    assert_eq!(limits, [10_000; 3], "in pages");
    let some = csv(&api, "/w/usage?group_by=user,model&format=csv&limit=5", "application/json").await;
    assert_eq!(some.lines().count(), 6);
    assert_eq!(csv(&over(&Arc::default()).await, "/w/usage?format=csv", "*/*").await.lines().count(), 1);
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused() {
    let api = over(&Arc::default()).await;
    let (_, page) = get(
        &over(&Arc::new(Tables { rows: 3, ..Tables::default() })).await,
        "/w/usage?group_by=user,model&limit=1",
    )
    .await;
    let foreign = format!("/w/usage?group_by=user&cursor={}", page["next_cursor"].as_str().unwrap());
    for (path, code) in [
        ("/w/usage?group_by=hour", "invalid_parameter"),
        ("/w/usage?from=2026-11-02&to=2026-11-01", "invalid_parameter"),
        ("/w/usage?from=yesterday", "invalid_parameter"),
        ("/w/usage?format=xml", "invalid_parameter"),
        ("/w/usage?limit=0", "invalid_parameter"),
        ("/w/usage?colour=red", "invalid_parameter"),
        (&foreign, "invalid_cursor"),
        ("/w/events?outcome=duplicate", "invalid_parameter"),
        ("/w/events?cursor=!", "invalid_cursor"),
        ("/w/ledger?account=bank", "invalid_parameter"),
        ("/w/alerts?scope=feature", "invalid_parameter"),
        ("/w/forecast?limit=9999", "invalid_parameter"),
    ] {
        let (status, problem) = get(&api, path).await;
        assert_eq!((status, &problem["code"]), (422, &json!(code)), "{path}");
    }
    let long = "x".repeat(5_000);
    for parameter in ["usage?group_by", "events?outcome", "ledger?account", "alerts?scope"] {
        let (status, problem) = get(&api, &format!("/w/{parameter}={long}")).await;
        let detail = problem["detail"].as_str().unwrap();
        assert!(status == 422 && detail.len() < 300, "{parameter} is quoted short: {detail}");
    }
    for resource in ["usage", "events", "ledger", "alerts", "forecast"] {
        let (status, problem) = get(&api, &format!("/never/{resource}")).await;
        assert_eq!((status, &problem["code"]), (404, &json!("unknown_workspace")), "{resource}");
    }
}

#[tokio::test]
async fn filters_reach_the_tables() {
    let tables = Arc::<Tables>::default();
    let api = over(&tables).await;
    let (status, _) =
        get(&api, "/w/events?user=ann&feature=ai_chat&outcome=denied&from=2026-11-01T00:00:00Z").await;
    assert_eq!(status, 200);
    let asked = tables.events.lock().unwrap().remove(0);
    assert_eq!((asked.user.unwrap().as_str(), asked.feature.unwrap().as_str()), ("ann", "ai_chat"));
    assert_eq!((asked.outcome.unwrap().as_str(), asked.limit), ("denied", 100));
    assert_eq!(asked.from.unwrap().to_string(), "2026-11-01T00:00:00Z");
    let (status, _) = get(&api, "/w/ledger?actor=o%27ps&kind=grant&account=user:ann&limit=7").await;
    assert_eq!(status, 200);
    let asked = tables.ledger.lock().unwrap().remove(0);
    assert_eq!(
        (asked.actor.as_deref(), asked.kind.as_deref(), asked.limit),
        (Some("o'ps"), Some("grant"), 7)
    );
    assert_eq!(asked.account.unwrap().to_string(), "user:ann");
}

#[tokio::test]
async fn alerts_are_told_in_the_words_of_their_topic() {
    let api = over(&Arc::default()).await;
    let (_, page) = get(&api, "/w/alerts?limit=1").await;
    let expected = json!([{"scope": "user", "id": "ann", "threshold": 80, "ratio": 0.8, "used": 4, "total": 5,
        "period": "2026-11-01", "at": "1970-01-01T00:00:00Z", "state": "crossed"}]);
    assert_eq!(page["items"], expected);
    let (_, page) = get(&api, &format!("/w/alerts?cursor={}", page["next_cursor"].as_str().unwrap())).await;
    assert_eq!((page["items"].as_array().unwrap().len(), &page["next_cursor"]), (1, &Value::Null));
}

#[tokio::test]
async fn a_forecast_is_of_pool_teams_and_users() {
    let api = over(&Arc::default()).await;
    let (status, body) = get(&api, "/w/forecast").await;
    assert_eq!((status, &body["resets_at"]), (200, &json!("2026-12-01T00:00:00Z")));
    assert_eq!((&body["pool"]["total"], &body["pool"]["used"]), (&json!(1000), &json!(0)));
    assert_eq!(body["pool"]["method"], "weekly_pattern");
    let projected = body["pool"]["projected_use"].as_f64().unwrap();
    assert!((55.0..=75.0).contains(&projected), "{projected}");
    assert_eq!((&body["users"][0]["user"], &body["user_count"]), (&json!("ann"), &json!(1)));
    assert!(body["advice"]["moves"].is_array() && body["teams"].is_array());
}
