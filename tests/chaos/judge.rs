//! The judge: facts in, violations out. It knows the contract, and nothing of how the program keeps it.
//!
//! What it may forgive is named in [`Verdict::forgiven`] and printed: where a workspace was rebuilt, a Redis had lost
//! what it had acknowledged, and what was decided before and recorded after may lie beyond a limit or an account.

mod ledger;
mod outcomes;
mod sums;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::facts::Facts;
use crate::workload::{Asked, Published};

/// How many violations of a kind are shown.
const SHOWN_MAX: usize = 5;

/// What was found.
#[derive(Debug, Default)]
pub struct Verdict {
    /// By check: how many, and the first of them.
    pub violations: BTreeMap<&'static str, (usize, Vec<String>)>,
    /// Counted, and allowed by the contract.
    pub forgiven: BTreeMap<&'static str, u64>,
}

impl Verdict {
    fn find(&mut self, check: &'static str, what: impl FnOnce() -> String) {
        let (count, shown) = self.violations.entry(check).or_default();
        *count += 1;
        if shown.len() < SHOWN_MAX {
            shown.push(what());
        }
    }

    fn forgive(&mut self, what: &'static str, count: u64) {
        *self.forgiven.entry(what).or_default() += count;
    }
}

/// Judges a run at rest.
pub fn judge(facts: &Facts, asked: &[Asked], published: &Published) -> Verdict {
    let mut verdict = Verdict::default();
    outcomes::judge(facts, published, &mut verdict);
    let rebuilt: BTreeSet<&str> = facts
        .ledger
        .iter()
        .filter(|entry| entry.kind == "rebuilt")
        .map(|entry| entry.name.0.as_str())
        .collect();
    sums::judge(facts, asked, &rebuilt, &mut verdict);
    ledger::judge(facts, asked, &mut verdict);
    verdict
}

/// A replay of everything changes nothing but the number of tellings.
pub fn unchanged(before: &Facts, after: &Facts, verdict: &mut Verdict) {
    fn rows(facts: &Facts) -> BTreeMap<String, String> {
        let told = facts.rows.iter().map(|row| (format!("{:?}", row.decision.identity), format!("{row:?}")));
        told.collect()
    }
    fn compare<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
        what: &str,
        (before, after): (&BTreeMap<K, V>, &BTreeMap<K, V>),
        verdict: &mut Verdict,
    ) {
        let names: BTreeSet<&K> = before.keys().chain(after.keys()).collect();
        for name in names.into_iter().filter(|name| before.get(name) != after.get(name)) {
            let (before, after) = (before.get(name), after.get(name));
            verdict
                .find("a replay changes nothing", || format!("{what} {name:?}: {before:?}, then {after:?}"));
        }
    }
    compare("row", (&rows(before), &rows(after)), verdict);
    compare("rollup", (&before.rollups, &after.rollups), verdict);
    compare("book", (&books(before), &books(after)), verdict);
}

/// Books but for holds, which expire while nobody looks.
fn books(facts: &Facts) -> BTreeMap<&(String, String), crate::facts::Book> {
    let bare = facts.books.iter().map(|(name, book)| {
        let mut book = book.clone();
        book.whole[2] = 0;
        book.accounts.values_mut().for_each(|account| account.held = 0);
        book.users.values_mut().for_each(|user| user[1] = 0);
        (name, book)
    });
    bare.collect()
}
