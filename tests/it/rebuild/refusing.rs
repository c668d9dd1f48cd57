//! Half a state is no state: whoever asks is refused until the head is there, and nobody else is.

use tollgate::domain::change::{Author, Change, IdempotencyKey, Plan};
use tollgate::domain::event::{Arrival, Position};
use tollgate::domain::hold::{HoldRequest, Wish};
use tollgate::domain::ports::{Ledger as _, Outbox as _};
use tollgate::domain::{Credits, FeatureId, HoldId, UserId, WorkspaceId};
use tollgate::pipeline::decide::now;
use tollgate::redis::{RedisError, RedisLedger};

use crate::ledger::event;
use crate::support::{Name, forget, ledger};

fn id(name: &str) -> WorkspaceId {
    WorkspaceId::parse(name).unwrap()
}

fn arrival(workspace: &WorkspaceId, offset: i64) -> Arrival {
    let event = event(&format!("e{offset}"), workspace.clone(), now());
    Arrival { event: event.into(), position: Position { partition: 0, offset }, timestamp: now() }
}

async fn planned(ledger: &RedisLedger, workspace: &WorkspaceId) {
    let plan = Change::Plan(Plan::monthly(Credits::whole(100)));
    ledger.change(workspace, &plan, &Author::default(), now()).await.unwrap().unwrap();
}

fn refused<T: std::fmt::Debug>(answer: Result<T, RedisError>, workspace: &WorkspaceId) {
    match answer {
        Err(RedisError::NeedsRebuild(named)) => assert_eq!(named, workspace.as_str()),
        other => panic!("{other:?} of a workspace that is being rebuilt"),
    }
}

#[tokio::test]
async fn a_workspace_that_is_being_rebuilt_refuses_everything_and_its_neighbours_nothing() {
    let name = Name::new("refusing");
    let ledger = ledger(&name, 100);
    let lost = id("lost");
    let neighbours: Vec<WorkspaceId> = (0..20).map(|n| id(&format!("other-{n}"))).collect();
    let same = |other: &&WorkspaceId| ledger.shard_of(other) == ledger.shard_of(&lost);
    let neighbour = neighbours.iter().find(same).unwrap();
    planned(&ledger, &lost).await;
    planned(&ledger, neighbour).await;
    ledger.decide(&[arrival(&lost, 1), arrival(neighbour, 2)], &[], now()).await.unwrap();

    let had = ledger.stop(&lost, &[]).await.unwrap();
    assert_eq!(had, (1, Some([(0, 1)].into())), "epoch and fences");
    // Whoever has seen it, and whoever has not.
    for ledger in [&ledger, &crate::support::ledger(&name, 100)] {
        refused(ledger.decide(&[arrival(&lost, 3)], &[], now()).await, &lost);
        let change = Change::TopUp { credits: Credits::whole(1) };
        refused(ledger.change(&lost, &change, &Author::default(), now()).await, &lost);
        let wish = Wish {
            user: UserId::parse("ann").unwrap(),
            feature: FeatureId::parse("ai_chat").unwrap(),
            credits: Credits::whole(1),
        };
        refused(ledger.check(&lost, &wish, now()).await, &lost);
        let hold = HoldRequest::Make { hold: HoldId::parse("h").unwrap(), wish, ttl_seconds: 300 };
        refused(ledger.hold(&lost, &hold, &Author::default(), now()).await, &lost);
        refused(ledger.workspace(&lost, &[]).await, &lost);
    }
    let effects = ledger.decide(&[arrival(neighbour, 4)], &[], now()).await.unwrap();
    assert_eq!(effects.decisions.len(), 1);
}

#[tokio::test]
async fn whoever_was_told_how_far_a_workspace_had_come_takes_no_less() {
    let name = Name::new("refusing");
    let ledger = ledger(&name, 100);
    let workspace = id("acme");
    let expected = [(workspace.clone(), (1, 7))].into();
    let behind = ledger.expect(&expected).await.unwrap();
    assert_eq!(behind, [(workspace.clone(), 0)].into(), "it is not there at all");
    refused(ledger.decide(&[arrival(&workspace, 1)], &[], now()).await, &workspace);
    refused(
        ledger
            .change(&workspace, &Change::Plan(Plan::monthly(Credits::whole(1))), &Author::default(), now())
            .await,
        &workspace,
    );
    refused(ledger.workspace(&workspace, &[]).await, &workspace);
}

#[tokio::test]
async fn an_entry_stands_until_redis_loses_it_and_an_answer_that_is_kept_speaks_for_it() {
    let name = Name::new("refusing");
    let ledger = ledger(&name, 100);
    let workspace = id("acme");
    planned(&ledger, &workspace).await;
    let change = Change::TopUp { credits: Credits::whole(1) };
    let key = IdempotencyKey { key: "k".into(), place: "p".into(), request: "r".into() };
    let keyed = Author { key: Some(key.clone()), ..Author::default() };
    let done = ledger.change(&workspace, &change, &keyed, now()).await.unwrap().unwrap();
    let entry = (done.epoch, done.sequence);
    assert!(ledger.entry_stands(&workspace, entry, None).await.unwrap());
    assert!(
        !ledger.entry_stands(&workspace, (entry.0, entry.1 + 1), None).await.unwrap(),
        "of an older copy"
    );
    assert!(!ledger.entry_stands(&workspace, (entry.0 + 1, 1), None).await.unwrap(), "of another epoch");
    ledger.stop(&workspace, &[]).await.unwrap();
    assert!(!ledger.entry_stands(&workspace, entry, None).await.unwrap());
    assert!(ledger.entry_stands(&workspace, entry, Some(&key)).await.unwrap(), "its answer is kept");
    forget(&name);
    assert!(!ledger.entry_stands(&workspace, entry, Some(&key)).await.unwrap());
}

#[tokio::test]
async fn a_settle_is_its_own_repeat_until_redis_loses_it() {
    let name = Name::new("refusing");
    let ledger = ledger(&name, 100);
    let workspace = id("acme");
    let wish = Wish {
        user: UserId::parse("ann").unwrap(),
        feature: FeatureId::parse("ai_chat").unwrap(),
        credits: Credits::whole(1),
    };
    let hold = HoldId::parse("h").unwrap();
    let make = HoldRequest::Make { hold: hold.clone(), wish, ttl_seconds: 300 };
    let settle = HoldRequest::Settle { hold, credits: Credits::whole(1), owner: None };
    let ask = async |request: &HoldRequest| {
        ledger.hold(&workspace, request, &Author::default(), now()).await.unwrap().map(|held| held.repeated)
    };
    planned(&ledger, &workspace).await;
    assert_eq!(ask(&make).await, Ok(false));
    assert_eq!(ask(&settle).await, Ok(false));
    assert_eq!(ask(&settle).await, Ok(true));
    forget(&name);
    assert_ne!(ask(&settle).await, Ok(true), "its event is lost too");
}
