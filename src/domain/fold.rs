//! A workspace out of its two truths: the ledger, folded entry by entry, and what `usage_events` sums
//! up to. A rebuild writes the result into Redis, an audit compares it with what stands there.
//!
//! Movements come from the postings, settings from the change itself. What the ledger cannot tell is
//! mended at the end, in the open: a period that was opened for usage alone and whose entry was lost is
//! opened again, and an account that was drawn on beyond its credits, because the entry that brought them
//! was lost before anybody was told of it, gets what it lacks. Both become entries.

mod absolutes;
mod mend;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::book::{TeamSettings, Workspace};
use super::change::{CarryOver, Enforcement, Seats, Thresholds, UserChange};
use super::credits::Credits;
use super::decision::Drawn;
use super::ids::{FeatureId, TeamId, UserId, WorkspaceId};
use super::ledger::{Account, Entry, Posting, Totals};
use super::period::{Day, Instant, PeriodName};

/// What one user spent on one feature in one day as a member of one team, reversals given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The period.
    pub period: PeriodName,
    /// The day.
    pub day: Day,
    /// Who.
    pub user: UserId,
    /// What on.
    pub feature: FeatureId,
    /// The team that was drawn on.
    pub team: Option<TeamId>,
    /// From where the credits came.
    pub drawn: Drawn,
    /// Sums of the cell.
    pub totals: Totals,
}

/// An entry that the fold cannot take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// One is missing before it.
    #[error("the ledger of workspace {0} has a gap: entry {3}.{4} comes after {1}.{2}")]
    Gap(WorkspaceId, u64, u64, u64, u64),
    /// A change that cannot be read.
    #[error("entry {1}.{2} of the ledger of workspace {0} cannot be read: {3}")]
    Unreadable(WorkspaceId, u64, u64, String),
}

/// A ledger that is being folded.
#[derive(Debug, Clone)]
pub struct Fold {
    id: WorkspaceId,
    /// Settings and credits; epoch and ledger sequence are those of the last entry.
    pub state: Workspace,
    /// Events whose credits went back, by period, as `change.lua` names them.
    pub reversed: BTreeMap<PeriodName, BTreeSet<String>>,
    /// Every user that an entry names.
    pub users: BTreeSet<UserId>,
}

#[derive(Deserialize)]
struct PlanChange {
    monthly_credits: Credits,
    seats: Option<u32>,
    credits_per_seat: Option<Credits>,
    timezone: String,
    anchor_day: i8,
    enforcement: Enforcement,
    default_user_limit: Option<Credits>,
    carry_over: CarryOver,
    thresholds: Thresholds,
}

#[derive(Deserialize)]
struct UsersChange {
    users: Vec<UserChange>,
}

#[derive(Deserialize)]
struct TeamChange {
    team: TeamId,
    monthly_reserve: Credits,
    apply_now: bool,
    default_user_limit: Option<Credits>,
}

#[derive(Deserialize)]
struct FeatureChange {
    feature: FeatureId,
    limit: Option<Credits>,
}

#[derive(Deserialize)]
struct TransferChange {
    #[serde(default)]
    raise_limit: bool,
}

#[derive(Deserialize)]
struct ReversalChange {
    event_id: String,
    source: String,
    time: Instant,
    period: PeriodName,
}

#[derive(Deserialize)]
struct OpeningChange {
    carried_over: Credits,
}

impl Fold {
    /// A workspace that no entry names.
    pub fn new(id: WorkspaceId) -> Self {
        let (reversed, users) = (BTreeMap::new(), BTreeSet::new());
        Self { id, state: Workspace::default(), reversed, users }
    }

    /// Takes the next entry. One that was taken before, which a crash may have published twice, is passed over.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), FoldError> {
        let (epoch, last) = (self.state.epoch, self.state.ledger_sequence);
        if (entry.epoch, entry.sequence) <= (epoch, last) {
            return Ok(());
        }
        let next = if entry.epoch == epoch { last + 1 } else { 1 };
        if entry.sequence != next {
            return Err(FoldError::Gap(self.id.clone(), epoch, last, entry.epoch, entry.sequence));
        }
        (self.state.epoch, self.state.ledger_sequence) = (entry.epoch, entry.sequence);
        self.change(entry).map_err(|fault| {
            FoldError::Unreadable(self.id.clone(), entry.epoch, entry.sequence, fault.to_string())
        })?;
        let named = entry.postings.iter().filter_map(|posting| match &posting.account {
            Account::User(user) => Some(user.clone()),
            Account::Pool | Account::Team(_) => None,
        });
        self.users.extend(named);
        Ok(())
    }

    fn change(&mut self, entry: &Entry) -> Result<(), serde_json::Error> {
        match entry.kind.as_str() {
            "opening" => self.opened(entry)?,
            "plan" => self.plan(entry)?,
            "user" => self.user(entry, read(entry)?),
            "users" => read::<UsersChange>(entry)?.users.into_iter().for_each(|user| self.user(entry, user)),
            "team" => self.team(entry, read(entry)?),
            "feature" => {
                let FeatureChange { feature, limit } = read(entry)?;
                self.state.features.remove(&feature);
                self.state.features.extend(limit.map(|limit| (feature, limit)));
            }
            "reversal" => {
                let ReversalChange { event_id, source, time, period } = read(entry)?;
                let name = format!("{source}\n{event_id}\n{}", time.micros());
                self.reversed.entry(period).or_default().insert(name);
            }
            _ => {}
        }
        match entry.kind.as_str() {
            "opening" => {}
            "plan" | "top_up" | "correction" => entry.postings.iter().for_each(|posting| {
                self.enter(posting);
                if entry.kind == "top_up" {
                    self.state.books.entry(posting.period).or_default().top_ups += posting.credits;
                }
            }),
            "transfer" => self.moved(&entry.postings, read::<TransferChange>(entry)?.raise_limit),
            "grant" => self.moved(&entry.postings, true),
            _ => self.moved(&entry.postings, false),
        }
        Ok(())
    }

    /// Credits that came from nowhere, or went there.
    fn enter(&mut self, posting: &Posting) {
        let book = self.state.books.entry(posting.period).or_default();
        book.account(&posting.account).credited += posting.credits;
        book.total += posting.credits;
    }

    fn moved(&mut self, postings: &[Posting], raise_limit: bool) {
        for Posting { account, period, credits } in postings {
            let book = self.state.books.entry(*period).or_default();
            let sums = book.account(account);
            if *credits < Credits::ZERO {
                sums.transferred_out += -*credits;
            } else {
                sums.credited += *credits;
            }
            let Account::User(user) = account else { continue };
            let user = book.users.entry(user.clone()).or_default();
            if *credits < Credits::ZERO {
                user.granted = (user.granted + *credits).at_least_zero();
            } else if raise_limit {
                user.granted += *credits;
            }
        }
    }

    fn opened(&mut self, entry: &Entry) -> Result<(), serde_json::Error> {
        let carried = read::<OpeningChange>(entry)?.carried_over;
        for posting in &entry.postings {
            let book = self.state.books.entry(posting.period).or_default();
            match (&posting.account, posting.period == entry.period) {
                (Account::Pool, true) if posting.credits > Credits::ZERO => self.enter(posting),
                (Account::Pool, true) => book.pool.transferred_out += -posting.credits,
                (_, false) => {
                    book.pool.transferred_out += -posting.credits;
                    book.total += posting.credits;
                }
                (account, true) => {
                    book.account(account).credited += posting.credits;
                    *book.standing_of(account) += posting.credits;
                }
            }
        }
        let book = self.state.books.entry(entry.period).or_default();
        book.opened = true;
        book.top_ups = carried;
        Ok(())
    }

    fn plan(&mut self, entry: &Entry) -> Result<(), serde_json::Error> {
        let plan: PlanChange = read(entry)?;
        let state = &mut self.state;
        // It was valid when it was made.
        if let Ok((calendar, _)) = state.calendar.with_plan(entry.at, &plan.timezone, plan.anchor_day) {
            state.calendar = calendar;
        }
        state.monthly_credits = plan.monthly_credits;
        let counted = plan.seats.zip(plan.credits_per_seat);
        state.seats = counted.map(|(seats, credits_per_seat)| Seats { seats, credits_per_seat });
        state.enforcement = plan.enforcement;
        state.default_user_limit = plan.default_user_limit;
        state.carry_over = plan.carry_over;
        state.thresholds = plan.thresholds;
        Ok(())
    }

    fn user(&mut self, entry: &Entry, change: UserChange) {
        self.users.insert(change.user.clone());
        let settings = self.state.users.entry(change.user.clone()).or_default();
        settings.limit = change.limit.unwrap_or(settings.limit);
        settings.team = change.team.unwrap_or_else(|| settings.team.clone());
        settings.suspended = change.suspended.unwrap_or(settings.suspended);
        settings.monthly_allocation = change.monthly_allocation.unwrap_or(settings.monthly_allocation);
        if change.apply_now {
            let standing = settings.monthly_allocation;
            let book = self.state.books.entry(entry.period).or_default();
            *book.standing_of(&Account::User(change.user)) = standing;
        }
    }

    fn team(&mut self, entry: &Entry, change: TeamChange) {
        let TeamChange { team, monthly_reserve, apply_now, default_user_limit } = change;
        self.state.teams.insert(team.clone(), TeamSettings { default_user_limit, monthly_reserve });
        if apply_now {
            let book = self.state.books.entry(entry.period).or_default();
            *book.standing_of(&Account::Team(team)) = monthly_reserve;
        }
    }

    /// Adds what was used.
    pub fn spend(&mut self, usage: Usage) {
        let Usage { period, day, user, feature, team, drawn, totals } = usage;
        self.users.insert(user.clone());
        let book = self.state.books.entry(period).or_default();
        let spent = drawn.from_accounts() + drawn.overage;
        let of_user = book.users.entry(user.clone()).or_default();
        of_user.account.used += drawn.user;
        of_user.spent += spent;
        if let Some(team) = team {
            book.teams.entry(team).or_default().account.used += drawn.team;
        }
        book.pool.used += drawn.pool;
        book.used += drawn.from_accounts();
        book.overage += drawn.overage;
        if totals.events > 0 {
            book.features.entry(feature.clone()).or_default().spent += spent;
        }
        book.cells.entry((day, user, feature)).or_default().add(&totals);
    }
}

fn read<T: for<'de> Deserialize<'de>>(entry: &Entry) -> Result<T, serde_json::Error> {
    T::deserialize(&entry.change)
}

#[cfg(test)]
mod tests;
