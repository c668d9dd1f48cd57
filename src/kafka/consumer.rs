//! The consumer: one operating system thread that polls, batches, commits and never stops polling
//! for long. Backpressure is a full channel, then a pause. What a batch means is not known here.

mod context;
mod records;
mod run;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Batch, KafkaError, Offsets, Settings};

/// Called on the consumer thread when partitions are about to leave: whatever waits to be recorded should
/// be recorded now. Must not block.
pub type Flush = Arc<dyn Fn() + Send + Sync>;

/// A running consumer.
#[derive(Debug)]
pub struct Handle {
    status: Status,
    /// None once it was told.
    outcome: Option<oneshot::Receiver<Result<(), KafkaError>>>,
}

/// What readiness is judged by. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Status {
    offsets: Arc<Offsets>,
    alive: Arc<AtomicBool>,
}

impl Status {
    /// How many partitions are ours.
    pub fn assigned(&self) -> usize {
        self.offsets.assigned().len()
    }

    /// Whether the thread runs.
    pub fn alive(&self) -> bool {
        self.alive.load(Ordering::Acquire)
    }
}

impl Handle {
    /// The low-water marks, for finishing tickets.
    pub fn offsets(&self) -> &Arc<Offsets> {
        &self.status.offsets
    }

    /// For the readiness page.
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// Waits until the thread has ended. Ok after a shutdown; every error is a reason to end the process
    /// and is told once: from then on the answer is Ok.
    pub async fn stopped(&mut self) -> Result<(), KafkaError> {
        let Some(outcome) = &mut self.outcome else { return Ok(()) };
        let ended = outcome.await.unwrap_or(Err(KafkaError::ThreadGone));
        self.outcome = None;
        ended
    }

    /// Waits for the end after the shutdown was requested, at most `deadline`: the driver's close can
    /// hang when brokers are away. Errors: as [`Handle::stopped`], and [`KafkaError::CloseTimeout`].
    pub async fn join(mut self, deadline: Duration) -> Result<(), KafkaError> {
        let ended = tokio::time::timeout(deadline, self.stopped()).await;
        ended.unwrap_or(Err(KafkaError::CloseTimeout(deadline.as_millis())))
    }
}

/// Starts the thread. Batches come out of the receiver, which ends when the consumer does; dropping it
/// ends the consumer. Cancelling `shutdown` stops fetching, waits for what is under way, commits and
/// leaves the group.
pub fn start(
    settings: &Settings,
    flush: Flush,
    shutdown: CancellationToken,
) -> Result<(Handle, mpsc::Receiver<Batch>), KafkaError> {
    let offsets = Arc::new(Offsets::new());
    let alive = Arc::new(AtomicBool::new(true));
    let (batches, receiver) = mpsc::channel(settings.consumer.batches_in_flight_max.get());
    let (report, outcome) = oneshot::channel();
    let consumer = run::Consumer::connect(settings, Arc::clone(&offsets), flush, batches, shutdown)?;
    let lives = Arc::clone(&alive);
    std::thread::Builder::new()
        .name("kafka-consumer".to_owned())
        .spawn(move || consumer.run(Life { alive: lives, report: Some(report) }))
        .map_err(|_| KafkaError::ThreadGone)?;
    Ok((Handle { status: Status { offsets, alive }, outcome: Some(outcome) }, receiver))
}

/// The thread's side of the handle; when it is dropped without a word, the thread has panicked.
struct Life {
    alive: Arc<AtomicBool>,
    report: Option<oneshot::Sender<Result<(), KafkaError>>>,
}

impl Life {
    fn end(&mut self, outcome: Result<(), KafkaError>) {
        self.alive.store(false, Ordering::Release);
        if let Some(report) = self.report.take() {
            // Nobody may be waiting any more.
            let _ = report.send(outcome);
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.end(Err(KafkaError::ThreadGone));
    }
}
