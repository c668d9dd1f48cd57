//! The figures of a run, for people.

use std::collections::BTreeMap;

use crate::facts::Facts;
use crate::judge::Verdict;
use crate::workload::{Asked, Published};
use crate::world::World;

fn table(title: &str, counts: &BTreeMap<String, u64>) {
    println!("{title}");
    counts.iter().for_each(|(name, count)| println!("  {name:<44} {count:>9}"));
}

/// Prints everything that was counted.
pub async fn print(world: &World, facts: &Facts, asked: &[Asked], published: &Published, verdict: &Verdict) {
    table("faults", &world.diary.counts("faults"));
    table("died at a named point", &world.diary.counts("died at"));
    table("workers", &world.diary.counts("workers"));
    table("published", &published.sent.iter().map(|(what, count)| ((*what).to_owned(), *count)).collect());
    table("decisions told", &counted(facts.decisions.iter().map(|decision| decision.outcome.clone())));
    table("rows by outcome", &counted(facts.rows.iter().map(|row| row.decision.outcome.clone())));
    let answers = asked.iter().map(|asked| {
        let status = asked.answer.as_ref().map_or("none".to_owned(), |(status, _)| status.to_string());
        format!("{} {status}", asked.what)
    });
    table("requests by answer", &counted(answers));
    let tries: u64 = asked.iter().map(|asked| asked.attempts).sum();
    let rebuilds = facts.ledger.iter().filter(|entry| entry.kind == "rebuilt");
    let rebuilds: std::collections::BTreeSet<_> = rebuilds.map(|entry| &entry.name).collect();
    let lost: u64 = world.proxies.iter().map(|proxies| proxies.redis.lost() + proxies.tables.lost()).sum();
    let mut peak = 0;
    for worker in &world.workers {
        peak = peak.max(worker.lock().await.peak_kib());
    }
    println!("records in the input                            {:>9}", facts.records.len());
    println!("dead letters                                    {:>9}", facts.letters.len());
    println!("requests, and how often they were sent          {:>9}  {tries}", asked.len());
    println!("answers thrown away by proxies                  {lost:>9}");
    println!("rebuilds of a workspace                         {:>9}", rebuilds.len());
    println!("seconds in which nobody answered                {:>9.1}", world.unavailable_s());
    println!("most memory of a worker, MiB                    {:>9}", peak / 1024);
    for (what, count) in &verdict.forgiven {
        println!("forgiven: {what:<37} {count:>9}");
    }
}

fn counted(names: impl Iterator<Item = String>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    names.for_each(|name| *counts.entry(name).or_default() += 1);
    counts
}
