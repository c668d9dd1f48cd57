//! Clients that never come to an end: whoever asks properly is answered all the same.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::memory_mib;
use crate::support::{Api, Installation};

const EACH: usize = 150;

async fn opened(address: &str, begin: &str) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..EACH {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(begin.as_bytes()).await.unwrap();
        streams.push(stream);
    }
    streams
}

/// Whether the other side has said or closed anything by now.
async fn ended(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    tokio::time::timeout(Duration::from_millis(5), stream.read(&mut byte)).await.is_ok()
}

#[tokio::test]
async fn clients_that_never_end_keep_nobody_from_being_served() {
    let it = Installation::new("slow", "[http]\nrequest_timeout_ms = 1500\nhead_timeout_ms = 1500").await;
    let service = it.serve().await;
    let (api, address) = (Api::of(&it), it.settings.http.listen.to_string());
    let before = memory_mib(&service).0;
    let idle = opened(&address, "").await;
    let heads = opened(&address, "GET /v1/rates HTTP/1.1\r\nHost: a\r\nX-Slow: ").await;
    let body = "POST /v1/workspaces/w/check HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
                Content-Length: 1000\r\n\r\n{";
    let mut bodies = opened(&address, body).await;
    // Some more of a head, now and then.
    let dripping = tokio::spawn(async move {
        let mut heads = heads;
        for _ in 0..20 {
            for stream in &mut heads {
                let _ = stream.write_all(b"x").await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        heads
    });
    let (started, mut served, mut slowest) = (Instant::now(), 0, Duration::ZERO);
    while started.elapsed() < Duration::from_secs(3) {
        let asked = Instant::now();
        let answer = api.send("GET", "/v1/rates", &[], None).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        slowest = slowest.max(asked.elapsed());
        assert!(service.get("/livez").await.is_some_and(|page| page.starts_with("HTTP/1.1 200")));
        served += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut heads = dripping.await.unwrap();
    let mut over = (0, 0);
    for stream in &mut bodies {
        over.0 += usize::from(ended(stream).await);
    }
    for stream in &mut heads {
        over.1 += usize::from(ended(stream).await);
    }
    let after = memory_mib(&service).0;
    println!(
        "{served} served beside {EACH} idle, {EACH} slow heads ({} ended) and {EACH} slow bodies ({} ended), \
         slowest {slowest:?}, {before} MiB became {after} MiB",
        over.1, over.0
    );
    assert_eq!(over.0, EACH, "a body that does not come ends with its request's time");
    assert_eq!(over.1, EACH, "a head that does not come ends, however it drips");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert!(after < before + 100, "{before} MiB became {after} MiB");
    drop((idle, heads, bodies));
    assert!(service.stop(), "{}", it.log());
    it.remove().await;
}

#[tokio::test]
async fn a_flood_is_turned_away_and_the_page_of_the_operators_stays_green() {
    let it = Installation::new("flood", "[http]\nrequests_in_flight_max = 4").await;
    let service = it.serve().await;
    let api = Api::of(&it);
    let flood = (0..300).map(|_| api.send("GET", "/v1/workspaces", &[], None));
    let (answers, health) =
        tokio::join!(futures::future::join_all(flood), async { service.get("/livez").await });
    let of = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    println!("of 300 at once {} were answered and {} turned away", of(200), of(429));
    assert_eq!(of(200) + of(429), 300);
    assert!(of(200) > 0 && of(429) > 0);
    assert!(health.is_some_and(|page| page.starts_with("HTTP/1.1 200")));
    assert_eq!(api.send("GET", "/v1/workspaces", &[], None).await.status, 200, "afterwards as before");
    assert!(service.stop(), "{}", it.log());
    it.remove().await;
}
