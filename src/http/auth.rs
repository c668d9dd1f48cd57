//! Who calls: API keys by their SHA-256, and (in `oidc`) tokens of an identity provider. Which route
//! needs what is declared with the route and asked by the guard; deny is the default everywhere.

mod jwks;
mod key;
mod oidc;

use std::net::SocketAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use serde::Deserialize;

use self::key::{Key, KeySettings};
use self::oidc::Oidc;
use super::problem::Problem;
use super::route::Scope;
use crate::domain::{UserId, WorkspaceId};

/// The section `[auth]`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Settings {
    /// API keys.
    pub keys: Vec<KeySettings>,
    /// An identity provider.
    pub oidc: oidc::Settings,
}

impl Settings {
    /// Every fault, a line each, with the setting that it belongs to.
    pub fn faults(&self) -> Vec<String> {
        let keys = key::read(&self.keys).err().unwrap_or_default();
        keys.into_iter().chain(self.oidc.faults()).collect()
    }
}

/// Whoever calls, as far as the routes have to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    actor: String,
    scopes: Vec<Scope>,
    /// None for every workspace.
    workspace: Option<WorkspaceId>,
    user: Option<UserId>,
}

impl Caller {
    /// Whoever is on this machine, when no key is configured: allowed everything.
    pub fn local() -> Self {
        Self { actor: "local".to_owned(), scopes: Scope::ALL.to_vec(), workspace: None, user: None }
    }

    /// Whoever calls a public route: allowed nothing.
    pub(super) fn nobody() -> Self {
        Self { actor: String::new(), scopes: Vec::new(), workspace: None, user: None }
    }

    /// The name in the ledger.
    pub fn actor(&self) -> &str {
        &self.actor
    }

    /// Whether the key is made for this; `admin` reads as well.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || (scope == Scope::Read && self.scopes.contains(&Scope::Admin))
    }

    /// Whether the key belongs to the workspace.
    pub fn sees(&self, workspace: &WorkspaceId) -> bool {
        self.sees_text(workspace.as_str())
    }

    pub(super) fn sees_text(&self, workspace: &str) -> bool {
        self.workspace.as_ref().is_none_or(|own| own.as_str() == workspace)
    }

    /// The workspace that the key belongs to; none for every one.
    pub fn workspace(&self) -> Option<&WorkspaceId> {
        self.workspace.as_ref()
    }

    /// The user that the key is bound to, whose numbers alone it may see.
    pub fn user(&self) -> Option<&UserId> {
        self.user.as_ref()
    }

    /// Errors: 403 when the key is bound to another user.
    pub fn only(&self, user: &UserId) -> Result<(), Problem> {
        self.only_text(Some(user.as_str()))
    }

    pub(super) fn only_text(&self, user: Option<&str>) -> Result<(), Problem> {
        match &self.user {
            Some(own) if user != Some(own.as_str()) => {
                Err(Problem::forbidden(format!("this key is bound to user {own}: name that user, no other")))
            }
            _ => Ok(()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(no_token)
    }
}

/// Every way to be known.
#[derive(Debug)]
pub struct Auth {
    keys: Vec<Key>,
    oidc: Option<Oidc>,
}

impl Auth {
    /// Reads the settings. Errors: every fault, a line each.
    pub fn new(settings: &Settings) -> Result<Self, Vec<String>> {
        let keys = key::read(&settings.keys)?;
        let faults = settings.oidc.faults();
        if !faults.is_empty() {
            return Err(faults);
        }
        let oidc = settings.oidc.is_on().then(|| Oidc::new(&settings.oidc));
        Ok(Self { keys, oidc: oidc.transpose().map_err(|fault| vec![fault])? })
    }

    /// Nobody has to prove anything; only for a service that nobody else can reach.
    pub fn is_open(&self) -> bool {
        self.keys.is_empty() && self.oidc.is_none()
    }

    /// Errors: a sentence, when an open service would listen where others reach it.
    pub fn check_listen(&self, address: SocketAddr) -> Result<(), String> {
        if !self.is_open() || address.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        Err(format!(
            "http.listen = {address} can be reached from elsewhere, and neither auth.keys nor auth.oidc.issuer \
             is set: whoever comes would be allowed everything. Set one of them, or listen on 127.0.0.1"
        ))
    }

    /// Whoever sent these headers. Errors: 401; with a provider also 403 and 503.
    pub async fn caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        if self.is_open() {
            return Ok(Caller::local());
        }
        let token = bearer(headers)?;
        match (key::find(&self.keys, token), &self.oidc) {
            (Some(caller), _) => Ok(caller),
            (None, Some(oidc)) => oidc.caller(token).await,
            (None, None) => Err(bad_token()),
        }
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Err(no_token()) };
    let text = value.to_str().map_err(|_| bad_token())?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => {
            Ok(token.trim())
        }
        _ => Err(bad_token()),
    }
}

fn no_token() -> Problem {
    Problem::unauthorized("Bearer", "no token: send Authorization: Bearer <API key or token>")
}

/// The same words for every token that does not do, so that they tell nothing about others.
fn bad_token() -> Problem {
    let challenge = "Bearer error=\"invalid_token\"";
    Problem::unauthorized(challenge, "this token is unknown, expired or not meant for this service")
}

#[cfg(test)]
pub(super) mod tests;
