//! The way of an event in this process: the consumer thread, then the pipeline; how both start and stop.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::rebuild::{Guarded, Rebuilder};
use crate::config::Settings;
use crate::kafka::{self, Producer, consumer};
use crate::pipeline::gauges::PoolGauges;
use crate::pipeline::{Pipeline, Stopped, Topics};

/// How long the pipeline may write what it holds after the consumer has left.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// A consumer and a pipeline that run.
pub(super) struct Consuming {
    input: consumer::Handle,
    /// None once it has ended by itself.
    pipeline: Option<JoinHandle<Result<(), Stopped>>>,
    abort: CancellationToken,
    close_deadline: Duration,
}

impl Consuming {
    /// Starts both; `shutdown` stops the fetching. Errors: a driver or a rate card that refuses.
    pub(super) fn start(
        settings: &Settings,
        rebuilder: &Arc<Rebuilder>,
        publisher: &Arc<Producer>,
        gauges: &Arc<PoolGauges>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        let rules = settings.decode_rules()?;
        let flush = Arc::new(Notify::new());
        let wake = Arc::clone(&flush);
        let hook: consumer::Flush = Arc::new(move || wake.notify_one());
        let (input, batches) = consumer::start(&settings.kafka, hook, shutdown)?;
        let abort = CancellationToken::new();
        let guarded = Arc::new(Guarded::new(rebuilder));
        let pipeline = Arc::new(Pipeline {
            ledger: Arc::clone(&guarded),
            warehouse: guarded,
            publisher: Arc::clone(publisher),
            offsets: Arc::clone(input.offsets()),
            rules,
            topics: topic_names(&settings.kafka),
            settings: settings.pipeline.clone(),
            gauges: Arc::clone(gauges),
            under_way: Arc::clone(rebuilder.under_way()),
            flush,
            abort: abort.clone(),
        });
        let pipeline = Some(tokio::spawn(pipeline.run(batches)));
        let close_deadline = Duration::from_millis(settings.kafka.consumer.close_deadline_ms);
        Ok(Self { input, pipeline, abort, close_deadline })
    }

    /// Whether records come in.
    pub(super) fn status(&self) -> consumer::Status {
        self.input.status()
    }

    /// Returns when one of the two has ended by itself.
    pub(super) async fn ended(&mut self) -> anyhow::Result<()> {
        let Some(pipeline) = &mut self.pipeline else { return Ok(()) };
        tokio::select! {
            ended = self.input.stopped() => ended.map_err(anyhow::Error::from),
            ended = pipeline => {
                self.pipeline = None;
                ended?.map_err(anyhow::Error::from)
            }
        }
    }

    /// Waits until what was taken is written and committed. A consumer that has ended by itself is not
    /// waited for.
    pub(super) async fn stop(self, healthy: bool) -> anyhow::Result<()> {
        let Some(mut pipeline) = self.pipeline else { return Ok(()) };
        let left = if healthy { self.input.join(self.close_deadline + DRAIN_DEADLINE).await } else { Ok(()) };
        let drained = match tokio::time::timeout(DRAIN_DEADLINE, &mut pipeline).await {
            Ok(ended) => ended?.map_err(anyhow::Error::from),
            Err(_) => {
                self.abort.cancel(); // a store is away: nothing of it was committed, the next owner replays it
                Ok(())
            }
        };
        left.map_err(anyhow::Error::from).and(drained)
    }
}

fn topic_names(settings: &kafka::Settings) -> Topics {
    Topics {
        events: settings.topics.events.clone(),
        decisions: settings.topics.decisions.clone(),
        dead_letters: settings.topics.dead_letters.clone(),
        dead_letter_bytes_max: settings.topics.dead_letter_bytes_max(),
    }
}
