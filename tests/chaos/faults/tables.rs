//! Faults of ClickHouse, and of the way to it.

use std::time::Duration;

use super::{any, wait};
use crate::dice::Dice;
use crate::facts::query;
use crate::proxy::Mode;
use crate::world::World;

/// Kill -9, away for a while, and a new start.
pub async fn kill(world: &World, dice: &mut Dice) {
    let mut tables = world.tables.lock().await;
    tables.kill();
    wait(dice, 100, 5000).await;
    tables.start();
    while query(world.ports.tables, "SELECT 1").await.is_err() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Stands still.
pub async fn freeze(world: &World, dice: &mut Dice) {
    let tables = world.tables.lock().await;
    tables.freeze();
    let wait_ms = *dice.pick(&[500, 3000, 7000]);
    wait(dice, wait_ms, wait_ms + 500).await;
    tables.thaw();
}

/// One worker, or all, and ClickHouse do not hear each other.
pub async fn partition(world: &World, dice: &mut Dice) {
    disturb(world, dice, Mode::BlackHole, (1000, 6000)).await;
}

/// Each piece of a request and an answer waits.
pub async fn slow(world: &World, dice: &mut Dice) {
    let mode = Mode::Delay(dice.millis(50, 1200));
    disturb(world, dice, mode, (2000, 6000)).await;
}

/// Rows are written, and nobody hears of it.
pub async fn lost_replies(world: &World, dice: &mut Dice) {
    let mode = *dice.pick(&[Mode::LoseReplies(2), Mode::Swallow(3), Mode::CutAfter(20)]);
    disturb(world, dice, mode, (1500, 4000)).await;
}

async fn disturb(world: &World, dice: &mut Dice, mode: Mode, (from_ms, to_ms): (u64, u64)) {
    let (one, all) = (any(dice), dice.percent(50));
    let chosen = world.proxies[..world.workers.len()].iter().enumerate().filter(|(at, _)| all || *at == one);
    let chosen: Vec<_> = chosen.map(|(_, proxies)| &proxies.tables).collect();
    chosen.iter().for_each(|proxy| proxy.set(mode));
    wait(dice, from_ms, to_ms).await;
    chosen.iter().for_each(|proxy| proxy.set(Mode::Pass));
    chosen.iter().for_each(|proxy| proxy.cut());
}
