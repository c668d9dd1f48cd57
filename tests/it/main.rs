//! Everything that needs the real servers, in one binary. `make stack` starts them.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

mod kafka;
mod support;
