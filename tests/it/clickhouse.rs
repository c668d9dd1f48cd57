//! The tables on a real engine: migrations, writing, and what the views answer.

mod exactness;
mod failures;
mod lists;
mod migrations;
mod recording;
mod reversals;
mod sample;
mod shape;
mod usage;
