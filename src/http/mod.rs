//! What is served over HTTP: the API, one file a resource, and the operators' page. It sees the domain
//! and its ports, no store.

pub mod answer;
pub mod checks;
pub mod credits;
pub mod desk;
pub mod features;
pub mod form;
pub mod holds;
pub mod ops;
pub mod plan;
pub mod reversals;
pub mod seam;
pub mod teams;
pub mod users;
pub mod workspaces;
