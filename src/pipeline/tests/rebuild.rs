//! A workspace that is being rebuilt: its events wait in their order, the others go on, and nothing is
//! committed past what waits.

use std::time::Duration;

use super::world::{World, workspace};
use crate::kafka::Record;

#[tokio::test(start_paused = true)]
async fn the_events_of_a_workspace_that_is_rebuilt_wait_and_those_of_others_go_on() {
    let mut world = World::new();
    world.fill(90);
    let still = workspace(0);
    world.ledger.still.lock().unwrap().insert(still.clone());
    let mut process = world.start();
    process.feed_all(&world, 5).await;
    process.pass(&world, Duration::from_secs(3)).await;
    {
        let told = world.broker.read();
        let of = |name: &str| told.decisions.iter().filter(|decision| decision["workspace"] == name).count();
        assert_eq!(of(still.as_str()), 0);
        assert!(of("w1") > 5 && of("w3") > 5, "w3 lies in the same partition");
    }
    let is_of = |record: &Record| {
        String::from_utf8_lossy(record.payload.as_deref().unwrap_or_default()).contains(still.as_str())
    };
    let first = world.log[&0].iter().position(is_of).unwrap();
    let committed = world.committed.lock().unwrap().get(&0).copied().unwrap_or(0);
    assert!(committed <= first as i64, "{committed} is past what waits at {first}");
    world.ledger.still.lock().unwrap().clear();
    process.pass(&world, Duration::from_secs(3)).await;
    process.end(&world).await.unwrap();
    world.verify();
}

#[tokio::test(start_paused = true)]
async fn a_process_that_stops_meanwhile_leaves_what_waits_to_the_next() {
    let mut world = World::new();
    world.fill(90);
    world.ledger.still.lock().unwrap().insert(workspace(0));
    let mut process = world.start();
    process.feed_all(&world, 5).await;
    process.pass(&world, Duration::from_secs(3)).await;
    process.abort.cancel();
    process.end(&world).await.unwrap_err();
    world.ledger.still.lock().unwrap().clear();
    let mut process = world.start();
    process.feed_all(&world, 5).await;
    process.end(&world).await.unwrap();
    world.verify();
}

#[tokio::test(start_paused = true)]
async fn when_too_many_wait_nothing_more_is_fetched() {
    let mut world = World::new();
    (0..600).for_each(|number| world.event(0, number));
    world.ledger.still.lock().unwrap().insert(workspace(0));
    let mut process = world.start();
    let mut fed = 0;
    while tokio::time::timeout(Duration::from_secs(5), process.feed(&world, 20)).await.unwrap_or(false) {
        fed += 20;
    }
    assert!((100..=180).contains(&fed), "{fed} fetched, of which 100 may wait");
    world.ledger.still.lock().unwrap().clear();
    process.feed_all(&world, 20).await;
    process.end(&world).await.unwrap();
    world.verify();
}
