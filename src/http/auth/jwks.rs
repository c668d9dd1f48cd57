//! The key set of an identity provider: from a file once, or fetched, kept, and fetched again when it
//! is old or a token names a key that is not in it.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::oidc::Settings;

/// Largest set that is read.
const SET_BYTES_MAX: usize = 1024 * 1024;

/// Where keys come from, and those that are known.
#[derive(Debug)]
pub(super) struct Jwks {
    known: RwLock<Option<(Arc<JwkSet>, Instant)>>,
    fetch: Option<Fetch>,
    age_max: Duration,
}

#[derive(Debug)]
struct Fetch {
    uri: Uri,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    timeout: Duration,
    pause_min: Duration,
    /// When it was last tried; whoever fetches holds it.
    tried: Mutex<Option<Instant>>,
}

impl Jwks {
    /// Errors: a file that cannot be read, or certificates of this machine that cannot.
    pub(super) fn new(settings: &Settings) -> Result<Self, String> {
        let age_max = Duration::from_secs(settings.jwks_age_s_max);
        if settings.jwks_url.is_empty() {
            let path = &settings.jwks_file;
            let text =
                std::fs::read(path).map_err(|fault| format!("auth.oidc.jwks_file: {path}: {fault}"))?;
            let set = read(&text).map_err(|fault| format!("auth.oidc.jwks_file: {path}: {fault}"))?;
            return Ok(Self {
                known: RwLock::new(Some((Arc::new(set), Instant::now()))),
                fetch: None,
                age_max,
            });
        }
        Ok(Self { known: RwLock::new(None), fetch: Some(Fetch::new(settings)?), age_max })
    }

    /// The key of that name; without a name, the only one. Errors: a sentence, when there is no set.
    pub(super) async fn find(&self, name: Option<&str>) -> Result<Option<Jwk>, String> {
        let known = self.known();
        let found = known.as_ref().and_then(|(set, _)| pick(set, name));
        let fresh = known.as_ref().is_some_and(|(_, since)| since.elapsed() < self.age_max);
        let Some(fetch) = self.fetch.as_ref().filter(|_| found.is_none() || !fresh) else { return Ok(found) };
        match fetch.again().await {
            Some(Ok(set)) => {
                let found = pick(&set, name);
                *self.known.write().unwrap_or_else(PoisonError::into_inner) =
                    Some((Arc::new(set), Instant::now()));
                Ok(found)
            }
            // An old set is better than none: the provider is away.
            Some(Err(fault)) if known.is_some() => {
                tracing::warn!(fault, "the keys of the identity provider stay as they were");
                Ok(found)
            }
            Some(Err(fault)) => Err(fault),
            None => match self.known() {
                Some((set, _)) => Ok(pick(&set, name)),
                None => Err("they could not be fetched a moment ago".to_owned()),
            },
        }
    }

    fn known(&self) -> Option<(Arc<JwkSet>, Instant)> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn pick(set: &JwkSet, name: Option<&str>) -> Option<Jwk> {
    match (name, set.keys.as_slice()) {
        (Some(name), _) => set.find(name).cloned(),
        (None, [only]) => Some(only.clone()),
        (None, _) => None,
    }
}

fn read(text: &[u8]) -> Result<JwkSet, String> {
    serde_json::from_slice(text).map_err(|fault| format!("no JSON Web Key Set: {fault}"))
}

impl Fetch {
    fn new(settings: &Settings) -> Result<Self, String> {
        let url = &settings.jwks_url;
        let uri = url.parse().map_err(|fault| format!("auth.oidc.jwks_url: {url}: {fault}"))?;
        let roots = HttpsConnectorBuilder::new().with_native_roots();
        let roots =
            roots.map_err(|fault| format!("auth.oidc.jwks_url: no certificates to trust: {fault}"))?;
        Ok(Self {
            uri,
            client: Client::builder(TokioExecutor::new()).build(roots.https_or_http().enable_http1().build()),
            timeout: Duration::from_millis(settings.jwks_timeout_ms),
            pause_min: Duration::from_secs(settings.jwks_refetch_s_min),
            tried: Mutex::new(None),
        })
    }

    /// Fetches the set, unless that was tried a moment ago.
    async fn again(&self) -> Option<Result<JwkSet, String>> {
        let mut tried = self.tried.lock().await;
        if tried.is_some_and(|tried| tried.elapsed() < self.pause_min) {
            return None;
        }
        *tried = Some(Instant::now());
        let set = tokio::time::timeout(self.timeout, self.get()).await;
        Some(set.unwrap_or_else(|_| Err(format!("no answer within {} ms", self.timeout.as_millis()))))
    }

    async fn get(&self) -> Result<JwkSet, String> {
        let answer = self.client.get(self.uri.clone()).await.map_err(|fault| fault.to_string())?;
        if answer.status() != StatusCode::OK {
            return Err(format!("status {}", answer.status()));
        }
        let body = Limited::new(answer.into_body(), SET_BYTES_MAX).collect().await;
        read(&body.map_err(|fault| fault.to_string())?.to_bytes())
    }
}
