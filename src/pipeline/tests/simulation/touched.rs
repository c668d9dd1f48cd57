//! Which accounts and cells a call has touched, and their absolute states as it leaves them.

use std::collections::BTreeSet;

use super::books::Books;
use crate::domain::book::{AccountState, Book, Workspace};
use crate::domain::decision::{Decision, Outcome};
use crate::domain::ledger::{Account, Balance, Effects, Rollup};
use crate::domain::period::{Day, Instant, PeriodName};
use crate::domain::{FeatureId, UserId, WorkspaceId};
use crate::pipeline::tests::books::pool_state;

pub type Cell = (Day, UserId, FeatureId);

#[derive(Default)]
pub struct Touched {
    accounts: BTreeSet<(WorkspaceId, PeriodName, Account)>,
    cells: BTreeSet<(WorkspaceId, PeriodName, Cell)>,
}

impl Touched {
    /// What an answer is about, also when it is given again.
    pub fn decision(&mut self, decision: &Decision) {
        let (id, period) = (&decision.event.workspace, decision.period);
        let team = decision.verdict.team.clone().map(Account::Team);
        let user = Account::User(decision.event.user.clone());
        self.accounts.extend([Account::Pool, user].into_iter().chain(team).map(|a| (id.clone(), period, a)));
        if decision.verdict.outcome != Outcome::Duplicate {
            let cell = (decision.day, decision.event.user.clone(), decision.event.feature.clone());
            self.cells.insert((id.clone(), period, cell));
        }
    }

    /// Adds every account that differs; whether one does.
    pub fn compare(&mut self, id: &WorkspaceId, before: &Workspace, after: &Workspace) -> bool {
        let (none, mut differs) = (Book::default(), false);
        for (period, book) in &after.books {
            let old = before.books.get(period).unwrap_or(&none);
            let sums = |book: &Book| (book.pool, book.total, book.used, book.held);
            let mut changed: Vec<Account> = Vec::new();
            changed.extend((sums(old) != sums(book)).then_some(Account::Pool));
            let teams = book
                .teams
                .iter()
                .filter(|(id, team)| old.teams.get(*id).copied().unwrap_or_default().account != team.account);
            changed.extend(teams.map(|(id, _)| Account::Team(id.clone())));
            let users = book.users.iter().filter(|(id, user)| {
                let old = old.users.get(*id).copied().unwrap_or_default();
                (old.account, old.spent) != (user.account, user.spent)
            });
            changed.extend(users.map(|(id, _)| Account::User(id.clone())));
            differs |= !changed.is_empty();
            self.accounts.extend(changed.into_iter().map(|account| (id.clone(), *period, account)));
        }
        differs
    }

    /// Their states as they stand now.
    pub fn tell(self, books: &Books, now: Instant, effects: &mut Effects) {
        for (id, period, account) in self.accounts {
            let Some(book) = books.model.workspace(&id).and_then(|state| state.books.get(&period)) else {
                continue;
            };
            if account == Account::Pool {
                effects.pools.push(pool_state(&id, period, book, books.version(&id), now));
            }
            effects.balances.push(balance(books, &id, period, account));
        }
        for (workspace, period, (day, user, feature)) in self.cells {
            let book = &books.model.workspace(&workspace).unwrap().books[&period];
            let totals = book.cells.get(&(day, user.clone(), feature.clone())).copied().unwrap_or_default();
            let version = books.version(&workspace);
            effects.rollups.push(Rollup { workspace, period, user, feature, day, totals, version });
        }
    }
}

/// What `account_balances` is to say of an account.
pub fn balance(books: &Books, id: &WorkspaceId, period: PeriodName, account: Account) -> Balance {
    let state = books.model.workspace(id).unwrap();
    let book = &state.books[&period];
    let (sums, spent, limit) = match &account {
        Account::Pool => (book.pool, Default::default(), None),
        Account::Team(team) => {
            (book.teams.get(team).copied().unwrap_or_default().account, Default::default(), None)
        }
        Account::User(user) => {
            let known = book.users.get(user).copied().unwrap_or_default();
            (known.account, known.spent, state.effective_limit(user, known.granted))
        }
    };
    let AccountState { credited, transferred_out, used, held } = sums;
    let (workspace, version) = (id.clone(), books.version(id));
    Balance { workspace, period, account, credited, transferred_out, used, held, spent, limit, version }
}
