//! Before a handler: who calls, and may they? Asked of the route's declaration and the head of the
//! request, before any body is read. What only the body names is the handler's to ask.

use std::sync::Arc;

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::http::{HeaderMap, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Api;
use super::auth::Caller;
use super::problem::Problem;
use super::route::{Access, Personal, Scope, Spec};

/// What the guard knows of the route it stands before.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) api: Arc<Api>,
    pub(super) spec: Arc<Spec>,
}

/// Lets a request through to its handler, with its [`Caller`].
pub(super) async fn guard(
    State(guard): State<Guard>,
    params: Result<RawPathParams, RawPathParamsRejection>,
    mut request: Request,
    next: Next,
) -> Response {
    match admit(&guard, params.as_ref().ok(), request.headers(), request.uri()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// `params` is none when a percent sign of the path leads to no text: such a path names nobody's.
async fn admit(
    guard: &Guard,
    params: Option<&RawPathParams>,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<Caller, Problem> {
    let spec = &guard.spec;
    let Access::Needs(scope) = spec.access else {
        return spec.check_query(uri).map(|_| Caller::nobody());
    };
    // 1. Who it is: 401.
    let caller = guard.api.auth.caller(headers).await?;
    // 2. What the key is made for, and where: 403.
    check_scope(&caller, scope)?;
    let param = |name: &str| {
        params.and_then(|all| all.iter().find(|(known, _)| *known == name)).map(|(_, value)| value)
    };
    if spec.path_names().any(|name| name == "workspace")
        && !caller.sees_text(param("workspace").unwrap_or_default())
    {
        return Err(Problem::forbidden("this key belongs to another workspace"));
    }
    if let (Some(user), Personal::No) = (caller.user(), spec.personal) {
        return Err(Problem::forbidden(format!("this key is bound to user {user}: it may not call this")));
    }
    if spec.personal == Personal::Path {
        caller.only_text(param("user"))?;
    }
    // 3. Only then what is asked for: 422; and 403 when it is about somebody else.
    let pairs = spec.check_query(uri);
    if spec.personal == Personal::Query {
        let named = pairs.as_ref().ok().and_then(|pairs| pairs.iter().find(|(name, _)| name == "user"));
        caller.only_text(named.map(|(_, user)| user.as_str()))?;
    }
    pairs.map(|_| caller)
}

fn check_scope(caller: &Caller, scope: Scope) -> Result<(), Problem> {
    if caller.may(scope) {
        return Ok(());
    }
    Err(Problem::forbidden(format!("this needs the scope {}, which the key does not have", scope.as_str())))
}
