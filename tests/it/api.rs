//! The public API of the running service: what users asked for, and what must hold however they ask.

mod again;
mod allocations;
mod crowd;
mod schema;
mod story;
