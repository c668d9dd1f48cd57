//! A client of the API that knows nothing of the program's own types, and gives up after a while.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A status, and the body as JSON.
pub type Answer = (u16, Value);

/// Asks one worker.
#[derive(Clone)]
pub struct Client {
    ports: Vec<u16>,
}

impl Client {
    /// A client of workers on these ports.
    pub fn new(ports: Vec<u16>) -> Self {
        Self { ports }
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.ports.len()
    }

    /// Asks one of them; none when no whole answer came in time.
    pub async fn ask(
        &self,
        worker: usize,
        (method, path): (&str, &str),
        key: Option<&str>,
        body: &Value,
        patience: Duration,
    ) -> Option<Answer> {
        let port = self.ports[worker % self.ports.len()];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let key = key.map_or(String::new(), |key| format!("Idempotency-Key: {key}\r\n"));
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n{key}\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let exchange = async {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.ok()?;
            read(&answer)
        };
        tokio::time::timeout(patience, exchange).await.ok()?
    }
}

fn read(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    Some((status, serde_json::from_str(body).ok()?))
}
