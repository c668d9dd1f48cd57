//! Writes.

use serde_json::json;

use super::Office;

#[tokio::test]
async fn a_plan_is_put_whole() {
    let api = Office::new();
    let plan = r#"{"seats": 70, "credits_per_seat": 0.1, "enforcement": "soft", "thresholds": [90],
                   "carry_over": "none", "anchor_day": 15, "timezone": "Asia/Tokyo"}"#;
    let (status, put) = api.ask("PUT", "/w/plan", plan).await;
    assert_eq!((status, &put["monthly_credits"], &put["kind"]), (200, &json!(7), &json!("plan")));
    assert!(put["effective_from"].is_string() && put["ledger"]["sequence"].is_u64());
    assert_eq!(put["accounts"][0]["account"], "pool");
    assert_eq!(put["accounts"][0]["remaining"], 7);
    let (_, got) = api.get("/w/plan").await;
    for (field, value) in
        [("timezone", json!("Asia/Tokyo")), ("anchor_day", json!(15)), ("enforcement", json!("soft"))]
    {
        assert_eq!(got[field], value, "{field}");
    }
}

#[tokio::test]
async fn a_plan_that_cannot_be_names_what_is_wrong() {
    let api = Office::new();
    for (plan, code) in [
        ("{}", "invalid_plan"),
        (r#"{"monthly_credits": 1, "seats": 1, "credits_per_seat": 1}"#, "invalid_plan"),
        (r#"{"monthly_credits": 1, "seats": 1}"#, "invalid_plan"),
        (r#"{"seats": 1}"#, "invalid_plan"),
        (r#"{"monthly_credits": -1}"#, "invalid_credits"),
        (r#"{"monthly_credits": "1"}"#, "invalid_credits"),
        (r#"{"monthly_credits": 8000000001}"#, "too_many_credits"),
        (r#"{"seats": 4000000000, "credits_per_seat": 8000000000}"#, "too_many_credits"),
        (r#"{"monthly_credits": 1, "timezone": "Mars/Base"}"#, "invalid_timezone"),
        (r#"{"monthly_credits": 1, "anchor_day": 29}"#, "invalid_anchor_day"),
        (r#"{"monthly_credits": 1, "anchor_day": 3000000000}"#, "invalid_anchor_day"),
        (r#"{"monthly_credits": 1, "thresholds": [80, 50]}"#, "invalid_thresholds"),
        (r#"{"monthly_credits": 1, "thresholds": [256]}"#, "invalid_thresholds"),
    ] {
        assert_eq!(api.refused("PUT", "/w/plan", plan).await, (422, code.to_owned()), "{plan}");
    }
    let unknown = r#"{"monthly_credits": 1, "colour": "red"}"#;
    assert_eq!(api.refused("PUT", "/w/plan", unknown).await, (422, "unknown_field".into()));
    assert_eq!(api.get("/w").await.0, 404, "nothing was made");
}

#[tokio::test]
async fn credits_are_exact_in_and_out() {
    for amount in ["0.1", "0.000001", "8000000000"] {
        let api = Office::new();
        let body = format!(r#"{{"monthly_credits": {amount}}}"#);
        let (_, text) = api.raw("PUT", "/w/plan", &body, None).await;
        assert!(text.contains(&format!(r#""remaining":{amount}"#)), "{text}");
        let (_, text) = api.raw("GET", "/w", "", None).await;
        assert!(text.contains(&format!(r#""total":{amount},"#)), "{text}");
    }
}

#[tokio::test]
async fn absent_null_and_none_differ() {
    let api = Office::planned().await;
    let user = |body: &'static str| async {
        let (status, answer) = api.ask("PATCH", "/w/users/ann", body).await;
        assert_eq!(status, 200, "{answer}");
        answer["users"][0].clone()
    };
    let set = user(r#"{"limit": 5, "team": "sales"}"#).await;
    assert_eq!((&set["limit"], &set["own_limit"], &set["team"]), (&json!(5), &json!(5), &json!("sales")));
    let same = user(r#"{"suspended": true}"#).await;
    assert_eq!(
        (&same["limit"], &same["team"], &same["suspended"]),
        (&json!(5), &json!("sales"), &json!(true))
    );
    let none = user(r#"{"limit": "none"}"#).await;
    assert_eq!((&none["limit"], &none["own_limit"]), (&json!(null), &json!("none")));
    let (_, shown) = api.get("/w/users/ann").await;
    assert_eq!((&shown["limit"], &shown["limit_source"]), (&json!(null), &json!("user")));
    let inherits = user(r#"{"limit": null, "team": null}"#).await;
    assert_eq!((&inherits["own_limit"], &inherits["team"]), (&json!(null), &json!(null)));
    let (_, shown) = api.get("/w/users/ann").await;
    assert_eq!(shown["limit_source"], "none");
}

#[tokio::test]
async fn many_users_change_all_or_none() {
    let api = Office::planned().await;
    let many = |n: usize| {
        let users: Vec<_> = (0..n).map(|n| json!({"user": format!("u{n}"), "limit": n})).collect();
        json!({ "users": users }).to_string()
    };
    let invalid = (422, "invalid_users".to_owned());
    assert_eq!(api.refused("PATCH", "/w/users", &many(0)).await, invalid);
    assert_eq!(api.refused("PATCH", "/w/users", &many(1001)).await, invalid);
    let twice = r#"{"users": [{"user": "ann", "limit": 1}, {"user": "ann"}]}"#;
    assert_eq!(api.refused("PATCH", "/w/users", twice).await, invalid);
    let bad = r#"{"users": [{"user": "ann", "limit": 1}, {"user": "bob", "limit": -1}]}"#;
    let (status, body) = api.ask("PATCH", "/w/users", bad).await;
    assert_eq!((status, &body["code"]), (422, &json!("invalid_credits")));
    assert!(body["detail"].as_str().unwrap().contains("users[1]"), "{body}");
    assert_eq!(api.get("/w/users").await.1["items"], json!([]), "none of them");
    let (status, body) = api.ask("PATCH", "/w/users", &many(1000)).await;
    assert_eq!((status, body["users"].as_array().unwrap().len()), (200, 1000));
    assert_eq!(body["kind"], "users");
}

#[tokio::test]
async fn credits_move_and_are_refused_with_what_is_left() {
    let api = Office::planned().await;
    let (status, made) = api.ask("POST", "/w/top-ups", r#"{"credits": 0.5, "reason": "gift"}"#).await;
    assert_eq!((status, &made["accounts"][0]["remaining"]), (201, &json!(1000.5)));
    let (status, made) = api.ask("POST", "/w/grants", r#"{"user": "ann", "credits": 400}"#).await;
    assert_eq!((status, &made["users"][0]["granted"]), (201, &json!(400)));
    let names: Vec<_> = made["accounts"].as_array().unwrap().iter().map(|line| &line["account"]).collect();
    assert_eq!(names, ["pool", "user:ann"]);
    let back = r#"{"from": "user:ann", "to": "pool", "credits": 401}"#;
    let (status, body) = api.ask("POST", "/w/transfers", back).await;
    assert_eq!((status, &body["code"]), (409, &json!("insufficient_credits")));
    assert_eq!(body["remaining"], 400);
    for (body, status, code) in [
        (r#"{"from": "pool", "to": "pool", "credits": 1}"#, 409, "same_account"),
        (r#"{"from": "pool", "to": "cat:x", "credits": 1}"#, 422, "invalid_account"),
        (
            r#"{"from": "pool", "to": "team:x", "credits": 1, "raise_limit": true}"#,
            422,
            "invalid_raise_limit",
        ),
        (r#"{"from": "pool", "to": "team:x", "credits": 0}"#, 422, "invalid_credits"),
    ] {
        assert_eq!(api.refused("POST", "/w/transfers", body).await, (status, code.to_owned()), "{body}");
    }
    assert_eq!(api.refused("POST", "/new/top-ups", r#"{"credits": 1}"#).await, (409, "no_plan".into()));
}

#[tokio::test]
async fn the_same_key_gives_the_same_bytes() {
    let api = Office::planned().await;
    let body = r#"{"user": "ann", "credits": 0.1}"#;
    let first = api.raw("POST", "/w/grants", body, Some("k1")).await;
    api.ask("POST", "/w/grants", body).await;
    assert_eq!(api.raw("POST", "/w/grants", body, Some("k1")).await, first);
    let other = api.raw("POST", "/w/grants", r#"{"user": "ann", "credits": 0.2}"#, Some("k1")).await;
    assert_eq!(other.0, 409);
    assert!(other.1.contains("idempotency_conflict"));
    let (_, ann) = api.get("/w/users/ann").await;
    assert_eq!(ann["granted"], 0.2, "once by the key, once without");
}

#[tokio::test]
async fn an_event_is_reversed_when_the_tables_know_it() {
    let api = Office::planned().await;
    let (status, body) = api.ask("POST", "/w/reversals", r#"{"event_id": "e1", "source": ""}"#).await;
    assert_eq!((status, &body["kind"]), (201, &json!("reversal")));
    let unknown = api.refused("POST", "/w/reversals", r#"{"event_id": "e2", "source": "s"}"#).await;
    assert_eq!(unknown, (404, "unknown_event".into()));
}

#[tokio::test]
async fn a_hold_is_made_settled_and_voided() {
    let api = Office::planned().await;
    let hold = r#"{"user": "ann", "feature": "ai_chat", "credits": 10, "id": "h1"}"#;
    let (status, made) = api.ask("POST", "/w/holds", hold).await;
    assert_eq!((status, &made["id"], &made["held"]), (201, &json!("h1"), &json!(10)));
    assert_eq!(made["expires_at"], "2026-11-24T12:05:00Z");
    let (_, list) = api.get("/w/holds").await;
    assert_eq!((&list["items"][0]["id"], &list["items"][0]["period"]), (&json!("h1"), &json!("2026-11-01")));
    let (status, settled) = api.ask("POST", "/w/holds/h1/settle", r#"{"credits": 12}"#).await;
    assert_eq!((status, &settled["settled"]), (202, &json!(12)));
    assert_eq!(api.refused("DELETE", "/w/holds/h1", "").await, (409, "hold_settled".into()));
    let other = hold.replace("h1", "h2");
    assert_eq!(api.ask("POST", "/w/holds", &other).await.0, 201);
    assert_eq!(api.ask("DELETE", "/w/holds/h2", "").await.0, 200);
    assert_eq!(api.refused("DELETE", "/w/holds/h9", "").await, (404, "unknown_hold".into()));
    let (status, body) =
        api.ask("POST", "/w/holds", r#"{"user": "ann", "feature": "ai_chat", "credits": 1001}"#).await;
    assert_eq!((status, &body["code"]), (402, &json!("insufficient_credits")));
    assert_eq!(body["blocked_by"]["remaining"], 990);
    for ttl in ["0", "86401", "-1", "99999999999"] {
        let body = format!(r#"{{"user": "ann", "feature": "f", "credits": 1, "ttl_seconds": {ttl}}}"#);
        assert_eq!(api.refused("POST", "/w/holds", &body).await, (422, "invalid_ttl_seconds".into()));
    }
}
