//! Every metric, declared once: its name, its kind, and the help text that its reader sees.
//! No label ever carries a user or an event id.

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// What a metric does over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution of seconds.
    Histogram,
}

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $kind:ident $name:ident = $text:literal;)*) => {
        $($(#[doc = $help])+ pub const $name: &str = $text;)*

        /// Name, kind and help of every metric.
        pub const ALL: &[(&str, Kind, &str)] = &[$(($text, Kind::$kind, concat!($($help),+))),*];
    };
}

metrics! {
    /// Credits that entered the workspace in the running period.
    Gauge POOL_TOTAL = "tollgate_pool_total_credits";
    /// Credits left in the whole workspace in the running period.
    Gauge POOL_REMAINING = "tollgate_pool_remaining_credits";
    /// Remaining over total of the whole workspace, 0 to 1.
    Gauge POOL_RATIO = "tollgate_pool_remaining_ratio";
    /// Credits of the pool that are neither spent nor allocated to a team or user.
    Gauge POOL_UNALLOCATED = "tollgate_pool_unallocated_credits";
    /// Forecast: seconds until the workspace's credits are spent.
    Gauge POOL_EXHAUSTION = "tollgate_pool_exhaustion_seconds";
    /// Events by what became of them.
    Counter EVENTS = "tollgate_events_total";
    /// Denied events by reason.
    Counter DENIED = "tollgate_denied_total";
    /// Records that are no events, by reason.
    Counter REJECTED = "tollgate_rejected_total";
    /// Holds by what became of them.
    Counter HOLDS = "tollgate_holds_total";
    /// Alerts by whose total was crossed and in which direction.
    Counter ALERTS = "tollgate_alerts_total";
    /// Records between the committed offset and the end of a partition.
    Gauge LAG = "tollgate_consumer_lag_records";
    /// Seconds from the broker's timestamp of an event to its row in ClickHouse.
    Histogram END_TO_END = "tollgate_end_to_end_seconds";
    /// Seconds of one round of deciding a batch in Redis.
    Histogram DEBIT = "tollgate_debit_seconds";
    /// Seconds of a check before a call.
    Histogram CHECK = "tollgate_check_seconds";
    /// Seconds of one insert into ClickHouse.
    Histogram INSERT = "tollgate_clickhouse_insert_seconds";
    /// Redis against ClickHouse: the difference of what was spent, in credits.
    Gauge DRIFT = "tollgate_drift_credits";
    /// Workspaces whose state in Redis was rebuilt.
    Counter REBUILDS = "tollgate_rebuilds_total";
}

/// Upper bounds of the buckets of every histogram, in seconds.
const BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0];

/// Installs the recorder of this process; the handle renders `/metrics`.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let builder =
        PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), BUCKETS)?;
    let handle = builder.install_recorder()?;
    for (name, kind, help) in ALL {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *help),
            Kind::Gauge => metrics::describe_gauge!(*name, *help),
            Kind::Histogram => metrics::describe_histogram!(*name, *help),
        }
    }
    Ok(handle)
}
