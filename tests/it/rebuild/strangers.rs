//! A workspace that a process never met may be known to the ledger all the same, and be lost in Redis: an empty state is
//! believed only when neither the ledger nor the tables know better, and what was decided in it leaves nothing behind.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tollgate::app::Stores;
use tollgate::app::rebuild::Rebuilder;
use tollgate::domain::WorkspaceId;
use tollgate::domain::change::{Author, Change, Plan};
use tollgate::domain::decision::Outcome;
use tollgate::domain::event::{Arrival, Position};
use tollgate::domain::ports::{Ledger as _, Outbox as _};
use tollgate::domain::{Credits, ledger::Effects};
use tollgate::kafka::Message;
use tollgate::pipeline::decide::now;

use super::service::{event, publish};
use crate::ledger::event as usage;
use crate::support::{Api, Installation, forget, rows, until};

fn arrival(workspace: &WorkspaceId, offset: i64) -> Arrival {
    let event = usage(&format!("e{offset}"), workspace.clone(), now());
    Arrival { event: event.into(), position: Position { partition: 0, offset }, timestamp: now() }
}

/// A workspace whose plan, made by another process, is in the ledger topic, and lost in Redis.
async fn lost(it: &Installation) -> WorkspaceId {
    let (ledger, relay) = (&it.stores.ledger, it.stores.relay(&it.settings));
    let acme = WorkspaceId::parse("acme").unwrap();
    let plan = Change::Plan(Plan::monthly(Credits::whole(100)));
    ledger.change(&acme, &plan, &Author::default(), now()).await.unwrap().unwrap();
    relay.relay_now(ledger.shard_of(&acme)).await.unwrap();
    forget(&it.settings.redis.name);
    acme
}

#[tokio::test]
async fn what_the_ledger_knows_is_missed_by_who_never_met_it() {
    let it = Installation::new("strangers", "").await;
    let service = it.serve().await;
    lost(&it).await;
    publish(&it, &(0..40).map(event).collect::<Vec<Message>>()).await;
    until(&it, "SELECT toString(count()) FROM usage_events", "40").await;
    let outcomes = "SELECT outcome, reason, toString(count()) FROM usage_events GROUP BY outcome, reason";
    assert_eq!(rows(&it, outcomes).await, "allowed\t\t40");
    assert!(service.stop(), "{}", it.log());
    it.remove().await;
}

#[tokio::test]
async fn a_check_of_who_never_met_it_is_refused_until_it_is_there() {
    let it = Installation::new("strangers", "").await;
    let service = it.serve().await;
    lost(&it).await;
    let (api, body) = (Api::of(&it), json!({ "user": "ann", "feature": "ai_chat", "credits": 1 }));
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let answer = api.send("POST", "/v1/workspaces/acme/check", &[], Some(&body)).await;
        if answer.status == 200 {
            assert_eq!(answer.json["allowed"], true, "{}", answer.text);
            break;
        }
        assert_eq!(answer.status, 503, "never denied: {}", answer.text);
        assert!(tokio::time::Instant::now() < deadline, "{}", it.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(service.stop(), "{}", it.log());
    it.remove().await;
}

#[tokio::test]
async fn a_command_says_what_to_do_and_makes_no_second_first_entry() {
    let it = Installation::new("strangers", "").await;
    lost(&it).await;
    for line in ["show acme", "plan acme --monthly-credits 5"] {
        let words: Vec<&str> = ["admin"].into_iter().chain(line.split(' ')).collect();
        let output = it.command(&words).output().unwrap();
        let sentence = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && sentence.contains("tollgate rebuild --workspace acme"),
            "{sentence}"
        );
    }
    let rebuilt = it.command(&["rebuild", "--workspace", "acme"]).output().unwrap();
    assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    let shown = it.command(&["admin", "show", "acme", "--json"]).output().unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((&shown["plan"]["monthly_credits"], &shown["total"]), (&json!(100), &json!(100)), "{shown}");
    it.remove().await;
}

#[tokio::test]
async fn what_was_decided_in_an_empty_state_leaves_nothing_in_the_books() {
    let it = Installation::new("strangers", "").await;
    let rebuilder = Rebuilder::new(&it.stores, &it.settings, Arc::new(it.stores.relay(&it.settings)));
    let (ledger, acme) = (&it.stores.ledger, lost(&it).await);
    // Whoever decides here has not met it, and what he decides is told nobody.
    let stranger = Stores::new(&it.settings).unwrap().ledger;
    let denied = stranger.decide(&[arrival(&acme, 0)], &[], now()).await.unwrap();
    assert_eq!(denied.decisions[0].verdict.outcome, Outcome::Denied);
    rebuilder.rebuild(&[acme.clone()].into(), &|_, _, _| (), &|_| ()).await.unwrap();
    let Effects { decisions, rollups, .. } = ledger.decide(&[arrival(&acme, 0)], &[], now()).await.unwrap();
    assert_eq!(decisions[0].verdict.outcome, Outcome::Allowed);
    assert_eq!((rollups[0].totals.events, rollups[0].totals.denied_events), (1, 0));
    it.remove().await;
}
