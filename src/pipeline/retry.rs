//! Patience: a call is repeated while its fault may pass, with growing pauses, until it succeeds,
//! fails for good, or the process stops, which does not wait for an answer. Each attempt's fault is
//! logged here, and nowhere else.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Stopped;
use crate::domain::ports::Fault;

/// The first pause, in milliseconds; it doubles up to the longest.
const PAUSE_MS_MIN: u64 = 50;

/// Repeats `call` until it succeeds. `what` ends the sentence "cannot ...".
pub async fn patiently<T, E: Fault, F: Future<Output = Result<T, E>>>(
    what: &str,
    pause_ms_max: u64,
    abort: &CancellationToken,
    mut call: impl FnMut() -> F,
) -> Result<T, Stopped> {
    let mut pause_ms = PAUSE_MS_MIN;
    loop {
        // A call that is dropped half way is as one whose answer was lost: all of them may be repeated.
        let outcome = tokio::select! {
            biased; // no dice: a simulated run must replay to the byte
            () = abort.cancelled() => return Err(Stopped::Aborted),
            outcome = call() => outcome,
        };
        let fault = match outcome {
            Ok(value) => return Ok(value),
            Err(fault) => fault,
        };
        if !fault.is_transient() {
            tracing::error!(%fault, "cannot {what}: giving up");
            return Err(Stopped::Failed(format!("cannot {what}: {fault}")));
        }
        tracing::warn!(%fault, pause_ms, "cannot {what} now, trying again");
        tokio::select! {
            biased; // no dice: a simulated run must replay to the byte
            () = abort.cancelled() => return Err(Stopped::Aborted),
            () = tokio::time::sleep(Duration::from_millis(pause_ms)) => {}
        }
        pause_ms = (pause_ms * 2).min(pause_ms_max.max(PAUSE_MS_MIN));
    }
}
