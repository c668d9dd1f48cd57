//! The absolutes that both scripts tell, as the domain has them.

use crate::domain::ledger::{Account, Balance, PoolState};
use crate::domain::period::{Instant, PeriodName};
use crate::domain::{Credits, WorkspaceId};

/// Whose absolutes they are, and as of when.
#[derive(Clone, Copy)]
pub struct Told<'a> {
    /// The tenant.
    pub workspace: &'a WorkspaceId,
    /// The period.
    pub period: PeriodName,
    /// [`crate::domain::ledger::version`] of the state.
    pub version: u64,
    /// The caller's clock.
    pub now: Instant,
}

impl Told<'_> {
    /// The state of one account; `sums` are credited, transferred out, used and held.
    pub fn balance(&self, account: Account, sums: [i64; 4], spent: i64, limit: i64) -> Balance {
        let [credited, transferred_out, used, held] = sums.map(Credits::from_micro);
        Balance {
            workspace: self.workspace.clone(),
            period: self.period,
            account,
            credited,
            transferred_out,
            used,
            held,
            spent: Credits::from_micro(spent),
            limit: limit_of(limit),
            version: self.version,
        }
    }

    /// The pool's record: its own sums, then total, used, held and overage of the whole workspace.
    pub fn pool(&self, sums: [i64; 4], [total, used, held, _overage]: [i64; 4]) -> PoolState {
        let [credited, transferred_out, own_used, own_held] = sums;
        PoolState {
            workspace: self.workspace.clone(),
            period: self.period,
            total: Credits::from_micro(total),
            used: Credits::from_micro(used),
            held: Credits::from_micro(held),
            unallocated: Credits::from_micro(credited - transferred_out - own_used - own_held),
            version: self.version,
            at: self.now,
        }
    }
}

/// A limit as the scripts write it: below 0 is none.
pub fn limit_of(micro: i64) -> Option<Credits> {
    (micro >= 0).then(|| Credits::from_micro(micro))
}
