//! What is served over HTTP. So far the operators' page; it sees no store, only probes.

pub mod ops;
