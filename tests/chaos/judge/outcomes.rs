//! Every record has one outcome, every event one row, and a row is what was told.

use std::collections::{BTreeMap, BTreeSet};

use super::Verdict;
use crate::facts::{Decision, Facts, Identity, Position, Row};
use crate::workload::Published;

pub fn judge(facts: &Facts, published: &Published, verdict: &mut Verdict) {
    let mut told: BTreeMap<Position, Vec<&Decision>> = BTreeMap::new();
    facts.decisions.iter().for_each(|decision| told.entry(decision.position).or_default().push(decision));
    each_record(facts, &told, verdict);
    sequences(facts, verdict);
    rows(facts, &told, verdict);
    let there: BTreeSet<&Identity> = facts.records.values().flatten().collect();
    for (workspace, id) in &published.acknowledged {
        if !there.contains(&(workspace.clone(), String::new(), id.clone())) {
            verdict.find("what Kafka acknowledged is in the topic", || format!("{workspace} {id}"));
        }
    }
}

fn each_record(facts: &Facts, told: &BTreeMap<Position, Vec<&Decision>>, verdict: &mut Verdict) {
    const CHECK: &str = "every record has one outcome";
    for (position, identity) in &facts.records {
        let decided = told.get(position);
        let (letter, row) = (facts.letters.contains(position), facts.letter_rows.contains(position));
        let right = match identity {
            Some(_) => decided.is_some() && !letter && !row,
            None => decided.is_none() && letter && row,
        };
        if !right {
            verdict.find(CHECK, || {
                format!(
                    "{position:?} {identity:?}: decisions {decided:?}, dead letter {letter}, its row {row}"
                )
            });
        }
        for decision in decided.into_iter().flatten() {
            if Some(&decision.identity) != identity.as_ref() {
                verdict.find(CHECK, || format!("{position:?} is {identity:?}, and was told as {decision:?}"));
            }
        }
    }
    let strangers =
        told.keys().chain(&facts.letters).filter(|position| !facts.records.contains_key(*position));
    strangers.for_each(|position| verdict.find(CHECK, || format!("{position:?} is no record")));
}

/// A sequence names one decision, and an epoch decides a record once.
fn sequences(facts: &Facts, verdict: &mut Verdict) {
    let mut names: BTreeMap<(&str, u64, u64), &Decision> = BTreeMap::new();
    let mut decided: BTreeMap<(Position, u64), &Decision> = BTreeMap::new();
    for decision in &facts.decisions {
        let name = (decision.identity.0.as_str(), decision.epoch, decision.sequence);
        let first = *names.entry(name).or_insert(decision);
        if first != decision {
            verdict.find("a sequence names one decision", || format!("{first:?}, and {decision:?}"));
        }
        let first = *decided.entry((decision.position, decision.epoch)).or_insert(decision);
        if first != decision {
            verdict.find("a decision told again is the same", || format!("{first:?}, and {decision:?}"));
        }
    }
}

fn rows(facts: &Facts, told: &BTreeMap<Position, Vec<&Decision>>, verdict: &mut Verdict) {
    let mut of: BTreeMap<&Identity, Vec<&Row>> = BTreeMap::new();
    facts.rows.iter().for_each(|row| of.entry(&row.decision.identity).or_default().push(row));
    let known: BTreeSet<&Identity> = facts.records.values().flatten().collect();
    for identity in &known {
        let found = of.get(*identity).map_or(0, Vec::len);
        if found != 1 {
            verdict.find("every event has one row", || {
                let mut tellings = facts.decisions.iter().filter(|decision| decision.identity == **identity);
                let tellings: Vec<_> = tellings.by_ref().collect();
                format!("{identity:?}: {found} rows: {:?}, told as {tellings:?}", of.get(*identity))
            });
        }
    }
    for row in &facts.rows {
        if !known.contains(&row.decision.identity) {
            verdict.find("every row has its record", || format!("{row:?}"));
        }
        let same = |decision: &&&Decision| {
            (decision.epoch, decision.sequence) == (row.decision.epoch, row.decision.sequence)
        };
        let found = told.get(&row.decision.position).into_iter().flatten().find(same);
        if found.is_none_or(|decision| **decision != row.decision) {
            verdict.find("a row is what was told", || format!("{row:?}, told as {found:?}"));
        }
    }
}
