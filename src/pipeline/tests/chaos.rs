//! Random troubles, crashes, rebalances and processes that live on too long, at random moments; in the
//! end the tables say what the model says.

use std::time::Duration;

use super::process::Process;
use super::trouble::{Trouble, Troubles};
use super::world::World;

const SEEDS: u64 = 300;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % sides
    }

    fn plan(&mut self, troubles: &Troubles) {
        for _ in 0..self.roll(12) {
            troubles.plan(&[match self.roll(8) {
                0 => Trouble::Away,
                1 => Trouble::Lost,
                2 | 3 => Trouble::Slow(self.roll(700)),
                _ => Trouble::Fine,
            }]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_the_tables_converge() {
    let mut crashes = 0;
    for seed in 0..SEEDS {
        eprintln!("seed {seed}"); // shown when it fails
        let mut dice = Dice(seed);
        let mut world = World::new();
        world.fill(20 + dice.roll(80) as usize);
        let mut zombies = Vec::new();
        for _ in 0..dice.roll(4) {
            for troubles in [&world.ledger.troubles, &world.broker.troubles, &world.tables.troubles] {
                dice.plan(troubles);
            }
            let mut process = world.start();
            live(&mut process, &world, &mut dice).await;
            if dice.roll(3) == 0 {
                // Its partitions are another's, and it does not know.
                drop(process.input);
                zombies.push(process.pipeline);
            } else {
                process.crash().await;
                crashes += 1;
            }
        }
        let mut process = world.start();
        live(&mut process, &world, &mut dice).await;
        process.feed_all(&world, 8).await;
        process.end(&world).await.unwrap();
        for zombie in zombies {
            zombie.await.unwrap().unwrap();
        }
        world.verify();
    }
    assert!(crashes > SEEDS / 2);
}

/// A while of feeding, waiting, committing (or not), flushing and rebalancing.
async fn live(process: &mut Process, world: &World, dice: &mut Dice) {
    for _ in 0..dice.roll(20) {
        match dice.roll(12) {
            0..=5 => {
                let patience = Duration::from_millis(dice.roll(300));
                let _ = tokio::time::timeout(patience, process.feed(world, 1 + dice.roll(8) as usize)).await;
            }
            6 | 7 => tokio::time::sleep(Duration::from_millis(dice.roll(900))).await,
            8 => process.flush.notify_one(),
            9 => {
                let partition = dice.roll(3) as i32;
                process.offsets.revoke(&[partition]);
                process.offsets.assign(&[partition]);
                let from = world.committed.lock().unwrap().get(&partition).copied().unwrap_or(0);
                process.next.insert(partition, from);
            }
            _ => process.commit(world),
        }
    }
}
