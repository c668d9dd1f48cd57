//! Raw bytes on a real listener: an answer or a closed connection, and the next client is served.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::mutate;
use crate::office::{Tables, api};
use crate::run::{Fate, run};

const REQUESTS: [&str; 8] = [
    "GET /openapi.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "GET /v1/workspaces/w/usage?group_by=user&limit=3 HTTP/1.1\r\nHost: a\r\nAccept: text/csv\r\n\r\n",
    "POST /v1/workspaces/w/check HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 46\r\n\r\n{\"user\":\"ann\",\"feature\":\"ai_chat\",\"credits\":3}",
    "POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n",
    "POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\n\x1f\x08\x00\x01\x02",
    "GET /v1/rates HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\nX-Request-Id: a\r\nIdempotency-Key: k\r\n\r\nGET /v1/rates HTTP/1.1\r\nHost: a\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT a:1 HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nExpect: 100-continue\r\nContent-Length: 99999999999999999999\r\n\r\n",
];
const PATIENCE: Duration = Duration::from_millis(8);
/// Of an answer as much as is read.
const ANSWER_BYTES_MAX: u64 = 256 * 1024;

async fn tell(address: std::net::SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may have closed already.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    // A while for whoever has heard enough to answer; what is incomplete ends with the client.
    let mut some = (&mut stream).take(ANSWER_BYTES_MAX);
    let _ = tokio::time::timeout(PATIENCE, some.read_to_end(&mut answer)).await;
    let _ = stream.shutdown().await;
    let mut rest = stream.take(ANSWER_BYTES_MAX);
    let read = tokio::time::timeout(Duration::from_secs(2), rest.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "no end of the answer to {:?}", String::from_utf8_lossy(bytes));
    answer
}

#[test]
fn any_bytes_are_answered_or_the_connection_is_closed() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let api = api(&Arc::new(Tables::default()));
    runtime.spawn(async move { axum::serve(listener, api).await });
    let lent: Vec<Vec<u8>> = REQUESTS.iter().map(|request| request.as_bytes().to_vec()).collect();
    run("front", |rng| {
        let example = *mutate::one(rng, &REQUESTS);
        let request = mutate::bytes(rng, example.as_bytes(), &lent, 512 * 1024);
        let answer = runtime.block_on(tell(address, &request));
        let text = String::from_utf8_lossy(&answer[..answer.len().min(64)]).into_owned();
        let status: u16 = text.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or(0);
        assert!(answer.is_empty() || text.starts_with("HTTP/1."), "{text:?}");
        assert!(status < 500 || status == 503, "{text:?}");
        if (200..300).contains(&status) { Fate::Accepted } else { Fate::Refused }
    });
    let served =
        (0..20).any(|_| runtime.block_on(tell(address, REQUESTS[0].as_bytes())).starts_with(b"HTTP/1.1 200"));
    assert!(served, "nobody is served any more");
}
