//! Filled in with tokens of a provider of its own.
