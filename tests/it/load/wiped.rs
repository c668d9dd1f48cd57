//! Redis forgets everything in the middle of a load: that is noticed, not one event is decided otherwise
//! than it would have been, and what is rebuilt at the end is what was there.

use std::time::{Duration, Instant};

use tollgate::domain::WorkspaceId;
use tollgate::domain::book::Book;

use super::drain::{Checked, Drain, Load};
use super::setup::number;
use crate::support::forget;

/// In `make test`; `TOLLGATE_LOAD_EVENTS=1000000` is what must hold.
const RECORDS_DEFAULT: u64 = 200_000;
/// What the service is given to rebuild all that it noticed.
const REBUILT_WITHIN: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn redis_that_forgets_everything_changes_no_number() {
    let load = Load::prepare("load-wiped", number("TOLLGATE_LOAD_EVENTS", RECORDS_DEFAULT)).await;
    let name = load.installation.settings.redis.name.clone();
    let drain = Drain::start(&load).await;
    // Early: what is decided runs ahead of what is committed, and something must be left to decide.
    let wiped_at = load.spec.records * 3 / 10;
    drain.until(wiped_at);
    forget(&name);
    println!("wiped at {wiped_at} of {} records", load.spec.records);
    drain.until(load.spec.records);
    all_stand(&load).await;
    let drained = drain.stop();
    let Checked { repeats, epoch } = load.check().await;
    load.print(&drained, repeats);
    assert!(epoch > 1, "the loss was not noticed");

    // All of it once more, by the command: equal to what it was.
    let before = books(&load).await;
    forget(&name);
    let started = Instant::now();
    let output = load.installation.command(&["rebuild"]).output().unwrap();
    println!(
        "rebuilt in {:.1} s: {}",
        seconds(started),
        String::from_utf8_lossy(&output.stdout).lines().last().unwrap()
    );
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(books(&load).await == before, "what was rebuilt is not what was there");
    let started = Instant::now();
    let output = load.installation.command(&["audit"]).output().unwrap();
    println!("compared in {:.1} s", seconds(started));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    load.installation.remove().await;
}

fn seconds(since: Instant) -> f64 {
    Duration::as_secs_f64(&since.elapsed())
}

/// Waits until the service has rebuilt the workspaces too that nothing more was decided for.
async fn all_stand(load: &Load) {
    let started = Instant::now();
    for name in &load.spec.workspaces {
        let id = WorkspaceId::parse(name).unwrap();
        while let Err(fault) = load.installation.stores.ledger.workspace(&id, &[]).await {
            assert!(started.elapsed() < REBUILT_WITHIN, "{name}: {fault}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Everything that is spent and limited, of each workspace.
async fn books(load: &Load) -> Vec<Book> {
    let mut all = Vec::new();
    for name in &load.spec.workspaces {
        let id = WorkspaceId::parse(name).unwrap();
        let state = load.installation.stores.ledger.workspace(&id, &[load.period]).await.unwrap().unwrap();
        all.extend(state.books.into_values());
    }
    all
}
