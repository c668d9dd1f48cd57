//! Planted bugs, to show that each law can be broken and that its checker sees it. They live in the
//! simulated stores and in the part of the consumer; the pipeline is always the real one.

use super::laws::Law;
use super::{Fate, seeds};

/// What misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The consumer commits what it has handed over.
    CommitsEarly,
    /// The producer says yes when Kafka is away.
    SwallowsMessages,
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
    /// The relay never sees some entries, which leave the outbox with the others.
    SkipsAnEntry,
    /// Some entries are said to be recorded and are not.
    LosesAnEntry,
    /// A retry under the same idempotency key is done again.
    ForgetsTheKey,
    /// The claim of a relay that died is never free.
    ClaimsForEver,
    /// Fences are kept for a while only, and a replay comes later.
    FencesExpire,
}

const SEEDS_MAX: u64 = 200;

const PLANTED: [(Bug, Law); 18] = [
    (Bug::CommitsEarly, Law::OneOutcome),
    (Bug::SwallowsMessages, Law::OneOutcome),
    (Bug::SwallowsRows, Law::NoCommitAhead),
    (Bug::DropsARow, Law::NoCommitAhead),
    (Bug::DropsAnOutcome, Law::OneOutcome),
    (Bug::ForgetsTheFence, Law::OneDebit),
    (Bug::LosesTheTail, Law::OneOutcome),
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
    (Bug::FencesExpire, Law::ReplayChangesNothing),
];

#[test]
fn every_planted_bug_is_caught_by_its_law() {
    for (bug, law) in PLANTED {
        let caught = seeds(0..SEEDS_MAX, Some(bug))
            .find_map(|(seed, fate): (u64, Fate)| fate.broken.map(|broken| (seed, broken)));
        let (seed, broken) = caught.unwrap_or_else(|| panic!("{bug:?}: not seen in {SEEDS_MAX} seeds"));
        println!("{bug:?} | {:?} | seed {seed}", broken.law);
        assert_eq!(broken.law, law, "{bug:?} in seed {seed}: {}", broken.detail);
    }
    let laws: std::collections::BTreeSet<Law> = PLANTED.iter().map(|(_, law)| *law).collect();
    assert_eq!(laws.len(), Law::ALL.len(), "every law has a bug that breaks it");
}
