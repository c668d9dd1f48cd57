//! Planted bugs, to show that each law can be broken and that its checker sees it. They live in the
//! simulated stores and in the part of the consumer; the pipeline is always the real one.

use std::collections::BTreeSet;

use super::laws::Law;
use super::{run, seeds};

/// What misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The consumer commits what it has handed over.
    CommitsEarly,
    /// The producer says yes to dead letters when Kafka is away.
    SwallowsDeadLetters,
    /// The writer says yes when ClickHouse is away.
    SwallowsRows,
    /// A row of an event is missing in its flush.
    DropsARow,
    /// A record gets no answer.
    DropsAnOutcome,
    /// A redelivered record is decided as if it were new.
    ForgetsTheFence,
    /// The fence stands, the answer is gone.
    LosesTheTail,
    /// A redelivered record gets another answer.
    DecidesAnew,
    /// Some events are debited twice.
    DebitsTwice,
    /// What the default limit denies is debited.
    IgnoresTheLimit,
    /// A transfer makes credits.
    LeaksCredits,
    /// A rollup is added to the row that stands there.
    AddsRollups,
    /// The last row written wins, whatever its version.
    IgnoresVersions,
    /// The relay never sees some openings, which leave the outbox with what comes after.
    SkipsAnEntry,
    /// Some entries are said to be recorded and are not.
    LosesAnEntry,
    /// A retry under the same idempotency key is done again.
    ForgetsTheKey,
    /// The claim of a relay that died is never free.
    ClaimsForEver,
    /// Marks are kept for a while only, and a replay comes later: what was settled is debited.
    ForgetsInTime,
}

const SEEDS_MAX: u64 = 200;

const PLANTED: [(Bug, Law); 18] = [
    (Bug::CommitsEarly, Law::NoCommitAhead),
    (Bug::SwallowsDeadLetters, Law::OneOutcome),
    (Bug::SwallowsRows, Law::NoCommitAhead),
    (Bug::DropsARow, Law::NoCommitAhead),
    (Bug::DropsAnOutcome, Law::NoCommitAhead),
    (Bug::ForgetsTheFence, Law::OneOutcome),
    (Bug::LosesTheTail, Law::NoCommitAhead),
    (Bug::DecidesAnew, Law::OneOutcome),
    (Bug::DebitsTwice, Law::OneDebit),
    (Bug::IgnoresTheLimit, Law::HardLimit),
    (Bug::LeaksCredits, Law::Conservation),
    (Bug::AddsRollups, Law::TablesAgree),
    (Bug::IgnoresVersions, Law::NewestWins),
    (Bug::SkipsAnEntry, Law::Gapless),
    (Bug::LosesAnEntry, Law::LedgerFolds),
    (Bug::ForgetsTheKey, Law::OnceUnderAKey),
    (Bug::ClaimsForEver, Law::Converges),
    (Bug::ForgetsInTime, Law::ReplayChangesNothing),
];

#[test]
fn every_planted_bug_is_caught_by_its_law() {
    for (bug, law) in PLANTED {
        // Another law may see it first: what counts is that its own does.
        let mut reds = seeds(0..SEEDS_MAX, Some(bug)).filter_map(|(seed, fate)| Some((seed, fate.broken?)));
        let caught = reds.find(|(_, broken)| broken.law == law);
        let (seed, broken) =
            caught.unwrap_or_else(|| panic!("{bug:?}: not seen by {law:?} in {SEEDS_MAX} seeds"));
        println!("{:<20} {:<22} {:>3} seeds", format!("{bug:?}"), format!("{law:?}"), seed + 1);
        assert_eq!(run(seed, Some(bug), false).broken, Some(broken), "seed {seed} replays");
    }
    let laws: BTreeSet<Law> = PLANTED.iter().map(|(_, law)| *law).collect();
    assert_eq!(laws.len(), Law::ALL.len(), "every law has a bug that breaks it");
}
