//! The ids in a path, and the parameters behind it.

use std::str::FromStr;

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::problem::Problem;
use crate::domain::ids::IdError;
use crate::domain::{FeatureId, HoldId, TeamId, UserId, WorkspaceId};

/// The ids of the path, in its order: `Ids(workspace): Ids<WorkspaceId>` or
/// `Ids((workspace, user)): Ids<(WorkspaceId, UserId)>`. Errors: 422 `invalid_id`.
pub struct Ids<T>(pub T);

/// What the ids of a path are read into.
pub trait PathIds: Sized {
    /// Reads them in the order of the path.
    fn read(params: &[(&str, &str)]) -> Result<Self, Problem>;
}

/// An id as a part of a path.
pub trait PathId: FromStr<Err = IdError> {}

impl PathId for UserId {}
impl PathId for TeamId {}
impl PathId for FeatureId {}
impl PathId for HoldId {}
impl PathId for WorkspaceId {}

fn read_one<T: PathId>(params: &[(&str, &str)], at: usize) -> Result<T, Problem> {
    let (name, text) = params.get(at).copied().unwrap_or(("id", ""));
    text.parse().map_err(|fault| Problem::invalid("invalid_id", format!("{name} in the path {fault}")))
}

impl PathIds for WorkspaceId {
    fn read(params: &[(&str, &str)]) -> Result<Self, Problem> {
        read_one(params, 0)
    }
}

impl<T: PathId> PathIds for (WorkspaceId, T) {
    fn read(params: &[(&str, &str)]) -> Result<Self, Problem> {
        Ok((read_one(params, 0)?, read_one(params, 1)?))
    }
}

impl<T: PathIds, S: Send + Sync> FromRequestParts<S> for Ids<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| {
            Problem::invalid("invalid_id", "the path is not UTF-8 once its percent signs are resolved")
        })?;
        let params: Vec<(&str, &str)> = params.iter().collect();
        T::read(&params).map(Self)
    }
}

/// The parameters behind `?`. Errors: 422 `invalid_parameter`. Names that the route does not have were
/// refused before.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::try_from_uri(&parts.uri) {
            Ok(query) => Ok(Self(query.0)),
            Err(fault) => Err(unreadable(&fault)),
        }
    }
}

fn unreadable(fault: &QueryRejection) -> Problem {
    let words = fault.body_text();
    let words = words.strip_prefix("Failed to deserialize query string: ").unwrap_or(&words);
    let words = words.replace(super::value::CODE_END, ": ");
    Problem::invalid("invalid_parameter", format!("in the parameters behind ?: {words}"))
}
