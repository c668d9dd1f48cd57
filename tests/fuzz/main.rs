//! Bad input without end: whatever comes in is accepted or refused with a reason, in bounded time and
//! memory, and nothing panics. Each target mutates good and bad examples from a fixed seed for some seconds:
//!
//! `TOLLGATE_FUZZ_SECONDS=600 cargo test --test fuzz -- --nocapture` runs each longer, `make fuzz` too;
//! `TOLLGATE_FUZZ_SEED=<number> TOLLGATE_FUZZ_SECONDS=0` repeats the one execution that a failure names.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what a test's helpers cannot do ends the test"
)]

mod bodies;
mod codec;
mod decoder;
mod front;
mod ids;
mod mutate;
mod office;
mod queries;
mod run;
