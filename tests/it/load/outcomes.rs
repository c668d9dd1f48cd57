//! What the decisions and the dead letters tell of a run, read whole: each record of the input once,
//! repeats equal but for `decided_at`, and every single decision the one that the tally expects.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use rdkafka::Message as _;
use rdkafka::message::BorrowedMessage;
use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate::config::Settings;
use tollgate::simulate::{Cell, Spec, Tally, Verdict};

use super::checks::{CellKey, expected_cells};
use crate::support::{Watch, header};

type Position = (i32, i64);
/// Epoch and sequence of a verdict.
type Numbered = ((u64, u64), Verdict);

/// A decision as the contract has it.
#[derive(Deserialize)]
struct Decision<'a> {
    workspace: &'a str,
    user: &'a str,
    feature: &'a str,
    #[serde(borrow)]
    credits: &'a RawValue,
    outcome: &'a str,
    reason: Option<&'a str>,
    #[serde(borrow)]
    drawn: Drawn<'a>,
    epoch: u64,
    sequence: u64,
    partition: i32,
    offset: i64,
}

#[derive(Deserialize)]
struct Drawn<'a> {
    #[serde(borrow)]
    user: &'a RawValue,
    #[serde(borrow)]
    team: &'a RawValue,
    #[serde(borrow)]
    pool: &'a RawValue,
    #[serde(borrow)]
    overage: &'a RawValue,
}

/// Everything that was told.
#[derive(Default)]
pub struct Outcomes {
    /// Told again, and equal.
    pub repeats: u64,
    /// What was told of each record, as a hash.
    told: HashMap<Position, u64>,
    /// By epoch and sequence.
    verdicts: BTreeMap<String, Vec<Numbered>>,
    cells: BTreeMap<CellKey, Cell>,
    rejected: BTreeMap<String, u64>,
}

/// Reads both topics to their ends.
pub fn read(watch: &Watch<'_>, settings: &Settings) -> Outcomes {
    let (topics, mut outcomes) = (&settings.kafka.topics, Outcomes::default());
    watch.read(&topics.decisions, |message| outcomes.decision(message));
    watch.read(&topics.dead_letters, |message| outcomes.dead_letter(message, &topics.events));
    outcomes
}

impl Outcomes {
    fn decision(&mut self, message: &BorrowedMessage<'_>) {
        let text = std::str::from_utf8(message.payload().unwrap()).unwrap();
        let decision: Decision<'_> =
            serde_json::from_str(text).unwrap_or_else(|fault| panic!("{fault}: {text}"));
        assert_eq!(message.key(), Some(decision.workspace.as_bytes()), "{text}");
        if self.is_first((decision.partition, decision.offset), hash_of(without_decided_at(text)), text) {
            self.count(&decision, text);
        }
    }

    /// Notes what was told of a record; false when it is told again.
    fn is_first(&mut self, position: Position, hash: u64, text: &str) -> bool {
        let first = self.told.insert(position, hash);
        assert!(first.is_none_or(|first| first == hash), "told differently the second time: {text}");
        self.repeats += u64::from(first.is_some());
        first.is_none()
    }

    fn count(&mut self, decision: &Decision<'_>, text: &str) {
        let place = (decision.epoch, decision.sequence);
        let verdict = verdict(decision.outcome, decision.reason).unwrap_or_else(|| panic!("{text}"));
        self.verdicts.entry(decision.workspace.to_owned()).or_default().push((place, verdict));
        let (asked, drawn) = (micro(decision.credits), &decision.drawn);
        let drawn = [drawn.user, drawn.team, drawn.pool, drawn.overage].map(micro);
        let from_pool = if verdict == Verdict::Allowed { asked } else { 0 };
        assert_eq!(drawn, [0, 0, from_pool, 0], "{text}");
        if verdict == Verdict::Duplicate {
            return;
        }
        let key = [decision.workspace, decision.user, decision.feature].map(str::to_owned);
        let cell = self.cells.entry(key).or_default();
        if verdict == Verdict::Allowed {
            cell.events += 1;
            cell.micro += asked;
        } else {
            cell.denied_events += 1;
            cell.denied_micro += i128::from(asked);
        }
    }

    fn dead_letter(&mut self, message: &BorrowedMessage<'_>, input: &str) {
        let named = |name| header(message, name).unwrap_or_else(|| panic!("a dead letter without {name}"));
        let reason = named("reason");
        assert_eq!(named("topic"), input);
        assert!(!named("detail").is_empty());
        let position = (named("partition").parse().unwrap(), named("offset").parse().unwrap());
        let told = (reason, named("detail"), message.key(), message.payload());
        if self.is_first(position, hash_of(told), reason) {
            *self.rejected.entry(reason.to_owned()).or_default() += 1;
        }
    }

    /// Every offset of the input is told of, and nothing else is.
    pub fn check_each_record_once(&self, watch: &Watch<'_>, input: &str, records: u64) {
        let ends = watch.ends(input);
        assert_eq!(ends.iter().sum::<i64>() as u64, records, "what was published is there");
        assert_eq!(
            self.told.len() as u64,
            records,
            "records without an outcome, or outcomes without a record"
        );
        for (partition, offset) in self.told.keys() {
            assert!((0..ends[*partition as usize]).contains(offset), "{partition}/{offset} is no record");
        }
    }

    /// The newest epoch.
    pub fn epoch(&self) -> u64 {
        self.verdicts.values().flatten().map(|((epoch, _), _)| *epoch).max().unwrap_or_default()
    }

    /// Each decision by its place, all sums, and the reasons of the dead letters.
    pub fn check_against(&self, spec: &Spec, tally: &Tally) {
        for (name, expected) in spec.workspaces.iter().zip(&tally.workspaces) {
            let mut found = self.verdicts.get(name).cloned().unwrap_or_default();
            found.sort_unstable();
            for (before, after) in found.iter().zip(&found[1..]) {
                let ((epoch, sequence), next) = (before.0, after.0);
                let follows = next == (epoch, sequence + 1) || (next.0 > epoch && next.1 == 1);
                assert!(follows, "{name}: {next:?} comes after {:?}", before.0);
            }
            for (at, (found, expected)) in
                found.iter().map(|(_, verdict)| verdict).zip(&expected.verdicts).enumerate()
            {
                assert_eq!(found, expected, "{name}, sequence {}", at + 1);
            }
            assert_eq!(found.len(), expected.verdicts.len(), "{name}: decisions");
        }
        assert!(self.cells == expected_cells(spec, tally), "sums of the decisions differ from the tally");
        let expected = tally.rejected.iter().map(|(reason, count)| ((*reason).to_owned(), *count));
        assert_eq!(self.rejected, expected.collect());
    }
}

fn verdict(outcome: &str, reason: Option<&str>) -> Option<Verdict> {
    match (outcome, reason) {
        ("allowed", None) => Some(Verdict::Allowed),
        ("denied", Some("user_limit")) => Some(Verdict::UserLimit),
        ("denied", Some("insufficient_credits")) => Some(Verdict::InsufficientCredits),
        ("duplicate", None) => Some(Verdict::Duplicate),
        _ => None,
    }
}

/// An amount by its digits.
fn micro(number: &RawValue) -> i64 {
    let (whole, fraction) = number.get().split_once('.').unwrap_or((number.get(), ""));
    let scale = 10_i64.pow(6 - fraction.len() as u32);
    let fraction = if fraction.is_empty() { 0 } else { fraction.parse::<i64>().unwrap() };
    whole.parse::<i64>().unwrap() * 1_000_000 + fraction * scale
}

fn without_decided_at(text: &str) -> (&str, &str) {
    const FIELD: &str = "\"decided_at\":\"";
    let from = text.find(FIELD).unwrap_or_else(|| panic!("no decided_at: {text}")) + FIELD.len();
    let length = text[from..].find('"').unwrap();
    (&text[..from], &text[from + length..])
}

fn hash_of(told: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    told.hash(&mut hasher);
    hasher.finish()
}
