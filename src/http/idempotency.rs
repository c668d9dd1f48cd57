//! Who writes, and the key by which a retry is recognised. Applying a write once is the ledger's work.

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use sha2::{Digest, Sha256};

use super::auth::Caller;
use super::body::hex;
use super::problem::Problem;
use super::value::Reason;
use crate::domain::UserId;
use crate::domain::change::{Author, IdempotencyKey};

const HEADER: &str = "idempotency-key";
/// Longest key, in characters.
pub(super) const KEY_CHARS_MAX: usize = 255;

/// A write that is asked for: by whom, under which key. Errors: 422 `invalid_idempotency_key`.
pub struct Write {
    /// Who asks.
    pub caller: Caller,
    key: Option<(String, String)>,
}

impl Write {
    /// The author of a change that these bytes ask for.
    pub fn author(&self, body: &[u8], reason: Option<Reason>) -> Author {
        let request = || hex(&Sha256::digest(body));
        let key = self.key.clone().map(|(key, place)| IdempotencyKey { key, place, request: request() });
        Author { actor: self.caller.actor().to_owned(), reason: reason.unwrap_or_default().0, key }
    }

    /// The author of a change that has no body.
    pub fn author_without_body(&self) -> Author {
        self.author(b"", None)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Write {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let key = key_of(&parts.headers)?;
        // A caller who is bound to a user is told nothing that was answered to another user.
        let user = caller.user().map_or("", UserId::as_str).to_owned();
        let place = |key: &str| {
            hex(&Sha256::digest(format!("{}\n{}\n{key}\n{user}", parts.method, parts.uri.path())))
        };
        Ok(Self { caller, key: key.map(|key| (key.clone(), place(&key))) })
    }
}

/// The key of a request. Errors: one that is empty, too long, invisible in part, or there twice.
pub(super) fn key_of(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(HEADER).iter();
    let (Some(value), more) = (values.next(), values.next()) else { return Ok(None) };
    let visible = |bytes: &[u8]| bytes.iter().all(|byte| (b'!'..=b'~').contains(byte));
    let fits = (1..=KEY_CHARS_MAX).contains(&value.len()) && visible(value.as_bytes());
    match value.to_str() {
        Ok(key) if fits && more.is_none() => Ok(Some(key.to_owned())),
        _ => {
            let detail =
                "Idempotency-Key must be there once, of 1 to 255 visible ASCII characters without blanks";
            Err(Problem::invalid("invalid_idempotency_key", detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    /// SHA-256 of `{}`.
    const DIGEST: &str = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    async fn write(method: &str, path: &str, keys: &[&str]) -> Result<Author, Problem> {
        let mut request = Request::builder().method(method).uri(path).extension(Caller::local());
        for key in keys {
            request = request.header(HEADER, *key);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        Write::from_request_parts(&mut parts, &())
            .await
            .map(|write| write.author(b"{}", Some(Reason("why".into()))))
    }

    #[tokio::test]
    async fn the_author_carries_actor_reason_and_key() {
        let author = write("POST", "/v1/workspaces/acme/grants", &["k-1"]).await.unwrap();
        assert_eq!((author.actor.as_str(), author.reason.as_str()), ("local", "why"));
        let key = author.key.unwrap();
        assert_eq!((key.key.as_str(), key.request, key.place.len()), ("k-1", DIGEST.to_owned(), 64));
        assert!(write("POST", "/", &[]).await.unwrap().key.is_none());
    }

    #[tokio::test]
    async fn the_place_differs_by_method_path_and_key() {
        let mut places = Vec::new();
        for (method, path, key) in
            [("POST", "/a", "k"), ("PUT", "/a", "k"), ("POST", "/b", "k"), ("POST", "/a", "l")]
        {
            places.push(write(method, path, &[key]).await.unwrap().key.unwrap().place);
        }
        assert_eq!(places[0], write("POST", "/a?x=1", &["k"]).await.unwrap().key.unwrap().place);
        places.sort();
        places.dedup();
        assert_eq!(places.len(), 4);
    }

    #[tokio::test]
    async fn a_key_that_is_none_is_refused() {
        for keys in [vec![""], vec!["a b"], vec![&*"x".repeat(256)], vec!["a", "a"]] {
            let problem = write("POST", "/", &keys).await.err().unwrap();
            assert_eq!((problem.status().as_u16(), problem.code()), (422, "invalid_idempotency_key"));
        }
        assert!(write("POST", "/", &[&"x".repeat(255)]).await.is_ok());
    }
}
