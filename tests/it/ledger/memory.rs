//! What the ledger remembers: fences and tails, duplicates within their windows, and that missing
//! is never zero.

use tollgate::domain::change::Author;
use tollgate::domain::change::{Change, Plan};
use tollgate::domain::decision::Outcome;
use tollgate::domain::event::{Arrival, Position};
use tollgate::domain::ledger::Effects;
use tollgate::domain::period::Instant;
use tollgate::domain::ports::Ledger;
use tollgate::domain::{Credits, WorkspaceId};
use tollgate::redis::{RedisError, RedisLedger, Scripts};

use super::event;
use crate::support::{Name, ledger, ledger_of, redis};

/// 2026-11-22T00:00:00Z.
const NOW: i64 = 1_795_305_600_000_000;
const MINUTE: i64 = 60_000_000;

fn acme() -> WorkspaceId {
    WorkspaceId::parse("acme").unwrap()
}

fn at(micros: i64) -> Instant {
    Instant::from_micros(NOW + micros)
}

/// An event that happened and arrived so many microseconds from now.
fn arrival(offset: i64, id: &str, time: i64, arrived: i64) -> Arrival {
    let event = event(id, acme(), at(time));
    Arrival { event: event.into(), position: Position { partition: 3, offset }, timestamp: at(arrived) }
}

async fn planned(name: &str) -> RedisLedger {
    with_plan(ledger(name, 100)).await
}

async fn with_plan(ledger: RedisLedger) -> RedisLedger {
    let plan = Plan::monthly(Credits::whole(1_000));
    ledger.change(&acme(), &Change::Plan(plan), &Author::default(), at(0)).await.unwrap().unwrap();
    ledger
}

async fn decide(ledger: &RedisLedger, arrivals: &[Arrival], committed: i64) -> Effects {
    ledger.decide(arrivals, &[(3, committed)], at(0)).await.unwrap()
}

fn outcomes(effects: &Effects) -> Vec<Outcome> {
    effects.decisions.iter().map(|decision| decision.verdict.outcome).collect()
}

#[tokio::test]
async fn what_is_committed_is_forgotten_and_what_is_not_gets_its_first_answer() {
    let name = Name::new("memory");
    let ledger = planned(&name).await;
    let arrivals: Vec<Arrival> = (0..10).map(|n| arrival(n, &format!("e{n}"), 0, 0)).collect();
    let first = decide(&ledger, &arrivals[..5], 0).await;
    let second = decide(&ledger, &arrivals[5..], 0).await;
    let again = decide(&ledger, &arrivals, 0).await;
    assert_eq!(again.settled_before, 0);
    for (before, after) in first.decisions.iter().chain(&second.decisions).zip(&again.decisions) {
        assert!(after.redelivered && !before.redelivered);
        assert_eq!(after.verdict, before.verdict);
    }
    decide(&ledger, &[arrival(10, "e10", 0, 0)], 5).await;
    let again = decide(&ledger, &arrivals, 5).await;
    assert_eq!(again.settled_before, 5, "the first five are committed");
    assert_eq!(again.decisions.len(), 5);
    let book = ledger.book(&acme(), "2026-11-01".parse().unwrap()).await.unwrap();
    assert_eq!(book.used, Credits::whole(11), "nothing was debited twice");
}

#[tokio::test]
async fn the_same_event_again_is_a_duplicate_for_as_long_as_is_promised() {
    let name = Name::new("memory");
    let ledger = planned(&name).await;
    let day = 24 * 60 * MINUTE;
    decide(&ledger, &[arrival(0, "e", 0, 0), arrival(1, "f", 0, 0)], 0).await;
    let resends = [
        arrival(2, "e", 1, 59 * MINUTE),      // another time, within the window
        arrival(3, "f", 1, 121 * MINUTE),     // another time, past the window and its last slot
        arrival(4, "e", 0, 3 * day - MINUTE), // the same time, as late as an event may be
        arrival(5, "g", 0, 3 * day),          // a first one
        arrival(6, "g", 0, 3 * day),          // and at once again
    ];
    let effects = decide(&ledger, &resends, 0).await;
    use Outcome::{Allowed, Duplicate};
    assert_eq!(outcomes(&effects), [Duplicate, Allowed, Duplicate, Allowed, Duplicate]);
}

#[tokio::test]
async fn missing_is_never_zero() {
    let name = Name::new("memory");
    let ledger = planned(&name).await;
    decide(&ledger, &[arrival(0, "e", 0, 0)], 0).await;
    let shard_keys: Vec<String> = redis(::redis::cmd("KEYS").arg(format!("{}:*", &*name)));
    let heads = shard_keys.iter().find(|key| key.ends_with(":heads")).unwrap();
    let book = shard_keys.iter().find(|key| key.ends_with(":p:acme:2026-11-01")).unwrap();
    let settings = shard_keys.iter().find(|key| key.ends_with(":w:acme")).unwrap();
    let head: Vec<u8> = redis(::redis::cmd("HGET").arg(heads).arg("acme"));

    // Any of the three is gone: nothing is decided and nothing is changed, by whoever knows nothing either.
    for key in [book, settings, heads] {
        let saved: Vec<u8> = redis(::redis::cmd("DUMP").arg(key));
        redis::<i64>(::redis::cmd("DEL").arg(key));
        let stranger = crate::support::ledger(&name, 100);
        for ledger in [&ledger, &stranger] {
            if std::ptr::eq(ledger, &stranger) && key == heads {
                continue; // the settings that are still there are all that a stranger can go by
            }
            let refused = ledger.decide(&[arrival(1, "f", 0, 0)], &[], at(0)).await;
            assert!(matches!(refused, Err(RedisError::NeedsRebuild(_))), "{key}: {refused:?}");
            let topped = Change::TopUp { credits: Credits::whole(1) };
            let refused = ledger.change(&acme(), &topped, &Author::default(), at(0)).await;
            assert!(matches!(refused, Err(RedisError::NeedsRebuild(_))), "{key}: {refused:?}");
        }
        redis::<String>(::redis::cmd("RESTORE").arg(key).arg(0).arg(saved));
    }

    // The state is older than what was seen: as after a failover to a replica that lagged.
    decide(&ledger, &[arrival(1, "f", 0, 0)], 0).await;
    redis::<i64>(::redis::cmd("HSET").arg(heads).arg("acme").arg(head));
    let refused = ledger.decide(&[arrival(2, "g", 0, 0)], &[], at(0)).await;
    assert!(matches!(refused, Err(RedisError::NeedsRebuild(_))), "{refused:?}");
}

#[tokio::test]
async fn a_script_that_redis_forgot_is_sent_again() {
    let name = Name::new("memory");
    let ledger = planned(&name).await;
    redis::<String>(::redis::cmd("SCRIPT").arg("FLUSH"));
    assert_eq!(outcomes(&decide(&ledger, &[arrival(0, "e", 0, 0)], 0).await), [Outcome::Allowed]);
}

#[tokio::test]
async fn a_month_without_a_plan_and_the_planned_one_of_its_name_share_their_books() {
    let name = Name::new("memory");
    let ledger = ledger(&name, 100);
    let plan = Plan { timezone: "America/New_York".to_owned(), ..Plan::monthly(Credits::whole(1_000)) };
    let day = 24 * 60 * MINUTE;
    let second = -20 * day; // 2026-11-02T00:00:00Z
    ledger.change(&acme(), &Change::Plan(plan), &Author::default(), at(second)).await.unwrap().unwrap();
    // 2026-11-01T02:00:00Z is still October in New York: the UTC month has the name of the planned period.
    let arrivals = [arrival(0, "e", second, second), arrival(1, "f", second - 22 * 60 * MINUTE, second)];
    let effects = decide(&ledger, &arrivals, 0).await;
    assert_eq!(outcomes(&effects), [Outcome::Allowed, Outcome::Denied]);
    let book = ledger.book(&acme(), "2026-11-01".parse().unwrap()).await.unwrap();
    assert_eq!((book.used, book.conserved()), (Credits::whole(1), Credits::whole(1_000)));
    let events: u64 = book.cells.values().map(|cell| cell.events + cell.denied_events).sum();
    assert_eq!(events, 2, "neither overwrote the other");
}

/// Many events of the same minutes, which arrive in no order and ever denser; resent when their arrival is forgotten.
/// Answers how many were taken for new ones.
async fn forgotten_of_a_crowd(name: &str, scripts: &Scripts) -> usize {
    let ledger = with_plan(ledger_of(name, 300, scripts)).await;
    let (minute, late) = (MINUTE / 60 * 55, 3 * 60 * MINUTE);
    let event = |n: i64| (n.to_string(), -(n * n * 7_919) % if n < 900 { minute } else { 4 * minute });
    let mut new = 0;
    for (first, arrived) in [(0, 0), (3_000, late)] {
        for from in (0..3_000).step_by(300) {
            let arrivals: Vec<Arrival> = (from..from + 300)
                .map(|n| (n, event(n)))
                .map(|(n, (id, time))| arrival(first + n, &id, time, arrived))
                .collect();
            let outcomes = outcomes(&decide(&ledger, &arrivals, first + from).await);
            new += outcomes.iter().filter(|outcome| **outcome != Outcome::Duplicate).count();
        }
    }
    new - 3_000
}

#[tokio::test]
async fn marks_are_found_however_often_their_slot_was_divided_anew() {
    let name = Name::new("memory");
    assert_eq!(forgotten_of_a_crowd(&name, &Scripts::default()).await, 0);
    let keys = ::redis::cmd("KEYS").arg(format!("{}:*m:t:*:2:*", &*name)).to_owned();
    assert!(!redis::<Vec<String>>(&keys).is_empty(), "no slot was divided anew");
}

#[tokio::test]
async fn marks_of_older_divisions_that_are_not_asked_are_missed() {
    for (right, wrong) in [
        ("for generation = 1, newest - 1 do", "for generation = 1, 0 do"),
        ("if place <= record[2 * generation + 2] then", "if place < record[2 * generation + 2] then"),
    ] {
        let (name, scripts) =
            (Name::new("memory"), Scripts::default().patched("marks", right, wrong).unwrap());
        assert!(forgotten_of_a_crowd(&name, &scripts).await > 0, "{wrong}");
    }
}
