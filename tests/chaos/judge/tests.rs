//! Planted bugs: a small run that is right, and one thing done to it for each check. Each check must find it.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Verdict, judge, unchanged};
use crate::facts::{Account, Book, Decision, Entry, Facts, Row};
use crate::workload::{Asked, Published};

const CREDIT: i64 = 1_000_000;

fn text(text: &str) -> String {
    text.to_owned()
}

fn decision(offset: i64, id: &str, sequence: u64, outcome: &str, credits: i64) -> Decision {
    let drawn = if outcome == "allowed" { [0, 0, credits * CREDIT, 0] } else { [0; 4] };
    let identity = (text("w"), text(""), text(id));
    Decision { position: (0, offset), identity, epoch: 1, sequence, outcome: text(outcome), drawn }
}

fn row(decision: &Decision, credits: i64) -> Row {
    let cell = (text("w"), text("p"), text("ann"), text("chat"), text("d"));
    Row { cell, decision: decision.clone(), asked: credits * CREDIT }
}

fn entry(sequence: u64, kind: &str, key: &str, credits: i64) -> Entry {
    Entry {
        name: (text("w"), 1, sequence),
        kind: text(kind),
        key: Some(text(key)).filter(|key| !key.is_empty()),
        postings: vec![(text("pool"), text("p"), credits * CREDIT)],
        text: format!("{sequence} {kind}"),
    }
}

fn asked(what: &'static str, key: &str, sequence: u64) -> Asked {
    Asked {
        workspace: text("w"),
        what,
        key: Some(text(key)),
        attempts: 1,
        answer: Some((200, json!({ "ledger": { "epoch": 1, "sequence": sequence } }))),
        limit: (what == "plan").then(|| (text("*"), 10)),
    }
}

/// Three events of ann, one of them sent twice, one denied; a dead letter; a plan and a top-up.
fn run() -> (Facts, Vec<Asked>, Published) {
    let decisions = vec![
        decision(0, "a", 1, "allowed", 4),
        decision(1, "b", 2, "allowed", 5),
        decision(2, "a", 3, "duplicate", 0),
        decision(3, "c", 4, "denied", 0),
    ];
    let rows = vec![row(&decisions[0], 4), row(&decisions[1], 5), row(&decisions[3], 7)];
    let mut records: BTreeMap<_, _> =
        decisions.iter().map(|decision| (decision.position, Some(decision.identity.clone()))).collect();
    records.insert((0, 4), None);
    let cell = rows[0].cell.clone();
    let pool = Account { entered: 20 * CREDIT, used: 9 * CREDIT, held: 0 };
    let ann = Account::default();
    let book = Book {
        whole: [20 * CREDIT, 9 * CREDIT, 0, 0],
        accounts: [(text("pool"), pool), (text("user:ann"), ann)].into(),
        users: [(text("ann"), [9 * CREDIT, 0])].into(),
        features: [(text("chat"), 9 * CREDIT)].into(),
    };
    let balance = |account: &str| (text("w"), text("p"), text(account));
    let facts = Facts {
        records,
        decisions,
        letters: [(0, 4)].into(),
        ledger: vec![entry(1, "opening", "", 15), entry(2, "plan", "k1", 0), entry(3, "top_up", "k2", 5)],
        rows,
        letter_rows: [(0, 4)].into(),
        rollups: [(cell, [9 * CREDIT, 0, 2, 1, 7 * CREDIT])].into(),
        balances: [(balance("pool"), pool), (balance("user:ann"), ann)].into(),
        ledger_rows: (1..=3).map(|sequence| (text("w"), 1, sequence)).collect(),
        books: [((text("w"), text("p")), book)].into(),
    };
    let published = Published { acknowledged: vec![(text("w"), text("a"))], ..Published::default() };
    (facts, vec![asked("plan", "k1", 2), asked("top-up", "k2", 3)], published)
}

fn broken(plant: impl FnOnce(&mut Facts, &mut Vec<Asked>, &mut Published)) -> Vec<&'static str> {
    let (mut facts, mut asked, mut published) = run();
    plant(&mut facts, &mut asked, &mut published);
    judge(&facts, &asked, &published).violations.into_keys().collect()
}

#[track_caller]
fn finds(check: &str, plant: impl FnOnce(&mut Facts, &mut Vec<Asked>, &mut Published)) {
    let found = broken(plant);
    assert!(found.contains(&check), "{check:?} is not among {found:?}");
}

fn book(facts: &mut Facts) -> &mut Book {
    facts.books.values_mut().next().unwrap()
}

#[test]
fn a_run_that_is_right_is_found_right() {
    assert_eq!(broken(|_, _, _| ()), Vec::<&str>::new());
}

#[test]
fn a_repeated_telling_is_no_fault() {
    assert_eq!(broken(|facts, _, _| facts.decisions.push(facts.decisions[0].clone())), Vec::<&str>::new());
}

#[test]
fn lost_and_doubled_outcomes_are_found() {
    const ONE: &str = "every record has one outcome";
    finds(ONE, |facts, _, _| drop(facts.decisions.remove(3)));
    finds(ONE, |facts, _, _| facts.letters.clear());
    finds(ONE, |facts, _, _| facts.letter_rows.clear());
    finds(ONE, |facts, _, _| assert!(facts.letters.insert((0, 1))));
    finds(ONE, |facts, _, _| facts.decisions.push(decision(9, "x", 9, "allowed", 1)));
    finds(ONE, |facts, _, _| facts.decisions[3].identity.2 = text("other"));
    finds("what Kafka acknowledged is in the topic", |_, _, published| {
        published.acknowledged.push((text("w"), text("gone")));
    });
}

#[test]
fn lost_doubled_and_untold_rows_are_found() {
    finds("every event has one row", |facts, _, _| drop(facts.rows.remove(0)));
    finds("every event has one row", |facts, _, _| facts.rows.push(facts.rows[0].clone()));
    finds("every row has its record", |facts, _, _| facts.rows[0].decision.identity.2 = text("x"));
    finds("a row is what was told", |facts, _, _| facts.rows[0].decision.outcome = text("denied"));
    finds("a row is what was told", |facts, _, _| facts.rows[0].decision.sequence = 7);
}

#[test]
fn forked_sequences_and_changed_answers_are_found() {
    finds("a sequence names one decision", |facts, _, _| {
        facts.decisions.push(Decision { sequence: 2, ..decision(0, "a", 1, "allowed", 4) });
    });
    finds("a decision told again is the same", |facts, _, _| {
        facts.decisions.push(Decision { sequence: 5, ..decision(0, "a", 1, "denied", 4) });
    });
}

#[test]
fn sums_that_differ_are_found() {
    finds("rows sum to rollups", |facts, _, _| facts.rollups.values_mut().next().unwrap()[0] += 1);
    finds("rows sum to rollups", |facts, _, _| facts.rollups.values_mut().next().unwrap()[3] += 1);
    finds("rows sum to what redis has used", |facts, _, _| {
        book(facts).accounts.get_mut("pool").unwrap().used += 1;
    });
    finds("rows sum to balances", |facts, _, _| facts.balances.values_mut().next().unwrap().used += 1);
    finds("what users spent", |facts, _, _| book(facts).users.get_mut("ann").unwrap()[0] += 1);
    finds("what features spent", |facts, _, _| *book(facts).features.get_mut("chat").unwrap() += 1);
    finds("held is the same in balances", |facts, _, _| {
        facts.balances.values_mut().next().unwrap().held += 1
    });
}

#[test]
fn credits_out_of_nothing_are_found() {
    finds("credits are conserved", |facts, _, _| book(facts).whole[0] += 1);
    finds("credits are conserved", |facts, _, _| book(facts).whole[2] += 1);
    finds("the ledger folds to redis", |facts, _, _| facts.ledger[2].postings[0].2 += 1);
    finds("the ledger folds to balances", |facts, _, _| {
        facts.balances.values_mut().next().unwrap().entered += 1
    });
    finds("no account is below zero", |facts, _, _| {
        book(facts).accounts.get_mut("pool").unwrap().entered = 8 * CREDIT;
    });
}

#[test]
fn what_is_above_a_limit_is_found_and_after_a_rebuild_counted() {
    let lower = |asked: &mut Vec<Asked>| asked[0].limit = Some((text("*"), 8));
    finds("nothing is above a limit", |_, asked, _| lower(asked));
    let (mut facts, mut asked, published) = run();
    lower(&mut asked);
    facts.ledger.push(Entry { name: (text("w"), 2, 1), postings: Vec::new(), ..entry(1, "rebuilt", "", 0) });
    facts.ledger_rows.push((text("w"), 2, 1));
    let verdict = judge(&facts, &asked, &published);
    assert!(verdict.violations.is_empty(), "{verdict:?}");
    assert_eq!(verdict.forgiven["users beyond a limit after a rebuild"], 1);
}

#[test]
fn a_ledger_that_is_not_whole_is_found() {
    finds("the ledger is gapless", |facts, _, _| drop(facts.ledger.remove(1)));
    finds("a ledger sequence names one entry", |facts, _, _| facts.ledger.push(entry(2, "top_up", "k9", 0)));
    finds("the ledger's table is its topic", |facts, _, _| drop(facts.ledger_rows.pop()));
    finds("the ledger's table is its topic", |facts, _, _| facts.ledger_rows.push((text("w"), 1, 3)));
    finds("a key has one entry", |facts, _, _| facts.ledger.push(entry(4, "top_up", "k2", 5)));
}

#[test]
fn answers_that_do_not_hold_are_found() {
    const DONE: &str = "a change is in the ledger when it is answered as done";
    finds(DONE, |_, asked, _| asked[1].key = Some(text("lost")));
    finds(DONE, |_, asked, _| asked[1].answer = Some((409, json!({}))));
    finds("an answer names its entry", |_, asked, _| asked[1].answer.as_mut().unwrap().1 = json!({}));
    finds("every request is answered in the end", |_, asked, _| asked[1].answer = None);
    finds("a settle that was answered is an event", |_, list, _| {
        let answer = Some((202, json!({ "id": "h1" })));
        list.push(Asked { answer, ..asked("settle", "k3", 0) });
    });
}

#[test]
fn a_replay_that_changes_something_is_found() {
    fn found(plant: impl FnOnce(&mut Facts)) -> usize {
        let before = run().0;
        let (mut after, mut verdict) = (before.clone(), Verdict::default());
        plant(&mut after);
        unchanged(&before, &after, &mut verdict);
        verdict.violations.values().map(|(count, _)| count).sum()
    }
    assert_eq!(found(|_| ()), 0);
    assert_eq!(found(|facts| drop(facts.rows.pop())), 1);
    assert_eq!(found(|facts| facts.rollups.values_mut().next().unwrap()[0] += 1), 1);
    assert_eq!(found(|facts| book(facts).whole[1] += 1), 1);
}
