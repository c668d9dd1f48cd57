//! Random lives: what is rebuilt is what was lost, and the same events once more change nothing.

use tollgate::domain::WorkspaceId;
use tollgate::domain::period::Instant;
use tollgate::redis::RedisError;

use super::world::{State, World, operations};
use crate::ledger::model::ops::workspace;
use crate::support::forget;

const QUIET: &(dyn Fn(&WorkspaceId, u64, u64) + Send + Sync) = &|_, _, _| ();

async fn states(world: &World) -> Vec<Option<State>> {
    let mut states = Vec::new();
    for n in 0..3 {
        states.push(world.state(&workspace(n)).await);
    }
    states
}

/// Only the lines that differ are shown: a state is long.
fn assert_same(after: &[Option<State>], before: &[Option<State>], what: &str) {
    for (n, (before, after)) in before.iter().zip(after).enumerate() {
        let [before, after] = [before, after].map(|state| format!("{state:#?}"));
        let lines = before.lines().zip(after.lines()).enumerate().filter(|(_, (a, b))| a != b);
        let lines: Vec<String> = lines
            .take(9)
            .map(|(at, (a, b))| format!("line {at}: {} became {}", a.trim(), b.trim()))
            .collect();
        assert!(before == after, "workspace {n}, {what}:\n{}", lines.join("\n"));
    }
}

/// Lives a life, loses Redis, rebuilds; `committed` of what was delivered, in percent.
async fn rebuilt(seed: u8, count: usize, committed: usize) {
    let ops = operations(seed, count);
    let mut world = World::new("rebuild", &ops).await;
    for op in &ops {
        world.step(op).await;
    }
    world.publish().await;
    if committed > 0 {
        world.commit((world.delivered.len() * committed / 100) as i64);
    }
    let before = states(&world).await;
    let keyed = std::mem::take(&mut world.keyed);
    let cells: usize =
        before.iter().flatten().flat_map(|state| &state.1).map(|(_, book)| book.cells.len()).sum();
    assert!(cells > 10 && keyed.len() > 5, "{cells} cells and {} changes are no life", keyed.len());

    forget(&world.it.settings.redis.name);
    let all = world.rebuilder.workspaces().await.unwrap();
    world.rebuilder.rebuild(&all, QUIET, &|_| ()).await.unwrap();
    let after = states(&world).await;
    assert_same(&after, &before, &format!("rebuilt, seed {seed}"));

    // The same events again: those that Kafka would deliver again, for it knows no commit beyond.
    let next = (world.delivered.len() * committed / 100) as i64;
    let hours = 7 * 3_600_000_000;
    let recent = Instant::from_micros(world.now.micros() - hours);
    let again: Vec<_> =
        world.delivered.iter().filter(|arrival| arrival.position.offset >= next).cloned().collect();
    let again: Vec<_> = again.into_iter().filter(|arrival| arrival.timestamp >= recent).collect();
    for chunk in again.chunks(50) {
        let with_row =
            chunk.iter().filter(|arrival| world.recorded.contains(&arrival.position.offset)).count();
        let effects = world.decide(chunk).await;
        assert_eq!(effects.settled_before, with_row, "those have their row and were told, seed {seed}");
    }
    let what = format!("{} events replayed, seed {seed}", again.len());
    assert_same(&states(&world).await, &before, &what);

    // The same requests under the same keys: the first answers, nothing new.
    for (id, change, author, answer) in keyed {
        let key_is_kept = now_minus_a_day() < world.now;
        let place = &author.key.as_ref().unwrap().key;
        let made: i64 = place.split('-').nth(1).unwrap().parse().unwrap();
        if key_is_kept && made > now_minus_a_day().micros() + 60_000_000 {
            let again = world.ledger().change(&id, &change, &author, world.now).await.unwrap().unwrap();
            assert_eq!(format!("{again:?}"), answer, "{change:?}");
        }
    }
    assert_same(&states(&world).await, &before, "answers change nothing");
    world.it.remove().await;
}

fn now_minus_a_day() -> Instant {
    Instant::from_micros(tollgate::pipeline::decide::now().micros() - 86_400_000_000)
}

#[tokio::test]
async fn what_is_rebuilt_is_what_was_lost() {
    rebuilt(1, 150, 0).await;
}

#[tokio::test]
async fn what_is_rebuilt_is_what_was_lost_when_half_is_committed() {
    rebuilt(2, 150, 50).await;
}

#[tokio::test]
async fn what_is_rebuilt_is_what_was_lost_when_all_is_committed() {
    rebuilt(3, 150, 100).await;
}

#[tokio::test]
async fn a_rebuild_that_dies_half_way_leaves_it_refusing_and_is_repeated() {
    let ops = operations(4, 80);
    let mut world = World::new("rebuild-dies", &ops).await;
    for op in &ops {
        world.step(op).await;
    }
    world.publish().await;
    let before = states(&world).await;
    forget(&world.it.settings.redis.name);
    let all = world.rebuilder.workspaces().await.unwrap();
    let (mut died, mut refused) = (0, 0);
    for millis in (20..).step_by(40) {
        let deadline = std::time::Duration::from_millis(millis);
        match tokio::time::timeout(deadline, world.rebuilder.rebuild(&all, QUIET, &|_| ())).await {
            Ok(done) => {
                done.unwrap();
                break;
            }
            Err(_) => died += 1,
        }
        for id in &all {
            match world.ledger().workspace(id, &[]).await {
                Err(RedisError::NeedsRebuild(_)) => refused += 1,
                Ok(state) => {
                    assert!(state.is_none_or(|state| state.epoch > 1), "{id}: half a state is in use")
                }
                Err(fault) => panic!("{fault}"),
            }
        }
    }
    assert!(
        died > 2 && refused > 2,
        "it died {died} times, {refused} times somebody would have been refused"
    );
    assert_same(&states(&world).await, &before, "rebuilt at last");
    world.it.remove().await;
}
