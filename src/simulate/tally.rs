//! The independent count: what must become of a run's records, by plain arithmetic over what was
//! generated. Order matters: a workspace's records are counted in the order of its partition.

use std::collections::BTreeMap;

use super::generator::Expectation;
use super::spec::Spec;

/// What must become of one valid event under `hard`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Debited in full from the pool.
    Allowed,
    /// Over the user's limit.
    UserLimit,
    /// The pool had too little left.
    InsufficientCredits,
    /// Sent before.
    Duplicate,
}

/// Sums of one user and feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cell {
    /// Allowed.
    pub events: u64,
    /// What they took, in microcredits.
    pub micro: i64,
    /// Denied.
    pub denied_events: u64,
    /// What they asked for, in microcredits.
    pub denied_micro: i128,
}

/// Everything of one workspace.
#[derive(Debug, Clone, Default)]
pub struct WorkspaceTally {
    /// What becomes of each valid event, in their order: `verdicts[n]` has the sequence n + 1.
    pub verdicts: Vec<Verdict>,
    /// By the places of user and feature.
    pub cells: BTreeMap<(usize, usize), Cell>,
    /// What the plan gave, in microcredits.
    pub pool_micro: i64,
    /// What was taken of it, in microcredits.
    pub used_micro: i64,
    /// What each user spent, in microcredits.
    pub spent_micro: BTreeMap<usize, i64>,
}

/// The count of a run.
#[derive(Debug, Clone)]
pub struct Tally {
    /// In the order of the [`Spec`].
    pub workspaces: Vec<WorkspaceTally>,
    /// Records that are no events, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    limits: Vec<Vec<Option<i64>>>,
}

impl Tally {
    /// Nothing yet; every workspace has the plan and every user the limit that the [`Spec`] says.
    pub fn new(spec: &Spec) -> Self {
        let (workspaces, plans) = (0..spec.workspaces.len(), spec.plans());
        let limits = |w: usize| (0..spec.users_per_workspace).map(|u| plans.limit_micro(w, u)).collect();
        let fresh = |w| WorkspaceTally { pool_micro: plans.pool_micro(w), ..WorkspaceTally::default() };
        Self {
            limits: workspaces.clone().map(limits).collect(),
            workspaces: workspaces.map(fresh).collect(),
            rejected: BTreeMap::new(),
        }
    }

    /// Counts the next record.
    pub fn count(&mut self, expectation: Expectation) {
        match expectation {
            Expectation::Rejected { reason } => *self.rejected.entry(reason).or_default() += 1,
            Expectation::Resend { workspace } => self.workspaces[workspace].verdicts.push(Verdict::Duplicate),
            Expectation::First { workspace, user, feature, micro } => {
                let limit = self.limits[workspace][user];
                self.workspaces[workspace].spend(user, feature, micro, limit);
            }
        }
    }

    /// Valid events with this verdict, in all workspaces.
    pub fn verdicts(&self, verdict: Verdict) -> u64 {
        let of =
            |workspace: &WorkspaceTally| workspace.verdicts.iter().filter(|v| **v == verdict).count() as u64;
        self.workspaces.iter().map(of).sum()
    }

    /// Records that are no events.
    pub fn rejects(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// What all events asked for, allowed or not, in microcredits.
    pub fn asked_micro(&self) -> i64 {
        let cells = self.workspaces.iter().flat_map(|workspace| workspace.cells.values());
        cells.map(|cell| cell.micro + cell.denied_micro as i64).sum()
    }

    /// What was taken of all pools, in microcredits.
    pub fn used_micro(&self) -> i64 {
        self.workspaces.iter().map(|workspace| workspace.used_micro).sum()
    }
}

impl WorkspaceTally {
    fn spend(&mut self, user: usize, feature: usize, micro: i64, limit: Option<i64>) {
        let (cell, spent) =
            (self.cells.entry((user, feature)).or_default(), self.spent_micro.entry(user).or_default());
        let verdict = if limit.is_some_and(|limit| *spent + micro > limit) {
            Verdict::UserLimit
        } else if self.used_micro + micro > self.pool_micro {
            Verdict::InsufficientCredits
        } else {
            Verdict::Allowed
        };
        if verdict == Verdict::Allowed {
            *spent += micro;
            self.used_micro += micro;
            cell.events += 1;
            cell.micro += micro;
        } else {
            cell.denied_events += 1;
            cell.denied_micro += i128::from(micro);
        }
        self.verdicts.push(verdict);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::Generator;

    #[test]
    fn limits_and_pools_are_counted_in_order() {
        let mut tally = WorkspaceTally { pool_micro: 10, ..WorkspaceTally::default() };
        for (user, micro, limit) in
            [(0, 4, Some(5)), (0, 2, Some(5)), (1, 7, None), (1, 6, None), (0, 0, Some(5))]
        {
            tally.spend(user, 0, micro, limit);
        }
        let (allowed, limited, dry) = (Verdict::Allowed, Verdict::UserLimit, Verdict::InsufficientCredits);
        assert_eq!(tally.verdicts, [allowed, limited, dry, allowed, allowed]);
        assert_eq!((tally.used_micro, tally.spent_micro[&0], tally.spent_micro[&1]), (10, 4, 6));
    }

    #[test]
    fn a_run_meets_limits_and_dry_pools() {
        let workspaces = (0..40).map(|n| format!("w{n}")).collect();
        let spec =
            Spec { limited_user_every: 10, dry_pool_every: 20, ..Spec::new(9, workspaces, 50, 40_000) };
        let mut tally = Tally::new(&spec);
        Generator::new(&spec).for_each(|record| tally.count(record.expectation));
        for verdict in [Verdict::UserLimit, Verdict::InsufficientCredits] {
            assert!(
                (400..8_000).contains(&tally.verdicts(verdict)),
                "{verdict:?} {}",
                tally.verdicts(verdict)
            );
        }
        let dry = tally.workspaces.iter().filter(|w| w.verdicts.contains(&Verdict::InsufficientCredits));
        assert_eq!(dry.count(), 2, "one workspace in twenty");
    }
}
