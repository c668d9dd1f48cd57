//! The laws of the end: when all is healed, all the world agrees, and reading it again changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::laws::{Judged, Law, holds};
use super::outbox::nets;
use super::tables::Tables;
use super::touched::balance;
use super::world::State;
use super::{WORKSPACES, workspace};
use crate::domain::Credits;
use crate::domain::book::Book;
use crate::domain::decision::Outcome;
use crate::domain::ledger::{Account, Balance, Totals};
use crate::domain::period::PeriodName;

/// Everything at rest.
pub fn agrees(state: &State) -> Judged {
    numbered(state)?;
    rejected(state)?;
    usage(state)?;
    balances(state)?;
    ledger(state)
}

/// The decisions of a workspace carry every number once, in Kafka.
fn numbered(state: &State) -> Judged {
    let mut told: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for decision in state.kafka.decisions.values() {
        let (id, sequence) =
            (decision["workspace"].as_str().unwrap(), decision["sequence"].as_u64().unwrap());
        let new = told.entry(id).or_default().insert(sequence);
        holds(Law::Gapless, new, || format!("{id} has {sequence} twice"))?;
    }
    for (id, sequences) in told {
        let last = state.books.state(&crate::domain::WorkspaceId::parse(id).unwrap()).sequence;
        let all = sequences.len() as u64 == last && sequences.last() == Some(&last);
        holds(Law::Gapless, all, || format!("{id} decided {last}, told are {sequences:?}"))?;
    }
    Ok(())
}

fn rejected(state: &State) -> Judged {
    let (told, rows) = (state.kafka.letters.keys(), state.tables.letters.keys());
    holds(Law::TablesAgree, told.eq(rows), || "dead letters in Kafka and in the table differ".to_owned())
}

/// Sum of the events = rollups = books.
fn usage(state: &State) -> Judged {
    let mut sums: BTreeMap<_, Totals> = BTreeMap::new();
    for decision in state.tables.events.values() {
        let (event, verdict) = (&decision.event, &decision.verdict);
        let cell = (decision.day, event.user.clone(), event.feature.clone());
        let sum = sums.entry((event.workspace.clone(), decision.period, cell)).or_default();
        if verdict.outcome == Outcome::Denied {
            sum.denied_events += 1;
            sum.denied_micro += i128::from(event.credits.micro());
        } else {
            sum.events += 1;
            sum.overage_events += u64::from(verdict.outcome == Outcome::Overage);
            sum.credits += verdict.drawn.from_accounts();
            sum.overage_credits += verdict.drawn.overage;
        }
    }
    let rollups: BTreeMap<_, Totals> =
        state.tables.rollups.iter().map(|(key, rollup)| (key.clone(), rollup.totals)).collect();
    holds(Law::TablesAgree, sums == rollups, || format!("events {sums:?}, rollups {rollups:?}"))?;
    let mut books = BTreeMap::new();
    for id in (0..WORKSPACES).map(workspace) {
        for (period, book) in state.books.state(&id).books {
            books.extend(book.cells.into_iter().map(|(cell, totals)| ((id.clone(), period, cell), totals)));
        }
    }
    holds(Law::TablesAgree, rollups == books, || format!("rollups {rollups:?}, books {books:?}"))
}

/// Balances of accounts that the last events touched.
fn balances(state: &State) -> Judged {
    for ((id, period, account), row) in &state.tables.balances {
        let settings = state.books.state(id);
        let idle = |team| !settings.users.values().any(|user| user.team.as_ref() == Some(team));
        if matches!(account, Account::Team(team) if idle(team)) {
            continue; // the next touch tells it, and nobody can touch it
        }
        let wanted = balance(&state.books, id, *period, account.clone());
        let same = *row == Balance { version: row.version, ..wanted.clone() };
        holds(Law::TablesAgree, same, || format!("{row:?} should be {wanted:?}"))?;
    }
    Ok(())
}

/// The topic, and the table, add up to what accounts hold.
fn ledger(state: &State) -> Judged {
    for id in (0..WORKSPACES).map(workspace) {
        let books = state.books.state(&id);
        let told = state.laws.ledger.get(&id).map_or(0, Vec::len) as u64;
        holds(Law::Gapless, told == books.ledger_sequence, || {
            format!("{id} has {} entries, {told} in Kafka", books.ledger_sequence)
        })?;
        let mut folded: BTreeMap<(PeriodName, Account), Credits> = BTreeMap::new();
        for posting in
            state.laws.ledger.get(&id).into_iter().flatten().flat_map(|e| e["postings"].as_array()).flatten()
        {
            let text = |name: &str| posting[name].as_str().unwrap();
            let key = (text("period").parse().unwrap(), text("account").parse().unwrap());
            let credits = Credits::parse(&posting["credits"].to_string()).unwrap();
            *folded.entry(key).or_default() += credits;
        }
        let mut tabled = BTreeMap::new();
        for ((_, _, _), entry) in
            state.tables.entries.range((id.clone(), 0, 0)..).take_while(|(key, _)| key.0 == id)
        {
            for posting in &entry.postings {
                *tabled.entry((posting.period, posting.account.clone())).or_default() += posting.credits;
            }
        }
        let mut wanted = nets(&books);
        [&mut folded, &mut tabled, &mut wanted]
            .into_iter()
            .for_each(|nets| nets.retain(|_, net| *net != Credits::ZERO));
        holds(Law::LedgerFolds, folded == wanted, || format!("{id}: topic {folded:?}, books {wanted:?}"))?;
        holds(Law::LedgerFolds, tabled == wanted, || format!("{id}: table {tabled:?}, books {wanted:?}"))?;
        let rows = state.tables.entries.keys().filter(|key| key.0 == id).count() as u64;
        holds(Law::LedgerFolds, rows == told, || {
            format!("{id}: {told} entries in Kafka, {rows} in the table")
        })?;
    }
    Ok(())
}

/// What a replay may not change.
pub struct Still {
    books: Vec<(u64, u64, BTreeMap<PeriodName, Book>)>,
    tables: Tables,
    decisions: usize,
}

impl Still {
    pub fn of(state: &State) -> Self {
        let books = (0..WORKSPACES).map(|number| state.books.state(&workspace(number)));
        Self {
            books: books.map(|state| (state.sequence, state.ledger_sequence, state.books)).collect(),
            tables: state.tables.clone(),
            decisions: state.kafka.decisions.len(),
        }
    }

    pub fn is_still(&self, state: &State) -> Judged {
        let now = Self::of(state);
        let law = Law::ReplayChangesNothing;
        holds(law, self.books == now.books, || format!("books {:?}, then {:?}", self.books, now.books))?;
        let (old, new) = (&self.tables, &now.tables);
        // Told again they may carry a later version.
        let totals = |tables: &Tables| tables.rollups.values().map(|row| row.totals).collect::<Vec<_>>();
        holds(law, totals(old) == totals(new), || "rollups differ".to_owned())?;
        let sums = |tables: &Tables| {
            tables.balances.values().map(|row| Balance { version: 0, ..row.clone() }).collect::<Vec<_>>()
        };
        holds(law, sums(old) == sums(new), || format!("balances {:?}, then {:?}", sums(old), sums(new)))?;
        holds(law, old.recorded == new.recorded, || "other records have rows".to_owned())?;
        let verdicts =
            |tables: &Tables| tables.events.values().map(|row| row.verdict.clone()).collect::<Vec<_>>();
        holds(law, verdicts(old) == verdicts(new), || "events differ".to_owned())?;
        holds(law, old.entries == new.entries, || "the ledger's table differs".to_owned())?;
        holds(law, self.decisions == now.decisions, || "more decisions were told".to_owned())
    }
}
