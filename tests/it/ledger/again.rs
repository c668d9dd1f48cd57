//! The same request again: applied once, one ledger entry, the same answer.

use futures::future::join_all;
use tollgate::domain::change::{Author, Change, IdempotencyKey, Plan, Refusal};
use tollgate::domain::hold::{HoldRequest, Wish};
use tollgate::domain::ledger::{Account, Outgoing};
use tollgate::domain::period::Instant;
use tollgate::domain::ports::Outbox;
use tollgate::domain::{Credits, FeatureId, HoldId, UserId, WorkspaceId};
use tollgate::redis::RedisLedger;

use crate::support::{Name, ledger};

/// 2026-11-22T00:00:00Z.
const NOW: i64 = 1_795_305_600_000_000;

fn acme() -> WorkspaceId {
    WorkspaceId::parse("acme").unwrap()
}

fn at(seconds: i64) -> Instant {
    Instant::from_micros(NOW + seconds * 1_000_000)
}

fn author(key: &str, request: &str) -> Author {
    let key = IdempotencyKey { key: key.into(), place: format!("place-{key}"), request: request.into() };
    Author { actor: "ann".into(), reason: String::new(), key: Some(key) }
}

fn grant(credits: i64) -> Change {
    Change::Grant { user: UserId::parse("bob").unwrap(), credits: Credits::whole(credits) }
}

async fn planned(name: &str) -> RedisLedger {
    let ledger = ledger(name, 100);
    let plan = Change::Plan(Plan::monthly(Credits::whole(1000)));
    ledger.change(&acme(), &plan, &Author::default(), at(0)).await.unwrap().unwrap();
    ledger
}

async fn entries(ledger: &RedisLedger, kind: &str) -> usize {
    let pending = ledger.pending(ledger.shard_of(&acme()), 1000).await.unwrap();
    let of_kind = |item: &Outgoing| matches!(item, Outgoing::Entry(entry) if entry.kind == kind);
    pending.iter().filter(|pending| of_kind(&pending.item)).count()
}

#[tokio::test]
async fn a_change_under_one_key_is_made_once_and_answered_alike() {
    let name = Name::new("again");
    let ledger = planned(&name).await;
    let (change, author, workspace) = (grant(10), author("k1", "r1"), acme());
    let calls = (0..50).map(|n| ledger.change(&workspace, &change, &author, at(n)));
    let answers: Vec<_> = join_all(calls).await.into_iter().map(|answer| answer.unwrap().unwrap()).collect();
    let first = &answers[0];
    for answer in &answers {
        assert_eq!((answer.at, answer.epoch, answer.sequence), (first.at, first.epoch, first.sequence));
        assert_eq!((&answer.users, &answer.effects), (&first.users, &first.effects));
        assert_eq!(answer.period, first.period);
    }
    assert_eq!(entries(&ledger, "grant").await, 1);
    // In the next period still, and after the state has moved on.
    ledger.change(&workspace, &grant(5), &Author::default(), at(60)).await.unwrap().unwrap();
    let later = ledger.change(&workspace, &change, &author, at(20 * 86_400)).await.unwrap().unwrap();
    assert_eq!((later.at, &later.users, &later.effects), (first.at, &first.users, &first.effects));
}

#[tokio::test]
async fn another_request_under_the_key_is_a_conflict_and_a_refusal_is_remembered() {
    let name = Name::new("again");
    let ledger = planned(&name).await;
    let workspace = acme();
    ledger.change(&workspace, &grant(10), &author("k1", "r1"), at(0)).await.unwrap().unwrap();
    let other = ledger.change(&workspace, &grant(11), &author("k1", "r2"), at(0)).await.unwrap();
    assert_eq!(other.unwrap_err(), Refusal::IdempotencyConflict);
    // Refused for want of credits; then there are enough, and the answer stays.
    let refused =
        ledger.change(&workspace, &grant(2000), &author("k2", "r"), at(0)).await.unwrap().unwrap_err();
    let top_up = Change::TopUp { credits: Credits::whole(5000) };
    ledger.change(&workspace, &top_up, &Author::default(), at(0)).await.unwrap().unwrap();
    let again =
        ledger.change(&workspace, &grant(2000), &author("k2", "r"), at(1)).await.unwrap().unwrap_err();
    assert_eq!(again, refused);
    let insufficient = |refusal: &Refusal| {
        matches!(refusal, Refusal::InsufficientCredits { account: Account::Pool, remaining, .. }
            if *remaining == Credits::whole(990))
    };
    assert!(insufficient(&refused), "{refused:?}");
    // Too many credits is wrong whenever it comes, and is not remembered.
    let much = Change::TopUp { credits: Credits::TOTAL_MAX };
    let refused = ledger.change(&workspace, &much, &author("k3", "r"), at(0)).await.unwrap().unwrap_err();
    assert_eq!(refused, Refusal::TooManyCredits);
    let other = ledger.change(&workspace, &grant(1), &author("k3", "r9"), at(0)).await.unwrap();
    assert!(other.is_ok(), "the key is still free");
}

#[tokio::test]
async fn a_hold_under_one_key_is_made_once_whatever_its_name() {
    let name = Name::new("again");
    let ledger = planned(&name).await;
    let wish = Wish {
        user: UserId::parse("bob").unwrap(),
        feature: FeatureId::parse("ai_chat").unwrap(),
        credits: Credits::whole(3),
    };
    let requests: Vec<HoldRequest> = (0..50)
        .map(|n| HoldRequest::Make {
            hold: HoldId::parse(&format!("made-here-{n}")).unwrap(),
            wish: wish.clone(),
            ttl_seconds: 60,
        })
        .collect();
    let (author, workspace) = (author("k1", "r1"), acme());
    let calls = requests.iter().map(|request| ledger.hold(&workspace, request, &author, at(0)));
    let answers: Vec<_> = join_all(calls).await.into_iter().map(|answer| answer.unwrap().unwrap()).collect();
    assert!(answers.iter().all(|held| held.answer == answers[0].answer));
    assert_eq!(ledger.holds(&workspace).await.unwrap().len(), 1);
    let refused = ledger.hold(&workspace, &requests[0], &self::author("k1", "r2"), at(0)).await.unwrap();
    assert_eq!(refused.unwrap_err(), Refusal::IdempotencyConflict);
}
