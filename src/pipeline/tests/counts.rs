//! What is counted: every outcome once, however often it is delivered.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::SECOND;
use super::trouble::Trouble;
use super::world::World;

/// The sum of a counter over its labels.
fn count(page: &PrometheusHandle, name: &str) -> usize {
    let page = page.render();
    let lines = page.lines().filter(|line| line.starts_with(name) && line[name.len()..].starts_with('{'));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum()
}

#[tokio::test(start_paused = true)]
async fn a_redelivery_is_not_counted_again() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let (page, _guard) = (recorder.handle(), ::metrics::set_default_local_recorder(&recorder));
    let mut world = World::new();
    world.fill(100);
    let mut process = world.start();
    process.feed(&world, 10).await;
    process.pass(&world, SECOND).await;
    world.tables.troubles.away_for(SECOND);
    process.feed_all(&world, 10).await;
    tokio::time::sleep(SECOND / 10).await;
    // Decided and counted, not recorded. The partitions leave and come back to the same process.
    let partitions = process.offsets.assigned();
    process.offsets.revoke(&partitions);
    process.offsets.assign(&partitions);
    process.next = world.committed.lock().unwrap().clone();
    process.feed_all(&world, 7).await;
    process.end(&world).await.unwrap();
    world.verify();
    assert!(world.broker.read().decisions.len() > 90, "there was a redelivery");
    assert_eq!(count(&page, "tollgate_events_total"), 90);
    assert_eq!(count(&page, "tollgate_rejected_total"), 10);
}

#[tokio::test(start_paused = true)]
async fn what_was_decided_by_an_unanswered_call_is_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let (page, _guard) = (recorder.handle(), ::metrics::set_default_local_recorder(&recorder));
    let mut world = World::new();
    world.fill(100);
    world.ledger.troubles.plan(&[Trouble::Fine, Trouble::Lost, Trouble::Lost, Trouble::Fine]);
    let mut process = world.start();
    process.feed_all(&world, 10).await;
    process.end(&world).await.unwrap();
    world.verify();
    assert_eq!(count(&page, "tollgate_events_total"), 90);
    assert_eq!(count(&page, "tollgate_rejected_total"), 10);
}
