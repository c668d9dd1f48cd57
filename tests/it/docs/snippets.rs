//! Programs of `docs/producers.md`.
