//! A million events through the real binary: undisturbed, with five `kill -9` in the middle, and with a
//! Redis that forgets everything. Each record ends in exactly one outcome, and every place where a number
//! stands says the same as the generator's own count.
//!
//! `TOLLGATE_LOAD_EVENTS` sets the number of records of both, `TOLLGATE_LOAD_SEED` makes other events
//! and other moments of killing. Figures are printed: `cargo test --test it load:: -- --nocapture`.

mod checks;
mod drain;
mod outcomes;
mod setup;
mod wiped;

use std::time::Duration;

use tollgate::simulate::Rng;

use self::drain::{Checked, Drain, Load};
use self::setup::number;

const RECORDS_DEFAULT: u64 = 1_000_000;
/// Each kill costs the six seconds until the group misses the dead, so this one is shorter.
const KILLED_RECORDS_DEFAULT: u64 = 250_000;
const KILLS: u64 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn every_record_ends_in_one_outcome_and_all_numbers_agree() {
    let load = Load::prepare("load", number("TOLLGATE_LOAD_EVENTS", RECORDS_DEFAULT)).await;
    let drain = Drain::start(&load).await;
    drain.until(load.spec.records);
    let drained = drain.stop();
    let Checked { repeats, epoch } = load.check().await;
    load.print(&drained, repeats);
    assert_eq!((repeats, epoch), (0, 1), "nothing is decided twice when nothing fails");
    load.installation.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_kills_in_the_middle_change_no_number() {
    let load = Load::prepare("load-kill", number("TOLLGATE_LOAD_EVENTS", KILLED_RECORDS_DEFAULT)).await;
    let (mut rng, mut drain) = (Rng::new(load.spec.seed ^ 0xdead), Drain::start(&load).await);
    for kill in 0..KILLS {
        // One kill in each seventh, and there at any moment between two flushes.
        drain.until(load.spec.records * (kill * 15 + 1 + rng.below(10)) / 100);
        std::thread::sleep(Duration::from_millis(rng.below(400)));
        drain.kill_and_restart().await;
    }
    drain.until(load.spec.records);
    let drained = drain.stop();
    let Checked { repeats, epoch } = load.check().await;
    load.print(&drained, repeats);
    assert_eq!(epoch, 1, "a process that dies is no loss of Redis");
    assert!(repeats > 0, "not one of the kills hit between a decision and its commit");
    load.installation.remove().await;
}
