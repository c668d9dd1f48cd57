//! Reads, and questions that change nothing.

use serde_json::{Value, json};

use super::Office;

#[tokio::test]
async fn what_was_never_seen_is_unknown() {
    let api = Office::new();
    for path in ["/w", "/w/plan", "/w/users", "/w/users/ann", "/w/teams", "/w/features", "/w/holds"] {
        assert_eq!(api.refused("GET", path, "").await, (404, "unknown_workspace".into()), "{path}");
    }
    let api = Office::planned().await;
    assert_eq!(api.refused("GET", "/w/users/ann", "").await, (404, "unknown_user".into()));
    assert_eq!(api.refused("GET", "/w/teams/sales", "").await, (404, "unknown_team".into()));
    assert_eq!(api.refused("GET", "/w?period=2020-01-01", "").await, (404, "unknown_period".into()));
    assert_eq!(api.refused("GET", "/w?period=soon", "").await, (422, "invalid_parameter".into()));
    assert_eq!(api.refused("GET", "/a%20b", "").await, (422, "invalid_id".into()));
    let (status, feature) = api.get("/w/features/ai_chat").await;
    assert_eq!((status, &feature["used"], &feature["limit"]), (200, &json!(0), &json!(null)));
}

#[tokio::test]
async fn a_workspace_shows_its_sums_and_when_they_were_so() {
    let api = Office::planned().await;
    api.ask("POST", "/w/grants", r#"{"user": "ann", "credits": 400}"#).await;
    let (status, body) = api.get("/w?period=2026-11-01").await;
    let expected = json!({
        "workspace": "w", "resets_at": "2026-12-01T00:00:00Z", "as_of": "2026-11-24T12:00:00Z",
        "period": {"name": "2026-11-01", "start": "2026-11-01T00:00:00Z", "end": "2026-12-01T00:00:00Z"},
        "total": 1000, "allocated_to_users": 400, "reserved_for_teams": 0, "used": 0, "held": 0, "overage": 0,
        "remaining": 1000, "pool_remaining": 600, "oversubscription": 1.0, "user_count": 1,
        "forecast": body["forecast"],
    });
    assert!(body.as_object().unwrap().contains_key("forecast"), "{body}");
    assert_eq!((status, body), (200, expected));
}

#[tokio::test]
async fn a_plan_that_is_missing_is_unknown() {
    let api = Office::new();
    api.ask("PATCH", "/w/users/ann", r#"{"limit": 1}"#).await;
    assert_eq!(api.refused("GET", "/w/plan", "").await, (404, "unknown_plan".into()));
}

fn ids(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| item["user"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn users_come_in_pages_that_fit_together() {
    let api = Office::planned().await;
    for user in ["dan", "ann", "cid", "bob", "eve"] {
        api.ask("PATCH", &format!("/w/users/{user}"), r#"{"limit": 5}"#).await;
    }
    let (mut all, mut path) = (Vec::new(), "/w/users?limit=2".to_owned());
    loop {
        let (status, page) = api.get(&path).await;
        assert_eq!(status, 200, "{page}");
        all.extend(ids(&page).into_iter().map(str::to_owned));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/w/users?limit=2&cursor={cursor}");
        let other = format!("/w/users?sort=user&cursor={cursor}");
        assert_eq!(api.refused("GET", &other, "").await, (422, "invalid_cursor".into()));
    }
    assert_eq!(all, ["ann", "bob", "cid", "dan", "eve"]);
    assert_eq!(ids(&api.get("/w/users?q=A").await.1), ["ann", "dan"]);
    assert_eq!(ids(&api.get("/w/users?team=sales").await.1), Vec::<&str>::new());
    for (query, code) in [
        ("limit=0", "invalid_parameter"),
        ("limit=1001", "invalid_parameter"),
        ("limit=many", "invalid_parameter"),
        ("sort=-user", "invalid_parameter"),
        ("cursor=x", "invalid_cursor"),
        ("team=a%20b", "invalid_parameter"),
        ("colour=red", "invalid_parameter"),
    ] {
        let refused = api.refused("GET", &format!("/w/users?{query}"), "").await;
        assert_eq!(refused, (422, code.to_owned()), "{query}");
    }
}

#[tokio::test]
async fn a_user_shows_everything_about_them() {
    let api = Office::planned().await;
    api.ask("PATCH", "/w/users/ann", r#"{"limit": 50, "team": "sales"}"#).await;
    api.ask("POST", "/w/grants", r#"{"user": "ann", "credits": 10}"#).await;
    let (status, body) = api.get("/w/users/ann").await;
    assert_eq!(status, 200);
    for (field, value) in [
        ("limit", json!(60)),
        ("base_limit", json!(50)),
        ("granted", json!(10)),
        ("limit_source", json!("user")),
        ("remaining", json!(60)),
        ("utilization", json!(0.0)),
        ("suspended", json!(false)),
        ("last_active", json!("2026-11-24T12:00:00Z")),
        ("top_feature", json!("ai_chat")),
    ] {
        assert_eq!(body[field], value, "{field}");
    }
    let account =
        json!({"credited": 10, "transferred_out": 0, "used": 0, "held": 0, "remaining": 10, "monthly": 0});
    assert_eq!(body["allocation"], account);
    let (_, team) = api.get("/w/teams/sales").await;
    assert_eq!((&team["members"], &team["users"]), (&json!(1), &json!(["ann"])));
    assert_eq!(api.get("/w/teams").await.1["items"][0]["team"], "sales");
}

#[tokio::test]
async fn teams_and_features_are_replaced() {
    let api = Office::planned().await;
    let (status, put) =
        api.ask("PUT", "/w/teams/sales", r#"{"monthly_reserve": 5, "apply_now": true}"#).await;
    assert_eq!((status, &put["accounts"][1]["account"]), (200, &json!("team:sales")));
    assert_eq!(api.ask("PUT", "/w/teams/sales", "{}").await.0, 200);
    assert_eq!(api.get("/w/teams/sales").await.1["monthly_reserve"], 0);
    assert_eq!(api.ask("PUT", "/w/features/ai_chat", r#"{"limit": 7}"#).await.0, 200);
    assert_eq!(api.get("/w/features").await.1["items"][0]["remaining"], 7);
    for lifts in [r#"{"limit": null}"#, r#"{"limit": "none"}"#, "{}"] {
        assert_eq!(api.ask("PUT", "/w/features/ai_chat", lifts).await.0, 200);
        assert_eq!(api.get("/w/features/ai_chat").await.1["limit"], json!(null));
    }
}

#[tokio::test]
async fn a_check_prices_asks_and_changes_nothing() {
    let api = Office::planned().await;
    let check = |body: &'static str| api.ask("POST", "/w/check", body);
    let (status, yes) = check(r#"{"user": "ann", "feature": "ai_chat", "credits": 1000}"#).await;
    assert_eq!((status, &yes["allowed"], &yes["reason"]), (200, &json!(true), &json!(null)));
    let (_, no) = check(r#"{"user": "ann", "feature": "ai_chat", "credits": 1000.5}"#).await;
    assert_eq!((&no["allowed"], &no["reason"]), (&json!(false), &json!("insufficient_credits")));
    let blocked = json!({"level": "pool", "id": "w", "limit": null, "used": 0, "held": 0, "remaining": 1000});
    assert_eq!((&no["blocked_by"], &no["resets_at"]), (&blocked, &json!("2026-12-01T00:00:00Z")));
    let (_, priced) = check(r#"{"user": "ann", "feature": "ai_chat", "input_tokens": 1500}"#).await;
    assert_eq!(priced["credits"], 0.15);
    for (body, code) in [
        (r#"{"user": "ann", "feature": "ai_field", "quantity": 1}"#, "unpriced"),
        (r#"{"user": "ann", "feature": "ai_field", "credits": 1000000001}"#, "invalid_credits"),
    ] {
        assert_eq!(api.refused("POST", "/w/check", body).await, (422, code.to_owned()));
    }
    assert_eq!(api.refused("GET", "/w/users/ann", "").await.0, 404, "asking names nobody");
}

#[tokio::test]
async fn workspaces_come_in_pages() {
    let api = Office::new();
    let (_, page) = api.get("?limit=2").await;
    assert_eq!(page["items"], json!([{"workspace": "a"}, {"workspace": "b"}]));
    let next = page["next_cursor"].as_str().unwrap();
    let (_, last) = api.get(&format!("?limit=2&cursor={next}")).await;
    assert_eq!((&last["items"], &last["next_cursor"]), (&json!([{"workspace": "c"}]), &json!(null)));
}
