//! Tokens of an identity provider: RS256 or ES256, signed by a key of its published set, for this
//! audience, within their time. Where the set comes from is `jwks`'s to know.

use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

use super::jwks::Jwks;
use super::{Caller, bad_token};
use crate::domain::WorkspaceId;
use crate::http::problem::Problem;
use crate::http::route::Scope;

/// The section `[auth.oidc]`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Settings {
    /// The `iss` of its tokens; empty for no provider.
    pub issuer: String,
    /// The `aud` that its tokens must have.
    pub audience: String,
    /// Where its keys are fetched.
    pub jwks_url: String,
    /// Or the file that holds them.
    pub jwks_file: String,
    /// An unknown key asks for the set again, but not more often than this.
    pub jwks_refetch_s_min: u64,
    /// The set is asked for again after this long, so that a key that was withdrawn is forgotten.
    pub jwks_age_s_max: u64,
    /// Longest wait for the set.
    pub jwks_timeout_ms: u64,
    /// How far clocks may differ.
    pub leeway_s: u64,
}

impl Settings {
    /// Whether there is a provider.
    pub fn is_on(&self) -> bool {
        !self.issuer.is_empty()
    }

    /// Every fault, a line each.
    pub(super) fn faults(&self) -> Vec<String> {
        let (url, file) = (!self.jwks_url.is_empty(), !self.jwks_file.is_empty());
        if !self.is_on() {
            let stray = url || file || !self.audience.is_empty();
            let words =
                "auth.oidc.issuer: is empty, so nothing else of [auth.oidc] has an effect: set it too";
            return if stray { vec![words.to_owned()] } else { Vec::new() };
        }
        let mut faults = Vec::new();
        if self.audience.is_empty() {
            faults
                .push("auth.oidc.audience: must be named, or tokens for other services would do".to_owned());
        }
        if url == file {
            faults.push("auth.oidc.jwks_url: give this or jwks_file, and only one of the two".to_owned());
        }
        let scheme = ["http://", "https://"].iter().any(|scheme| self.jwks_url.starts_with(scheme));
        if url && (!scheme || self.jwks_url.parse::<axum::http::Uri>().is_err()) {
            faults.push("auth.oidc.jwks_url: must be an http:// or https:// address".to_owned());
        }
        faults
    }
}

/// What a token says of its bearer.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    #[serde(default)]
    scope: String,
    workspace: Option<String>,
}

/// A provider whose tokens are taken.
#[derive(Debug)]
pub(super) struct Oidc {
    issuer: String,
    audience: String,
    leeway_s: u64,
    keys: Jwks,
}

impl Oidc {
    /// Errors: a line, when its keys are in a file that cannot be read.
    pub(super) fn new(settings: &Settings) -> Result<Self, String> {
        let (issuer, audience) = (settings.issuer.clone(), settings.audience.clone());
        Ok(Self { issuer, audience, leeway_s: settings.leeway_s, keys: Jwks::new(settings)? })
    }

    /// Whose token this is. Errors: 401; 403 when it names no workspace; 503 when the keys cannot be had.
    pub(super) async fn caller(&self, token: &str) -> Result<Caller, Problem> {
        let header = decode_header(token).map_err(|_| bad_token())?;
        if !matches!(header.alg, Algorithm::RS256 | Algorithm::ES256) {
            return Err(bad_token());
        }
        let key = self.keys.find(header.kid.as_deref()).await.map_err(|fault| {
            tracing::warn!(fault, "the keys of the identity provider cannot be had");
            Problem::unavailable(
                "unavailable",
                "the identity provider does not answer: repeat the request later",
            )
        })?;
        self.read(token, header.alg, &key.ok_or_else(bad_token)?)
    }

    fn read(&self, token: &str, algorithm: Algorithm, jwk: &Jwk) -> Result<Caller, Problem> {
        let meant = jwk.common.key_algorithm.is_none_or(|named| named == algorithm.into());
        if !meant || jwk.common.public_key_use.as_ref().is_some_and(|r#use| *r#use != PublicKeyUse::Signature)
        {
            return Err(bad_token());
        }
        let key = DecodingKey::from_jwk(jwk).map_err(|_| bad_token())?;
        let mut rules = Validation::new(algorithm);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        rules.set_issuer(&[&self.issuer]);
        rules.set_audience(&[&self.audience]);
        rules.validate_nbf = true;
        rules.leeway = self.leeway_s;
        let claims = decode::<Claims>(token, &key, &rules).map_err(|_| bad_token())?.claims;
        caller_of(claims)
    }
}

fn caller_of(claims: Claims) -> Result<Caller, Problem> {
    if claims.sub.is_empty() || claims.sub.chars().any(char::is_control) {
        return Err(bad_token());
    }
    let words: Vec<&str> = claims.scope.split(' ').collect();
    let scopes = Scope::ALL.into_iter().filter(|scope| words.contains(&scope.as_str())).collect();
    let workspace = match claims.workspace.as_deref() {
        Some("*") => None,
        Some(text) => Some(WorkspaceId::parse(text).map_err(|_| no_workspace())?),
        None => return Err(no_workspace()),
    };
    Ok(Caller { actor: claims.sub, scopes, workspace, user: None })
}

fn no_workspace() -> Problem {
    Problem::forbidden("this token names no workspace: it needs the claim workspace, an id or *")
}

#[cfg(test)]
mod tests;
