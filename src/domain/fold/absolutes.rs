//! A folded workspace as the tables have it: every total and balance, absolute and with a version.

use std::collections::{BTreeMap, BTreeSet};

use super::Fold;
use crate::domain::book::{AccountState, Book};
use crate::domain::credits::Credits;
use crate::domain::ids::{FeatureId, UserId};
use crate::domain::ledger::{self, Account, Balance, PoolState, Rollup, Totals};
use crate::domain::period::{Day, Instant, PeriodName};
use crate::domain::record::Rows;

impl Fold {
    /// Totals and balances of every period. What the tables have beyond them, these cells and accounts, becomes 0.
    pub fn absolutes(
        &self,
        cells: impl IntoIterator<Item = (PeriodName, UserId, FeatureId, Day)>,
        accounts: BTreeSet<(PeriodName, Account)>,
        now: Instant,
    ) -> Rows {
        let version = ledger::version(self.state.epoch, self.state.ledger_sequence);
        let mut totals: BTreeMap<_, Totals> =
            cells.into_iter().map(|cell| (cell, Totals::default())).collect();
        let none = |(period, account): (PeriodName, Account)| {
            let balance = self.balance(period, account.clone(), AccountState::default(), version);
            ((period, account), balance)
        };
        let mut balances: BTreeMap<_, Balance> = accounts.into_iter().map(none).collect();
        for (period, book) in &self.state.books {
            for ((day, user, feature), cell) in &book.cells {
                totals.insert((*period, user.clone(), feature.clone(), *day), *cell);
            }
            for (account, sums, spent) in accounts_of(book) {
                let balance = self.balance(*period, account.clone(), sums, version);
                balances.insert((*period, account), Balance { spent, ..balance });
            }
        }
        let rollup = |((period, user, feature, day), totals)| Rollup {
            workspace: self.id.clone(),
            period,
            user,
            feature,
            day,
            totals,
            version,
        };
        Rows {
            rollups: totals.into_iter().map(rollup).collect(),
            balances: balances.into_values().collect(),
            pools: self.pool(now, version).into_iter().collect(),
            ..Rows::default()
        }
    }

    fn balance(&self, period: PeriodName, account: Account, sums: AccountState, version: u64) -> Balance {
        let limit = match &account {
            Account::User(id) => {
                let user = self.state.books.get(&period).and_then(|book| book.users.get(id));
                self.state.effective_limit(id, user.map_or(Credits::ZERO, |user| user.granted))
            }
            Account::Pool | Account::Team(_) => None,
        };
        Balance {
            workspace: self.id.clone(),
            period,
            account,
            credited: sums.credited,
            transferred_out: sums.transferred_out,
            used: sums.used,
            held: sums.held,
            spent: Credits::ZERO,
            limit,
            version,
        }
    }

    /// The whole workspace in the running period.
    fn pool(&self, now: Instant, version: u64) -> Option<PoolState> {
        let period = self.state.calendar.period_of(now).name;
        let book = self.state.books.get(&period).filter(|book| book.opened)?;
        Some(PoolState {
            workspace: self.id.clone(),
            period,
            total: book.total,
            used: book.used,
            held: book.held,
            unallocated: book.pool.remaining(),
            version,
            at: now,
        })
    }
}

/// Every account of a book with what its user spent.
fn accounts_of(book: &Book) -> impl Iterator<Item = (Account, AccountState, Credits)> + '_ {
    let pool = book.opened.then_some((Account::Pool, book.pool, Credits::ZERO));
    let teams = book.teams.iter().map(|(id, team)| (Account::Team(id.clone()), team.account, Credits::ZERO));
    let users = book.users.iter().map(|(id, user)| (Account::User(id.clone()), user.account, user.spent));
    pool.into_iter().chain(teams).chain(users)
}
