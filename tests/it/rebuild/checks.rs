//! What must be as it was after a rebuild: the state, what is recognised when it comes again, the answers under
//! idempotency keys, and what was reversed.

use tollgate::domain::WorkspaceId;
use tollgate::domain::change::{Author, Change, Refusal};
use tollgate::domain::decision::{Decision, Outcome};
use tollgate::domain::event::{Arrival, Position};
use tollgate::domain::period::Instant;
use tollgate::domain::ports::Ledger as _;

use super::world::{State, World};
use crate::ledger::model::ops::workspace;
use crate::support::DEDUPE;

const HOUR: i64 = 3_600_000_000;

/// What must hold of a rebuild.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Law {
    /// Settings, books and users are what they were.
    State,
    /// A record that Kafka delivers again is known by its offset.
    Offsets,
    /// An event that its producer sends again is a duplicate.
    Marks,
    /// A request under a key gets its first answer.
    Answers,
    /// What was reversed is not reversed again.
    Reversals,
}

/// The law, and what it found.
#[derive(Debug)]
pub struct Broken {
    pub law: Law,
    pub words: String,
}

fn holds(law: Law, outcome: Result<(), String>) -> Result<(), Broken> {
    outcome.map_err(|words| Broken { law, words })
}

/// A world before a loss.
pub struct Expected {
    states: Vec<Option<State>>,
    /// Records that Kafka would deliver again, for it knows no commit beyond.
    again: Vec<Arrival>,
    keyed: Vec<(WorkspaceId, Change, Author, String)>,
    reversed: Vec<(WorkspaceId, Change)>,
}

pub async fn states(world: &World) -> Vec<Option<State>> {
    let mut states = Vec::new();
    for n in 0..3 {
        states.push(world.state(&workspace(n)).await);
    }
    states
}

/// Only the lines that differ are shown: a state is long.
pub fn assert_same(after: &[Option<State>], before: &[Option<State>]) -> Result<(), String> {
    for (n, (before, after)) in before.iter().zip(after).enumerate() {
        let [before, after] = [before, after].map(|state| format!("{state:#?}"));
        let lines = before.lines().zip(after.lines()).enumerate().filter(|(_, (a, b))| a != b);
        let lines: Vec<String> = lines
            .take(9)
            .map(|(at, (a, b))| format!("line {at}: {} became {}", a.trim(), b.trim()))
            .collect();
        if before != after {
            return Err(format!("workspace {n}:\n{}", lines.join("\n")));
        }
    }
    Ok(())
}

fn real_now() -> i64 {
    tollgate::pipeline::decide::now().micros()
}

impl Expected {
    /// What must be there again; `committed` of what was delivered, in percent.
    pub async fn of(world: &World, committed: usize) -> Self {
        let next = (world.delivered.len() * committed / 100) as i64;
        // Older ones are beyond the outage that is promised to be survived without forgetting.
        let recent = Instant::from_micros(real_now() - 5 * HOUR);
        let age = |arrival: &Arrival| arrival.timestamp.micros() - arrival.event.time.micros();
        let young = |arrival: &&Arrival| {
            // The decoder takes no older event, so nobody has to know it.
            let accepted = age(arrival) <= DEDUPE.age_seconds_max * 1_000_000;
            arrival.position.offset >= next && arrival.timestamp >= recent && accepted
        };
        let again = world.delivered.iter().filter(young).cloned().collect();
        // A key is kept for a day.
        let since = real_now() - 23 * HOUR;
        let kept = |author: &Author| {
            let made = author.key.as_ref().and_then(|key| key.key.split('-').nth(1)?.parse().ok());
            made.is_some_and(|made: i64| made > since)
        };
        let keyed = world.keyed.iter().filter(|(_, _, author, _)| kept(author)).cloned().collect();
        let reversed = world.keyed.iter().filter(|(_, change, ..)| matches!(change, Change::Reversal(_)));
        let reversed = reversed.map(|(id, change, ..)| (id.clone(), change.clone())).collect();
        Self { states: states(world).await, again, keyed, reversed }
    }

    /// Cells, records and requests that come again.
    pub fn counts(&self) -> (usize, usize, usize) {
        let books = self.states.iter().flatten().flat_map(|state| &state.1);
        (books.map(|(_, book)| book.cells.len()).sum(), self.again.len(), self.keyed.len())
    }

    /// How many reversals come again.
    pub fn reversals(&self) -> usize {
        self.reversed.len()
    }

    /// Whether everything is as it was.
    pub async fn check(&self, world: &World) -> Result<(), Broken> {
        self.same(world).await?;
        self.offsets(world).await?;
        self.marks(world).await?;
        self.answers(world).await?;
        self.reversals_again(world).await?;
        self.same(world).await
    }

    async fn same(&self, world: &World) -> Result<(), Broken> {
        holds(Law::State, assert_same(&states(world).await, &self.states))
    }

    async fn offsets(&self, world: &World) -> Result<(), Broken> {
        for chunk in self.again.chunks(50) {
            let row = |arrival: &&Arrival| world.recorded.contains(&arrival.position.offset);
            let with_row = chunk.iter().filter(row).count();
            let effects = world.ledger().decide(chunk, &[], world.now).await;
            // In a workspace that was not lost the first answer comes once more, from the tail.
            let first = |d: &&Decision| d.redelivered && d.verdict.outcome != Outcome::Duplicate;
            let new = |d: &&Decision| !d.redelivered && d.verdict.outcome != Outcome::Duplicate;
            let new = effects.as_ref().ok().and_then(|effects| effects.decisions.iter().find(new).cloned());
            holds(Law::Marks, new.map_or(Ok(()), |decision| Err(format!("decided anew: {decision:?}"))))?;
            let known = effects
                .map(|effects| effects.settled_before + effects.decisions.iter().filter(first).count())
                .map_err(|fault| fault.to_string());
            let words = format!("{with_row} of {} have their row, {known:?} were known", chunk.len());
            holds(Law::Offsets, if known == Ok(with_row) { Ok(()) } else { Err(words) })?;
        }
        Ok(())
    }

    async fn marks(&self, world: &World) -> Result<(), Broken> {
        let beyond = world.delivered.len() as i64 + 1_000_000;
        let moved = |(arrival, n): (&Arrival, i64)| Arrival {
            position: Position { partition: 7, offset: beyond + n },
            timestamp: world.now,
            ..arrival.clone()
        };
        // One that was a duplicate by its arrival alone is a new event when that is long ago.
        let with_row = self.again.iter().filter(|arrival| world.recorded.contains(&arrival.position.offset));
        let resent: Vec<Arrival> = with_row.zip(0..).map(moved).collect();
        for chunk in resent.chunks(50) {
            let effects = world.ledger().decide(chunk, &[], world.now).await.unwrap();
            let new = effects.decisions.iter().find(|d| d.verdict.outcome != Outcome::Duplicate);
            holds(Law::Marks, new.map_or(Ok(()), |decision| Err(format!("{decision:?}"))))?;
        }
        Ok(())
    }

    async fn answers(&self, world: &World) -> Result<(), Broken> {
        for (id, change, author, answer) in &self.keyed {
            let again = world.ledger().change(id, change, author, world.now).await.unwrap();
            let again = again.map_or_else(|refusal| format!("{refusal:?}"), |changed| format!("{changed:?}"));
            let words = format!("{change:?}: {answer} became {again}");
            holds(Law::Answers, if again == *answer { Ok(()) } else { Err(words) })?;
        }
        Ok(())
    }

    async fn reversals_again(&self, world: &World) -> Result<(), Broken> {
        for (id, change) in &self.reversed {
            let again = world.ledger().change(id, change, &Author::default(), world.now).await;
            let refused = matches!(again, Ok(Err(Refusal::AlreadyReversed)));
            holds(Law::Reversals, if refused { Ok(()) } else { Err(format!("{change:?}: {again:?}")) })?;
        }
        Ok(())
    }
}
