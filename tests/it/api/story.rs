//! What users asked for, sentence by sentence, through the public API alone: the figures that
//! administrators want to see, limits, the shared pool, and changes in mid-cycle.

use serde_json::{Value, json};

use crate::support::{Api, Installation};

/// 70 people with 5,000 credits each, some of whom work.
struct Workspace {
    api: Api,
    events: usize,
}

impl Workspace {
    async fn opened(api: Api) -> Self {
        let plan = json!({"seats": 70, "credits_per_seat": 5000, "default_user_limit": 5000});
        let plan = api.write("PUT", "/v1/workspaces/acme/plan", plan).await;
        assert_eq!(plan["kind"], "plan", "{plan}");
        Self { api, events: 0 }
    }

    /// Publishes one event, and waits until it counts.
    async fn spend(&mut self, user: &str, feature: &str, credits: f64) {
        self.events += 1;
        let id = format!("call-{}", self.events);
        let event =
            json!({"id": id, "workspace": "acme", "user": user, "feature": feature, "credits": credits});
        self.api.write("POST", "/v1/events", event).await;
        let path = format!("/v1/workspaces/acme/events?user={user}&limit=1");
        self.api.until(&path, "the event is decided", |list| list["items"][0]["event_id"] == json!(id)).await;
    }

    async fn whole(&self) -> Value {
        self.api.get("/v1/workspaces/acme").await
    }

    async fn user(&self, user: &str) -> Value {
        self.api.get(&format!("/v1/workspaces/acme/users/{user}")).await
    }

    async fn ranking(&self, sort: &str) -> Vec<String> {
        let list = self.api.get(&format!("/v1/workspaces/acme/users?sort={sort}")).await;
        list["items"].as_array().unwrap().iter().map(|user| user["user"].as_str().unwrap().into()).collect()
    }

    async fn outcome(&self, user: &str) -> Value {
        let list = self.api.get(&format!("/v1/workspaces/acme/events?user={user}&limit=1")).await;
        list["items"][0].clone()
    }
}

fn n(value: &Value, field: &str) -> f64 {
    value[field].as_f64().unwrap_or_else(|| panic!("{field} in {value}"))
}

#[tokio::test]
async fn what_users_asked_for_sentence_by_sentence() {
    let installation = Installation::new("story", "").await;
    let service = installation.serve().await;
    let mut acme = Workspace::opened(Api::of(&installation)).await;

    // "The total AI credits available in the workspace", "the remaining credits for the current month".
    let whole = acme.whole().await;
    assert_eq!((n(&whole, "total"), n(&whole, "remaining")), (350_000.0, 350_000.0));
    assert_eq!(whole["resets_at"], whole["period"]["end"]);

    per_user_limits(&mut acme).await;
    a_dashboard(&mut acme).await;
    a_shared_pool(&mut acme).await;
    mid_cycle(&mut acme).await;

    assert!(service.stop(), "{}", installation.log());
    installation.remove().await;
}

/// "Set individual monthly limits: user 1 1,000 credits, user 2 10,000, user 3 2,500."
async fn per_user_limits(acme: &mut Workspace) {
    let users = json!({"users": [
        {"user": "user-1", "limit": 1000}, {"user": "user-2", "limit": 10_000}, {"user": "user-3", "limit": 2500},
    ]});
    acme.api.write("PATCH", "/v1/workspaces/acme/users", users).await;
    let (one, four) =
        (acme.user("user-1").await, acme.api.send("GET", "/v1/workspaces/acme/users/user-4", &[], None));
    assert_eq!((n(&one, "limit"), &one["limit_source"]), (1000.0, &json!("user")));
    assert_eq!(four.await.json["code"], "unknown_user", "a read creates nobody");
    acme.spend("user-4", "ai_field", 10.0).await;
    let four = acme.user("user-4").await;
    assert_eq!((n(&four, "limit"), &four["limit_source"]), (5000.0, &json!("workspace")));
}

/// Consumption per user, trends by user and month, most and least, features, forecast.
async fn a_dashboard(acme: &mut Workspace) {
    acme.spend("user-1", "ai_agent", 300.0).await;
    acme.spend("user-2", "image_generation", 1000.0).await;
    acme.spend("user-2", "ai_chat", 2.5).await;
    let whole = acme.whole().await;
    assert_eq!((n(&whole, "used"), n(&whole, "remaining")), (1312.5, 348_687.5));
    assert_eq!(acme.ranking("-used").await[..3], ["user-2", "user-1", "user-4"]);
    assert_eq!(acme.ranking("used").await[..2], ["user-3", "user-4"], "the idle are listed too");
    assert_eq!(
        acme.ranking("-utilization").await[0],
        "user-1",
        "300 of 1,000 is more than 1,002.5 of 10,000"
    );

    let month = "/v1/workspaces/acme/usage?group_by=user,month";
    let usage = acme
        .api
        .until(month, "usage by user and month", |usage| usage["items"].as_array().unwrap().len() == 3)
        .await;
    let rows = usage["items"].as_array().unwrap();
    assert_eq!(rows[1]["user"], "user-2");
    assert_eq!((n(&rows[1], "credits"), n(&rows[1], "events")), (1002.5, 2.0));
    let period = acme.whole().await["period"]["name"].clone();
    assert_eq!(rows[1]["month"], period);
    let csv = acme.api.send("GET", month, &[("Accept", "text/csv")], None).await;
    assert!(csv.text.lines().any(|line| line.contains("user-2") && line.contains("1002.5")), "{}", csv.text);

    let features = acme.api.get("/v1/workspaces/acme/features").await;
    let features = features["items"].as_array().unwrap();
    let image = features.iter().find(|feature| feature["feature"] == "image_generation").unwrap();
    assert_eq!(n(image, "used"), 1000.0);
    let forecast = acme.api.get("/v1/workspaces/acme/forecast").await;
    assert!(forecast["pool"]["method"].is_string(), "{forecast}");
}

/// View the pool, allocate, reallocate what is unused, reserve for a department, consumed and remaining.
async fn a_shared_pool(acme: &mut Workspace) {
    let transfer = json!({"from": "pool", "to": "user:user-1", "credits": 5000});
    acme.api.write("POST", "/v1/workspaces/acme/transfers", transfer).await;
    let whole = acme.whole().await;
    assert_eq!((n(&whole, "allocated_to_users"), n(&whole, "pool_remaining")), (5000.0, 343_687.5));
    assert_eq!(n(&whole, "remaining"), 348_687.5, "allocating creates and loses nothing");

    let transfer = json!({"from": "user:user-1", "to": "user:user-3", "credits": 4000});
    acme.api.write("POST", "/v1/workspaces/acme/transfers", transfer).await;
    let three = acme.user("user-3").await;
    assert_eq!(n(&three["allocation"], "remaining"), 4000.0);
    let much = json!({"from": "user:user-1", "to": "pool", "credits": 1001});
    let problem =
        acme.api.refused("POST", "/v1/workspaces/acme/transfers", much, (409, "insufficient_credits")).await;
    assert_eq!(n(&problem, "remaining"), 1000.0, "at most what the source has left");
    let capped = json!({"from": "user:user-2", "to": "pool", "credits": 1});
    let problem = acme
        .api
        .refused("POST", "/v1/workspaces/acme/transfers", capped, (409, "insufficient_credits"))
        .await;
    assert!(problem["detail"].as_str().unwrap().contains("no credits of its own"), "{problem}");

    let team = json!({"monthly_reserve": 20_000, "apply_now": true});
    acme.api.write("PUT", "/v1/workspaces/acme/teams/design", team).await;
    acme.api.write("PATCH", "/v1/workspaces/acme/users/user-5", json!({"team": "design"})).await;
    acme.spend("user-5", "image_generation", 100.0).await;
    let team = acme.api.get("/v1/workspaces/acme/teams/design").await;
    assert_eq!(n(&team["account"], "remaining"), 19_900.0, "a member draws on the reserve first: {team}");
    let whole = acme.whole().await;
    assert_eq!((n(&whole, "reserved_for_teams"), n(&whole, "pool_remaining")), (20_000.0, 323_687.5));
}

/// Raise, lower, and a grant of 2,000 out of the remaining pool, refused when it is short and by how much.
async fn mid_cycle(acme: &mut Workspace) {
    acme.spend("user-1", "ai_agent", 700.0).await;
    acme.spend("user-1", "ai_agent", 1.0).await;
    let denied = acme.outcome("user-1").await;
    assert_eq!((&denied["outcome"], &denied["reason"]), (&json!("denied"), &json!("user_limit")));
    let blocked = &denied["blocked_by"];
    assert_eq!((&blocked["level"], &blocked["id"]), (&json!("user"), &json!("user-1")));
    assert_eq!((n(blocked, "limit"), n(blocked, "used"), n(blocked, "remaining")), (1000.0, 1000.0, 0.0));

    let grant = json!({"user": "user-1", "credits": 2000, "reason": "launch week"});
    acme.api.write("POST", "/v1/workspaces/acme/grants", grant).await;
    let one = acme.user("user-1").await;
    assert_eq!((n(&one, "limit"), n(&one, "granted"), n(&one, "remaining")), (3000.0, 2000.0, 2000.0));
    acme.spend("user-1", "ai_agent", 2000.0).await;
    assert_eq!(acme.outcome("user-1").await["outcome"], "allowed");
    let check = json!({"user": "user-1", "feature": "ai_chat", "credits": 0.000_001});
    let check = acme.api.write("POST", "/v1/workspaces/acme/check", check).await;
    assert_eq!((&check["allowed"], &check["reason"]), (&json!(false), &json!("user_limit")));

    let pool = n(&acme.whole().await, "pool_remaining");
    let much = json!({"user": "user-1", "credits": pool + 1.0});
    let problem =
        acme.api.refused("POST", "/v1/workspaces/acme/grants", much, (409, "insufficient_credits")).await;
    assert_eq!(n(&problem, "remaining"), pool);

    acme.api.write("PATCH", "/v1/workspaces/acme/users/user-2", json!({"limit": 500})).await;
    acme.spend("user-2", "ai_chat", 1.0).await;
    assert_eq!(acme.outcome("user-2").await["reason"], "user_limit", "lowered below what is spent");
    assert_eq!(n(&acme.user("user-2").await, "used"), 1002.5, "and nothing is clawed back");
    acme.api.write("PATCH", "/v1/workspaces/acme/users/user-2", json!({"limit": 2000})).await;
    acme.spend("user-2", "ai_chat", 1.0).await;
    assert_eq!(acme.outcome("user-2").await["outcome"], "allowed", "raised, effective on the next event");

    let ledger =
        acme.api.until("/v1/workspaces/acme/ledger?kind=grant", "the grant is in the ledger", |ledger| {
            ledger["items"].as_array().unwrap().len() == 1
        });
    let entry = ledger.await["items"][0].clone();
    assert_eq!((&entry["actor"], &entry["reason"]), (&json!("local"), &json!("launch week")));
}
