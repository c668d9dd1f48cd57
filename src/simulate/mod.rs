//! Realistic usage events from a seed, and an independent count of what must become of them.
//!
//! ```text
//! Spec ──> Generator ──record──> produce ──> Kafka
//!                    └─expectation──> Tally
//! ```
//!
//! The same [`Spec`] makes the same records for ever: no clock and no other randomness is in here.
//! The [`Tally`] counts from what was generated, by its own arithmetic. It deliberately knows nothing
//! of [`crate::domain`]'s decoding, model or debit, so that it can convict them.

mod encode;
mod generator;
mod malformed;
mod produce;
mod rng;
mod spec;
mod tally;

pub use generator::{Expectation, Generator, Produced};
pub use produce::{Published, produce};
pub use rng::{Rng, Weights};
pub use spec::{Encodings, Feature, Plans, Spec, Spread};
pub use tally::{Cell, Tally, Verdict, WorkspaceTally};
