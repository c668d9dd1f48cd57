//! The API as a client of it: HTTP and JSON, nothing of the program's own types.

use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::Installation;

/// How long tables may lag behind what was answered, as the contract says, and some patience.
const TABLES_DEADLINE: Duration = Duration::from_secs(30);

/// A client with one key, or none.
#[derive(Clone)]
pub struct Api {
    http: Http<HttpConnector, Full<axum::body::Bytes>>,
    address: String,
    token: Option<String>,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body as JSON; null when it is none.
    pub json: Value,
    /// The body as text.
    pub text: String,
}

impl Api {
    /// A client of an installation's service, without a key.
    pub fn of(installation: &Installation) -> Self {
        let http = Http::builder(TokioExecutor::new()).build_http();
        Self { http, address: installation.settings.http.listen.to_string(), token: None }
    }

    /// The same with a key.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// Sends a request with headers.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let bytes = body.map(|body| serde_json::to_string(body).unwrap());
        self.send_text(method, path, headers, bytes).await
    }

    /// Sends a request with headers and a body as it is, JSON or not.
    pub async fn send_text(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Answer {
        let mut request =
            axum::http::Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        if body.is_some() && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            request = request.header("Content-Type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.unwrap_or_default().into())).unwrap();
        let answer = self.http.request(request).await.unwrap_or_else(|fault| panic!("{path}: {fault:?}"));
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answer { status, json: serde_json::from_slice(&bytes).unwrap_or_default(), text }
    }

    /// GET, which must succeed.
    pub async fn get(&self, path: &str) -> Value {
        let answer = self.send("GET", path, &[], None).await;
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.text);
        answer.json
    }

    /// A write, which must succeed.
    pub async fn write(&self, method: &str, path: &str, body: Value) -> Value {
        let answer = self.send(method, path, &[], Some(&body)).await;
        assert!(
            (200..300).contains(&answer.status),
            "{method} {path} {body}: {} {}",
            answer.status,
            answer.text
        );
        answer.json
    }

    /// A write, which must be refused with this status and code; the problem.
    pub async fn refused(&self, method: &str, path: &str, body: Value, (status, code): (u16, &str)) -> Value {
        let answer = self.send(method, path, &[], Some(&body)).await;
        assert_eq!((answer.status, answer.json["code"].as_str()), (status, Some(code)), "{}", answer.text);
        answer.json
    }

    /// Asks until the answer is as it should be; fails the test when it does not become so.
    pub async fn until(&self, path: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + TABLES_DEADLINE;
        loop {
            let answer = self.get(path).await;
            if holds(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{what}: {answer:#}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
