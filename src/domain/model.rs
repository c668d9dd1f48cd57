//! The debit rule in plain Rust.
