//! What deciding costs by itself, without Kafka and ClickHouse: `cargo bench --bench fold`.
//!
//! Events are made in memory and decided by the real ledger in the real Redis, in batches as the consumer makes
//! them. Printed for each shape of load: CPU of Redis and of this process per event, events and time inside the script
//! of one call, bytes of Redis per event, and of those what its two duplicate marks take. `TOLLGATE_FOLD_ONLY=flat,zipf`
//! chooses by the start of the name, `TOLLGATE_FOLD_ROUNDS` (3) repeats: the medians are printed.
#![expect(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "shares the helpers of the tests, of which it needs a few"
)]

#[path = "../../tests/it/support/ledger.rs"]
mod ledger;
mod load;
mod marks;
mod measure;

use self::load::Shape;
use self::measure::Figures;

fn main() {
    // `cargo test --all-targets` runs this too, and wants no benchmark.
    if std::env::args().any(|argument| argument == "--bench") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(bench());
    }
}

async fn bench() {
    let only = std::env::var("TOLLGATE_FOLD_ONLY").unwrap_or_default();
    let rounds: usize =
        std::env::var("TOLLGATE_FOLD_ROUNDS").map_or(3, |text| text.parse().expect("TOLLGATE_FOLD_ROUNDS"));
    let chosen = |shape: &&Shape| only.is_empty() || only.split(',').any(|word| shape.name.starts_with(word));
    println!("{}", Figures::HEADER);
    for shape in load::SHAPES.iter().filter(chosen) {
        let mut runs = Vec::new();
        for round in 0..rounds.min(shape.rounds_max) {
            runs.push(measure::run(shape, round).await);
        }
        println!("{}", Figures::medians(shape.name, &runs));
    }
}
