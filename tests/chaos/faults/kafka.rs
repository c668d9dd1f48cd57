//! Faults of Kafka and of the group's offsets.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::wait;
use crate::dice::Dice;
use crate::facts::Group;
use crate::world::World;

const EVENTS: &str = "ai.usage.events";
/// Partitions of the input, at most.
const PARTITIONS_MAX: usize = 8;
const PATIENCE: Duration = Duration::from_secs(60);

fn config(world: &World) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", world.brokers());
    config
}

/// How many partitions the input has; none when Kafka does not say.
async fn partitions(world: &World) -> Option<usize> {
    let config = config(world);
    let asking = tokio::task::spawn_blocking(move || {
        let client: BaseConsumer = config.create().ok()?;
        let metadata = client.fetch_metadata(Some(EVENTS), Duration::from_secs(2)).ok()?;
        Some(metadata.topics().first()?.partitions().len()).filter(|count| *count > 0)
    });
    asking.await.unwrap_or_default()
}

/// Kill -9, and a new start.
pub async fn kill(world: &World, dice: &mut Dice) {
    let mut kafka = world.kafka.lock().await;
    kafka.kill();
    wait(dice, 100, 2500).await;
    kafka.start();
    let started = Instant::now();
    while partitions(world).await.is_none() {
        assert!(started.elapsed() < PATIENCE, "kafka does not answer again");
    }
}

/// Stands still; sometimes longer than a session.
pub async fn freeze(world: &World, dice: &mut Dice) {
    let kafka = world.kafka.lock().await;
    kafka.freeze();
    let wait_ms = *dice.pick(&[700, 3000, 8000]);
    wait(dice, wait_ms, wait_ms + 500).await;
    kafka.thaw();
}

/// The group begins anew, at the first record.
pub async fn reset(world: &World, _: &mut Dice) {
    let _kafka = world.kafka.lock().await;
    rewind(world).await;
    for worker in &world.workers {
        let mut worker = worker.lock().await;
        worker.wanted = true;
        worker.start(None);
    }
}

/// Stops the workers, and takes the group back to the first record.
pub async fn rewind(world: &World) {
    for worker in &world.workers {
        let mut worker = worker.lock().await;
        worker.wanted = false;
        worker.signal("TERM");
    }
    for worker in &world.workers {
        let mut worker = worker.lock().await;
        tokio::task::block_in_place(|| worker.stop());
    }
    let (brokers, started) = (world.brokers(), Instant::now());
    loop {
        let brokers = brokers.clone();
        let done = tokio::task::spawn_blocking(move || Group::new(&brokers).rewind()).await.unwrap();
        match done {
            Ok(()) => return,
            Err(fault) => assert!(started.elapsed() < PATIENCE, "the group cannot be taken back: {fault}"),
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// The input has more partitions, and keys move.
pub async fn add_partitions(world: &World, _: &mut Dice) {
    let _kafka = world.kafka.lock().await;
    let Some(count) = partitions(world).await.filter(|count| *count < PARTITIONS_MAX) else { return };
    let admin: AdminClient<DefaultClientContext> = config(world).create().unwrap();
    let done = admin.create_partitions(&[NewPartitions::new(EVENTS, count + 1)], &AdminOptions::new()).await;
    world.diary.note(&format!("{} partitions: {done:?}", count + 1));
}
