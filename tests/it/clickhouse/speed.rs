//! How fast rows go in. Not a test: run it alone, with `--ignored --nocapture`, in release.

use std::time::Instant;

use tollgate::domain::record::Rows;

use super::sample::allowed;
use crate::support::database;

#[tokio::test]
#[ignore = "a measurement"]
async fn rows_a_second() {
    let database = database().await;
    for round in 0..5 {
        let events = (0..100_000)
            .map(|n| allowed(&format!("w{}", n % 50), &format!("user-{}", n % 1000), round * 100_000 + n))
            .collect();
        let rows = Rows { events, ..Rows::default() };
        let started = Instant::now();
        database.store.record(&rows).await.unwrap();
        let seconds = started.elapsed().as_secs_f64();
        println!("100000 rows in {seconds:.3} s: {:.0} rows/s", 100_000.0 / seconds);
    }
}
