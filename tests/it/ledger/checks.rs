//! Checks and holds that are asked at the same time: they travel together, and each gets its own answer.

use std::collections::BTreeSet;

use futures::future::join_all;
use tollgate::domain::change::{Author, Change, Plan, UserChange};
use tollgate::domain::decision::Reason;
use tollgate::domain::hold::{HoldRequest, Wish};
use tollgate::domain::ledger::Account;
use tollgate::domain::period::Instant;
use tollgate::domain::{Credits, FeatureId, HoldId, TeamId, UserId, WorkspaceId};
use tollgate::redis::{RedisLedger, Scripts};

use crate::support::{Name, ledger_of, redis};

/// 2026-11-22T00:00:00Z.
fn at() -> Instant {
    Instant::from_micros(1_795_305_600_000_000)
}

fn acme() -> WorkspaceId {
    WorkspaceId::parse("acme").unwrap()
}

fn wish(user: &str, credits: i64) -> Wish {
    let (user, feature) = (UserId::parse(user).unwrap(), FeatureId::parse("ai_chat").unwrap());
    Wish { user, feature, credits: Credits::whole(credits) }
}

async fn change(ledger: &RedisLedger, change: Change) {
    ledger.change(&acme(), &change, &Author::default(), at()).await.unwrap().unwrap();
}

async fn passes(ledger: &RedisLedger, wish: &Wish) -> bool {
    ledger.check(&acme(), wish, at()).await.unwrap().unwrap().allowed
}

/// Scripts that count how often checks are called.
fn counting() -> Scripts {
    let (from, to) = ("local requests, answers, first_of", "call('INCR', prefix .. 'calls')\n");
    Scripts::default().patched("check", from, &format!("{to}{from}")).unwrap()
}

fn counted(name: &str) -> u64 {
    let keys: Vec<String> = redis(::redis::cmd("KEYS").arg(format!("{name}:*:calls")));
    keys.iter().map(|key| redis::<u64>(::redis::cmd("GET").arg(key))).sum()
}

#[tokio::test]
async fn a_thousand_at_once_each_get_their_own_answer() {
    let name = Name::new("checks");
    let ledger = ledger_of(&name, 100, &counting());
    change(&ledger, Change::Plan(Plan::monthly(Credits::whole(500)))).await;
    let wishes: Vec<Wish> = (0..1_000).map(|n| wish(&format!("user-{n}"), n)).collect();
    assert!(passes(&ledger, &wishes[0]).await);
    let before = counted(&name);
    let workspace = acme();
    let answers = join_all(wishes.iter().map(|wish| ledger.check(&workspace, wish, at()))).await;
    // 64 at most in each.
    let calls = counted(&name) - before;
    assert!((16..=50).contains(&calls), "{calls} calls for 1,000 checks");
    for (n, answer) in answers.into_iter().enumerate() {
        let answer = answer.unwrap().unwrap();
        assert_eq!(answer.allowed, n <= 500, "{n}");
        let reason = answer.denial.map(|denial| denial.reason);
        assert_eq!(reason, (n > 500).then_some(Reason::InsufficientCredits));
    }

    // Holds of 1 credit: as many fit as there are credits, each under its own name, and none of them twice.
    let makes: Vec<HoldRequest> = (0..600)
        .map(|n| HoldRequest::Make {
            hold: HoldId::parse(&format!("h{n}")).unwrap(),
            wish: wish(&format!("user-{n}"), 1),
            ttl_seconds: 300,
        })
        .collect();
    let author = Author::default();
    let held = join_all(makes.iter().map(|make| ledger.hold(&workspace, make, &author, at()))).await;
    let made: BTreeSet<String> =
        held.into_iter().filter_map(|held| Some(held.unwrap().ok()?.answer.hold.id.to_string())).collect();
    assert_eq!(made.len(), 500);
    let book = ledger.book(&acme(), "2026-11-01".parse().unwrap()).await.unwrap();
    assert_eq!((book.held, book.conserved()), (Credits::whole(500), Credits::whole(500)));
    let touched = ledger.take_touched().balances;
    let told: BTreeSet<String> = touched.iter().map(|balance| balance.account.to_string()).collect();
    assert!(made.iter().all(|hold| told.contains(&format!("user:user-{}", &hold[1..]))), "{told:?}");
}

/// The pool is spent for a team: whoever is in it may go on, and a check that did not know the team would say no.
#[tokio::test]
async fn a_check_counts_what_the_team_has() {
    for (scripts, expected) in [
        (Scripts::default(), true),
        (
            Scripts::default()
                .patched("check", "books[4] and unpack_record(books[4]) or new_team()", "new_team()")
                .unwrap(),
            false,
        ),
    ] {
        let name = Name::new("checks");
        let ledger = ledger_of(&name, 100, &scripts);
        change(&ledger, Change::Plan(Plan::monthly(Credits::whole(10)))).await;
        let team = TeamId::parse("design").unwrap();
        let member = UserChange {
            user: UserId::parse("ann").unwrap(),
            limit: None,
            team: Some(Some(team.clone())),
            monthly_allocation: None,
            apply_now: false,
            suspended: None,
        };
        change(&ledger, Change::User(member)).await;
        let (from, to) = (Account::Pool, Account::Team(team));
        change(&ledger, Change::Transfer { from, to, credits: Credits::whole(10), raise_limit: false }).await;
        assert_eq!(passes(&ledger, &wish("ann", 10)).await, expected);
        assert!(!passes(&ledger, &wish("ann", 11)).await && !passes(&ledger, &wish("bob", 1)).await);
    }
}
