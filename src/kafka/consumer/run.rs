//! The loop of the consumer thread, in the order it runs: collect, deliver, commit, watch; then close.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError as DriverError, RDKafkaErrorCode as Code};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::records::{self, Pending};
use super::watch::{Ends, Lag, Watchdog};
use super::{Flush, Life};
use crate::kafka::{Batch, ConsumerSettings, KafkaError, Offsets, Settings};

/// Longest wait for a record: how late a shutdown or a due commit may be noticed.
const IDLE_POLL: Duration = Duration::from_millis(100);
/// How often a full channel is looked at, before and after the pause.
const FULL_WAIT: Duration = Duration::from_millis(1);
const PAUSED_POLL: Duration = Duration::from_millis(20);
/// How long the watchdog waits for a broker's answer about one partition.
const WATERMARK_TIMEOUT: Duration = Duration::from_secs(2);

/// Everything the thread owns.
pub(super) struct Consumer {
    client: BaseConsumer<Context>,
    settings: ConsumerSettings,
    offsets: Arc<Offsets>,
    batches: mpsc::Sender<Batch>,
    shutdown: CancellationToken,
    pending: Pending,
    paused: bool,
    committed_at: Instant,
    watchdog: Watchdog,
}

impl Consumer {
    /// Makes the client and subscribes; the group is joined by the first polls.
    pub(super) fn connect(
        settings: &Settings,
        offsets: Arc<Offsets>,
        flush: Flush,
        batches: mpsc::Sender<Batch>,
        shutdown: CancellationToken,
    ) -> Result<Self, KafkaError> {
        let context = Context {
            topic: settings.topics.events.clone(),
            offsets: Arc::clone(&offsets),
            flush,
            revoke_deadline: Duration::from_millis(settings.consumer.revoke_deadline_ms),
            closing: AtomicBool::new(false),
            rebalanced: AtomicBool::new(false),
            revoked: Mutex::default(),
            lag: Mutex::new(Lag::default()),
        };
        let client: BaseConsumer<Context> = client_config(settings)
            .create_with_context(context)
            .map_err(KafkaError::client("making a consumer"))?;
        client.subscribe(&[&settings.topics.events]).map_err(KafkaError::client("subscribing"))?;
        Ok(Self {
            client,
            settings: settings.consumer.clone(),
            offsets,
            batches,
            shutdown,
            pending: Pending::default(),
            paused: false,
            committed_at: Instant::now(),
            watchdog: Watchdog::new(settings.consumer.stall_patience()),
        })
    }

    /// Runs until the shutdown or an error, then closes.
    pub(super) fn run(mut self, mut life: Life) {
        let outcome = self.turns();
        let Self { client, settings, offsets, batches, .. } = self;
        // 1. No more batches: the pipeline ends when it has worked off those under way.
        drop(batches);
        let context = Arc::clone(client.context());
        context.closing.store(true, Ordering::Release);
        if let Err(error) = outcome {
            // Told before the client is closed, which may hang for the same reason.
            life.end(Err(error));
            return;
        }
        // 2. Wait for them; what is late is redelivered.
        context.drain(&offsets.assigned(), Duration::from_millis(settings.close_deadline_ms));
        // 3. Leave the group; the revocation on the way commits. May hang: the handle has a deadline.
        drop(client);
        life.end(Ok(()));
    }

    fn turns(&mut self) -> Result<(), KafkaError> {
        while !self.shutdown.is_cancelled() {
            self.collect()?;
            self.deliver()?;
            self.commit_when_due();
            self.watch()?;
        }
        Ok(())
    }

    /// 1. Polls until the batch is due, or nothing comes. A busy pipeline makes larger batches, which cost less an
    ///    event: as long as it has no room, a batch that has lingered goes on growing.
    fn collect(&mut self) -> Result<(), KafkaError> {
        let started = Instant::now();
        while !self.is_due() {
            let wait =
                self.pending.since.map_or(IDLE_POLL, |since| self.linger().saturating_sub(since.elapsed()));
            let came = self.poll(wait.max(FULL_WAIT))?;
            // Commits and the watchdog have their turn, too.
            if started.elapsed() >= IDLE_POLL || (!came && self.pending.records.is_empty()) {
                break;
            }
        }
        Ok(())
    }

    /// Whether the batch is full, or its first record has lingered and there is room for it.
    fn is_due(&self) -> bool {
        let room = || self.batches.capacity() > 0 || self.batches.is_closed();
        // The driver counts in milliseconds: less is not waited for.
        let lingered = |since: Instant| since.elapsed() + FULL_WAIT > self.linger();
        self.is_full() || (self.pending.since.is_some_and(lingered) && room())
    }

    fn linger(&self) -> Duration {
        Duration::from_millis(self.settings.batch_linger_ms)
    }

    fn is_full(&self) -> bool {
        self.pending.records.len() >= self.settings.batch_records_max.get()
            || self.pending.bytes >= self.settings.batch_bytes_max.get()
    }

    /// One poll; true when a record came. Callbacks run in here.
    fn poll(&mut self, wait: Duration) -> Result<bool, KafkaError> {
        let polled = match self.client.poll(wait) {
            None => Ok(None),
            Some(Ok(message)) => Ok(Some(records::copy(&message))),
            Some(Err(error)) => Err(error),
        };
        if self.client.context().rebalanced.swap(false, Ordering::AcqRel) {
            self.after_rebalance();
        }
        let record = polled.or_else(survive)?;
        let came = record.is_some();
        if let Some(record) = record {
            self.pending.push(record);
            self.watchdog.moved();
        }
        Ok(came)
    }

    fn after_rebalance(&mut self) {
        let context = self.client.context();
        let revoked = std::mem::take(&mut *context.revoked.lock().unwrap_or_else(PoisonError::into_inner));
        self.pending.forget(&revoked);
        self.watchdog.moved();
        if self.paused {
            // A new assignment fetches, whatever was paused before.
            self.pause(true);
        }
    }

    /// 2. Hands the batch over when it is due. A full one for which there is no room stays here: first comes a short
    ///    wait, then the partitions are paused and only callbacks are polled.
    fn deliver(&mut self) -> Result<(), KafkaError> {
        let full_since = Instant::now();
        let pause_after = Duration::from_millis(self.settings.pause_after_ms);
        while self.is_due() && !self.shutdown.is_cancelled() {
            match self.batches.clone().try_reserve() {
                Ok(permit) => {
                    let records = self.pending.take();
                    let ticket = self.offsets.begin(&records::last_offsets(&records));
                    permit.send(Batch { ticket, records });
                }
                Err(TrySendError::Closed(())) => return Err(KafkaError::ReceiverGone),
                Err(TrySendError::Full(())) => self.wait_for_room(full_since.elapsed() > pause_after)?,
            }
        }
        if self.paused {
            self.pause(false);
        }
        Ok(())
    }

    fn wait_for_room(&mut self, long: bool) -> Result<(), KafkaError> {
        if long && !self.paused {
            self.pause(true);
        }
        if self.paused {
            self.poll(PAUSED_POLL)?;
        } else {
            std::thread::sleep(FULL_WAIT);
        }
        self.commit_when_due();
        // It is the pipeline that stands still, and it says so itself.
        self.watchdog.moved();
        Ok(())
    }

    fn pause(&mut self, pause: bool) {
        self.paused = pause;
        let assigned = self.client.assignment();
        let done =
            assigned.and_then(|all| if pause { self.client.pause(&all) } else { self.client.resume(&all) });
        if let Err(error) = done {
            tracing::warn!(%error, pause, "could not pause or resume fetching");
        }
    }

    /// 3. Commits what was finished meanwhile; the callback hears the answer.
    fn commit_when_due(&mut self) {
        if self.committed_at.elapsed() >= Duration::from_millis(self.settings.commit_interval_ms) {
            self.committed_at = Instant::now();
            self.client.context().commit(&self.client, CommitMode::Async);
        }
    }

    /// 4. Nothing came for long: an error when there was something to come.
    fn watch(&mut self) -> Result<(), KafkaError> {
        let Self { client, offsets, watchdog, .. } = self;
        let stuck = watchdog.look(&client.context().lag, || ends(client, &offsets.assigned()));
        let seconds = self.settings.stall_patience().as_secs();
        stuck.map_or(Ok(()), |partition| Err(KafkaError::Stalled { partition, seconds }))
    }
}

/// Where the partitions end, from their brokers; none when one does not answer.
fn ends(client: &BaseConsumer<Context>, partitions: &[i32]) -> Option<Vec<Ends>> {
    let ask = |partition: &i32| {
        let (start, end) =
            client.fetch_watermarks(&client.context().topic, *partition, WATERMARK_TIMEOUT).ok()?;
        Some(Ends { partition: *partition, start, end })
    };
    partitions.iter().map(ask).collect()
}

/// Which errors of a poll end the consumer. The others were logged by the callback and pass.
fn survive<T>(error: DriverError) -> Result<Option<T>, KafkaError> {
    match error {
        DriverError::MessageConsumptionFatal(_) => Err(KafkaError::client("consuming")(error)),
        _ if error.rdkafka_error_code() == Some(Code::PollExceeded) => Err(KafkaError::MaxPollExceeded),
        _ => Ok(None),
    }
}

fn client_config(settings: &Settings) -> ClientConfig {
    let consumer = &settings.consumer;
    let mut config = settings.client();
    config
        .set("group.id", &settings.group)
        // The newer protocol still stalls in this version of the driver.
        .set("group.protocol", "classic")
        .set("partition.assignment.strategy", &consumer.assignment_strategy)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("session.timeout.ms", consumer.session_timeout_ms.to_string())
        .set("max.poll.interval.ms", consumer.max_poll_interval_ms.to_string())
        .set("statistics.interval.ms", consumer.statistics_interval_ms.to_string())
        .set("fetch.min.bytes", consumer.fetch_bytes_min.to_string())
        .set("fetch.wait.max.ms", consumer.fetch_wait_ms_max.to_string())
        .set("fetch.queue.backoff.ms", "20")
        .set("queued.max.messages.kbytes", consumer.prefetch_kib_max.to_string());
    config
}
