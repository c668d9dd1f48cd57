//! The end of a fold: the next epoch begins, and what the ledger could not tell is mended, in the open.

use serde_json::{Value, json};

use super::Fold;
use crate::domain::book::Opened;
use crate::domain::credits::Credits;
use crate::domain::ledger::{Account, Entry, Posting};
use crate::domain::model::level_of;
use crate::domain::period::{Instant, PeriodName};

impl Fold {
    /// Starts the next epoch, `epoch`, and mends what the ledger could not tell; answers its first
    /// entries. Alert levels are those that the sums have reached.
    pub fn begin(&mut self, epoch: u64, now: Instant) -> Vec<Entry> {
        let running = self.state.calendar.period_of(now);
        (self.state.epoch, self.state.sequence, self.state.ledger_sequence) = (epoch, 0, 0);
        let mut entries = vec![self.entry("rebuilt", running.name, now, Vec::new(), json!({}))];
        let used: Vec<PeriodName> = self.state.books.keys().copied().collect();
        for name in used {
            let period = self.state.calendar.period_named(name).filter(|period| period.planned);
            let unopened = period.map(|period| self.state.unopened(&period)).unwrap_or_default();
            for period in unopened {
                let opened = self.state.open(period.name);
                entries.push(self.opening(period.name, &opened, now));
            }
        }
        entries.extend(self.correction(running.name, now));
        self.level();
        entries
    }

    fn entry(
        &mut self,
        kind: &str,
        period: PeriodName,
        at: Instant,
        postings: Vec<Posting>,
        change: Value,
    ) -> Entry {
        self.state.ledger_sequence += 1;
        let mut named = json!({ "kind": kind });
        if let (Value::Object(named), Value::Object(change)) = (&mut named, change) {
            named.extend(change);
        }
        Entry {
            workspace: self.id.clone(),
            epoch: self.state.epoch,
            sequence: self.state.ledger_sequence,
            kind: kind.to_owned(),
            actor: "system".to_owned(),
            reason: None,
            idempotency_key: None,
            request: None,
            period,
            at,
            postings,
            change: named,
        }
    }

    fn opening(&mut self, period: PeriodName, opened: &Opened, now: Instant) -> Entry {
        let Opened { carried, before, moved } = opened;
        let sum: Credits = moved.iter().map(|(_, moved, _)| *moved).sum();
        let posting =
            |account: Account, period: PeriodName, credits: Credits| Posting { account, period, credits };
        let mut postings = vec![posting(Account::Pool, period, self.state.monthly_credits)];
        postings.extend(before.map(|before| posting(Account::Pool, before, -*carried)));
        postings.push(posting(Account::Pool, period, *carried));
        postings.extend(moved.iter().map(|(account, moved, _)| posting(account.clone(), period, *moved)));
        postings.push(posting(Account::Pool, period, -sum));
        postings.retain(|posting| posting.credits != Credits::ZERO);
        let short = moved.iter().filter(|(_, moved, wanted)| moved < wanted);
        let short: Vec<Value> = short
            .map(|(account, moved, wanted)| json!({ "account": account, "credits": *wanted - *moved }))
            .collect();
        let change = json!({
            "monthly_credits": self.state.monthly_credits, "carried_over": carried, "shortfalls": short,
        });
        self.entry("opening", period, now, postings, change)
    }

    /// What accounts were drawn on beyond their credits.
    fn correction(&mut self, running: PeriodName, now: Instant) -> Option<Entry> {
        let mut postings = Vec::new();
        for (period, book) in &self.state.books {
            let teams = book.teams.iter().map(|(id, team)| (Account::Team(id.clone()), team.account));
            let users = book.users.iter().map(|(id, user)| (Account::User(id.clone()), user.account));
            let short = [(Account::Pool, book.pool)].into_iter().chain(teams).chain(users);
            let short = short.filter(|(_, sums)| sums.remaining() < Credits::ZERO);
            postings.extend(short.map(|(account, sums)| Posting {
                account,
                period: *period,
                credits: -sums.remaining(),
            }));
        }
        if postings.is_empty() {
            return None;
        }
        postings.iter().for_each(|posting| self.enter(posting));
        let mut entry = self.entry("correction", running, now, postings, json!({}));
        let words = "these credits were drawn on, and the entry that brought them was lost with redis";
        entry.reason = Some(words.to_owned());
        Some(entry)
    }

    /// Sets every alert level to what the sums have reached.
    pub(super) fn level(&mut self) {
        let mut books = std::mem::take(&mut self.state.books);
        let thresholds = self.state.thresholds.clone();
        for book in books.values_mut() {
            book.alerted = level_of(book.used + book.held, book.total, &thresholds);
            for team in book.teams.values_mut() {
                let sums = team.account;
                let total = sums.credited - sums.transferred_out;
                team.alerted = level_of(sums.used + sums.held, total, &thresholds);
            }
            for (id, user) in &mut book.users {
                let limit = self.state.effective_limit(id, user.granted).unwrap_or_default();
                user.alerted = level_of(user.spent + user.holding, limit, &thresholds);
            }
        }
        self.state.books = books;
    }
}
