//! Sums of rows, rollups, balances and Redis are the same; credits are conserved; nothing is above a limit.

use std::collections::{BTreeMap, BTreeSet};

use super::Verdict;
use crate::facts::{Account, Book, Cell, Facts, Sums};
use crate::workload::Asked;

type Name = (String, String);

pub fn judge(facts: &Facts, asked: &[Asked], rebuilt: &BTreeSet<&str>, verdict: &mut Verdict) {
    rollups(facts, verdict);
    let mut used: BTreeMap<(Name, String), i64> = BTreeMap::new();
    let mut spent: BTreeMap<(Name, String), [i64; 2]> = BTreeMap::new();
    let mut features: BTreeMap<(Name, String), i64> = BTreeMap::new();
    for row in &facts.rows {
        let (workspace, period, user, feature, _) = row.cell.clone();
        let (name, [own, team, pool, over]) = ((workspace, period), row.decision.drawn);
        *used.entry((name.clone(), format!("user:{user}"))).or_default() += own;
        *used.entry((name.clone(), "team:none".to_owned())).or_default() += team;
        *used.entry((name.clone(), "pool".to_owned())).or_default() += pool;
        let sums = spent.entry((name.clone(), user)).or_default();
        *sums = [sums[0] + own + team + pool + over, sums[1] + over];
        *features.entry((name, feature)).or_default() += own + team + pool + over;
    }
    accounts(facts, &used, verdict);
    for (name, book) in &facts.books {
        for (user, [there, _]) in &book.users {
            let rows = spent.get(&(name.clone(), user.clone())).map_or(0, |sums| sums[0]);
            equal(
                "what users spent",
                || format!("{name:?} {user}"),
                [("rows", rows), ("redis", *there)],
                verdict,
            );
        }
        for (feature, there) in &book.features {
            let rows = features.get(&(name.clone(), feature.clone())).copied().unwrap_or_default();
            equal(
                "what features spent",
                || format!("{name:?} {feature}"),
                [("rows", rows), ("redis", *there)],
                verdict,
            );
        }
        conserved(name, book, facts, verdict);
        limits(name, book, &spent, (facts, asked), rebuilt, verdict);
    }
    let corrections = facts.ledger.iter().filter(|entry| entry.kind == "correction");
    let corrections: BTreeSet<_> = corrections.map(|entry| &entry.name).collect();
    verdict.forgive("corrections in the ledger", corrections.len() as u64);
}

fn equal(check: &'static str, what: impl Fn() -> String, sides: [(&str, i64); 2], verdict: &mut Verdict) {
    if sides[0].1 != sides[1].1 {
        verdict.find(check, || format!("{}: {sides:?}", what()));
    }
}

fn rollups(facts: &Facts, verdict: &mut Verdict) {
    let mut sums: BTreeMap<Cell, Sums> = BTreeMap::new();
    for row in &facts.rows {
        let [own, team, pool, over] = row.decision.drawn;
        let denied = i64::from(row.decision.outcome == "denied");
        let sum = sums.entry(row.cell.clone()).or_default();
        let more = [own + team + pool, over, 1 - denied, denied, denied * row.asked];
        sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
    }
    let cells: BTreeSet<&Cell> = sums.keys().chain(facts.rollups.keys()).collect();
    for cell in cells {
        let both = (
            sums.get(cell).copied().unwrap_or_default(),
            facts.rollups.get(cell).copied().unwrap_or_default(),
        );
        if both.0 != both.1 {
            verdict
                .find("rows sum to rollups", || format!("{cell:?}: rows {:?}, rollups {:?}", both.0, both.1));
        }
    }
}

fn accounts(facts: &Facts, used: &BTreeMap<(Name, String), i64>, verdict: &mut Verdict) {
    let mut entered: BTreeMap<(Name, String), i64> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for entry in facts.ledger.iter().filter(|entry| seen.insert(&entry.name)) {
        for (account, period, credits) in &entry.postings {
            let name = (entry.name.0.clone(), period.clone());
            *entered.entry((name, account.clone())).or_default() += credits;
        }
    }
    let redis = facts.books.iter().flat_map(|(name, book)| {
        book.accounts.iter().map(move |(account, sums)| ((name.clone(), account.clone()), *sums))
    });
    let redis: BTreeMap<(Name, String), Account> = redis.collect();
    let tables = facts.balances.iter();
    let tables = tables.map(|((workspace, period, account), sums)| {
        (((workspace.clone(), period.clone()), account.clone()), *sums)
    });
    let tables: BTreeMap<(Name, String), Account> = tables.collect();
    let names: BTreeSet<_> =
        redis.keys().chain(tables.keys()).chain(used.keys()).chain(entered.keys()).collect();
    for name in names {
        let (redis, tables) =
            (redis.get(name).copied().unwrap_or_default(), tables.get(name).copied().unwrap_or_default());
        let (used, entered) =
            (used.get(name).copied().unwrap_or_default(), entered.get(name).copied().unwrap_or_default());
        let what = || format!("{name:?}");
        equal("rows sum to what redis has used", what, [("rows", used), ("redis", redis.used)], verdict);
        equal("rows sum to balances", what, [("rows", used), ("balances", tables.used)], verdict);
        equal("the ledger folds to redis", what, [("ledger", entered), ("redis", redis.entered)], verdict);
        equal(
            "the ledger folds to balances",
            what,
            [("ledger", entered), ("balances", tables.entered)],
            verdict,
        );
        equal(
            "held is the same in balances",
            what,
            [("redis", redis.held), ("balances", tables.held)],
            verdict,
        );
    }
}

fn conserved(name: &Name, book: &Book, facts: &Facts, verdict: &mut Verdict) {
    let sum = |of: fn(&Account) -> i64| book.accounts.values().map(of).sum::<i64>();
    let over: i64 = facts
        .rows
        .iter()
        .filter(|row| (&row.cell.0, &row.cell.1) == (&name.0, &name.1))
        .map(|row| row.decision.drawn[3])
        .sum();
    let found = [sum(|a| a.entered), sum(|a| a.used), sum(|a| a.held), over];
    if found != book.whole {
        verdict.find("credits are conserved", || {
            format!("{name:?}: accounts {found:?}, whole {:?}", book.whole)
        });
    }
    for (account, sums) in &book.accounts {
        if sums.entered - sums.used - sums.held < 0 {
            verdict.find("no account is below zero", || format!("{name:?} {account}: {sums:?}"));
        }
    }
}

fn limits(
    name: &Name,
    book: &Book,
    spent: &BTreeMap<(Name, String), [i64; 2]>,
    (facts, asked): (&Facts, &[Asked]),
    rebuilt: &BTreeSet<&str>,
    verdict: &mut Verdict,
) {
    let mut seen = BTreeSet::new();
    let mut granted: BTreeMap<&str, i64> = BTreeMap::new();
    let of_workspace = facts.ledger.iter().filter(|entry| entry.name.0 == name.0 && entry.kind == "grant");
    for entry in of_workspace.filter(|entry| seen.insert(&entry.name)) {
        for (account, _, credits) in entry.postings.iter().filter(|posting| posting.2 > 0) {
            *granted.entry(account.trim_start_matches("user:")).or_default() += credits;
        }
    }
    for (user, [there, holding]) in &book.users {
        let set =
            asked.iter().filter(|asked| asked.workspace == name.0).filter_map(|asked| asked.limit.as_ref());
        let set = set.filter(|(of, _)| of == user || of == "*").map(|(_, limit)| *limit).max();
        let limit = set.unwrap_or(0) as i64 * 1_000_000 + granted.get(user.as_str()).copied().unwrap_or(0);
        let over = spent.get(&(name.clone(), user.clone())).map_or(0, |sums| sums[1]);
        let beyond = there - over + holding - limit;
        if beyond <= 0 {
            continue;
        }
        if rebuilt.contains(name.0.as_str()) {
            verdict.forgive("users beyond a limit after a rebuild", 1);
        } else {
            verdict.find("nothing is above a limit", || format!("{name:?} {user}: {beyond} above {limit}"));
        }
    }
}
