//! Shapes of load, and their events.

use std::sync::Arc;

use tollgate::domain::event::{Arrival, Position, UsageEvent};
use tollgate::domain::period::Instant;
use tollgate::domain::{Credits, FeatureId, UserId, WorkspaceId};
use tollgate::simulate::Rng;

/// Partitions that workspaces are spread over.
pub const PARTITIONS: usize = 12;
const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * SECOND;
const FEATURES: [&str; 5] = ["ai_chat", "ai_field", "ai_automation", "ai_agent", "image_generation"];

/// How events fall on workspaces and users.
pub struct Shape {
    /// Its name.
    pub name: &'static str,
    /// Workspaces.
    pub workspaces: usize,
    /// Zipf(1.1) over the workspaces, or all equally busy.
    pub zipf: bool,
    /// Users of each, all equally busy.
    pub users: usize,
    /// Events that are measured.
    pub events: usize,
    /// Events in a batch of the consumer, at most.
    pub batch: usize,
    /// Between two events, in microseconds.
    pub step: i64,
    /// How far an event may lie behind its turn, in microseconds.
    pub lateness: i64,
    /// Marks that are there before, of the whole time that marks live.
    pub marks: usize,
    /// How often it is repeated, at most.
    pub rounds_max: usize,
}

const fn shape(name: &'static str, workspaces: usize, zipf: bool, users: usize) -> Shape {
    let (events, batch, step, lateness, marks, rounds_max) = (400_000, 16_384, 50, 2 * SECOND, 0, usize::MAX);
    Shape { name, workspaces, zipf, users, events, batch, step, lateness, marks, rounds_max }
}

const fn marked(name: &'static str, marks: usize, lateness: i64) -> Shape {
    Shape { marks, lateness, rounds_max: 1, ..shape(name, 10, false, 50) }
}

/// What is measured.
pub const SHAPES: [Shape; 16] = [
    shape("flat", 10, false, 50),
    Shape { batch: 4096, ..shape("flat, small batches", 10, false, 50) },
    shape("zipf", 10_000, true, 50),
    Shape { batch: 4096, ..shape("zipf, small batches", 10_000, true, 50) },
    Shape { batch: 64, events: 100_000, ..shape("live flat, batches of 64", 10, false, 50) },
    Shape { batch: 64, events: 100_000, ..shape("live zipf, batches of 64", 10_000, true, 50) },
    shape("users 100", 10, false, 100),
    shape("users 10k", 10, false, 10_000),
    Shape { events: 2_000_000, ..shape("users 1M", 1, false, 1_000_000) },
    shape("workspaces 10k", 10_000, false, 50),
    shape("workspaces 100k", 100_000, false, 50),
    marked("marks 1M", 1_000_000, 2 * SECOND),
    marked("marks 100M", 100_000_000, 2 * SECOND),
    marked("late, no marks", 0, 71 * HOUR),
    marked("late, marks 100M", 100_000_000, 71 * HOUR),
    Shape {
        events: 1_000_000,
        step: 24 * HOUR / 1_000_000,
        rounds_max: 1,
        ..shape("day of 1M ids", 1, false, 50)
    },
];

/// Its workspaces.
pub fn workspaces(shape: &Shape) -> Vec<WorkspaceId> {
    (0..shape.workspaces).map(|n| WorkspaceId::parse(&format!("workspace-{n:05}")).unwrap()).collect()
}

/// Its events in the order of their arrival, `start` being the time of the first; 2 in 100 are resent ones.
pub fn arrivals(shape: &Shape, start: i64) -> Vec<Arrival> {
    let ids = workspaces(shape);
    let users: Vec<UserId> =
        (0..shape.users).map(|n| UserId::parse(&format!("user-{n:06}")).unwrap()).collect();
    let features = FEATURES.map(|name| FeatureId::parse(name).unwrap());
    let weight =
        |rank: usize| if shape.zipf { 1e9 / (rank as f64).powf(1.1) } else { 1e9 / shape.workspaces as f64 };
    let sums: Vec<u64> = (1..=ids.len())
        .scan(0, |sum, rank| {
            *sum += weight(rank) as u64;
            Some(*sum)
        })
        .collect();
    let mut rng = Rng::new(1);
    let mut offsets = [0; PARTITIONS];
    let mut all: Vec<Arrival> = Vec::with_capacity(shape.events);
    for n in 0..shape.events {
        let drawn = rng.below(*sums.last().unwrap());
        let w = sums.partition_point(|sum| *sum <= drawn);
        let at = start + n as i64 * shape.step;
        let resent = (rng.below(100) < 2 && n > 2000).then(|| &all[n - 1 - rng.below(1000) as usize]);
        let partition = resent.map_or(w % PARTITIONS, |first| first.position.partition as usize);
        let position = Position { partition: partition as i32, offset: offsets[partition] };
        offsets[partition] += 1;
        let event = resent.map(|first| first.event.clone()).unwrap_or_else(|| {
            Arc::new(UsageEvent {
                id: format!("019a{n:012x}").into(),
                source: "gateway-eu-1".into(),
                time: Instant::from_micros(at - rng.below(shape.lateness as u64) as i64),
                workspace: ids[w].clone(),
                user: users[rng.below(shape.users as u64) as usize].clone(),
                feature: features[rng.below(5) as usize].clone(),
                credits: Credits::from_micro(50_000 + 1_234 * rng.below(2_000) as i64),
                model: None,
                input_tokens: None,
                output_tokens: None,
                quantity: None,
                hold: None,
                rate_version: None,
            })
        });
        all.push(Arrival { event, position, timestamp: Instant::from_micros(at) });
    }
    all
}
