//! The ledger is gapless, and holds every answered change exactly once.

use std::collections::{BTreeMap, BTreeSet};

use super::Verdict;
use crate::facts::{Entry, Facts};
use crate::workload::Asked;

/// Changes that are entries; holds are none.
const ENTRIES: [&str; 5] = ["plan", "top-up", "grant", "transfer", "limit"];

pub fn judge(facts: &Facts, asked: &[Asked], verdict: &mut Verdict) {
    let mut entries: BTreeMap<&(String, u64, u64), &Entry> = BTreeMap::new();
    for entry in &facts.ledger {
        let first = *entries.entry(&entry.name).or_insert(entry);
        if first != entry {
            verdict.find("a ledger sequence names one entry", || {
                format!("{}\n  and {}", first.text, entry.text)
            });
        }
    }
    gapless(&entries, verdict);
    let rows: BTreeSet<_> = facts.ledger_rows.iter().collect();
    let topic: BTreeSet<_> = entries.keys().copied().collect();
    for name in rows.symmetric_difference(&topic) {
        verdict.find("the ledger's table is its topic", || format!("{name:?} is in one of them"));
    }
    if rows.len() != facts.ledger_rows.len() {
        verdict.find("the ledger's table is its topic", || "a row is there twice".to_owned());
    }
    answers(facts, asked, &entries, verdict);
}

fn gapless(entries: &BTreeMap<&(String, u64, u64), &Entry>, verdict: &mut Verdict) {
    let mut next: BTreeMap<(&str, u64), u64> = BTreeMap::new();
    for (workspace, epoch, sequence) in entries.keys() {
        let expected = next.entry((workspace, *epoch)).or_insert(1);
        if sequence != expected {
            verdict.find("the ledger is gapless", || {
                format!("{workspace}, epoch {epoch}: {sequence} follows {}", *expected - 1)
            });
        }
        *expected = sequence + 1;
    }
}

fn answers(
    facts: &Facts,
    asked: &[Asked],
    entries: &BTreeMap<&(String, u64, u64), &Entry>,
    verdict: &mut Verdict,
) {
    let mut of_key: BTreeMap<(&str, &str), Vec<&Entry>> = BTreeMap::new();
    for entry in entries.values() {
        if let Some(key) = &entry.key {
            of_key.entry((&entry.name.0, key)).or_default().push(entry);
        }
    }
    for ((workspace, key), entries) in &of_key {
        if entries.len() > 1 {
            verdict.find("a key has one entry", || format!("{workspace} {key}: {entries:?}"));
        }
    }
    let settles: BTreeSet<(&str, &str)> = facts
        .records
        .values()
        .flatten()
        .filter(|(_, source, _)| source == "tollgate:holds")
        .map(|(workspace, _, id)| (workspace.as_str(), id.as_str()))
        .collect();
    for asked in asked {
        let Some((status, body)) = &asked.answer else {
            verdict.find("every request is answered in the end", || format!("{asked:?}"));
            continue;
        };
        let done = (200..300).contains(status);
        let key = asked.key.as_deref().unwrap_or_default();
        let found = of_key.get(&(asked.workspace.as_str(), key)).map_or(0, Vec::len);
        if ENTRIES.contains(&asked.what) && done != (found == 1) {
            verdict.find("a change is in the ledger when it is answered as done", || {
                format!("{asked:?}: {found}")
            });
        }
        if ENTRIES.contains(&asked.what) && done {
            let named = (body["ledger"]["epoch"].as_u64(), body["ledger"]["sequence"].as_u64());
            let there = of_key.get(&(asked.workspace.as_str(), key)).and_then(|list| list.first());
            if there.is_some_and(|entry| (Some(entry.name.1), Some(entry.name.2)) != named) {
                verdict.find("an answer names its entry", || format!("{asked:?}, {there:?}"));
            }
        }
        let id = body["id"].as_str().unwrap_or_default();
        if asked.what == "settle" && done && !settles.contains(&(asked.workspace.as_str(), id)) {
            verdict.find("a settle that was answered is an event", || format!("{asked:?}"));
        }
    }
}
