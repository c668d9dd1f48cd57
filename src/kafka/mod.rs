//! Everything that speaks Kafka. A record's way through this room: the consumer thread collects it
//! into a [`Batch`] ([`consumer`]), its [`Ticket`] holds the partition's floor until the effects are
//! written ([`offsets`]), and what follows from it leaves through a [`Producer`] ([`producer`]), or
//! as a dead letter ([`dead_letter`]). [`topics`] creates and checks the five topics.
//! What a record means is not known here.

pub mod consumer;
pub mod dead_letter;
mod error;
pub mod offsets;
pub mod producer;
mod publish;
pub mod replay;
mod settings;
pub mod topics;

pub use error::KafkaError;
pub use offsets::{Offsets, Ticket};
pub use producer::{Message, Producer};
pub use publish::Publish;
pub use settings::{ConsumerSettings, ProducerSettings, Settings, TopicSettings};

use crate::domain::event::{Header, Position};
use crate::domain::period::Instant;

/// One record of the input topic, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it lies.
    pub position: Position,
    /// Kafka's timestamp: when the broker appended it. The epoch when the broker names none.
    pub timestamp: Instant,
    /// Its key; an empty one stays empty.
    pub key: Option<Vec<u8>>,
    /// Its bytes.
    pub payload: Option<Vec<u8>>,
    /// Its headers in the order they were sent.
    pub headers: Vec<Header>,
}

/// Records that travel together, in offset order within each partition.
#[derive(Debug)]
pub struct Batch {
    /// Give it to [`Offsets::finish`] when the effects of every record are written.
    pub ticket: Ticket,
    /// Never empty.
    pub records: Vec<Record>,
}
