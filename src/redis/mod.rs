//! The RedisLedger.
