//! What people see of a workspace: a [`View`]'s settings and books as lines that add up. In reading
//! order: the whole ([`Summary`]), `user` and the sorted pages of all of them (`roster`), `team`,
//! `feature`, and whether a wish would pass (`check`). Usage over time is not in here: tables tell that.

mod check;
mod feature;
mod roster;
mod team;
mod user;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde::Serialize;
use utoipa::ToSchema;

use super::book::{AccountState, Book, Workspace};
use super::credits::Credits;
use super::ids::UserId;
use super::ledger::Balance;
use super::ports::View;

pub use check::check;
pub use feature::{FeatureLine, feature, features};
pub use roster::{Place, Roster, Sort};
pub use team::{TeamLine, members, team, teams};
pub use user::{Allocation, LimitSource, UserLine, user};

/// The sums of one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct Sums {
    /// Everything that ever came in, gross.
    pub credited: Credits,
    /// Everything that was moved away, gross.
    pub transferred_out: Credits,
    /// Drawn by usage.
    pub used: Credits,
    /// Set aside by holds.
    pub held: Credits,
    /// What is left.
    pub remaining: Credits,
}

impl From<&AccountState> for Sums {
    fn from(account: &AccountState) -> Self {
        let AccountState { credited, transferred_out, used, held } = *account;
        Self { credited, transferred_out, used, held, remaining: account.remaining() }
    }
}

impl From<&Balance> for Sums {
    fn from(balance: &Balance) -> Self {
        let Balance { credited, transferred_out, used, held, .. } = *balance;
        Self { credited, transferred_out, used, held, remaining: balance.remaining() }
    }
}

/// A workspace in one period.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Summary {
    /// Everything that entered.
    pub total: Credits,
    /// What was moved to users and not taken back.
    pub allocated_to_users: Credits,
    /// What was moved to teams and not taken back.
    pub reserved_for_teams: Credits,
    /// Drawn by usage, from whichever account.
    pub used: Credits,
    /// Set aside by holds, from whichever account.
    pub held: Credits,
    /// Spent beyond accounts.
    pub overage: Credits,
    /// What is left in all accounts together.
    pub remaining: Credits,
    /// What is left in the pool alone: allocated to nobody.
    pub pool_remaining: Credits,
    /// Sum of the users' limits over the total; who has no limit counts as the total. None when that is 0.
    pub oversubscription: Option<f64>,
    /// How many users were ever seen or named.
    pub user_count: usize,
}

impl Summary {
    /// Adds a view up.
    pub fn of(view: &View) -> Self {
        let (book, users) = (view.book(), known_users(view));
        let moved = |account: &AccountState| account.credited - account.transferred_out;
        Self {
            total: book.total,
            allocated_to_users: book.users.values().map(|user| moved(&user.account)).sum(),
            reserved_for_teams: book.teams.values().map(|team| moved(&team.account)).sum(),
            used: book.used,
            held: book.held,
            overage: book.overage,
            remaining: book.total - book.used - book.held,
            pool_remaining: book.pool.remaining(),
            oversubscription: oversubscription(&view.state, &book, &users),
            user_count: users.len(),
        }
    }
}

/// In 128 bits: 70,000 users of the largest limit pass 64.
fn oversubscription(state: &Workspace, book: &Book, users: &[&UserId]) -> Option<f64> {
    let granted = |user: &UserId| book.users.get(user).map_or(Credits::ZERO, |user| user.granted);
    let limits = users.iter().map(|user| state.effective_limit(user, granted(user)).unwrap_or(book.total));
    let limits: i128 = limits.map(|limit| i128::from(limit.micro())).sum();
    (book.total > Credits::ZERO).then(|| limits as f64 / book.total.micro() as f64)
}

/// Everybody in settings or books, the idle too, in order of id.
pub fn known_users(view: &View) -> Vec<&UserId> {
    let books = view.state.books.values().flat_map(|book| book.users.keys());
    let mut users: Vec<&UserId> = view.state.users.keys().chain(books).collect();
    users.sort(); // two sorted runs: about as cheap as merging them
    users.dedup();
    users
}

/// The same of a few, as a set.
fn union<'a, T: Ord>(runs: impl IntoIterator<Item = &'a T>) -> BTreeSet<&'a T> {
    runs.into_iter().collect()
}
