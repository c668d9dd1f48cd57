//! The credit model, pure: no runtime, no clock, no I/O, no log. In reading order: what identifies
//! things ([`ids`]), what is counted ([`credits`]), when ([`period`], [`calendar`]), what is published
//! ([`event`], [`rates`]), what is answered ([`decision`]), what administrators change ([`change`]) and
//! clients set aside ([`hold`]), or why not ([`refusal`]), what comes of it ([`ledger`], [`alert`]), the
//! whole rule in plain Rust ([`model`]), which the Lua is compared with, what people see of it
//! ([`standing`]), what the tables tell ([`reports`]), and what use will come to ([`forecast`], [`outlook`]).

pub mod alert;
pub mod audit;
pub mod book;
pub mod calendar;
pub mod change;
pub mod credits;
pub mod decision;
pub mod event;
pub mod fold;
pub mod forecast;
pub mod hold;
pub mod ids;
pub mod ledger;
pub mod model;
pub mod outlook;
pub mod period;
pub mod ports;
pub mod rates;
pub mod record;
pub mod refusal;
pub mod reports;
mod schema;
pub mod standing;

pub use credits::Credits;
pub use ids::{FeatureId, HoldId, TeamId, UserId, WorkspaceId};
