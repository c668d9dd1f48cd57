//! Faults of our own processes.

use std::time::Instant;

use super::{CRASH_PATIENCE, POINTS, any, wait};
use crate::dice::Dice;
use crate::workers::SESSION;
use crate::world::World;

/// Kill -9 at a random moment; the supervisor starts it again.
pub async fn kill(world: &World, dice: &mut Dice) {
    for _ in 0..dice.between(1, 3) {
        world.workers[any(dice)].lock().await.kill();
        wait(dice, 200, 2500).await;
    }
}

/// One that dies at a named point.
pub async fn crash(world: &World, dice: &mut Dice, point: &str) {
    let number = any(dice);
    let most = POINTS.iter().find(|(name, _)| *name == point).map_or(1, |(_, most)| *most);
    let armed = format!("{point}:{}", dice.between(1, most));
    {
        let mut worker = world.workers[number].lock().await;
        // Asked to go, so that its partitions need not wait for the end of its session.
        tokio::task::block_in_place(|| worker.stop());
        worker.wanted = true;
        worker.start(Some(&armed));
    }
    let hits = || world.diary.counts("died at").get(point).copied().unwrap_or_default();
    let (before, started) = (hits(), Instant::now());
    wait(dice, 1500, 3000).await;
    match point {
        // Whoever meets it first rebuilds it, which may be another worker.
        "in_rebuild" => {
            for _ in 0..6 {
                if hits() == before {
                    super::redis::forget_one(world, dice).await;
                }
            }
        }
        // Somebody comes, so that partitions are taken away.
        "in_revoke" => {
            let mut other = world.workers[(number + 1) % world.workers.len()].lock().await;
            other.kill();
            other.start(None);
        }
        _ => {}
    }
    while hits() == before && started.elapsed() < CRASH_PATIENCE {
        wait(dice, 100, 200).await;
    }
}

/// SIGTERM, and a new start.
pub async fn stop(world: &World, dice: &mut Dice) {
    let mut worker = world.workers[any(dice)].lock().await;
    tokio::task::block_in_place(|| worker.stop());
    wait(dice, 100, 2000).await;
    worker.wanted = true;
    worker.start(None);
}

/// Stands still for longer than the session, so that others take its partitions, and then goes on.
pub async fn zombie(world: &World, dice: &mut Dice) {
    let worker = world.workers[any(dice)].lock().await;
    worker.signal("STOP");
    tokio::time::sleep(SESSION + dice.millis(500, 3000)).await;
    worker.signal("CONT");
}

/// Workers come and go.
pub async fn storm(world: &World, dice: &mut Dice) {
    for _ in 0..dice.between(4, 7) {
        let mut worker = world.workers[any(dice)].lock().await;
        match worker.runs() {
            true if dice.percent(50) => worker.signal("TERM"),
            true => worker.kill(),
            false => worker.start(None),
        }
        drop(worker);
        wait(dice, 150, 1200).await;
    }
}
