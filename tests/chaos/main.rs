//! Faults on real processes: Kafka, Redis with a replica, ClickHouse and three workers of this run's own, under a
//! workload, while a seed decides what breaks. Afterwards everything is healed, comes to rest, and an independent
//! judge reads the topics, the tables and Redis. The counterpart of `src/pipeline/tests/simulation`, which has no
//! processes and is exact; here the same seed draws the same faults, but time is real.
//!
//! `TOLLGATE_CHAOS_MINUTES` (2), `TOLLGATE_CHAOS_SEED` (drawn, and printed); `TOLLGATE_CHAOS_ONLY=Redis,Zombie` takes
//! only faults with such names, `TOLLGATE_CHAOS_LOUD=1` tells each as it happens, `TOLLGATE_CHAOS_KEEP=1` keeps the
//! folder with all logs.
#![expect(clippy::unwrap_used, clippy::panic, reason = "what a test's helpers cannot do ends the test")]

mod dice;
mod facts;
mod faults;
mod judge;
mod process;
mod proxy;
mod report;
mod servers;
mod workers;
mod workload;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use facts::Facts;
use judge::Verdict;
use workload::{Asked, Published};
use world::World;

/// Tasks that inject faults at the same time.
const LANES: usize = 2;
/// Tasks that administer.
const HANDS: usize = 4;
/// What start, rest, judgement and replay take of the minutes that are asked for.
const OVERHEAD: Duration = Duration::from_secs(50);
/// How long coming to rest may take after everything is healed.
const REST_DEADLINE: Duration = Duration::from_secs(180);
/// The most memory that a worker may ever have.
const PEAK_KIB_MAX: u64 = 1 << 20;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_doubled_or_overspent_whatever_breaks() {
    let drawn = u64::from(std::process::id()) ^ (jiff::Timestamp::now().as_millisecond() as u64 % 1_000_000);
    let seed = number("TOLLGATE_CHAOS_SEED").unwrap_or(drawn);
    let minutes = number("TOLLGATE_CHAOS_MINUTES").unwrap_or(2);
    println!("chaos: seed {seed}, {minutes} minutes");
    let world = World::new().await;
    let haunted = Duration::from_secs(minutes * 60).saturating_sub(OVERHEAD).max(Duration::from_secs(20));
    let (stop_tending, stop_asking) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let tending = in_background(&world, &stop_tending, |world, stop| async move { world.tend(&stop).await });
    let plans = workload::plan_all(&world.client, minutes).await;
    let probing = in_background(&world, &stop_asking, |world, stop| async move { world.probe(&stop).await });

    // 1. Work, and what breaks.
    let (published, asked) = work(&world, (seed, minutes), haunted, plans, &stop_asking).await;
    probing.await.unwrap();
    // 2. Rest, and judgement.
    let mut faults = rest(&world).await.err().into_iter().collect::<Vec<_>>();
    let facts = read(&world).await;
    let mut verdict = judge::judge(&facts, &asked, &published);
    if faults.is_empty() {
        // 3. The program's own view.
        let (equal, text) = world.command(&["audit"]).await;
        faults.extend((!equal).then(|| format!("tollgate audit:\n{text}")));
        // 4. Everything once more, by one worker.
        faults.extend(replay(&world, &facts, &mut verdict).await.err());
    }
    stop_tending.store(true, Ordering::Relaxed);
    tending.await.unwrap();
    report::print(&world, &facts, &asked, &published, &verdict).await;
    conclude(&world, seed, faults, verdict).await;
}

fn in_background<F: Future<Output = ()> + Send + 'static>(
    world: &Arc<World>,
    stop: &Arc<AtomicBool>,
    work: impl FnOnce(Arc<World>, Arc<AtomicBool>) -> F,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(work(Arc::clone(world), Arc::clone(stop)))
}

async fn work(
    world: &Arc<World>,
    (seed, minutes): (u64, u64),
    haunted: Duration,
    mut asked: Vec<Asked>,
    stop: &Arc<AtomicBool>,
) -> (Published, Vec<Asked>) {
    let (brokers, until) = (world.brokers(), Arc::clone(stop));
    let producing = tokio::spawn(async move { workload::produce(brokers, seed, &until).await });
    let hands: Vec<_> = (0..HANDS)
        .map(|hand| {
            let (client, until) = (world.client.clone(), Arc::clone(stop));
            tokio::spawn(async move {
                workload::administer(&client, (seed, minutes), (hand, HANDS), &until).await
            })
        })
        .collect();
    let stop_faults = Arc::new(AtomicBool::new(false));
    let haunting: Vec<_> = (0..LANES as u64)
        .map(|lane| {
            in_background(world, &stop_faults, |world, stop| async move {
                faults::haunt(&world, seed, lane, LANES, &stop).await;
            })
        })
        .collect();
    tokio::time::sleep(haunted).await;
    stop_faults.store(true, Ordering::Relaxed);
    for lane in haunting {
        lane.await.unwrap();
    }
    world.heal();
    world.diary.note("everything is healed");
    tokio::time::sleep(Duration::from_secs(2)).await;
    stop.store(true, Ordering::Relaxed);
    for hand in hands {
        asked.extend(hand.await.unwrap());
    }
    (producing.await.unwrap(), asked)
}

/// Waits until everything published is committed, and nothing waits for Kafka or a table.
async fn rest(world: &World) -> Result<(), String> {
    let (started, mut calm) = (Instant::now(), 0);
    while calm < 3 {
        let brokers = world.brokers();
        let lag = tokio::task::spawn_blocking(move || facts::Group::new(&brokers).lag()).await.unwrap();
        let port = world.redis.lock().await.port();
        let waiting = facts::waiting(port).await;
        calm = if (&lag, &waiting) == (&Ok(0), &Ok(0)) { calm + 1 } else { 0 };
        if started.elapsed() > REST_DEADLINE {
            return Err(format!("no rest: {lag:?} records are not committed, {waiting:?} entries wait"));
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    world.diary.note(&format!("at rest after {:.1} s", started.elapsed().as_secs_f64()));
    Ok(())
}

async fn read(world: &World) -> Facts {
    let brokers = world.brokers();
    let reading = tokio::task::spawn_blocking(move || {
        let mut facts = Facts::default();
        facts::read_topics(&brokers, &mut facts).map(|()| facts)
    });
    let mut facts = reading.await.unwrap().unwrap_or_else(|fault| panic!("cannot read topics: {fault}"));
    let port = world.redis.lock().await.port();
    facts.books = facts::books(port).await.unwrap_or_else(|fault| panic!("cannot read redis: {fault}"));
    let read = facts::read_tables(world.ports.tables, &mut facts).await;
    read.unwrap_or_else(|fault| panic!("cannot read tables: {fault}"));
    facts
}

async fn replay(world: &World, before: &Facts, verdict: &mut Verdict) -> Result<(), String> {
    faults::replay_from_the_beginning(world).await;
    rest(world).await?;
    judge::unchanged(before, &read(world).await, verdict);
    Ok(())
}

async fn conclude(world: &World, seed: u64, mut faults: Vec<String>, verdict: Verdict) {
    for worker in &world.workers {
        let mut worker = worker.lock().await;
        if worker.peak_kib() > PEAK_KIB_MAX {
            faults.push(format!("worker {} had {} KiB", worker.number, worker.peak_kib()));
        }
        let panics = worker.said("panicked at");
        faults.extend((panics > 0).then(|| format!("worker {} panicked {panics} times", worker.number)));
        tokio::task::block_in_place(|| worker.stop());
    }
    for (check, (count, shown)) in &verdict.violations {
        faults.push(format!("VIOLATED, {count} times: {check}\n  {}", shown.join("\n  ")));
    }
    if faults.is_empty() {
        println!("chaos: seed {seed}: all held");
        return;
    }
    println!("\nwhat was done:\n{}", world.diary.lines().join("\n"));
    panic!("seed {seed}\n{}", faults.join("\n"));
}
