//! What must be true at every step, whatever happens: looked at after each effect on a store, by what
//! the store then holds and what was seen before. The laws of the end stand in [`super::end`].

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::books::Books;
use super::kafka::Kafka;
use super::tables::{self, RollupKey, Tables};
use crate::domain::change::Enforcement;
use crate::domain::decision::{Decision, Outcome};
use crate::domain::event::Position;
use crate::domain::period::{Instant, PeriodName};
use crate::domain::{Credits, WorkspaceId};

/// An invariant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Law {
    /// What accounts hold, have used and set aside is what entered by ledger entries; nothing is below 0.
    Conservation,
    /// An event is debited once, and the books hold what was decided.
    OneDebit,
    /// Nothing is allowed past a limit under hard enforcement.
    HardLimit,
    /// What is committed stands in the tables.
    NoCommitAhead,
    /// A record below the committed offset has one outcome, told in Kafka; a repeat is equal.
    OneOutcome,
    /// Decisions and entries are numbered without a gap, one content a number.
    Gapless,
    /// A row never goes back to an older version, and a version has one content.
    NewestWins,
    /// What was answered under a key is in the ledger once; what was not, at most once.
    OnceUnderAKey,
    /// Healed, everything is read, relayed and recorded within a bound.
    Converges,
    /// Sum of the events' rows = rollups = books, balances = books.
    TablesAgree,
    /// The ledger's topic and table fold into the accounts.
    LedgerFolds,
    /// Reading everything again from the start changes neither books nor tables.
    ReplayChangesNothing,
}

impl Law {
    /// Every one.
    pub const ALL: [Self; 12] = [
        Self::Conservation,
        Self::OneDebit,
        Self::HardLimit,
        Self::NoCommitAhead,
        Self::OneOutcome,
        Self::Gapless,
        Self::NewestWins,
        Self::OnceUnderAKey,
        Self::Converges,
        Self::TablesAgree,
        Self::LedgerFolds,
        Self::ReplayChangesNothing,
    ];
}

/// A law that was broken, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub law: Law,
    pub detail: String,
}

pub type Judged = Result<(), Broken>;

/// Says that a law holds.
pub fn holds(law: Law, it_does: bool, detail: impl FnOnce() -> String) -> Judged {
    if it_does { Ok(()) } else { Err(Broken { law, detail: detail() }) }
}

/// What was seen so far.
#[derive(Default)]
pub struct Laws {
    debits: BTreeMap<(WorkspaceId, String, String, Instant), Position>,
    spent: BTreeMap<(WorkspaceId, PeriodName), Credits>,
    sequences: BTreeMap<WorkspaceId, u64>,
    /// Where the record's usage must show, and from which version on.
    shows: BTreeMap<Position, (RollupKey, u64)>,
    entered: BTreeMap<(WorkspaceId, PeriodName), Credits>,
    entries_seen: usize,
    newest: BTreeMap<RollupKey, u64>,
    /// The last first appearance in the decisions topic.
    told: BTreeMap<(String, i32), u64>,
    /// First appearances in the ledger topic.
    pub ledger: BTreeMap<WorkspaceId, Vec<Value>>,
    pub keys: BTreeMap<String, u64>,
}

impl Laws {
    /// A fresh decision, right after it was made.
    pub fn decided(&mut self, books: &Books, decision: &Decision, settled: bool) -> Judged {
        let (event, verdict) = (&decision.event, &decision.verdict);
        let last = self.sequences.entry(event.workspace.clone()).or_default();
        *last += 1;
        let expected = *last;
        let position = decision.position;
        let debited = matches!(verdict.outcome, Outcome::Allowed | Outcome::Overage);
        if debited {
            let name = (event.workspace.clone(), event.source.to_string(), event.id.to_string(), event.time);
            let before = self.debits.insert(name, position);
            holds(Law::OneDebit, before.is_none(), || format!("{event:?} at {before:?} and {position:?}"))?;
            let credits = verdict.drawn.from_accounts() + verdict.drawn.overage;
            *self.spent.entry((event.workspace.clone(), decision.period)).or_default() += credits;
        }
        if verdict.outcome == Outcome::Allowed && !settled {
            within_limits(books, decision)?;
        }
        if verdict.outcome != Outcome::Duplicate {
            let cell = (decision.day, event.user.clone(), event.feature.clone());
            let key = (event.workspace.clone(), decision.period, cell);
            self.shows.insert(position, (key, books.version(&event.workspace)));
        }
        self.balanced(books, &event.workspace)?;
        holds(Law::Gapless, verdict.sequence == expected, || {
            format!("{expected} is missing before {decision:?}")
        })
    }

    /// The books of a workspace add up, among themselves and to what was decided and entered.
    pub fn balanced(&mut self, books: &Books, id: &WorkspaceId) -> Judged {
        for entry in &books.entries[self.entries_seen..] {
            for posting in &entry.postings {
                *self.entered.entry((entry.workspace.clone(), posting.period)).or_default() +=
                    posting.credits;
            }
        }
        self.entries_seen = books.entries.len();
        let Some(state) = books.model.workspace(id) else { return Ok(()) };
        for (period, book) in &state.books {
            let at = (id.clone(), *period);
            let users = book.users.values().map(|user| &user.account);
            let accounts: Vec<_> = users.chain(book.teams.values().map(|team| &team.account)).collect();
            let accounts = || accounts.iter().copied().chain([&book.pool]);
            let entered = self.entered.get(&at).copied().unwrap_or_default();
            let whole = [book.conserved(), entered] == [book.total; 2];
            let whole = whole && accounts().all(|account| account.remaining() >= Credits::ZERO);
            let whole = whole && accounts().all(|account| account.held >= Credits::ZERO);
            let whole = whole && accounts().map(|account| account.held).sum::<Credits>() == book.held;
            holds(Law::Conservation, whole, || format!("{id} {period}: {entered} entered, {book:?}"))?;
            let decided = self.spent.get(&at).copied().unwrap_or_default();
            let used = accounts().map(|account| account.used).sum::<Credits>();
            let spent = book.users.values().map(|user| user.spent).sum::<Credits>();
            let once = [used + book.overage, book.used + book.overage, spent] == [decided; 3];
            holds(Law::OneDebit, once, || format!("{id} {period}: {decided} was decided, {book:?}"))?;
        }
        Ok(())
    }

    /// Rows were written.
    pub fn recorded(&mut self, tables: &Tables, rollups: &[crate::domain::ledger::Rollup]) -> Judged {
        // In their order: what is found first must not depend on a hash map.
        for key in rollups.iter().map(tables::rollup_key).collect::<BTreeSet<_>>() {
            let Some(row) = tables.rollups.get(&key) else { continue };
            let newest = self.newest.entry(key).or_default();
            holds(Law::NewestWins, row.version >= *newest, || {
                format!("{newest} was overwritten by {row:?}")
            })?;
            *newest = row.version;
        }
        Ok(())
    }

    /// A decision was appended to its topic. Those of one workspace and partition first appear in their order.
    pub fn told(&mut self, kafka: &mut Kafka, at: Position, decision: Value) -> Judged {
        let rejected = kafka.letters.contains_key(&at);
        holds(Law::OneOutcome, !rejected, || format!("{at:?} was rejected, and {decision}"))?;
        if let Some(first) = kafka.decisions.get(&at) {
            return holds(Law::OneOutcome, *first == decision, || {
                format!("{at:?} was {first}, then {decision}")
            });
        }
        let place = (decision["workspace"].as_str().unwrap_or_default().to_owned(), at.partition);
        let (last, sequence) =
            (self.told.entry(place).or_default(), decision["sequence"].as_u64().unwrap_or(0));
        let later = sequence > *last;
        holds(Law::Gapless, later, || format!("{decision} first came after number {last}"))?;
        *last = sequence;
        kafka.decisions.insert(at, decision);
        Ok(())
    }

    /// An entry was appended to the ledger topic: first appearances come in their order.
    pub fn told_entry(&mut self, entry: Value) -> Judged {
        let id = WorkspaceId::parse(entry["workspace"].as_str().unwrap_or_default()).unwrap();
        let sequence = entry["sequence"].as_u64().unwrap_or_default() as usize;
        let known = self.ledger.entry(id).or_default();
        let in_order = (1..=known.len() + 1).contains(&sequence);
        holds(Law::Gapless, in_order, || format!("after {} entries came {entry}", known.len()))?;
        if sequence > known.len() {
            if let Some(key) = entry["idempotency_key"].as_str() {
                *self.keys.entry(key.to_owned()).or_default() += 1;
                holds(Law::OnceUnderAKey, self.keys[key] == 1, || format!("twice in the ledger: {entry}"))?;
            }
            known.push(entry);
            return Ok(());
        }
        let first = &known[sequence - 1];
        holds(Law::Gapless, *first == entry, || format!("one number, two entries: {first} and {entry}"))
    }

    /// The group's offset of a partition has moved.
    pub fn committed(
        &self,
        kafka: &Kafka,
        tables: &Tables,
        partition: i32,
        offsets: std::ops::Range<i64>,
    ) -> Judged {
        for offset in offsets {
            let at = Position { partition, offset };
            let (decision, letter) = (kafka.decisions.get(&at), kafka.letters.contains_key(&at));
            let row = tables.recorded.contains(&at);
            let nothing = decision.is_none() && !letter && !row;
            holds(Law::NoCommitAhead, !nothing, || format!("{at:?} is committed, and nothing came of it"))?;
            let one = decision.is_some() != letter;
            holds(Law::OneOutcome, one, || {
                format!("{at:?} is committed: {decision:?}, dead letter: {letter}")
            })?;
            if decision.is_some_and(|decision| decision["outcome"] == "duplicate") {
                continue;
            }
            holds(Law::NoCommitAhead, row, || format!("{at:?} is committed and has no row"))?;
            let Some((key, version)) = self.shows.get(&at) else { continue };
            let shows = tables.rollups.get(key).is_some_and(|rollup| rollup.version >= *version);
            holds(Law::NoCommitAhead, shows, || {
                format!("{at:?} is committed, and {key:?} does not show it")
            })?;
        }
        Ok(())
    }
}

fn within_limits(books: &Books, decision: &Decision) -> Judged {
    let event = &decision.event;
    let Some(state) = books.model.workspace(&event.workspace) else { return Ok(()) };
    if state.enforcement == Enforcement::Soft {
        return Ok(());
    }
    let book = &state.books[&decision.period];
    let user = book.users.get(&event.user).copied().unwrap_or_default();
    let feature = book.features.get(&event.feature).copied().unwrap_or_default();
    let limit = state.effective_limit(&event.user, user.granted);
    let fits = limit.is_none_or(|limit| user.spent + user.holding <= limit);
    holds(Law::HardLimit, fits, || format!("{decision:?} past {limit:?}: {user:?}"))?;
    let cap = state.features.get(&event.feature);
    let fits = cap.is_none_or(|cap| feature.spent + feature.holding <= *cap);
    holds(Law::HardLimit, fits, || format!("{decision:?} past {cap:?}: {feature:?}"))
}
