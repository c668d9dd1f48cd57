//! Bodies of every write: read whole, or refused with a code and a sentence.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;

use crate::office::{Tables, answer, api};
use crate::run::{Fate, run};
use crate::{mutate, office};

const BODIES: [(&str, &str, &str); 13] = [
    (
        "PUT",
        "/v1/workspaces/w/plan",
        r#"{"monthly_credits":350000,"timezone":"Europe/Berlin","anchor_day":1,"enforcement":"hard","default_user_limit":5000,"carry_over":"none","thresholds":[50,80,100],"reason":"x"}"#,
    ),
    (
        "PATCH",
        "/v1/workspaces/w/users/ann",
        r#"{"limit":3,"team":"red","suspended":false,"monthly_allocation":2,"apply_now":true}"#,
    ),
    (
        "PATCH",
        "/v1/workspaces/w/users",
        r#"{"users":[{"user":"ann","limit":null},{"user":"bob","team":"red"}]}"#,
    ),
    (
        "PUT",
        "/v1/workspaces/w/teams/red",
        r#"{"monthly_reserve":10,"apply_now":true,"default_user_limit":null}"#,
    ),
    ("PUT", "/v1/workspaces/w/features/ai_chat", r#"{"limit":100.5}"#),
    ("POST", "/v1/workspaces/w/top-ups", r#"{"credits":7,"reason":"bought"}"#),
    ("POST", "/v1/workspaces/w/grants", r#"{"user":"ann","credits":2}"#),
    (
        "POST",
        "/v1/workspaces/w/transfers",
        r#"{"from":"pool","to":"user:ann","credits":1.5,"raise_limit":true}"#,
    ),
    ("POST", "/v1/workspaces/w/reversals", r#"{"event_id":"e2","source":"app"}"#),
    ("POST", "/v1/workspaces/w/check", r#"{"user":"ann","feature":"ai_chat","credits":3}"#),
    (
        "POST",
        "/v1/workspaces/w/holds",
        r#"{"user":"ann","feature":"ai_chat","credits":2,"id":"h1","ttl_seconds":300}"#,
    ),
    ("POST", "/v1/workspaces/w/holds/h1/settle", r#"{"credits":1}"#),
    ("POST", "/v1/events", r#"[{"id":"e","workspace":"w","user":"u","feature":"f","credits":0.5}]"#),
];

#[test]
fn every_body_is_read_or_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let api = api(&Arc::new(Tables::default()));
    let lent: Vec<Vec<u8>> = BODIES.iter().map(|(.., body)| body.as_bytes().to_vec()).collect();
    let send = |method: &str, path: &str, body: Vec<u8>| {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        runtime.block_on(office::answer(&api, request.body(Body::from(body)).unwrap()))
    };
    // The examples are good: their way ends at an office that is away.
    for (method, path, body) in BODIES {
        let (status, text) = send(method, path, body.into());
        assert!([202, 404, 503].contains(&status), "{method} {path}: {status} {text}");
    }
    run("bodies", |rng| {
        let (method, path, body) = mutate::one(rng, &BODIES);
        let (status, _) = send(method, path, mutate::bytes(rng, body.as_bytes(), &lent, 1024 * 1024 + 10));
        if status == 202 || status == 503 { Fate::Accepted } else { Fate::Refused }
    });
}

#[test]
fn bombs_in_a_body_are_answered_at_once() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let api = api(&Arc::new(Tables::default()));
    let members: String = (0..90_000).map(|n| format!("\"{n:x}\":0,")).collect();
    for (what, body) in [
        ("nested", format!("{{\"credits\":{}", "[".repeat(100_000))),
        ("a million elements", format!("{{\"credits\":[{}0]}}", "0,".repeat(500_000))),
        ("many keys", format!("{{{members}\"credits\":1}}")),
        ("too large", " ".repeat(2 * 1024 * 1024)),
        ("a long number", format!("{{\"credits\":{}}}", "9".repeat(1_000_000))),
        ("a long exponent", format!("{{\"credits\":1e{}}}", "9".repeat(1_000_000))),
    ] {
        let started = std::time::Instant::now();
        let request = Request::post("/v1/workspaces/w/top-ups").header("content-type", "application/json");
        let (status, text) = runtime.block_on(answer(&api, request.body(Body::from(body)).unwrap()));
        println!("{what}: {status} in {:?}", started.elapsed());
        assert!([400, 413, 422].contains(&status), "{what}: {status} {text}");
        assert!(started.elapsed().as_secs() < 2, "{what}: {:?}", started.elapsed());
    }
}
