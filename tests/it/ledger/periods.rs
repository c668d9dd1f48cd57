//! Where a month ends: zones with daylight saving, anchor days, leap days, events that come late on both
//! sides of the end; and what moves into the next one.

use tollgate::domain::alert::AlertState;
use tollgate::domain::book::Book;
use tollgate::domain::change::{Author, CarryOver, Change, LimitSetting, Plan, UserChange};
use tollgate::domain::decision::Outcome;
use tollgate::domain::event::{Arrival, Position};
use tollgate::domain::ledger::Outgoing;
use tollgate::domain::period::Instant;
use tollgate::domain::ports::{Ledger, Outbox};
use tollgate::domain::{Credits, TeamId, UserId, WorkspaceId};
use tollgate::redis::RedisLedger;

use super::event;
use crate::support::{Name, ledger};

fn acme() -> WorkspaceId {
    WorkspaceId::parse("acme").unwrap()
}

fn at(text: &str) -> Instant {
    Instant::from_timestamp(text.parse().unwrap())
}

async fn change(ledger: &RedisLedger, change: Change, now: Instant) {
    ledger.change(&acme(), &change, &Author::default(), now).await.unwrap().unwrap();
}

async fn spend(
    ledger: &RedisLedger,
    offset: i64,
    time: Instant,
    arrived: Instant,
) -> (String, String, Outcome) {
    let event = event(&format!("e{offset}"), acme(), time);
    let arrival =
        Arrival { event: event.into(), position: Position { partition: 0, offset }, timestamp: arrived };
    let effects = ledger.decide(&[arrival], &[], arrived).await.unwrap();
    let decision = &effects.decisions[0];
    (decision.period.to_string(), decision.day.to_string(), decision.verdict.outcome)
}

async fn book(ledger: &RedisLedger, period: &str) -> Book {
    ledger.book(&acme(), period.parse().unwrap()).await.unwrap()
}

/// Zone, anchor day, the last instant of a month, and the names of the month and of the next.
const ENDS: &[(&str, i8, &str, &str, &str)] = &[
    ("UTC", 1, "2026-11-30T23:59:59.999999Z", "2026-11-01", "2026-12-01"),
    // Clocks went back on November 1st: the month is an hour longer than its days.
    ("America/New_York", 1, "2026-12-01T04:59:59.999999Z", "2026-11-01", "2026-12-01"),
    ("America/New_York", 1, "2026-11-01T03:59:59.999999Z", "2026-10-01", "2026-11-01"),
    // Clocks go forward on March 29th and back on October 25th.
    ("Europe/Berlin", 28, "2026-03-27T22:59:59.999999Z", "2026-02-28", "2026-03-28"),
    ("Europe/Berlin", 28, "2026-04-27T21:59:59.999999Z", "2026-03-28", "2026-04-28"),
    ("Europe/Berlin", 28, "2026-10-27T22:59:59.999999Z", "2026-09-28", "2026-10-28"),
    ("Asia/Tokyo", 1, "2026-11-30T14:59:59.999999Z", "2026-11-01", "2026-12-01"),
    // Half an hour of daylight saving.
    ("Australia/Lord_Howe", 1, "2026-10-31T12:59:59.999999Z", "2026-10-01", "2026-11-01"),
    // Midnight is skipped on the day on which a month begins.
    ("Africa/Cairo", 26, "2024-04-25T21:59:59.999999Z", "2024-03-26", "2024-04-26"),
    // Leap days: inside, and on both sides of an end.
    ("UTC", 1, "2028-02-29T23:59:59.999999Z", "2028-02-01", "2028-03-01"),
    ("UTC", 28, "2028-02-27T23:59:59.999999Z", "2028-01-28", "2028-02-28"),
    ("UTC", 28, "2028-03-27T23:59:59.999999Z", "2028-02-28", "2028-03-28"),
    ("UTC", 28, "2027-03-27T23:59:59.999999Z", "2027-02-28", "2027-03-28"),
];

#[tokio::test]
async fn every_event_counts_in_the_month_that_it_belongs_to_however_late_it_comes() {
    for (zone, anchor_day, last, month, next) in ENDS {
        let name = Name::new("periods");
        let ledger = ledger(&name, 100);
        let last = at(last);
        let first = Instant::from_micros(last.micros() + 1);
        let earlier = Instant::from_micros(last.micros() - 20 * 86_400_000_000);
        let plan = Plan {
            timezone: (*zone).to_owned(),
            anchor_day: *anchor_day,
            carry_over: CarryOver::None,
            ..Plan::monthly(Credits::whole(10))
        };
        change(&ledger, Change::Plan(plan), earlier).await;
        let late = Instant::from_micros(last.micros() + 50 * 3_600_000_000);
        let what = format!("{zone} {anchor_day} {last}");
        // The new month's first event comes first; the old month's last two days later.
        let (period, _, outcome) = spend(&ledger, 0, first, first).await;
        assert_eq!((period.as_str(), outcome), (*next, Outcome::Allowed), "{what}");
        let (period, day, outcome) = spend(&ledger, 1, last, late).await;
        assert_eq!((period.as_str(), outcome), (*month, Outcome::Allowed), "{what}");
        assert!(day.as_str() < *next, "{what}: {day}");
        let (period, _, _) = spend(&ledger, 2, first, late).await;
        assert_eq!(period, *next, "{what}");
        for (period, used) in [(month, 1), (next, 2)] {
            let book = book(&ledger, period).await;
            assert_eq!(
                (book.total, book.used),
                (Credits::whole(10), Credits::whole(used)),
                "{what} {period}"
            );
        }
    }
}

#[tokio::test]
async fn top_ups_that_are_left_move_on_through_months_that_nobody_touched() {
    for (mode, december, february) in [
        // 100 of the plan and 30 topped up, 110 used: 20 are left, all of them topped up.
        (CarryOver::None, 100, 100),
        (CarryOver::TopUps, 120, 120),
        (CarryOver::All, 120, 320),
    ] {
        let name = Name::new("periods");
        let ledger = ledger(&name, 1000);
        let november = at("2026-11-10T00:00:00Z");
        let plan = Plan { carry_over: mode, ..Plan::monthly(Credits::whole(100)) };
        change(&ledger, Change::Plan(plan), november).await;
        change(&ledger, Change::TopUp { credits: Credits::whole(30) }, november).await;
        for offset in 0..110 {
            spend(&ledger, offset, november, november).await;
        }
        let grant =
            |credits| Change::Grant { user: UserId::parse("bob").unwrap(), credits: Credits::whole(credits) };
        change(&ledger, grant(1), at("2026-12-05T00:00:00Z")).await;
        assert_eq!(book(&ledger, "2026-12-01").await.total, Credits::whole(december), "{mode:?}");
        // Nobody touches January.
        spend(&ledger, 200, at("2027-02-03T00:00:00Z"), at("2027-02-03T00:00:00Z")).await;
        let last = book(&ledger, "2027-02-01").await;
        // Bob's allocation lapses with December: what was granted to him does not move on.
        let lapsed = if mode == CarryOver::All { 1 } else { 0 };
        assert_eq!(last.total, Credits::whole(february - lapsed), "{mode:?}");
        let old = book(&ledger, "2026-11-01").await;
        assert_eq!(old.conserved(), old.total, "{mode:?}");
        // A late event draws on what stayed.
        let outcome = spend(&ledger, 201, at("2026-11-30T00:00:00Z"), at("2026-12-02T00:00:00Z")).await.2;
        let stayed = mode == CarryOver::None;
        assert_eq!(outcome == Outcome::Allowed, stayed, "{mode:?}");
    }
}

#[tokio::test]
async fn standing_amounts_leave_the_pool_teams_first_and_the_shortfall_is_told() {
    let name = Name::new("periods");
    let ledger = ledger(&name, 100);
    let november = at("2026-11-10T00:00:00Z");
    change(&ledger, Change::Plan(Plan::monthly(Credits::whole(100))), november).await;
    for (team, reserve) in [("zebra", 30), ("ant", 40)] {
        let team = TeamId::parse(team).unwrap();
        let monthly_reserve = Credits::whole(reserve);
        change(
            &ledger,
            Change::Team { team, monthly_reserve, apply_now: false, default_user_limit: None },
            november,
        )
        .await;
    }
    for (user, allocation) in [("bob", 20), ("ann", 25)] {
        let of = UserChange::of(UserId::parse(user).unwrap());
        let monthly_allocation = Some(Credits::whole(allocation));
        change(&ledger, Change::User(UserChange { monthly_allocation, ..of }), november).await;
    }
    assert_eq!(
        book(&ledger, "2026-11-01").await.pool.remaining(),
        Credits::whole(100),
        "not before the next month"
    );
    change(&ledger, Change::TopUp { credits: Credits::whole(1) }, at("2026-12-10T00:00:00Z")).await;
    let december = book(&ledger, "2026-12-01").await;
    let of = |user: &str| december.users[&UserId::parse(user).unwrap()].account.credited;
    assert_eq!((of("ann"), of("bob")), (Credits::whole(25), Credits::whole(5)), "bob gets what is left");
    let outbox = ledger.pending(ledger.shard_of(&acme()), 100).await.unwrap();
    let opening = outbox.iter().rev().find_map(|pending| match &pending.item {
        Outgoing::Entry(entry) if entry.kind == "opening" => Some(entry.clone()),
        _ => None,
    });
    let opening = opening.unwrap();
    assert_eq!(opening.actor, "system");
    let order: Vec<String> = opening
        .postings
        .iter()
        .map(|posting| posting.account.to_string())
        .filter(|name| name != "pool")
        .collect();
    assert_eq!(order, ["team:ant", "team:zebra", "user:ann", "user:bob"]);
    assert_eq!(opening.change["shortfalls"], serde_json::json!([{"account": "user:bob", "credits": 15}]));
    let alerts =
        outbox.iter().filter(|pending| matches!(&pending.item, Outgoing::Alert(alert) if alert.id == "bob"));
    assert_eq!(alerts.count(), 1);
}

#[tokio::test]
async fn whoever_was_seen_once_is_seen_in_every_later_month() {
    let name = Name::new("periods");
    let ledger = ledger(&name, 100);
    let (november, december) = (at("2026-11-10T00:00:00Z"), at("2026-12-10T00:00:00Z"));
    change(&ledger, Change::Plan(Plan::monthly(Credits::whole(100))), november).await;
    spend(&ledger, 0, november, november).await;
    let view = ledger.view(&acme(), None, december).await.unwrap().unwrap();
    assert_eq!(view.period.name.to_string(), "2026-12-01");
    assert_eq!(view.book().total, Credits::whole(100), "as its first touch would open it");
    let ann = UserId::parse("ann").unwrap();
    assert!(view.state.users.contains_key(&ann), "idle in December, and still there");
    assert!(!view.book().users.contains_key(&ann));
    let redis = ledger.book(&acme(), "2026-12-01".parse().unwrap()).await.unwrap();
    assert!(!redis.opened, "looking opens nothing");
}

#[tokio::test]
async fn what_a_refused_request_opened_is_told() {
    let name = Name::new("periods");
    let ledger = ledger(&name, 100);
    let (november, december) = (at("2026-11-10T00:00:00Z"), at("2026-12-10T00:00:00Z"));
    change(&ledger, Change::Plan(Plan::monthly(Credits::whole(100))), november).await;
    drop(ledger.take_touched());
    let too_much = Change::Grant { user: UserId::parse("ann").unwrap(), credits: Credits::whole(101) };
    ledger.change(&acme(), &too_much, &Author::default(), december).await.unwrap().unwrap_err();
    let told = ledger.take_touched();
    let pools: Vec<_> = told.pools.iter().map(|pool| (pool.period.to_string(), pool.total)).collect();
    let total = Credits::whole(100);
    let both = [("2026-12-01".to_owned(), total), ("2026-11-01".to_owned(), total)];
    assert_eq!(pools, both, "also the month whose rest was asked for");
    assert_eq!(ledger.take_touched(), Default::default(), "once");
}

#[tokio::test]
async fn a_limit_that_is_lifted_recovers_without_a_total() {
    let name = Name::new("periods");
    let ledger = ledger(&name, 100);
    let november = at("2026-11-10T00:00:00Z");
    change(&ledger, Change::Plan(Plan::monthly(Credits::whole(100))), november).await;
    let limited = |limit| {
        let of = UserChange::of(UserId::parse("ann").unwrap());
        Change::User(UserChange { limit: Some(Some(limit)), ..of })
    };
    change(&ledger, limited(LimitSetting::Credits(Credits::whole(1))), november).await;
    spend(&ledger, 0, november, november).await;
    change(&ledger, limited(LimitSetting::None), november).await;
    let outbox = ledger.pending(ledger.shard_of(&acme()), 100).await.unwrap();
    let alerts = outbox.iter().filter_map(|pending| match &pending.item {
        Outgoing::Alert(alert) if alert.id == "ann" => Some((alert.threshold, alert.state, alert.total)),
        _ => None,
    });
    let alerts: Vec<_> = alerts.collect();
    let crossed = |threshold| (threshold, AlertState::Crossed, Credits::whole(1));
    let recovered = |threshold| (threshold, AlertState::Recovered, Credits::ZERO);
    assert_eq!(
        alerts,
        [crossed(50), crossed(80), crossed(100), recovered(50), recovered(80), recovered(100)]
    );
}
