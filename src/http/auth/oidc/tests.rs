//! Tokens of a provider of our own: what is taken, what is not, and when its keys are fetched.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use axum::http::HeaderMap;
use axum::routing::get;
use axum::{Json, Router};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::*;
use crate::http::auth::Auth;
use crate::http::auth::tests::oidc_off;

/// In front of an RSA key of 2048 bits, PKCS #8 says what it is.
const PKCS8_BYTES: usize = 26;

struct Signer {
    name: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl Signer {
    fn es256(name: &'static str) -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self { name, algorithm: Algorithm::ES256, key: EncodingKey::from_ec_der(key.as_ref()) }
    }

    fn rs256(name: &'static str) -> Self {
        let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der>::as_der(&key).unwrap();
        Self {
            name,
            algorithm: Algorithm::RS256,
            key: EncodingKey::from_rsa_der(&der.as_ref()[PKCS8_BYTES..]),
        }
    }

    fn jwk(&self) -> Jwk {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.name.to_owned());
        jwk
    }

    fn token(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.name.to_owned()), ..Header::new(self.algorithm) };
        encode(&header, claims, &self.key).unwrap()
    }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn claims() -> Value {
    json!({"iss": "https://id.example", "aud": "tollgate", "sub": "ann@example.com", "exp": now() + 300,
           "scope": "openid read check", "workspace": "acme"})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn auth(jwks: (&str, &str), refetch_s: u64) -> Auth {
    let mut oidc = oidc_off();
    oidc["issuer"] = json!("https://id.example");
    oidc["audience"] = json!("tollgate");
    oidc[jwks.0] = json!(jwks.1);
    oidc["jwks_refetch_s_min"] = json!(refetch_s);
    Auth::new(&serde_json::from_value(json!({"keys": [], "oidc": oidc})).unwrap()).unwrap()
}

/// An identity provider that is a file.
fn from_file(signers: &[&Signer]) -> Auth {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("tollgate-jwks-{}-{number}.json", std::process::id()));
    let set = JwkSet { keys: signers.iter().map(|signer| signer.jwk()).collect() };
    std::fs::write(&path, serde_json::to_vec(&set).unwrap()).unwrap();
    let auth = auth(("jwks_file", path.to_str().unwrap()), 30);
    std::fs::remove_file(&path).unwrap();
    auth
}

async fn ask(auth: &Auth, token: &str) -> Result<Caller, u16> {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    auth.caller(&headers).await.map_err(|problem| problem.status().as_u16())
}

#[tokio::test]
async fn a_token_of_either_kind_is_known_by_its_claims() {
    let (ec, rsa) = (Signer::es256("ec"), Signer::rs256("rsa"));
    let auth = from_file(&[&ec, &rsa]);
    for signer in [&ec, &rsa] {
        let caller = ask(&auth, &signer.token(&claims())).await.unwrap();
        assert_eq!(caller.actor(), "ann@example.com");
        assert_eq!(caller.workspace().unwrap().as_str(), "acme");
        let may = Scope::ALL.map(|scope| caller.may(scope));
        assert_eq!(may, [true, false, true, false], "read and check, no other");
        assert_eq!(caller.user(), None);
    }
    let caller = ask(&auth, &ec.token(&with("workspace", json!("*")))).await.unwrap();
    assert_eq!(caller.workspace(), None);
    let caller = ask(&auth, &ec.token(&with("aud", json!(["other", "tollgate"])))).await.unwrap();
    assert_eq!(caller.actor(), "ann@example.com");
    let caller = ask(&auth, &ec.token(&without("scope"))).await.unwrap();
    assert!(Scope::ALL.iter().all(|scope| !caller.may(*scope)));
}

#[tokio::test]
async fn a_token_that_is_not_meant_so_is_refused() {
    let (ec, stranger) = (Signer::es256("ec"), Signer::es256("ec"));
    let auth = from_file(&[&ec]);
    for (token, status) in [
        (ec.token(&with("exp", json!(now() - 60))), 401),
        (ec.token(&without("exp")), 401),
        (ec.token(&with("nbf", json!(now() + 60))), 401),
        (ec.token(&with("iss", json!("https://elsewhere.example"))), 401),
        (ec.token(&without("iss")), 401),
        (ec.token(&with("aud", json!("other"))), 401),
        (ec.token(&without("aud")), 401),
        (ec.token(&without("sub")), 401),
        (ec.token(&with("sub", json!(""))), 401),
        (ec.token(&with("sub", json!("a\nb"))), 401),
        (ec.token(&without("workspace")), 403),
        (ec.token(&with("workspace", json!("a b"))), 403),
        (stranger.token(&claims()), 401),
        ("a.b.c".to_owned(), 401),
    ] {
        assert_eq!(ask(&auth, &token).await.unwrap_err(), status);
    }
    // Within the leeway the clocks may differ.
    assert!(ask(&auth, &ec.token(&with("exp", json!(now() - 10)))).await.is_ok());
    assert!(ask(&auth, &ec.token(&with("nbf", json!(now() + 10)))).await.is_ok());
}

#[tokio::test]
async fn nobody_signs_with_a_public_key_or_with_none() {
    let ec = Signer::es256("ec");
    let auth = from_file(&[&ec]);
    let header = Header { kid: Some("ec".to_owned()), ..Header::new(Algorithm::HS256) };
    let public = serde_json::to_vec(&ec.jwk()).unwrap();
    let token = encode(&header, &claims(), &EncodingKey::from_secret(&public)).unwrap();
    assert_eq!(ask(&auth, &token).await.unwrap_err(), 401);
    let good = ec.token(&claims());
    let body = good.split('.').nth(1).unwrap();
    let none = "eyJhbGciOiJub25lIiwia2lkIjoiZWMifQ"; // {"alg":"none","kid":"ec"}
    assert_eq!(ask(&auth, &format!("{none}.{body}.")).await.unwrap_err(), 401);
    let mut cut = good.clone();
    cut.truncate(good.len() - 4);
    assert_eq!(ask(&auth, &cut).await.unwrap_err(), 401);
}

/// An identity provider that counts how often it is asked; `keys` may change.
async fn provider(keys: Arc<std::sync::Mutex<Vec<Jwk>>>) -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let answer = move || {
        count.fetch_add(1, Ordering::Relaxed);
        let keys = keys.lock().unwrap().clone();
        async move { Json(JwkSet { keys }) }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/keys", get(answer))).await });
    (url, asked)
}

#[tokio::test]
async fn keys_are_fetched_once_and_again_for_an_unknown_one() {
    let (first, second, stranger) = (Signer::es256("first"), Signer::es256("second"), Signer::es256("x"));
    let keys = Arc::new(std::sync::Mutex::new(vec![first.jwk()]));
    let (url, asked) = provider(Arc::clone(&keys)).await;
    let auth = auth(("jwks_url", &url), 0);
    for _ in 0..3 {
        ask(&auth, &first.token(&claims())).await.unwrap();
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    keys.lock().unwrap().push(second.jwk());
    ask(&auth, &second.token(&claims())).await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 2, "the provider has changed its key");
    assert_eq!(ask(&auth, &stranger.token(&claims())).await.unwrap_err(), 401);
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn strangers_do_not_make_us_ask_the_provider_each_time() {
    let (first, stranger) = (Signer::es256("first"), Signer::es256("x"));
    let (url, asked) = provider(Arc::new(std::sync::Mutex::new(vec![first.jwk()]))).await;
    let auth = auth(("jwks_url", &url), 3600);
    for _ in 0..5 {
        assert_eq!(ask(&auth, &stranger.token(&claims())).await.unwrap_err(), 401);
    }
    ask(&auth, &first.token(&claims())).await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_provider_that_is_away_is_no_fault_of_the_token() {
    let ec = Signer::es256("ec");
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let auth = auth(("jwks_url", &format!("http://{nobody}/keys")), 3600);
    assert_eq!(ask(&auth, &ec.token(&claims())).await.unwrap_err(), 503);
    assert_eq!(ask(&auth, &ec.token(&claims())).await.unwrap_err(), 503, "within the pause too");
}

#[test]
fn half_a_provider_is_a_fault() {
    let faults = |change: &[(&str, &str)]| {
        let mut oidc = oidc_off();
        change.iter().for_each(|(name, value)| oidc[*name] = json!(value));
        serde_json::from_value::<Settings>(oidc).unwrap().faults().len()
    };
    let on = [("issuer", "i"), ("audience", "a")];
    assert_eq!(faults(&[]), 0);
    assert_eq!(faults(&on[..1]), 2);
    assert_eq!(faults(&[on[0], on[1], ("jwks_url", "https://id/keys")]), 0);
    assert_eq!(faults(&[on[0], on[1], ("jwks_url", "id/keys")]), 1);
    assert_eq!(faults(&[on[0], on[1], ("jwks_url", "https://id/keys"), ("jwks_file", "f")]), 1);
    assert_eq!(faults(&[("audience", "a")]), 1);
}
