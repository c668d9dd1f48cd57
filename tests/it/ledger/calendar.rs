//! Plans that meet: one that has not begun and is replaced, and the answer of before that comes again.

use tollgate::domain::change::{Author, Change, IdempotencyKey, Plan, Refusal, UserChange};
use tollgate::domain::ledger::Outgoing;
use tollgate::domain::period::Instant;
use tollgate::domain::ports::Outbox as _;
use tollgate::domain::{Credits, UserId, WorkspaceId};
use tollgate::redis::RedisLedger;

use crate::support::{Name, ledger};

fn acme() -> WorkspaceId {
    WorkspaceId::parse("acme").unwrap()
}

fn at(text: &str) -> Instant {
    Instant::from_timestamp(text.parse().unwrap())
}

fn plan(timezone: &str, anchor_day: i8, credits: i64) -> Change {
    Change::Plan(Plan { timezone: timezone.to_owned(), anchor_day, ..Plan::monthly(Credits::whole(credits)) })
}

async fn made(ledger: &RedisLedger, change: &Change, author: &Author, now: &str) -> String {
    let changed = ledger.change(&acme(), change, author, at(now)).await.unwrap().unwrap();
    changed.period.name.to_string()
}

async fn kinds(ledger: &RedisLedger) -> Vec<String> {
    let pending = ledger.pending(ledger.shard_of(&acme()), 1000).await.unwrap();
    let entries = pending.into_iter().filter_map(|pending| match pending.item {
        Outgoing::Entry(entry) => Some(format!("{} {}", entry.kind, entry.period)),
        Outgoing::Alert(_) | Outgoing::Settle(_) => None,
    });
    entries.collect()
}

#[tokio::test]
async fn a_plan_takes_the_place_of_one_that_has_stretched_the_running_period() {
    let name = Name::new("calendar");
    let (ledger, nobody) = (ledger(&name, 100), Author::default());
    assert_eq!(made(&ledger, &plan("UTC", 1, 100), &nobody, "2026-11-05T00:00:00Z").await, "2026-11-01");
    // From December 10 on; until then November goes on.
    made(&ledger, &plan("UTC", 10, 100), &nobody, "2026-11-06T00:00:00Z").await;
    let top_up = Change::TopUp { credits: Credits::whole(1) };
    assert_eq!(made(&ledger, &top_up, &nobody, "2026-12-05T00:00:00Z").await, "2026-11-01");
    // A plan that is refused ends nothing: in December 80 of the 100 would stand with ann.
    let allocation = Change::User(UserChange {
        user: UserId::parse("ann").unwrap(),
        limit: None,
        team: None,
        monthly_allocation: Some(Credits::whole(80)),
        apply_now: false,
        suspended: None,
    });
    made(&ledger, &allocation, &nobody, "2026-12-05T00:00:00Z").await;
    let refused =
        ledger.change(&acme(), &plan("UTC", 1, 10), &nobody, at("2026-12-05T00:00:00Z")).await.unwrap();
    assert!(matches!(refused, Err(Refusal::InsufficientCredits { .. })), "{refused:?}");
    assert_eq!(made(&ledger, &top_up, &nobody, "2026-12-05T00:00:00Z").await, "2026-11-01");
    // The new one takes its place: November has ended, and December is open with it.
    assert_eq!(made(&ledger, &plan("UTC", 1, 90), &nobody, "2026-12-05T00:00:00Z").await, "2026-12-01");
    assert_eq!(made(&ledger, &top_up, &nobody, "2026-12-05T00:00:01Z").await, "2026-12-01");
    let expected = [
        "opening 2026-11-01",
        "plan 2026-11-01",
        "plan 2026-11-01",
        "top_up 2026-11-01",
        "user 2026-11-01",
        "top_up 2026-11-01",
        "opening 2026-12-01",
        "plan 2026-12-01",
        "top_up 2026-12-01",
    ];
    assert_eq!(kinds(&ledger).await, expected);
}

#[tokio::test]
async fn the_answer_to_a_plan_of_before_brings_back_no_calendar() {
    let name = Name::new("calendar");
    let (first, second) = (ledger(&name, 100), ledger(&name, 100));
    let key = IdempotencyKey { key: "k".into(), place: "k".into(), request: "r".into() };
    let (keyed, nobody) = (Author { key: Some(key), ..Author::default() }, Author::default());
    let tokyo = plan("Asia/Tokyo", 1, 100);
    made(&first, &tokyo, &keyed, "2026-11-05T00:00:00Z").await;
    made(&second, &plan("America/New_York", 1, 100), &nobody, "2026-11-06T00:00:00Z").await;
    // The client repeats its request: what it would bring has the number of what comes next.
    made(&first, &tokyo, &keyed, "2026-11-06T00:00:01Z").await;
    made(&second, &plan("UTC", 1, 100), &nobody, "2026-11-06T00:00:02Z").await;
    let top_up = Change::TopUp { credits: Credits::whole(1) };
    for now in
        ["2026-11-30T20:00:00Z", "2026-12-01T02:00:00Z", "2026-12-31T23:00:00Z", "2027-01-01T03:00:00Z"]
    {
        let named = made(&second, &top_up, &nobody, now).await;
        assert_eq!(made(&first, &top_up, &nobody, now).await, named, "{now}");
    }
}
