//! Folds by hand: gaps and repeats, and what the end of a fold mends.

use serde_json::json;

use super::*;
use crate::domain::ledger::Posting;

fn acme() -> WorkspaceId {
    WorkspaceId::parse("acme").unwrap()
}

fn ann() -> UserId {
    UserId::parse("ann").unwrap()
}

fn at(text: &str) -> Instant {
    Instant::from_timestamp(text.parse().unwrap())
}

fn entry(sequence: u64, kind: &str, postings: &[(&str, i64)], change: serde_json::Value) -> Entry {
    let posting = |(account, credits): &(&str, i64)| Posting {
        account: account.parse().unwrap(),
        period: "2026-11-01".parse().unwrap(),
        credits: Credits::whole(*credits),
    };
    Entry {
        workspace: acme(),
        epoch: 1,
        sequence,
        kind: kind.to_owned(),
        actor: "ann".to_owned(),
        reason: None,
        idempotency_key: None,
        request: None,
        period: "2026-11-01".parse().unwrap(),
        at: at("2026-11-22T10:00:00Z"),
        postings: postings.iter().map(posting).collect(),
        change,
    }
}

/// A plan of 100 credits with 10 set aside for ann.
fn planned() -> Fold {
    let mut fold = Fold::new(acme());
    let opening = json!({ "monthly_credits": 100, "carried_over": 0, "shortfalls": [] });
    fold.apply(&entry(1, "opening", &[("pool", 100)], opening)).unwrap();
    let plan = json!({
        "monthly_credits": 100, "timezone": "UTC", "anchor_day": 1, "enforcement": "hard",
        "default_user_limit": null, "carry_over": "top_ups", "thresholds": [50, 80, 100],
    });
    fold.apply(&entry(2, "plan", &[], plan)).unwrap();
    let user = json!({ "user": "ann", "monthly_allocation": 10, "apply_now": true, "limit": 50 });
    fold.apply(&entry(3, "user", &[("pool", -10), ("user:ann", 10)], user)).unwrap();
    fold
}

fn used(period: &str, from_user: i64, from_pool: i64) -> Usage {
    let (user, pool) = (Credits::whole(from_user), Credits::whole(from_pool));
    let drawn = Drawn { user, pool, ..Drawn::default() };
    Usage {
        period: period.parse().unwrap(),
        day: period.parse().unwrap(),
        user: ann(),
        feature: FeatureId::parse("ai_chat").unwrap(),
        team: None,
        drawn,
        totals: Totals { credits: drawn.from_accounts(), events: 1, ..Totals::default() },
    }
}

#[test]
fn an_entry_that_comes_twice_counts_once_and_a_gap_is_an_error() {
    let mut fold = planned();
    let top_up = entry(4, "top_up", &[("pool", 5)], json!({ "credits": 5 }));
    fold.apply(&top_up).unwrap();
    fold.apply(&top_up).unwrap();
    let book = &fold.state.books[&"2026-11-01".parse().unwrap()];
    assert_eq!((book.total, book.top_ups), (Credits::whole(105), Credits::whole(5)));
    assert_eq!(book.conserved(), book.total);
    let fault = fold.apply(&entry(6, "top_up", &[], json!({ "credits": 5 }))).unwrap_err();
    assert_eq!(fault, FoldError::Gap(acme(), 1, 4, 1, 6));
    assert!(fault.to_string().contains("entry 1.6 comes after 1.4"), "{fault}");
}

#[test]
fn an_epoch_begins_with_an_entry_that_says_so_and_moves_nothing() {
    let mut fold = planned();
    fold.spend(used("2026-11-01", 10, 2));
    let entries = fold.begin(4, at("2026-11-22T12:00:00Z"));
    assert_eq!(entries.len(), 1);
    let rebuilt = &entries[0];
    assert_eq!((rebuilt.epoch, rebuilt.sequence, rebuilt.kind.as_str()), (4, 1, "rebuilt"));
    assert!(rebuilt.postings.is_empty());
    assert_eq!(rebuilt.change, json!({ "kind": "rebuilt" }));
    // And it folds like any other.
    let mut again = planned();
    again.apply(rebuilt).unwrap();
    assert_eq!((again.state.epoch, again.state.ledger_sequence), (4, 1));
}

#[test]
fn a_period_whose_opening_was_lost_is_opened_again() {
    let mut fold = planned();
    fold.spend(used("2026-12-01", 4, 0));
    let entries = fold.begin(2, at("2026-12-02T00:00:00Z"));
    let kinds: Vec<&str> = entries.iter().map(|entry| entry.kind.as_str()).collect();
    assert_eq!(kinds, ["rebuilt", "opening"]);
    let postings: Vec<(String, Credits)> =
        entries[1].postings.iter().map(|posting| (posting.account.to_string(), posting.credits)).collect();
    let (plan, standing) = (Credits::whole(100), Credits::whole(10));
    let expected = [("pool".into(), plan), ("user:ann".into(), standing), ("pool".into(), -standing)];
    assert_eq!(postings, expected);
    // Whoever folds the topic comes to the same books.
    let mut again = planned();
    entries.iter().for_each(|entry| again.apply(entry).unwrap());
    again.spend(used("2026-12-01", 4, 0));
    again.level();
    assert_eq!(again.state.books, fold.state.books);
}

#[test]
fn credits_that_were_drawn_and_whose_entry_was_lost_are_in_the_ledger_afterwards() {
    let mut fold = planned();
    fold.spend(used("2026-11-01", 12, 95));
    let entries = fold.begin(2, at("2026-11-22T12:00:00Z"));
    let correction = entries.iter().find(|entry| entry.kind == "correction").unwrap();
    assert!(correction.reason.as_deref().unwrap().contains("lost"));
    let book = &fold.state.books[&"2026-11-01".parse().unwrap()];
    assert_eq!(book.pool.remaining(), Credits::ZERO);
    assert_eq!(book.users[&ann()].account.remaining(), Credits::ZERO);
    assert_eq!((book.total, book.conserved()), (Credits::whole(107), Credits::whole(107)));
    let mut again = planned();
    entries.iter().for_each(|entry| again.apply(entry).unwrap());
    again.spend(used("2026-11-01", 12, 95));
    again.level();
    assert_eq!(again.state.books, fold.state.books);
}
