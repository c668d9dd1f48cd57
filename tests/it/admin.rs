//! `tollgate admin` as people and scripts use it: one path through every write and read.

use std::io::Write as _;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tollgate::kafka::Message;

use crate::support::Installation;

/// Runs `tollgate admin` with the words of a line.
fn run(installation: &Installation, line: &str) -> Output {
    let words: Vec<&str> = ["admin"].into_iter().chain(line.split_whitespace()).collect();
    installation.command(&words).output().unwrap()
}

/// What people see of a command that does its work.
fn told(installation: &Installation, line: &str) -> String {
    let output = run(installation, line);
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What scripts see of it: one JSON value and nothing else.
fn json_of(installation: &Installation, line: &str) -> Value {
    let text = told(installation, &format!("{line} --json"));
    serde_json::from_str(&text).unwrap_or_else(|fault| panic!("{line}: {fault}: {text}"))
}

/// What people are told when it is refused, and the problem that scripts get.
fn refused(installation: &Installation, line: &str) -> (String, Value) {
    let output = run(installation, line);
    assert_eq!(output.status.code(), Some(1), "{line}");
    assert!(output.stdout.is_empty(), "{line}");
    let sentence = String::from_utf8(output.stderr).unwrap();
    let output = run(installation, &format!("{line} --json"));
    assert_eq!(output.status.code(), Some(1), "{line}");
    (sentence, serde_json::from_slice(&output.stdout).unwrap())
}

fn assert_told(installation: &Installation, line: &str, parts: &[&str]) {
    let text = told(installation, line);
    for part in parts {
        assert!(text.contains(part), "{line}: {part:?} in {text}");
    }
}

/// Gives standard input to a command.
fn fed(installation: &Installation, line: &str, input: &str) -> Output {
    let words: Vec<&str> = ["admin"].into_iter().chain(line.split_whitespace()).collect();
    let mut command = installation.command(&words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn event(id: &str, user: &str, credits: u32) -> Message {
    let payload = format!(
        r#"{{"id":"{id}","workspace":"acme","user":"{user}","feature":"ai_chat","credits":{credits}}}"#
    );
    Message { key: Some("acme".into()), payload: Some(payload.into_bytes()), headers: Vec::new() }
}

/// Asks until a list has so many items.
async fn items(installation: &Installation, line: &str, count: usize) -> Vec<Value> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let answer = json_of(installation, line);
        let items = answer["items"].as_array().unwrap().clone();
        if items.len() == count {
            return items;
        }
        assert!(tokio::time::Instant::now() < deadline, "{line}: {answer} {}", installation.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn settings_and_movements_are_told_before_and_after() {
    let it = Installation::new("admin-writes", "").await;
    let (sentence, problem) = refused(&it, "show acme");
    assert!(sentence.contains("never seen"), "{sentence}");
    assert_eq!((&problem["code"], &problem["status"]), (&json!("unknown_workspace"), &json!(404)));
    let (sentence, problem) = refused(&it, "top-up acme 5");
    assert!(sentence.contains("admin plan"), "{sentence}");
    assert_eq!(problem["code"], "no_plan");

    let plan = "plan acme --seats 10 --credits-per-seat 100 --default-user-limit 300";
    assert_told(&it, plan, &["credits a period 0 -> 1000 (10 x 100)", "pool 0 -> 1000"]);
    let written =
        json_of(&it, "plan acme --monthly-credits 2000 --default-user-limit 300 --thresholds 50,90");
    assert_eq!((&written["kind"], &written["monthly_credits"]), (&json!("plan"), &json!(2000)));
    assert_eq!((&written["seats"], &written["thresholds"]), (&Value::Null, &json!([50, 90])));
    assert_eq!(written["accounts"][0]["remaining"], 2000);

    assert_told(
        &it,
        "user acme ann --limit 50 --team red",
        &["limit 300 -> 50", "team - -> red", "next event"],
    );
    let written = json_of(&it, "user acme bob --monthly-allocation 40 --apply-now");
    assert_eq!(written["users"][0]["allocation"]["remaining"], 40);
    assert_told(&it, "user acme bob --suspended", &["suspended false -> true"]);
    assert_told(&it, "user acme bob --suspended false", &["suspended true -> false"]);
    assert_told(
        &it,
        "team acme red --monthly-reserve 100 --apply-now --default-user-limit 9",
        &["monthly reserve 0 -> 100", "pool 1960 -> 1860", "team:red 0 -> 100"],
    );
    assert_told(&it, "feature acme ai_chat --limit 500", &["limit over all users none -> 500"]);
    assert_told(&it, "top-up acme 140", &["pool 1860 -> 2000"]);
    assert_told(
        &it,
        "grant acme ann 20 --reason launch",
        &["pool 2000 -> 1980", "user:ann 0 -> 20", "limit 50 -> 70"],
    );
    assert_told(&it, "transfer acme pool user:ann 5 --raise-limit", &["user:ann 20 -> 25", "limit 70 -> 75"]);
    let (sentence, problem) = refused(&it, "grant acme ann 5000");
    assert!(
        sentence.contains("1975 credits left, 5000 are needed") && sentence.contains("top-up"),
        "{sentence}"
    );
    assert_eq!((&problem["code"], &problem["remaining"]), (&json!("insufficient_credits"), &json!(1975)));
    assert_eq!(refused(&it, "transfer acme pool team:red 1 --raise-limit").1["code"], "invalid_raise_limit");

    let first = json_of(&it, "top-up acme 1 --idempotency-key k-1");
    assert_eq!(json_of(&it, "top-up acme 1 --idempotency-key k-1"), first);
    assert_told(&it, "top-up acme 1 --idempotency-key k-1", &["Nothing new"]);
    assert_eq!(refused(&it, "top-up acme 2 --idempotency-key k-1").1["code"], "idempotency_conflict");

    let output = fed(&it, "users acme --file -", "user,limit,team\ncat,10,red\ndan,none,\n");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("2 users of acme changed (cat, dan)"));
    let output = fed(&it, "users acme --file - --json", r#"[{"user": "eve", "limit": 1}, {"user": "eve"}]"#);
    assert_eq!(output.status.code(), Some(1));
    let problem: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(problem["code"], "invalid_users");

    reads_of_balances(&it);
    it.remove().await;
}

fn reads_of_balances(it: &Installation) {
    assert_told(it, "workspaces", &["acme", "2141"]);
    assert_eq!(json_of(it, "workspaces")["items"], json!([{ "workspace": "acme" }]));
    assert_told(it, "show acme", &["plan: 2000 credits a period", "bob", "red", "ai_chat"]);
    let shown = json_of(it, "show acme");
    assert_eq!((&shown["total"], &shown["plan"]["default_user_limit"]), (&json!(2141), &json!(300)));
    assert_eq!(shown["users"].as_array().unwrap().len(), 4);
    assert_eq!(shown["forecast"]["total"], 2141);

    assert_told(it, "users acme --limit 1", &["the first 1 users", "--all"]);
    let page = json_of(it, "users acme --sort user --limit 3");
    assert_eq!((&page["items"][0]["user"], &page["items"][2]["user"]), (&json!("ann"), &json!("cat")));
    let rest = format!("users acme --sort user --cursor {}", page["next_cursor"].as_str().unwrap());
    assert_eq!(json_of(it, &rest)["items"][0]["user"], "dan");
    assert_eq!(refused(it, &rest.replace("--sort user", "--sort used")).1["code"], "invalid_cursor");
    let members = json_of(it, "users acme --team red --q AN");
    assert_eq!(members["items"].as_array().unwrap().len(), 1);
    assert_eq!(members["items"][0]["limit_source"], "user");
    assert_told(it, "user acme ann", &["granted", "25", "75", "base, set by the"]);
    assert_eq!(json_of(it, "user acme dan")["limit"], Value::Null);
    assert_eq!(refused(it, "user acme nobody").1["code"], "unknown_user");

    assert_told(it, "teams acme", &["red", "100"]);
    assert_eq!(json_of(it, "teams acme")["items"][0]["members"], 2);
    assert_told(it, "team acme red", &["members: ann, cat"]);
    assert_eq!(json_of(it, "team acme red")["users"], json!(["ann", "cat"]));
    assert_eq!(refused(it, "team acme blue").1["code"], "unknown_team");
    assert_told(it, "features acme", &["ai_chat", "500"]);
    assert_told(it, "feature acme ai_field", &["ai_field"]);
    assert_eq!(json_of(it, "feature acme ai_chat")["limit"], 500);

    assert_told(it, "ledger acme", &["launch", "pool -20, user:ann +20", "opening"]);
    let grants = json_of(it, "ledger acme --kind grant --account user:ann");
    assert_eq!((&grants["items"][0]["actor"], &grants["next_cursor"]), (&json!("local"), &Value::Null));
    let all = json_of(it, "ledger acme --all");
    let count = all["items"].as_array().unwrap().len();
    let page = json_of(it, "ledger acme --limit 3");
    let rest = format!("ledger acme --cursor {}", page["next_cursor"].as_str().unwrap());
    assert_eq!(json_of(it, &rest)["items"].as_array().unwrap().len(), count - 3);
}

#[tokio::test]
async fn usage_holds_and_reversals_are_told() {
    let it = Installation::new("admin-usage", "").await;
    told(&it, "plan acme --monthly-credits 100 --default-user-limit 50");
    let service = it.serve().await;
    let topic = &it.settings.kafka.topics.events;
    let events = [event("1", "ann", 30), event("2", "ann", 40), event("3", "bob", 7)];
    it.stores.producer.publish(topic, &events).await.unwrap();
    items(&it, "events acme", 3).await;

    assert_told(&it, "events acme", &["user_limit", "denied", "allowed", "ai_chat"]);
    let denied = items(&it, "events acme --user ann --outcome denied", 1).await;
    assert_eq!((&denied[0]["event_id"], &denied[0]["blocked_by"]["level"]), (&json!("2"), &json!("user")));
    assert_told(&it, "usage acme --group-by user,day", &["user", "day", "credits", "denied_events", "30"]);
    let rows = items(&it, "usage acme --group-by user", 2).await;
    assert_eq!((&rows[0]["user"], &rows[0]["credits"]), (&json!("ann"), &json!(30)));
    assert_eq!(refused(&it, "usage acme --group-by user,user").1["code"], "invalid_parameter");
    assert_told(&it, "alerts acme", &["crossed", "ann", "50 %"]);
    let alerts = items(&it, "alerts acme --scope user", 1).await;
    assert_eq!((&alerts[0]["threshold"], &alerts[0]["ratio"]), (&json!(50), &json!(0.6)));
    assert_told(&it, "forecast acme", &["the whole workspace", "user:ann", "37"]);
    let forecast = json_of(&it, "forecast acme");
    assert_eq!(forecast["user_count"], 2);
    assert_eq!((&forecast["pool"]["used"], &forecast["users"][0]["user"]), (&json!(37), &json!("ann")));

    assert_told(&it, "check acme ann ai_chat 20", &["Yes: 20 credits of ann on ai_chat would pass"]);
    assert_told(&it, "check acme ann ai_chat 21", &["No:", "user_limit of ann: limit 50, used 30"]);
    assert_eq!(json_of(&it, "check acme ann ai_chat 21")["blocked_by"]["remaining"], 20);
    assert_eq!(refused(&it, "check acme ann ai_chat").1["code"], "unpriced");

    assert_told(&it, "hold acme ann ai_chat 10 --id h-1", &["Hold h-1 sets 10 credits aside", "until"]);
    assert_told(&it, "holds acme", &["h-1", "open"]);
    let held = json_of(&it, "hold acme bob ai_chat 5 --ttl-seconds 600 --idempotency-key h");
    assert_eq!(json_of(&it, "hold acme bob ai_chat 5 --ttl-seconds 600 --idempotency-key h"), held);
    assert_eq!(items(&it, "holds acme --user bob", 1).await[0]["id"], held["id"]);
    let (sentence, problem) = refused(&it, "hold acme ann ai_chat 11");
    assert!(sentence.contains("admin grant"), "{sentence}");
    assert_eq!((&problem["code"], &problem["blocked_by"]["held"]), (&json!("user_limit"), &json!(10)));
    assert_told(&it, "settle acme h-1 12", &["settled with 12 credits"]);
    let void = format!("void acme {}", held["id"].as_str().unwrap());
    assert_eq!(json_of(&it, &void)["state"], "voided");
    assert_told(&it, &void, &["is voided"]);
    assert_eq!(refused(&it, "void acme nothing").1["code"], "unknown_hold");

    items(&it, "events acme --user ann --outcome allowed", 2).await;
    let reversed = json_of(&it, "reverse acme 1 --reason mistake --idempotency-key r");
    assert_eq!(
        (&reversed["kind"], &reversed["accounts"][0]["account"]),
        (&json!("reversal"), &json!("pool"))
    );
    assert_eq!(json_of(&it, "reverse acme 1 --reason mistake --idempotency-key r"), reversed);
    assert_told(&it, "reverse acme 3", &["its 7 credits went back", "pool 81 -> 88"]);
    assert_eq!(refused(&it, "reverse acme 1").1["code"], "already_reversed");
    assert_eq!(refused(&it, "reverse acme 2").1["code"], "nothing_to_reverse");
    let (sentence, problem) = refused(&it, "reverse acme 9");
    assert!(sentence.contains("admin events"), "{sentence}");
    assert_eq!(problem["code"], "unknown_event");
    assert!(service.stop(), "{}", it.log());
    it.remove().await;
}
