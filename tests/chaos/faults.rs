//! What is done to a run: kinds of faults, drawn by the seed, each healed before its task draws the next. Two tasks
//! draw, so that faults overlap; a fault holds what it works on, so that two never work on the same server.
//!
//! Left out: faults between one worker and Kafka (its clients follow advertised addresses past any proxy; Kafka that
//! stands still is the same for all of them), jumps of the clock (nothing here shifts one process's clock), offsets
//! reset to latest (records that nobody reads have no outcome, by definition), a deleted topic.

mod kafka;
mod redis;
mod tables;
mod workers;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::dice::Dice;
use crate::world::World;

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    KillWorker,
    CrashAt(&'static str),
    StopWorker,
    Zombie,
    Storm,
    RedisKill,
    RedisFreeze,
    RedisFlushAll,
    RedisForgetsOne,
    RedisWrongType,
    RedisScriptFlush,
    RedisCutLog,
    RedisStaleFailover,
    RedisFull,
    RedisLostReplies,
    RedisPartition,
    KafkaKill,
    KafkaFreeze,
    TablesKill,
    TablesFreeze,
    TablesPartition,
    TablesSlow,
    TablesLostReplies,
    OffsetsReset,
    PartitionsAdded,
}

/// Points in the program where a worker can die, with the most often that it may come there before.
const POINTS: [(&str, u64); 8] = [
    ("after_poll", 20),
    ("after_lua", 20),
    ("after_told", 20),
    ("between_events_and_rollups", 6),
    ("after_record", 6),
    ("after_kafka_ack", 3),
    ("in_rebuild", 1),
    ("in_revoke", 1),
];

impl Fault {
    fn all() -> Vec<Self> {
        let points = POINTS.iter().map(|(name, _)| Self::CrashAt(name));
        let others = [
            Self::KillWorker,
            Self::StopWorker,
            Self::Zombie,
            Self::Storm,
            Self::RedisKill,
            Self::RedisFreeze,
            Self::RedisFlushAll,
            Self::RedisForgetsOne,
            Self::RedisWrongType,
            Self::RedisScriptFlush,
            Self::RedisCutLog,
            Self::RedisStaleFailover,
            Self::RedisFull,
            Self::RedisLostReplies,
            Self::RedisPartition,
            Self::KafkaKill,
            Self::KafkaFreeze,
            Self::TablesKill,
            Self::TablesFreeze,
            Self::TablesPartition,
            Self::TablesSlow,
            Self::TablesLostReplies,
            Self::OffsetsReset,
            Self::PartitionsAdded,
        ];
        points.chain(others).collect()
    }

    fn name(self) -> String {
        match self {
            Self::CrashAt(point) => format!("CrashAt {point}"),
            other => format!("{other:?}"),
        }
    }

    /// Whether it makes workers come or go.
    fn crowds(self) -> bool {
        use Fault::{CrashAt, KillWorker, OffsetsReset, StopWorker, Storm, Zombie};
        matches!(self, KillWorker | CrashAt(_) | StopWorker | Zombie | Storm | OffsetsReset)
    }

    async fn inject(self, world: &World, dice: &mut Dice) {
        let _alone = if self.crowds() { Some(world.crowd.lock().await) } else { None };
        match self {
            Self::KillWorker => workers::kill(world, dice).await,
            Self::CrashAt(point) => workers::crash(world, dice, point).await,
            Self::StopWorker => workers::stop(world, dice).await,
            Self::Zombie => workers::zombie(world, dice).await,
            Self::Storm => workers::storm(world, dice).await,
            Self::RedisKill => redis::kill(world, dice).await,
            Self::RedisFreeze => redis::freeze(world, dice).await,
            Self::RedisFlushAll => redis::flush_all(world, dice).await,
            Self::RedisForgetsOne => redis::forget_one(world, dice).await,
            Self::RedisWrongType => redis::wrong_type(world, dice).await,
            Self::RedisScriptFlush => redis::script_flush(world, dice).await,
            Self::RedisCutLog => redis::cut_log(world, dice).await,
            Self::RedisStaleFailover => redis::stale_failover(world, dice).await,
            Self::RedisFull => redis::full(world, dice).await,
            Self::RedisLostReplies => redis::lost_replies(world, dice).await,
            Self::RedisPartition => redis::partition(world, dice).await,
            Self::KafkaKill => kafka::kill(world, dice).await,
            Self::KafkaFreeze => kafka::freeze(world, dice).await,
            Self::TablesKill => tables::kill(world, dice).await,
            Self::TablesFreeze => tables::freeze(world, dice).await,
            Self::TablesPartition => tables::partition(world, dice).await,
            Self::TablesSlow => tables::slow(world, dice).await,
            Self::TablesLostReplies => tables::lost_replies(world, dice).await,
            Self::OffsetsReset => kafka::reset(world, dice).await,
            Self::PartitionsAdded => kafka::add_partitions(world, dice).await,
        }
    }
}

/// Injects one fault after the other until told to stop. Every kind comes before any comes again.
pub async fn haunt(world: &World, seed: u64, lane: u64, lanes: usize, stop: &AtomicBool) {
    let only = std::env::var("TOLLGATE_CHAOS_ONLY").unwrap_or_default();
    let named = |fault: &Fault| only.split(',').any(|part| fault.name().contains(part));
    let wanted = |fault: &Fault| only.is_empty() || named(fault);
    let kinds: Vec<Fault> = Fault::all().into_iter().filter(wanted).collect();
    // The deck is the same for all lanes; each takes its own share.
    let (mut deck, mut dice) = (Dice::new(seed, 7), Dice::new(seed, 50 + lane));
    loop {
        let mut kinds = kinds.clone();
        for at in (1..kinds.len()).rev() {
            kinds.swap(at, deck.below(at as u64 + 1) as usize);
        }
        for fault in kinds.into_iter().skip(lane as usize).step_by(lanes) {
            tokio::time::sleep(dice.millis(300, 1500)).await;
            if stop.load(Ordering::Relaxed) {
                return;
            }
            world.diary.note(&format!("{} ...", fault.name()));
            fault.inject(world, &mut dice).await;
            world.diary.count("faults", &fault.name());
            world.diary.note(&format!("{} is over", fault.name()));
        }
        if stop.load(Ordering::Relaxed) {
            return;
        }
    }
}

async fn wait(dice: &mut Dice, from_ms: u64, to_ms: u64) {
    tokio::time::sleep(dice.millis(from_ms, to_ms)).await;
}

/// One of the workers.
fn any(dice: &mut Dice) -> usize {
    dice.below(crate::world::WORKERS as u64) as usize
}

/// So long after `Duration` a worker is expected to have died where it was told to.
const CRASH_PATIENCE: Duration = Duration::from_secs(14);

/// All workers stop, the group begins anew, and one worker reads everything once more.
pub async fn replay_from_the_beginning(world: &World) {
    kafka::rewind(world).await;
    world.diary.note("once more from the beginning");
    let mut worker = world.workers[0].lock().await;
    worker.wanted = true;
    worker.start(None);
}
