//! What can go wrong with Kafka. Only [`KafkaError::is_transient`] decides whether a caller may try again.

use rdkafka::error::KafkaError as DriverError;
use rdkafka::types::RDKafkaErrorCode as Code;

/// A failure of this room.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// A client could not be made, or an administrative request failed.
    #[error("kafka: {doing}: {source}")]
    Client {
        /// What was tried.
        doing: &'static str,
        /// The driver's words.
        source: DriverError,
    },
    /// Not every message of a call was acknowledged. Some may have been, so a retry may repeat them.
    #[error("kafka: {failed} of {messages} messages to {topic} were not acknowledged: {source}")]
    Publish {
        /// Where to.
        topic: String,
        /// How many were sent.
        messages: usize,
        /// How many have no acknowledgement.
        failed: usize,
        /// The first refusal.
        source: DriverError,
    },
    /// Topics that the service needs do not exist.
    #[error("kafka: topics missing: {}; run `tollgate migrate`", .0.join(", "))]
    MissingTopics(Vec<String>),
    /// A topic was refused by the broker.
    #[error("kafka: topic {topic}: {code}")]
    Topic {
        /// Its name.
        topic: String,
        /// The broker's reason.
        code: Code,
    },
    /// Records wait, nothing hinders us from fetching them, and none came.
    #[error("kafka: nothing fetched for {seconds} s while partition {partition} has records waiting")]
    Stalled {
        /// One partition that has some.
        partition: i32,
        /// For how long, in seconds.
        seconds: u64,
    },
    /// The consumer thread was away for longer than `max_poll_interval_ms`; the group gave its partitions away.
    #[error("kafka: the consumer did not poll for longer than max_poll_interval_ms")]
    MaxPollExceeded,
    /// Nobody receives batches any more.
    #[error("kafka: the receiver of batches is gone")]
    ReceiverGone,
    /// A topic ended before its end.
    #[error("kafka: nothing more came from topic {0} before its end")]
    Silent(String),
    /// The consumer thread could not be started or panicked.
    #[error("kafka: the consumer thread is gone")]
    ThreadGone,
    /// Closing took longer than its deadline; what was not committed is redelivered.
    #[error("kafka: not closed within {0} ms")]
    CloseTimeout(u128),
}

impl KafkaError {
    /// Whether the same call may succeed later without anybody's help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Client { source, .. } | Self::Publish { source, .. } => {
                source.rdkafka_error_code().is_some_and(is_transient)
            }
            Self::Topic { code, .. } => is_transient(*code),
            Self::Silent(_) => true,
            _ => false,
        }
    }

    /// Names what was tried when the driver failed.
    pub(super) fn client(doing: &'static str) -> impl FnOnce(DriverError) -> Self {
        move |source| Self::Client { doing, source }
    }
}

/// The driver has tried again by itself; these are what is left when the cluster is away or moving.
fn is_transient(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::MessageTimedOut
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::QueueFull
            | Code::PurgeQueue
            | Code::PurgeInflight
            | Code::Fatal
            | Code::RequestTimedOut
            | Code::NetworkException
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::NotController
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::RebalanceInProgress
            | Code::KafkaStorageError
    )
}
