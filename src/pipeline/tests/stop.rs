//! How the pipeline ends: with its input, for good, or told to.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::process::Process;
use super::trouble::Trouble;
use super::world::World;
use super::{MINUTE, SECOND};
use crate::pipeline::Stopped;

/// Ends by itself though the input is open and silent, and though the other stores are away.
async fn ends_by_itself(process: Process, world: &World) -> Stopped {
    let ended = timeout(2 * SECOND, process.pipeline).await.expect("it ends soon").unwrap();
    assert!(process.input.is_closed());
    world.verify_floor(&process.offsets.committable());
    tokio::time::sleep(MINUTE).await;
    ended.unwrap_err()
}

async fn replayed(world: &World) {
    let mut process = world.start();
    process.feed_all(world, 5).await;
    process.end(world).await.unwrap();
    world.verify();
}

#[tokio::test(start_paused = true)]
async fn a_refused_flush_stops_it_and_nothing_of_that_is_committed() {
    let mut world = World::new();
    world.fill(100);
    let mut process = world.start();
    process.feed(&world, 5).await;
    process.pass(&world, SECOND).await;
    let before = world.committed.lock().unwrap().clone();
    world.tables.troubles.plan(&[Trouble::Refused]);
    process.feed(&world, 5).await;
    let offsets = process.offsets.clone();
    assert!(ends_by_itself(process, &world).await.to_string().starts_with("cannot record: "));
    assert!(offsets.committable().is_empty());
    assert!(!before.is_empty());
    replayed(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_flush_stops_it_while_deciding_waits() {
    for redis_away in [true, false] {
        let mut world = World::new();
        world.fill(600);
        let mut process = world.start();
        world.tables.troubles.away_for(MINUTE);
        // Full: deciding waits for room.
        while timeout(SECOND, process.feed(&world, 5)).await.is_ok() {}
        if redis_away {
            world.ledger.troubles.away_for(10 * MINUTE);
        }
        world.tables.troubles.plan(&[Trouble::Refused]);
        tokio::time::sleep(MINUTE).await;
        ends_by_itself(process, &world).await;
        tokio::time::sleep(10 * MINUTE).await;
        world.tables.troubles.clear();
        replayed(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_told_is_recorded_when_an_earlier_stage_fails() {
    for trouble in [Trouble::Refused, Trouble::Panic] {
        let mut world = World::new();
        world.fill(100);
        world.ledger.troubles.plan(&[Trouble::Fine, trouble]);
        let mut process = world.start();
        process.feed(&world, 5).await;
        process.feed(&world, 5).await;
        let offsets = process.offsets.clone();
        ends_by_itself(process, &world).await;
        assert_eq!(offsets.committable(), [(0, 5), (1, 5), (2, 5)]);
        replayed(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_or_broken_publish_stops_it() {
    for trouble in [Trouble::Refused, Trouble::Panic] {
        let mut world = World::new();
        world.fill(100);
        world.broker.troubles.plan(&[trouble]);
        let mut process = world.start();
        process.feed(&world, 5).await;
        let offsets = process.offsets.clone();
        assert!(matches!(ends_by_itself(process, &world).await, Stopped::Failed(_)));
        assert!(offsets.committable().is_empty());
        replayed(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_abort_ends_every_wait() {
    for store in 0..3 {
        let mut world = World::new();
        world.fill(600);
        let mut process = world.start();
        let troubles =
            [&world.ledger.troubles, &world.broker.troubles, &world.tables.troubles][store as usize];
        troubles.away_for(10 * MINUTE);
        while timeout(SECOND, process.feed(&world, 5)).await.is_ok() {}
        process.abort.cancel();
        assert!(matches!(ends_by_itself(process, &world).await, Stopped::Aborted));
        tokio::time::sleep(10 * MINUTE).await;
        replayed(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_abort_waits_for_no_answer() {
    let mut world = World::new();
    world.fill(100);
    world.tables.troubles.plan(&[Trouble::Slow(30_000)]);
    let mut process = world.start();
    process.feed(&world, 5).await;
    process.pass(&world, SECOND).await;
    let asked = Instant::now();
    process.abort.cancel();
    assert!(matches!(ends_by_itself(process, &world).await, Stopped::Aborted));
    assert!(asked.elapsed() < MINUTE + SECOND);
    replayed(&world).await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_input_is_a_flush() {
    let mut world = World::new();
    world.fill(100);
    let mut process = world.start();
    process.feed_all(&world, 5).await;
    let asked = Instant::now();
    process.end(&world).await.unwrap();
    assert!(asked.elapsed() < Duration::from_millis(100), "{:?}", asked.elapsed());
    world.verify();
}
