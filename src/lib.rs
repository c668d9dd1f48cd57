//! # The map of the house
//!
//! Tollgate checks and debits every AI call against a workspace's credits. Producers publish a usage
//! event for each call to Kafka; each event is decided and debited in Redis by Lua, atomically, and
//! recorded in ClickHouse.
//!
//! ## One event's way
//!
//! 1. [`kafka::consumer`]: one operating system thread polls and collects records into a
//!    [`kafka::Batch`]. Its [`kafka::Ticket`] holds the floor of its partitions.
//! 2. [`pipeline::decode`]: [`domain::event::decode`] makes a [`domain::event::UsageEvent`] of each
//!    record, or a dead letter with one reason and a sentence.
//! 3. [`pipeline::decide`]: [`redis::RedisLedger`] places the events (which workspace follows which
//!    [`domain::calendar::Calendar`]) and sends each shard's part as one call of
//!    `redis/scripts/decide.lua`: fence, duplicate marks, every rule, the debit, all or nothing.
//! 4. [`pipeline::tell`]: decisions and dead letters go to their topics, in order, while the next
//!    batch is decided.
//! 5. [`pipeline::record`]: decided batches are gathered into a large flush;
//!    [`clickhouse::Store::record`] writes `usage_events` first, then the absolutes.
//! 6. [`kafka::Offsets::finish`]: when Kafka has acknowledged the decisions and ClickHouse the rows,
//!    the ticket is finished, and the consumer thread commits the low-water mark.
//!
//! ## One change's way
//!
//! The API ([`http`]) and `tollgate admin` ask the [`domain::ports::Office`], which is
//! [`app::office::Desk`]: one call of `redis/scripts/change.lua` checks, applies and appends an entry
//! to the outbox, or gives the first answer again to a request that comes with the same idempotency
//! key. [`pipeline::relay`] publishes the entry to the ledger topic, and the change is reported as
//! done. Then the tables follow: [`pipeline::relay`] writes `credit_ledger`,
//! [`pipeline::absolutes`] the touched balances.
//!
//! What keeps a script from its work (a period that nobody opened, holds that have expired, a
//! calendar that changed) is answered, mended by one more call (`redis/mend.rs`), and asked again.
//!
//! ## One request's way
//!
//! [`http`]: `front` (id, bounds) > `guard` (who, may they) > the handler of one resource. Balances
//! come from Redis through [`domain::ports::Office`] and are worked out in [`domain::standing`];
//! usage, events, ledger and alerts come from ClickHouse through [`domain::reports::Reports`]; what
//! they will come to from [`domain::outlook`]. A check and a hold are one call of
//! `redis/scripts/hold.lua`, by the same rule as an event; a settle leaves its event in the outbox,
//! and goes the way of every event.
//!
//! ## One crash's way
//!
//! The next owner of the partitions starts at the committed offset. What was decided but not
//! committed lies below the workspace's fence in Redis: it is not debited again, its first answer
//! comes from the tail, and its rows are written once more. Rows have natural keys and absolutes
//! carry versions, so writing twice changes nothing.
//!
//! ## The rooms
//!
//! | room | holds | may see |
//! |---|---|---|
//! | [`domain`] | the credit model, pure; [`domain::model`] is the rule in plain Rust | nothing |
//! | [`kafka`], [`redis`], [`clickhouse`] | one server each | [`domain`] |
//! | [`pipeline`] | the chain, one stage a file; stores only through [`domain::ports`] | [`domain`], [`kafka`] |
//! | [`http`] | the API, one file a resource, and the operators' page | [`domain`] |
//! | [`simulate`] | seeded events, and an independent count of what must become of them | [`domain`], [`kafka`] |
//! | [`config`], [`metrics`] | settings gathered; every metric declared once | |
//! | [`crash`] | points where a development build dies when a test asks for it | nothing |
//! | [`app`], [`cli`] | wiring and commands; no rule | everything |
//!
//! `tests/tidy.rs` keeps this table.
//!
//! ## What always holds
//!
//! - Credits are conserved: over all accounts remaining + held + used is what entered.
//! - An event is debited at most once, however often it is delivered or sent.
//! - Under hard enforcement nothing passes a limit or a pool.
//! - Every record below the committed offset has exactly one outcome.
//! - The sum of `usage_events` is `usage_rollups` is what Redis says.
//! - The ledger is gapless, and an entry is in Kafka before its change is reported as done.

pub mod app;
pub mod cli;
pub mod clickhouse;
pub mod config;
pub mod crash;
pub mod domain;
pub mod http;
pub mod kafka;
pub mod metrics;
pub mod pipeline;
pub mod redis;
pub mod simulate;
