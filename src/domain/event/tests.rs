//! What `decode` says about whole records.
