//! Stores that are away for a while: the pipeline waits, and nothing is lost, told twice over or committed early.

use super::trouble::Trouble;
use super::world::{RECORD_ROWS_MAX, ROWS_WAITING_MAX, World};
use super::{MINUTE, SECOND};

#[tokio::test(start_paused = true)]
async fn without_clickhouse_deciding_goes_on_until_the_queues_are_full() {
    let mut world = World::new();
    world.fill(600);
    world.tables.troubles.away_for(MINUTE);
    let mut process = world.start();
    // Batches of 15 until no more are taken.
    while tokio::time::timeout(SECOND, process.feed(&world, 5)).await.is_ok() {}
    // Besides what waits: the flush that is written, and a batch that finds no room.
    let decided = world.ledger.decided();
    assert!(decided >= ROWS_WAITING_MAX, "{decided} events were decided meanwhile");
    assert!(
        decided <= ROWS_WAITING_MAX + RECORD_ROWS_MAX + 2 * 15,
        "{decided} events were decided meanwhile"
    );
    process.pass(&world, MINUTE / 2).await;
    assert!(world.committed.lock().unwrap().is_empty(), "nothing is committed");
    assert!(world.tables.read().flushes.is_empty());

    process.pass(&world, MINUTE / 2).await;
    process.feed_all(&world, 5).await;
    process.end(&world).await.unwrap();
    world.verify();
    assert_eq!(world.broker.read().decisions.len() + 60, 600, "nothing was told twice");
}

#[tokio::test(start_paused = true)]
async fn small_batches_wait_for_the_tables_by_their_events() {
    let mut world = World::new();
    world.fill(600);
    world.tables.troubles.away_for(MINUTE);
    let mut process = world.start();
    // Batches of 3: a handful of them would fill a queue that counts batches.
    while tokio::time::timeout(SECOND, process.feed(&world, 1)).await.is_ok() {}
    let decided = world.ledger.decided();
    assert!(decided >= ROWS_WAITING_MAX * 3 / 4, "{decided} events were decided meanwhile");
    process.pass(&world, MINUTE).await;
    process.feed_all(&world, 5).await;
    process.end(&world).await.unwrap();
    world.verify();
}

#[tokio::test(start_paused = true)]
async fn each_store_away_in_its_turn() {
    let mut world = World::new();
    world.fill(300);
    let mut process = world.start();
    process.feed(&world, 5).await;
    world.ledger.troubles.away_for(MINUTE);
    process.pass(&world, 2 * MINUTE).await;
    process.feed(&world, 5).await;
    world.broker.troubles.away_for(MINUTE);
    process.pass(&world, 2 * MINUTE).await;
    process.feed(&world, 5).await;
    world.tables.troubles.away_for(MINUTE);
    process.feed_all(&world, 5).await;
    process.end(&world).await.unwrap();
    world.verify();
}

#[tokio::test(start_paused = true)]
async fn without_kafka_nothing_is_recorded_that_was_not_told() {
    let mut world = World::new();
    world.fill(30);
    world.broker.troubles.away_for(MINUTE);
    let mut process = world.start();
    process.feed(&world, 5).await;
    process.pass(&world, MINUTE / 2).await;
    assert!(world.ledger.decided() > 0);
    assert!(world.tables.read().flushes.is_empty());
    process.feed_all(&world, 5).await;
    process.end(&world).await.unwrap();
    world.verify();
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_changes_nothing() {
    let mut world = World::new();
    world.fill(100);
    world.ledger.troubles.plan(&[Trouble::Lost, Trouble::Fine, Trouble::Lost, Trouble::Lost]);
    world.broker.troubles.plan(&[Trouble::Lost, Trouble::Away, Trouble::Lost]);
    world.tables.troubles.plan(&[Trouble::Lost, Trouble::Lost]);
    let mut process = world.start();
    process.feed_all(&world, 5).await;
    process.end(&world).await.unwrap();
    world.verify();
    let total: usize = world.tables.read().flushes.iter().sum();
    assert!(total > world.tables.read().events.len(), "rows were written twice, and collapsed");
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_a_replay_from_what_was_committed() {
    let mut world = World::new();
    world.fill(200);
    let mut process = world.start();
    for _ in 0..5 {
        process.feed(&world, 5).await;
    }
    process.pass(&world, SECOND).await;
    let before = world.committed.lock().unwrap().clone();
    assert!(!before.is_empty());
    // Decided and told, but not recorded.
    world.tables.troubles.away_for(MINUTE);
    for _ in 0..3 {
        process.feed(&world, 5).await;
    }
    process.pass(&world, SECOND).await;
    let (decided, told) = (world.ledger.decided(), world.broker.read().decisions.len());
    process.crash().await;
    assert_eq!(*world.committed.lock().unwrap(), before);
    tokio::time::sleep(MINUTE).await;
    assert_eq!(world.ledger.decided(), decided, "a crashed process does nothing");

    let mut process = world.start();
    process.feed_all(&world, 5).await;
    process.end(&world).await.unwrap();
    world.verify(); // equal repeats, one row for each event
    assert!(told > 0 && world.broker.read().decisions.len() + 20 > 200, "some were told again");
}

#[tokio::test(start_paused = true)]
async fn what_was_committed_before_leaves_nothing_when_it_comes_again() {
    let mut world = World::new();
    world.fill(60);
    let mut process = world.start();
    process.feed_all(&world, 20).await;
    process.pass(&world, SECOND).await; // the ledger hears of the commit with the next batch
    world.fill(60);
    process.feed_all(&world, 20).await;
    process.end(&world).await.unwrap();
    let told = world.broker.read().decisions.len();
    let letters: usize = world.broker.read().dead_letters.values().sum();

    // An operator sets the group's offsets back to the start.
    world.committed.lock().unwrap().clear();
    let mut process = world.start();
    process.feed(&world, 20).await;
    process.end(&world).await.unwrap();
    assert_eq!(*world.committed.lock().unwrap(), [(0, 20), (1, 20), (2, 20)].into());
    assert_eq!(world.broker.read().decisions.len(), told, "settled before: not told again");
    assert!(world.broker.read().dead_letters.values().sum::<usize>() > letters, "a dead letter is");
}
