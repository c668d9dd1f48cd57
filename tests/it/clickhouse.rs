//! The tables on a real engine: migrations, writing, and what the views answer.

mod migrations;
