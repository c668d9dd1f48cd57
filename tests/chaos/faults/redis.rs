//! Faults of Redis, and of the way to it.

use super::{any, wait};
use crate::dice::Dice;
use crate::proxy::Mode;
use crate::workers::NAME;
use crate::workload::{WORKSPACES, workspace};
use crate::world::World;

/// Kill -9, and a new start from its log.
pub async fn kill(world: &World, dice: &mut Dice) {
    let mut redis = world.redis.lock().await;
    redis.server().kill();
    wait(dice, 100, 2500).await;
    redis.start().await;
}

/// Stands still, shorter or longer than an answer is waited for.
pub async fn freeze(world: &World, dice: &mut Dice) {
    let mut redis = world.redis.lock().await;
    redis.server().freeze();
    let wait_ms = *dice.pick(&[300, 1500, 6000]);
    wait(dice, wait_ms, wait_ms + 300).await;
    redis.server().thaw();
}

/// Everything is gone.
pub async fn flush_all(world: &World, dice: &mut Dice) {
    world.redis.lock().await.command(&["FLUSHALL"]).await;
    wait(dice, 500, 1500).await;
}

/// Deletes what names a workspace, all at once.
const FORGET: &str = "for _, heads in ipairs(redis.call('KEYS', ARGV[1] .. ':*:heads')) do \
    redis.call('HDEL', heads, ARGV[2]) end \
    for _, key in ipairs(redis.call('KEYS', ARGV[1] .. ':*:' .. ARGV[2] .. '*')) do redis.call('DEL', key) end";

/// The keys of one workspace are gone.
pub async fn forget_one(world: &World, dice: &mut Dice) {
    let name = workspace(dice.below(WORKSPACES as u64) as usize);
    world.diary.note(&format!("forgotten: {name}"));
    world.redis.lock().await.command(&["EVAL", FORGET, "0", NAME, &name]).await;
    wait(dice, 300, 1500).await;
}

const PLANT: &str = "for _, key in ipairs(redis.call('KEYS', ARGV[1] .. ':*:' .. ARGV[2])) do \
    redis.call('SET', key, 'nonsense') end";
const PULL: &str = "for _, key in ipairs(redis.call('KEYS', ARGV[1] .. ':*:' .. ARGV[2])) do \
    if redis.call('TYPE', key).ok == 'string' then redis.call('DEL', key) end end";

/// A book is a text for a while, and then nothing.
pub async fn wrong_type(world: &World, dice: &mut Dice) {
    let pattern = format!("p:{}:*", workspace(dice.below(WORKSPACES as u64) as usize));
    world.diary.note(&format!("planted: {pattern}"));
    world.redis.lock().await.command(&["EVAL", PLANT, "0", NAME, &pattern]).await;
    wait(dice, 1000, 3000).await;
    world.redis.lock().await.command(&["EVAL", PULL, "0", NAME, &pattern]).await;
}

/// Scripts are forgotten.
pub async fn script_flush(world: &World, dice: &mut Dice) {
    for _ in 0..dice.between(1, 20) {
        world.redis.lock().await.command(&["SCRIPT", "FLUSH"]).await;
        wait(dice, 5, 150).await;
    }
}

/// The end of the log did not reach the disk when the power went.
pub async fn cut_log(world: &World, dice: &mut Dice) {
    let mut redis = world.redis.lock().await;
    redis.server().kill();
    let cut = redis.cut_log(dice.between(100, 60_000));
    world.diary.note(&format!("cut {cut} bytes off the log"));
    redis.start().await;
}

/// The replica heard nothing for a while, and becomes the primary.
pub async fn stale_failover(world: &World, dice: &mut Dice) {
    let mut redis = world.redis.lock().await;
    redis.split();
    wait(dice, 300, 3000).await;
    redis.fail_over(|port| world.point(port)).await;
}

/// No room for more.
pub async fn full(world: &World, dice: &mut Dice) {
    world.redis.lock().await.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    wait(dice, 1000, 4000).await;
    world.redis.lock().await.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
}

/// Calls run, and their answers do not come; of one worker or of all.
pub async fn lost_replies(world: &World, dice: &mut Dice) {
    let one_in = *dice.pick(&[2, 5, 20]);
    let mode = *dice.pick(&[Mode::LoseReplies(one_in), Mode::Swallow(one_in), Mode::CutAfter(7)]);
    let (one, all) = (any(dice), dice.percent(50));
    let chosen = world.proxies[..world.workers.len()].iter().enumerate().filter(|(at, _)| all || *at == one);
    let chosen: Vec<_> = chosen.map(|(_, proxies)| &proxies.redis).collect();
    chosen.iter().for_each(|proxy| proxy.set(mode));
    wait(dice, 1500, 4000).await;
    chosen.iter().for_each(|proxy| proxy.set(Mode::Pass));
    chosen.iter().for_each(|proxy| proxy.cut());
}

/// One worker and Redis do not hear each other.
pub async fn partition(world: &World, dice: &mut Dice) {
    let proxy = &world.proxies[any(dice)].redis;
    proxy.set(*dice.pick(&[Mode::BlackHole, Mode::Refuse]));
    wait(dice, 1000, 6000).await;
    proxy.set(Mode::Pass);
    proxy.cut();
}
