//! Holds in the real Redis: set aside, settled, voided, expired, each once.

use std::sync::Arc;

use tollgate::domain::change::{Author, Change, Enforcement, Plan, Refusal};
use tollgate::domain::decision::{Outcome, Reason};
use tollgate::domain::event::{Arrival, Position};
use tollgate::domain::hold::{HoldRequest, HoldState, Wish};
use tollgate::domain::model::SETTLES;
use tollgate::domain::period::Instant;
use tollgate::domain::ports::{Ledger, Outbox};
use tollgate::domain::{Credits, FeatureId, HoldId, UserId, WorkspaceId};
use tollgate::redis::{Held, RedisLedger};

use super::event;
use crate::support::{Name, ledger};

/// 2026-11-22T00:00:00Z.
const NOW: i64 = 1_795_305_600_000_000;
const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

fn acme() -> WorkspaceId {
    WorkspaceId::parse("acme").unwrap()
}

fn at(micros: i64) -> Instant {
    Instant::from_micros(NOW + micros)
}

fn make(hold: &str, credits: i64) -> HoldRequest {
    let (user, feature) = (UserId::parse("ann").unwrap(), FeatureId::parse("ai_chat").unwrap());
    let wish = Wish { user, feature, credits: Credits::whole(credits) };
    HoldRequest::Make { hold: HoldId::parse(hold).unwrap(), wish, ttl_seconds: 300 }
}

fn settle(hold: &str, credits: i64) -> HoldRequest {
    HoldRequest::Settle { hold: HoldId::parse(hold).unwrap(), credits: Credits::whole(credits), owner: None }
}

fn void(hold: &str) -> HoldRequest {
    HoldRequest::Void { hold: HoldId::parse(hold).unwrap(), owner: None }
}

async fn ask(ledger: &RedisLedger, request: &HoldRequest, now: Instant) -> Result<Held, Refusal> {
    ledger.hold(&acme(), request, &Author::default(), now).await.unwrap()
}

async fn planned(name: &str, plan: Plan) -> RedisLedger {
    let ledger = ledger(name, 100);
    ledger.change(&acme(), &Change::Plan(plan), &Author::default(), at(0)).await.unwrap().unwrap();
    ledger
}

/// An event of ann's that names a hold.
fn usage(offset: i64, hold: &str, credits: i64, time: Instant) -> Arrival {
    let event = event(&format!("e{offset}"), acme(), time);
    let event = tollgate::domain::event::UsageEvent {
        hold: Some(HoldId::parse(hold).unwrap()),
        credits: Credits::whole(credits),
        ..event
    };
    Arrival { event: event.into(), position: Position { partition: 0, offset }, timestamp: time }
}

async fn held_and_used(ledger: &RedisLedger, period: &str) -> (Credits, Credits, Credits) {
    let book = ledger.book(&acme(), period.parse().unwrap()).await.unwrap();
    assert_eq!(book.conserved(), book.total);
    (book.held, book.used, book.pool.remaining())
}

fn whole(numbers: (i64, i64, i64)) -> (Credits, Credits, Credits) {
    (Credits::whole(numbers.0), Credits::whole(numbers.1), Credits::whole(numbers.2))
}

#[tokio::test]
async fn what_is_held_is_nobody_elses_until_it_expires() {
    let name = Name::new("holds");
    let ledger = planned(&name, Plan::monthly(Credits::whole(10))).await;
    let held = ask(&ledger, &make("h1", 7), at(0)).await.unwrap();
    assert_eq!(held.answer.hold.held(), Credits::whole(7));
    let denied = ask(&ledger, &make("h2", 4), at(0)).await.unwrap_err();
    let Refusal::Denied(denial) = denied else { panic!("{denied:?}") };
    assert_eq!(denial.reason, Reason::InsufficientCredits);
    assert_eq!((denial.blocked.held, denial.blocked.remaining), (Credits::whole(7), Credits::whole(3)));
    // An event that arrives in the very millisecond of the expiry finds the credits free.
    let effects = ledger.decide(&[usage(0, "h3", 8, at(300 * SECOND))], &[], at(300 * SECOND)).await.unwrap();
    assert_eq!(effects.decisions[0].verdict.outcome, Outcome::Allowed);
    assert!(effects.decisions[0].hold_ignored, "there is no hold h3");
    assert_eq!(effects.holds_expired, 1);
    assert_eq!(held_and_used(&ledger, "2026-11-01").await, whole((0, 8, 2)));
    let late = at(301 * SECOND);
    assert!(matches!(ask(&ledger, &settle("h1", 7), late).await, Err(Refusal::HoldExpired(_))));
    assert!(matches!(ask(&ledger, &void("h1"), late).await, Err(Refusal::HoldExpired(_))));
    assert_eq!(ask(&ledger, &make("h1", 1), late).await.unwrap_err(), Refusal::HoldExists);
    assert_eq!(ask(&ledger, &void("h9"), late).await.unwrap_err(), Refusal::UnknownHold);
}

#[tokio::test]
async fn an_event_settles_its_hold_once_and_the_call_is_never_refused() {
    let name = Name::new("holds");
    let ledger = planned(&name, Plan::monthly(Credits::whole(10))).await;
    ask(&ledger, &make("h1", 4), at(0)).await.unwrap();
    let events =
        [usage(0, "h1", 3, at(SECOND)), usage(1, "h1", 2, at(SECOND)), usage(2, "h2", 20, at(SECOND))];
    ask(&ledger, &make("h2", 5), at(0)).await.unwrap();
    let effects = ledger.decide(&events, &[], at(SECOND)).await.unwrap();
    let told: Vec<_> = effects.decisions.iter().map(|d| (d.verdict.outcome, d.hold_ignored)).collect();
    use Outcome::{Denied, Overage};
    // The second finds its hold ended, and is denied like any other: 3 used, 5 held, 2 left, it asks for 2 of
    // them; the third takes what was held, what is left, and the rest is overage.
    assert_eq!(told[0], (Outcome::Allowed, false));
    assert_eq!(told[1], (Outcome::Allowed, true));
    assert_eq!(told[2], (Overage, false));
    assert_ne!(told[2].0, Denied);
    assert_eq!(effects.decisions[2].verdict.drawn.pool, Credits::whole(5));
    assert_eq!(effects.decisions[2].verdict.drawn.overage, Credits::whole(15));
    assert_eq!(held_and_used(&ledger, "2026-11-01").await, whole((0, 10, 0)));
    let settled = ask(&ledger, &settle("h1", 3), at(2 * SECOND)).await.unwrap();
    assert!(settled.repeated, "the same end again");
    assert_eq!((settled.answer.hold.state, settled.answer.at), (HoldState::Settling, at(SECOND)));
    assert_eq!(
        ask(&ledger, &settle("h1", 4), at(SECOND)).await.unwrap_err(),
        Refusal::HoldSettled(Credits::whole(3))
    );
}

#[tokio::test]
async fn a_settle_stays_held_until_its_own_event_is_decided() {
    let name = Name::new("holds");
    let ledger = planned(&name, Plan::monthly(Credits::whole(10))).await;
    ask(&ledger, &make("h1", 4), at(0)).await.unwrap();
    let first = ask(&ledger, &settle("h1", 6), at(SECOND)).await.unwrap();
    assert_eq!(first.answer.hold.state, HoldState::Settling);
    let again = ask(&ledger, &settle("h1", 6), at(2 * SECOND)).await.unwrap();
    assert_eq!((&again.answer, again.repeated, first.repeated), (&first.answer, true, false));
    assert!(matches!(ask(&ledger, &void("h1"), at(SECOND)).await, Err(Refusal::HoldSettled(_))));
    assert!(matches!(ask(&ledger, &settle("h1", 5), at(SECOND)).await, Err(Refusal::HoldSettled(_))));
    // It does not expire under way, and a stranger's event that names it, even in our name, settles nothing.
    let late = at(400 * SECOND);
    let mut forged = usage(0, "h1", 5, late);
    Arc::make_mut(&mut forged.event).source = SETTLES.into();
    let effects = ledger.decide(&[forged, usage(1, "h1", 1, late)], &[], late).await.unwrap();
    assert!(effects.decisions.iter().all(|decision| decision.hold_ignored));
    assert_eq!(held_and_used(&ledger, "2026-11-01").await, whole((4, 6, 0)));
    // One settle in the outbox, whatever was asked how often; its event ends the hold.
    let shard = ledger.shard_of(&acme());
    let settles = ledger.pending(shard, 100).await.unwrap();
    let settles = settles
        .iter()
        .filter(|pending| matches!(pending.item, tollgate::domain::ledger::Outgoing::Settle(_)));
    assert_eq!(settles.count(), 1);
    let entries = ledger.pending(shard, 100).await.unwrap();
    let entries = entries.iter().filter(|pending| {
        matches!(&pending.item, tollgate::domain::ledger::Outgoing::Entry(entry) if entry.kind == "settle")
    });
    assert_eq!(entries.count(), 1, "and one entry in the ledger");
    let mut own = usage(2, "h1", 6, late);
    Arc::make_mut(&mut own.event).source = SETTLES.into();
    let effects = ledger.decide(&[own], &[], late).await.unwrap();
    let verdict = &effects.decisions[0].verdict;
    assert!(!effects.decisions[0].hold_ignored);
    assert_eq!((verdict.drawn.pool, verdict.drawn.overage), (Credits::whole(4), Credits::whole(2)));
    assert_eq!(verdict.reason, Some(Reason::InsufficientCredits));
    assert_eq!(held_and_used(&ledger, "2026-11-01").await, whole((0, 10, 0)));
    let again = ask(&ledger, &settle("h1", 6), at(500 * SECOND)).await.unwrap();
    assert_eq!((again.answer, again.repeated), (first.answer, true), "also when its event is decided");
}

#[tokio::test]
async fn a_void_gives_back_once_and_answers_the_same_to_its_owner_alone() {
    let name = Name::new("holds");
    let ledger = planned(&name, Plan::monthly(Credits::whole(10))).await;
    ask(&ledger, &make("h1", 4), at(0)).await.unwrap();
    let of = |owner: &str| {
        let (hold, owner) = (HoldId::parse("h1").unwrap(), UserId::parse(owner).unwrap());
        HoldRequest::Void { hold, owner: Some(owner) }
    };
    assert_eq!(ask(&ledger, &of("bob"), at(SECOND)).await.unwrap_err(), Refusal::UnknownHold);
    let first = ask(&ledger, &of("ann"), at(SECOND)).await.unwrap();
    assert_eq!(first.answer.hold.set_aside(), [Credits::ZERO; 3]);
    assert_eq!(held_and_used(&ledger, "2026-11-01").await, whole((0, 0, 10)));
    let again = ask(&ledger, &of("ann"), at(400 * SECOND)).await.unwrap();
    assert_eq!((again.answer, again.repeated, first.repeated), (first.answer, true, false));
    assert_eq!(ask(&ledger, &of("bob"), at(SECOND)).await.unwrap_err(), Refusal::UnknownHold);
    assert_eq!(held_and_used(&ledger, "2026-11-01").await, whole((0, 0, 10)));
}

#[tokio::test]
async fn a_settle_counts_in_the_period_of_its_hold_on_its_last_day() {
    let name = Name::new("holds");
    let ledger = planned(&name, Plan::monthly(Credits::whole(10))).await;
    let evening = at(9 * DAY - 100 * SECOND); // 2026-11-30T23:58:20Z
    ask(&ledger, &make("h1", 4), evening).await.unwrap();
    let morning = at(9 * DAY + 100 * SECOND);
    let effects = ledger.decide(&[usage(0, "h1", 4, morning)], &[], morning).await.unwrap();
    let decision = &effects.decisions[0];
    assert_eq!(
        (decision.period.to_string(), decision.day.to_string()),
        ("2026-11-01".into(), "2026-11-30".into())
    );
    assert_eq!(held_and_used(&ledger, "2026-11-01").await, whole((0, 4, 6)));
    // Delivered again, it is what it was.
    let again = ledger.decide(&[usage(0, "h1", 4, morning)], &[], morning).await.unwrap();
    assert_eq!(again.decisions[0].verdict, decision.verdict);
    assert_eq!((again.decisions[0].period, again.decisions[0].hold_ignored), (decision.period, false));
}

#[tokio::test]
async fn under_soft_a_hold_reaches_as_far_as_the_accounts_do() {
    let name = Name::new("holds");
    let plan = Plan { enforcement: Enforcement::Soft, ..Plan::monthly(Credits::whole(10)) };
    let ledger = planned(&name, plan).await;
    let held = ask(&ledger, &make("h1", 14), at(0)).await.unwrap();
    assert_eq!(held.answer.hold.held(), Credits::whole(10));
    assert_eq!(held.answer.bends.map(|denial| denial.reason), Some(Reason::InsufficientCredits));
}

#[tokio::test]
async fn without_a_plan_nothing_can_be_held() {
    let name = Name::new("holds");
    let ledger = ledger(&name, 100);
    let Refusal::Denied(denial) = ask(&ledger, &make("h1", 0), at(0)).await.unwrap_err() else { panic!() };
    assert_eq!(denial.reason, Reason::NoPlan);
    assert!(ledger.workspaces().await.unwrap().is_empty(), "a hold that is refused creates nobody");
}
