//! Random lives with several losses: what is rebuilt is what was lost, and what comes again changes nothing.
//!
//! `TOLLGATE_REBUILD_SEEDS=100 [TOLLGATE_REBUILD_SEED=7] cargo test --test it a_life_of_every_seed`: so many
//! lives, from that seed on; a life that fails names its seed.

use std::collections::BTreeSet;
use std::time::Duration;

use tollgate::app::Stores;
use tollgate::app::rebuild::Rebuilt;
use tollgate::domain::WorkspaceId;
use tollgate::redis::RedisError;

use super::checks::{Broken, Expected, assert_same, states};
use super::world::World;
use crate::ledger::model::ops::{Op, operations, workspace};
use crate::support::forget;

pub const QUIET: &(dyn Fn(&WorkspaceId, u64, u64) + Send + Sync) = &|_, _, _| ();

/// Names the seed when its life fails.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("again by TOLLGATE_REBUILD_SEEDS=1 TOLLGATE_REBUILD_SEED={}", self.0);
        }
    }
}

/// A life in parts, each of which ends with a loss. Only the first is long in time: what is replayed later has
/// to be young enough to be recognised.
pub fn parts(seed: u64, parts: usize, count: usize) -> Vec<Vec<Op>> {
    let ops = operations(seed, parts * count);
    let mut parts: Vec<Vec<Op>> = ops.chunks(ops.len().div_ceil(parts)).map(<[Op]>::to_vec).collect();
    for part in &mut parts[1..] {
        part.retain(|op| !matches!(op, Op::Sleep(_)));
        part.insert(part.len() / 2, Op::Sleep(1));
    }
    parts
}

/// Loses what the turn says, and rebuilds what the tables say is behind.
async fn lose(world: &World, turn: u64, older: &super::world::Keys) {
    match turn % 3 {
        0 => forget(&world.it.settings.redis.name),
        1 => world.put_back(older),
        _ => world.forget_workspace(&workspace(turn as u8 % 2)),
    }
    let versions = world.it.stores.tables.versions().await.unwrap();
    let behind: BTreeSet<WorkspaceId> = world.ledger().expect(&versions).await.unwrap().into_keys().collect();
    assert!(!behind.is_empty(), "nothing was lost");
    world.rebuilder.rebuild(&behind, QUIET, &|_| ()).await.unwrap();
}

/// Lives a life with so many losses; `committed` of what was delivered, in percent.
async fn live(seed: u64, losses: usize, count: usize, committed: usize) {
    let _named = Named(seed);
    let parts = parts(seed, losses, count);
    let mut world = World::new("rebuild", &parts.concat()).await;
    let mut shown = (0, 0, 0, 0);
    for (part, turn) in parts.iter().zip(seed..) {
        let (first, second) = part.split_at(part.len() / 2);
        for op in first {
            world.step(op).await;
        }
        world.publish().await;
        let older = world.keys();
        for op in second {
            world.step(op).await;
        }
        world.publish().await;
        if committed > 0 {
            world.commit((world.delivered.len() * committed / 100) as i64);
        }
        let expected = Expected::of(&world, committed).await;
        lose(&world, turn, &older).await;
        let what = format!("seed {seed}, loss {}", turn - seed);
        let outcome = expected.check(&world).await;
        outcome.unwrap_or_else(|Broken { law, words }| panic!("{what}: {law:?} is broken: {words}"));
        let counts = expected.counts();
        shown = (shown.0 + 1, counts.0, shown.2 + counts.1, shown.3 + counts.2);
    }
    let (losses, cells, again, keyed) = shown;
    println!("seed {seed}: {losses} losses, {cells} cells, {again} events and {keyed} requests came again");
    assert!(cells > 10 && keyed > 5, "{cells} cells and {keyed} changes are no life");
    world.it.remove().await;
}

#[tokio::test]
async fn what_is_rebuilt_is_what_was_lost() {
    live(3, 1, 150, 0).await;
}

#[tokio::test]
async fn what_is_rebuilt_is_what_was_lost_when_half_is_committed() {
    live(4, 3, 60, 50).await;
}

#[tokio::test]
async fn what_is_rebuilt_is_what_was_lost_when_all_is_committed() {
    live(5, 3, 60, 100).await;
}

#[tokio::test]
async fn a_life_of_every_seed() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let first = number("TOLLGATE_REBUILD_SEED").unwrap_or(100);
    for seed in (first..).take(number("TOLLGATE_REBUILD_SEEDS").unwrap_or(1) as usize) {
        live(seed, 3, 50, [0, 30, 70, 100][seed as usize % 4]).await;
    }
}

#[tokio::test]
async fn a_rebuild_that_dies_half_way_leaves_it_refusing_and_is_repeated() {
    let ops = operations(4, 80);
    let mut world = World::new("rebuild-dies", &ops).await;
    for op in &ops {
        world.step(op).await;
    }
    world.publish().await;
    let before = states(&world).await;
    forget(&world.it.settings.redis.name);
    let all = world.rebuilder.workspaces().await.unwrap();
    let (mut died, mut refused) = (0, 0);
    for millis in (20..).step_by(40) {
        let deadline = Duration::from_millis(millis);
        match tokio::time::timeout(deadline, world.rebuilder.rebuild(&all, QUIET, &|_| ())).await {
            Ok(done) => {
                done.unwrap();
                break;
            }
            Err(_) => died += 1,
        }
        for id in &all {
            match world.ledger().workspace(id, &[]).await {
                Err(RedisError::NeedsRebuild(_)) => refused += 1,
                Ok(state) => {
                    assert!(state.is_none_or(|state| state.epoch > 1), "{id}: half a state is in use")
                }
                Err(fault) => panic!("{fault}"),
            }
        }
    }
    assert!(
        died > 2 && refused > 2,
        "it died {died} times, {refused} times somebody would have been refused"
    );
    assert_same(&states(&world).await, &before).unwrap();
    world.it.remove().await;
}

/// Of three that rebuild the same, each waits for what another is at with empty hands.
#[tokio::test]
async fn what_is_rebuilt_elsewhere_holds_up_nobody() {
    let ops = operations(4, 80);
    let mut world = World::new("rebuild-claims", &ops).await;
    for op in &ops {
        world.step(op).await;
    }
    world.publish().await;
    let before = states(&world).await;
    forget(&world.it.settings.redis.name);
    let all = world.rebuilder.workspaces().await.unwrap();
    let elsewhere = Stores::new(&world.it.settings).unwrap().ledger;
    let first = all.first().unwrap();
    assert!(elsewhere.claim_rebuild(first).await.unwrap());
    let told = std::sync::Mutex::new(Vec::new());
    let tell = |rebuilt: &Rebuilt| told.lock().unwrap().push(rebuilt.workspace.clone());
    let rebuilding = world.rebuilder.rebuild(&all, QUIET, &tell);
    let both = async {
        tokio::time::timeout(Duration::from_secs(20), async {
            while told.lock().unwrap().len() + 1 < all.len() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await
        .expect("the others wait for it");
        assert!(!told.lock().unwrap().contains(first));
        elsewhere.give_up_rebuild(first).await.unwrap();
    };
    let (rebuilt, ()) = tokio::join!(rebuilding, both);
    rebuilt.unwrap();
    assert_eq!(told.lock().unwrap().last(), Some(first));
    assert_same(&states(&world).await, &before).unwrap();
    world.it.remove().await;
}
