//! The low-water mark alone, and against a model that remembers everything and looks at all of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Offsets, Ticket};

const NOW: Duration = Duration::ZERO;

fn assigned(partitions: &[i32]) -> Offsets {
    let offsets = Offsets::new();
    offsets.assign(partitions);
    offsets
}

#[test]
fn only_a_finished_prefix_is_committable() {
    let offsets = assigned(&[0, 1]);
    let first = offsets.begin(&[(0, 9)]);
    let second = offsets.begin(&[(0, 19), (1, 4)]);
    offsets.finish(second);
    assert_eq!(offsets.committable(), [(1, 5)]);
    offsets.finish(first);
    assert_eq!(offsets.committable(), [(0, 20), (1, 5)]);
}

#[test]
fn what_the_broker_confirmed_is_not_committed_again() {
    let offsets = assigned(&[0]);
    assert_eq!(offsets.committed_offset(0), None);
    offsets.finish(offsets.begin(&[(0, 9)]));
    offsets.committed(0, 10);
    assert_eq!(offsets.committable(), []);
    assert_eq!(offsets.committed_offset(0), Some(10));
    offsets.finish(offsets.begin(&[(0, 12)]));
    assert_eq!(offsets.committable(), [(0, 13)]);
}

#[test]
fn a_dropped_ticket_holds_the_floor() {
    let offsets = assigned(&[0]);
    offsets.finish(offsets.begin(&[(0, 9)]));
    drop(offsets.begin(&[(0, 19)]));
    offsets.finish(offsets.begin(&[(0, 29)]));
    assert_eq!(offsets.committable(), [(0, 10)]);
    assert!(!offsets.wait_idle(&[0], NOW));
}

#[test]
fn tickets_of_a_former_assignment_count_for_nothing() {
    let offsets = assigned(&[0]);
    let old = offsets.begin(&[(0, 99)]);
    offsets.revoke(&[0]);
    assert!(offsets.wait_idle(&[0], NOW));
    offsets.assign(&[0]);
    let new = offsets.begin(&[(0, 9)]);
    offsets.finish(old);
    assert_eq!(offsets.committable(), []);
    offsets.finish(new);
    assert_eq!(offsets.committable(), [(0, 10)]);
    // A partition of somebody else leaves no trace.
    offsets.finish(offsets.begin(&[(7, 3)]));
    offsets.committed(7, 4);
    assert_eq!((offsets.assigned(), offsets.committed_offset(7)), (vec![0], None));
}

#[test]
fn waiting_ends_with_the_last_finish_or_the_deadline() {
    let offsets = Arc::new(assigned(&[0, 1]));
    let (mine, other) = (offsets.begin(&[(0, 9)]), offsets.begin(&[(1, 9)]));
    assert!(!offsets.wait_idle(&[0], Duration::from_millis(5)));
    let finisher = Arc::clone(&offsets);
    let thread = std::thread::spawn(move || finisher.finish(mine));
    assert!(offsets.wait_idle(&[0], Duration::from_secs(60)));
    thread.join().unwrap();
    assert!(!offsets.wait_idle(&[0, 1], NOW));
    offsets.finish(other);
}

#[derive(Debug, Clone)]
enum Step {
    Begin(Vec<i32>),
    Finish(usize),
    Lose(usize),
    Confirm,
    Revoke(i32),
    Assign(i32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => vec(0..3_i32, 1..3).prop_map(Step::Begin),
        4 => any::<usize>().prop_map(Step::Finish),
        1 => any::<usize>().prop_map(Step::Lose),
        1 => Just(Step::Confirm),
        1 => (0..3_i32).prop_map(Step::Revoke),
        1 => (0..3_i32).prop_map(Step::Assign),
    ]
}

/// Partition, its assignment, and the offsets of a batch there.
type ModelPart = (i32, usize, std::ops::Range<usize>);

/// Every offset ever begun under the present assignment of a partition, and whether it is finished.
#[derive(Default)]
struct Model {
    partitions: BTreeMap<i32, (usize, Vec<bool>)>,
    assignments: usize,
    tickets: Vec<(Ticket, Vec<ModelPart>)>,
}

/// Offsets of a batch in the test.
const BATCH: usize = 3;

impl Model {
    fn apply(&mut self, offsets: &Offsets, step: Step) {
        match step {
            Step::Begin(wanted) => self.begin(offsets, wanted),
            Step::Finish(which) => {
                if let Some((ticket, parts)) = self.take(which) {
                    offsets.finish(ticket);
                    self.finish(parts);
                }
            }
            Step::Lose(which) => drop(self.take(which)),
            Step::Confirm => {
                offsets.committable().into_iter().for_each(|(number, next)| offsets.committed(number, next));
                assert_eq!(offsets.committable(), []);
            }
            Step::Revoke(number) => {
                offsets.revoke(&[number]);
                self.partitions.remove(&number);
            }
            Step::Assign(number) => {
                offsets.assign(&[number]);
                self.assignments += 1;
                self.partitions.insert(number, (self.assignments, Vec::new()));
            }
        }
    }

    fn begin(&mut self, offsets: &Offsets, mut wanted: Vec<i32>) {
        wanted.sort_unstable();
        wanted.dedup();
        let mut parts = Vec::new();
        let mut last = Vec::new();
        for number in wanted {
            let (assignment, seen) = match self.partitions.get_mut(&number) {
                Some((assignment, seen)) => (*assignment, seen),
                None => {
                    last.push((number, 7));
                    continue;
                }
            };
            let from = seen.len();
            seen.resize(from + BATCH, false);
            parts.push((number, assignment, from..seen.len()));
            last.push((number, seen.len() as i64 - 1));
        }
        self.tickets.push((offsets.begin(&last), parts));
    }

    fn take(&mut self, which: usize) -> Option<(Ticket, Vec<ModelPart>)> {
        let count = self.tickets.len();
        (count > 0).then(|| self.tickets.swap_remove(which % count))
    }

    fn finish(&mut self, parts: Vec<ModelPart>) {
        for (number, assignment, range) in parts {
            if let Some((now, seen)) = self.partitions.get_mut(&number)
                && *now == assignment
            {
                seen[range].fill(true);
            }
        }
    }

    /// One past the finished prefix, of partitions that have one.
    fn marks(&self) -> Vec<(i32, i64)> {
        let prefix = |seen: &Vec<bool>| seen.iter().take_while(|finished| **finished).count() as i64;
        let marks = self.partitions.iter().map(|(number, (_, seen))| (*number, prefix(seen)));
        marks.filter(|(_, next)| *next > 0).collect()
    }
}

proptest! {
    #[test]
    fn never_past_an_unfinished_offset_and_never_short_of_a_finished_one(steps in vec(step(), 1..120)) {
        let offsets = assigned(&[0, 1]);
        let mut model = Model::default();
        for number in [0, 1] {
            model.apply(&offsets, Step::Assign(number));
        }
        for step in steps {
            model.apply(&offsets, step);
            let mut known: BTreeMap<i32, i64> =
                (0..3).filter_map(|n| Some((n, offsets.committed_offset(n)?))).collect();
            known.extend(offsets.committable());
            prop_assert_eq!(known.into_iter().collect::<Vec<_>>(), model.marks());
            for (number, (_, seen)) in &model.partitions {
                prop_assert_eq!(offsets.wait_idle(&[*number], NOW), seen.iter().all(|finished| *finished));
            }
        }
    }
}
