//! The tables on a real engine: migrations, writing, and what the views answer.

mod exactness;
mod failures;
mod migrations;
mod recording;
mod sample;
mod shape;
