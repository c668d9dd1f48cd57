//! A workspace of many people, each with a standing amount.

use serde_json::{Value, json};

use crate::support::{Api, Installation};

const USERS: usize = 20_000;

/// The opening is one entry of the ledger, larger than other messages may be.
#[tokio::test]
async fn a_period_opens_for_twenty_thousand_standing_amounts() {
    let installation = Installation::new("allocations", "").await;
    let service = installation.serve().await;
    let api = Api::of(&installation);
    for from in (0..USERS).step_by(1000) {
        let user =
            |n: usize| json!({"user": format!("somebody-with-a-name-{n:05}"), "monthly_allocation": 3});
        let users: Vec<Value> = (from..from + 1000).map(user).collect();
        api.write("PATCH", "/v1/workspaces/acme/users", json!({ "users": users })).await;
    }
    api.write("PUT", "/v1/workspaces/acme/plan", json!({"monthly_credits": 100_000})).await;
    let begun = std::time::Instant::now();
    api.write("POST", "/v1/workspaces/acme/top-ups", json!({"credits": 1})).await;
    println!("{USERS} standing amounts moved and published in {:?}", begun.elapsed());
    let pool = api.get("/v1/workspaces/acme").await;
    assert_eq!((&pool["total"], &pool["pool_remaining"]), (&json!(100_001), &json!(40_001)), "{pool}");
    let user = api.get("/v1/workspaces/acme/users/somebody-with-a-name-19999").await;
    assert_eq!(user["remaining"], json!(3), "{user}");
    let entries = api
        .until("/v1/workspaces/acme/ledger?kind=opening", "the opening in the ledger", |page| {
            page["items"].as_array().is_some_and(|all| !all.is_empty())
        })
        .await;
    let postings = entries["items"][0]["postings"].as_array().unwrap();
    assert_eq!(postings.len(), USERS + 2, "plan, each user, and once what leaves the pool");
    let sum: f64 = postings.iter().map(|posting| posting["credits"].as_f64().unwrap()).sum();
    assert_eq!(sum, 100_000.0);
    assert!(service.stop());
}
