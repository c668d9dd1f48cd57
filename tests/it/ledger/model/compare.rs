//! What stands in Redis against the model, against the versions of before, and against its own ledger.

use std::collections::BTreeMap;

use tollgate::domain::audit::{Cells, audit};
use tollgate::domain::book::{Book, Workspace};
use tollgate::domain::fold::Fold;
use tollgate::domain::ledger::{Effects, Entry, Outgoing};
use tollgate::domain::period::PeriodName;
use tollgate::domain::ports::Outbox as _;
use tollgate::domain::{Credits, WorkspaceId};

use super::ops::workspace;
use super::run::Run;
use super::{Law, Notes};

impl Run<'_> {
    /// What the call told to be recorded is what the model holds now.
    pub fn compare_absolutes(&self, effects: &Effects) {
        self.notes.asks(Law::Told);
        let mut newest = BTreeMap::new();
        for rollup in &effects.rollups {
            newest.insert(
                (&rollup.workspace, rollup.period, &rollup.user, &rollup.feature, rollup.day),
                rollup,
            );
        }
        for rollup in newest.into_values() {
            let book = &self.model.workspace(&rollup.workspace).unwrap().books[&rollup.period];
            let key = (rollup.day, rollup.user.clone(), rollup.feature.clone());
            assert_eq!(rollup.totals, book.cells[&key], "{rollup:?}");
        }
        let pools: BTreeMap<_, _> =
            effects.pools.iter().map(|pool| ((&pool.workspace, pool.period), pool)).collect();
        for pool in pools.into_values() {
            let book = &self.model.workspace(&pool.workspace).unwrap().books[&pool.period];
            assert_eq!(
                (pool.total, pool.used, pool.unallocated),
                (book.total, book.used, book.pool.remaining())
            );
        }
    }

    /// Ends what has expired, in the model and in Redis.
    pub async fn sweep(&mut self) {
        self.notes.asks(Law::State);
        self.model.sweep(self.now);
        for shard in 0..2 {
            self.lua.sweep(shard, self.now).await.unwrap();
            let rare = self.lua.take_touched(); // of now: what is told later is newer
            (0..rare.holds_expired).for_each(|_| self.notes.passed("hold expired"));
        }
    }

    pub async fn compare_state(&mut self) {
        self.sweep().await;
        for n in 0..3 {
            self.notes.asks(Law::State);
            let id = workspace(n);
            let Some(expected) = self.model.workspace(&id) else {
                assert!(self.lua.workspace(&id, &[]).await.unwrap().is_none());
                continue;
            };
            let periods: Vec<PeriodName> = expected.books.keys().copied().collect();
            let Some(found) = self.lua.snapshot(&id, &periods).await.unwrap() else {
                assert_eq!((expected.sequence, expected.ledger_sequence), (0, 0), "{id}");
                continue;
            };
            self.notes.asks(Law::Conservation);
            for book in found.state.books.values() {
                assert_eq!(book.conserved(), book.total, "credits are conserved");
            }
            let (version, found) = (found.version, comparable(found.state));
            self.notes.asks(Law::State);
            assert_eq!(found, comparable(expected.clone()), "{id}");
            self.notes.asks(Law::Grows);
            // A period that was only looked at has no books in Redis, and empty ones in the model.
            let empty = Book::default().tidied();
            let books: Vec<_> = found.3.iter().filter(|(_, book)| *book != empty).collect();
            let state = format!("{:?} {} {} {books:?}", found.0, found.1, found.2);
            grows(&mut self.versions, n, version, state);
        }
    }

    /// At the end of a life: the ledger is gapless, and with the events it makes what stands there.
    pub async fn compare_ledger(&self) {
        let mut entries = Vec::new();
        for shard in 0..2 {
            let pending = self.lua.pending(shard, usize::MAX >> 1).await.unwrap();
            entries.extend(pending.into_iter().filter_map(|pending| match pending.item {
                Outgoing::Entry(entry) => Some(entry),
                Outgoing::Alert(_) | Outgoing::Settle(_) => None,
            }));
        }
        entries.iter().for_each(|entry| note_entry(self.notes, entry));
        for n in 0..3 {
            let id = workspace(n);
            let Some(expected) = self.model.workspace(&id) else { continue };
            let periods: Vec<PeriodName> = expected.books.keys().copied().collect();
            let Some(found) = self.lua.workspace(&id, &periods).await.unwrap() else { continue };
            self.notes.asks(Law::Gapless);
            let mut fold = self.folded(&id, entries.iter().filter(|entry| entry.workspace == id));
            assert_eq!(
                fold.state.ledger_sequence, found.ledger_sequence,
                "{id}: the last entries are missing"
            );
            self.notes.asks(Law::Audit);
            for (_, usage) in self.usages.iter().filter(|(of, _)| *of == id) {
                fold.spend(usage.clone());
            }
            // Of rollups the newest that was told is compared at once: here there are none.
            let differences = audit(&found, &fold, &Cells::new(), 0).differences;
            let wrong = |d: &&tollgate::domain::audit::Difference| {
                [d.events, d.ledger].into_iter().flatten().any(|source| source - d.redis != Credits::ZERO)
            };
            let differences: Vec<_> = differences.iter().filter(wrong).collect();
            assert!(differences.is_empty(), "{id}: {differences:?}");
        }
    }

    fn folded<'b>(&self, id: &WorkspaceId, entries: impl Iterator<Item = &'b Entry>) -> Fold {
        let mut fold = Fold::new(id.clone());
        entries.for_each(|entry| fold.apply(entry).unwrap());
        fold
    }
}

fn note_entry(notes: &Notes, entry: &Entry) {
    if entry.kind != "opening" {
        return;
    }
    notes.passed("opening");
    if entry.change["carried_over"].as_f64().is_some_and(|carried| carried > 0.0) {
        notes.passed("carry-over");
    }
    if entry.change["shortfalls"].as_array().is_some_and(|list| !list.is_empty()) {
        notes.passed("shortfall");
    }
    if entry.postings.iter().any(|posting| posting.account != tollgate::domain::ledger::Account::Pool) {
        notes.passed("standing amount moved");
    }
}

/// A version never falls, and a state that changed has a higher one.
fn grows(known: &mut BTreeMap<u8, ((u64, u64), String)>, n: u8, version: (u64, u64), state: String) {
    if let Some((before, was)) = known.get(&n) {
        assert!(version >= *before, "the version fell from {before:?} to {version:?}");
        assert!(*was == state || version > *before, "changed under version {version:?}");
    }
    known.insert(n, (version, state));
}

type Comparable = (Vec<u64>, String, String, Vec<(PeriodName, Book)>);

fn comparable(state: Workspace) -> Comparable {
    let numbers = vec![state.epoch, state.sequence, state.ledger_sequence];
    let (settings, holds) = (settings(&state), format!("{:?}", state.holds));
    let books = state.books.into_iter().map(|(period, book)| (period, book.tidied())).collect();
    (numbers, settings, holds, books)
}

/// Everything that was set; a user whose settings are those of nobody is none.
pub fn settings(state: &Workspace) -> String {
    let users: Vec<_> = state.users.iter().filter(|(_, user)| **user != Default::default()).collect();
    format!(
        "{} {:?} {:?} {:?} {:?} {:?} {:?} {users:?} {:?} {:?}",
        state.calendar.stored(),
        state.monthly_credits,
        state.seats,
        state.enforcement,
        state.default_user_limit,
        state.carry_over,
        state.thresholds,
        state.teams,
        state.features,
    )
}
