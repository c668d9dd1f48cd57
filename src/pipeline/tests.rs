//! The whole pipeline without servers: what comes in goes out once, nothing is committed ahead of its
//! effects, and no fault changes what is written in the end. Time is paused: a minute takes no time.

mod books;
mod broker;
mod counts;
mod outage;
mod process;
mod rebuild;
mod simulation;
mod stop;
mod tables;
mod trouble;
mod verify;
mod world;

use std::time::Duration;

use tokio::time::{Instant, timeout};

use self::trouble::Trouble;
use self::world::{RECORD_ROWS_MAX, World};

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn what_comes_in_goes_out_once() {
    let mut world = World::new();
    world.fill(300);
    let mut process = world.start();
    process.feed_all(&world, 5).await;
    process.end(&world).await.unwrap();
    world.verify();

    let told = world.broker.read();
    assert_eq!(told.dead_letters.len(), 30);
    assert!(told.duplicates.len() > 3, "the log holds duplicates");
    assert!(told.decisions.iter().any(|decision| decision["outcome"] == "denied"));
    assert_eq!(told.decisions.len() + told.dead_letters.len(), 300, "and nothing twice");
}

#[tokio::test(start_paused = true)]
async fn a_ticket_is_finished_after_kafka_and_the_tables_have_answered() {
    let mut world = World::new();
    world.fill(30);
    world.broker.troubles.plan(&[Trouble::Slow(2000), Trouble::Slow(2000)]);
    world.tables.troubles.plan(&[Trouble::Slow(2000)]);
    let mut process = world.start();
    let started = Instant::now();
    process.feed(&world, 10).await;
    while world.committed.lock().unwrap().is_empty() {
        process.pass(&world, Duration::from_millis(10)).await; // looks that nothing is ahead
        assert!(started.elapsed() < MINUTE);
    }
    // Both topics at the same time, then the flush's interval, then the tables.
    assert!(started.elapsed() >= Duration::from_millis(4500), "after {:?}", started.elapsed());
    process.end(&world).await.unwrap();
    world.verify();
}

#[tokio::test(start_paused = true)]
async fn decisions_are_told_in_order_though_a_later_call_would_be_faster() {
    let mut world = World::new();
    world.fill(90);
    world.broker.troubles.plan(&[Trouble::Slow(90), Trouble::Slow(90), Trouble::Away, Trouble::Slow(4)]);
    let mut process = world.start();
    process.feed_all(&world, 5).await;
    process.end(&world).await.unwrap();
    world.verify();
}

#[tokio::test(start_paused = true)]
async fn a_flush_is_large_or_old() {
    let mut world = World::new();
    world.fill(3 * RECORD_ROWS_MAX);
    let mut process = world.start();
    process.feed_all(&world, 5).await;
    process.pass(&world, SECOND).await;
    let flushes = world.tables.read().flushes.clone();
    assert!(flushes.len() <= 3, "{flushes:?}");
    process.end(&world).await.unwrap();
    world.verify();
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_is_wanted_starts_at_once() {
    let mut world = World::new();
    world.fill(30);
    let mut process = world.start();
    process.feed_all(&world, 5).await;
    let asked = Instant::now();
    process.flush.notify_one();
    let offsets = process.offsets.clone();
    let all = async {
        while offsets.committable().iter().map(|(_, next)| next).sum::<i64>() < 30 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_millis(50), all).await.unwrap_or_else(|_| panic!("{:?}", asked.elapsed()));
    process.end(&world).await.unwrap();
    world.verify();
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_is_wanted_during_another_takes_all_that_waits() {
    let mut world = World::new();
    world.fill(60);
    world.tables.troubles.plan(&[Trouble::Slow(200)]);
    let mut process = world.start();
    process.feed(&world, 5).await;
    process.pass(&world, Duration::from_millis(600)).await; // the first is on its way
    process.feed(&world, 5).await;
    process.feed(&world, 5).await;
    process.flush.notify_one();
    process.pass(&world, Duration::from_millis(200)).await;
    assert_eq!(world.tables.read().flushes.len(), 2);
    assert_eq!(*world.committed.lock().unwrap(), [(0, 15), (1, 15), (2, 15)].into());
    process.end(&world).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_was_wanted_when_nothing_waited_harms_nobody() {
    let mut world = World::new();
    world.fill(60);
    let mut process = world.start();
    process.flush.notify_one();
    process.feed_all(&world, 5).await;
    process.pass(&world, SECOND).await;
    assert!(world.tables.read().flushes.len() <= 3);
    process.end(&world).await.unwrap();
    world.verify();
}
