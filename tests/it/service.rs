//! The program as its users run it: what it does at the start and the end, and what its page says.

use std::process::Output;
use std::time::Duration;

use rdkafka::Message as _;
use serde_json::json;
use tollgate::domain::{Credits, WorkspaceId};
use tollgate::kafka::Message;

use crate::support::{Installation, read_to_end, rows};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run(installation: &Installation, arguments: &[&str]) -> Output {
    installation.command(arguments).output().unwrap()
}

fn event(workspace: &str, id: &str, credits: &str) -> Message {
    let payload = format!(
        r#"{{"id":"{id}","workspace":"{workspace}","user":"ann","feature":"ai_chat","credits":{credits}}}"#
    );
    Message { key: Some(workspace.into()), payload: Some(payload.into_bytes()), headers: Vec::new() }
}

#[tokio::test]
async fn an_unmigrated_store_is_refused_with_what_to_do() {
    let installation = Installation::unmigrated("unmigrated", "");
    let output = run(&installation, &["serve"]);
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("tollgate migrate"), "{}", text(&output.stderr));
}

#[tokio::test]
async fn an_event_is_decided_recorded_committed_and_counted() {
    let installation = Installation::new("service", "").await;
    let workspace = WorkspaceId::parse("acme").unwrap();
    let plan = ["admin", "plan", "acme", "--monthly-credits", "10", "--default-user-limit", "3"];
    let output = run(&installation, &plan);
    assert!(output.status.success(), "{}", text(&output.stderr));

    let service = installation.serve().await;
    let topic = &installation.settings.kafka.topics.events;
    let events = [
        event("acme", "1", "2.5"),
        event("acme", "1", "2.5"),
        event("acme", "2", "1"),
        event("acme", "3", "x"),
    ];
    installation.stores.producer.publish(topic, &events).await.unwrap();

    let period = installation.stores.ledger.workspace(&workspace, &[]).await.unwrap().unwrap();
    let period = period.calendar.period_of(tollgate::pipeline::decide::now()).name;
    let tables = &installation.stores.tables;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let months = tables.monthly(&workspace).await.unwrap();
        if months.first().is_some_and(|row| row.events == 1 && row.denied_events == 1) {
            assert_eq!(months[0].credits, Credits::from_micro(2_500_000));
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{months:?} {}", installation.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let balances = tables.balances(&workspace, period).await.unwrap();
    let pool = balances.iter().find(|balance| balance.account.to_string() == "pool").unwrap();
    assert_eq!(pool.remaining(), Credits::from_micro(7_500_000));

    let page = service.get("/metrics").await.unwrap();
    for line in [
        r#"tollgate_events_total{outcome="allowed"} 1"#,
        r#"tollgate_events_total{outcome="denied"} 1"#,
        r#"tollgate_events_total{outcome="duplicate"} 1"#,
        r#"tollgate_denied_total{reason="user_limit"} 1"#,
        r#"tollgate_rejected_total{reason="malformed_json"} 1"#,
        r#"tollgate_pool_remaining_credits{workspace="acme"} 7.5"#,
        r#"tollgate_pool_remaining_ratio{workspace="acme"} 0.75"#,
    ] {
        assert!(page.contains(line), "{line} in {page}");
    }
    assert!(service.stop(), "{}", installation.log());

    let shown = run(&installation, &["admin", "show", "acme", "--json"]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["remaining"], json!(7.5));
    assert_eq!(shown["users"][0]["remaining"], json!(0.5));
    let refused = run(&installation, &["admin", "grant", "acme", "ann", "8"]);
    assert!(!refused.status.success());
    assert!(text(&refused.stderr).contains("7.5 credits left, 8 are needed"), "{}", text(&refused.stderr));

    installation.remove().await;
}

#[tokio::test]
async fn every_change_is_in_the_ledger_once_and_a_refused_one_is_not() {
    let installation = Installation::new("ledger", "").await;
    assert!(run(&installation, &["admin", "plan", "acme", "--monthly-credits", "10"]).status.success());
    assert!(!run(&installation, &["admin", "grant", "acme", "ann", "11"]).status.success());
    assert!(
        run(&installation, &["admin", "grant", "acme", "ann", "2", "--reason", "launch"]).status.success()
    );
    let entries = read_to_end(&installation, &installation.settings.kafka.topics.ledger, 3).await;
    let entries: Vec<serde_json::Value> =
        entries.iter().map(|entry| serde_json::from_slice(entry.payload().unwrap()).unwrap()).collect();
    let told: Vec<_> =
        entries.iter().map(|entry| (&entry["sequence"], entry["kind"].as_str().unwrap())).collect();
    assert_eq!(told, [(&json!(1), "opening"), (&json!(2), "plan"), (&json!(3), "grant")]);
    let (opening, grant) = (&entries[0], &entries[2]);
    assert_eq!(
        opening["postings"],
        json!([{ "account": "pool", "period": opening["period"], "credits": 10 }])
    );
    assert_eq!((&grant["actor"], &grant["reason"]), (&json!("local"), &json!("launch")));
    assert_eq!(grant["postings"][0]["credits"], json!(-2));
    assert_eq!(grant["postings"][1]["account"], json!("user:ann"));
    let rows =
        rows(&installation, "SELECT toString(sequence), kind FROM credit_ledger ORDER BY sequence").await;
    assert_eq!(rows, "1\topening\n2\tplan\n3\tgrant");
    installation.remove().await;
}
