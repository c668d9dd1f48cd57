//! What stands behind `?`, cursors, names in a path, and a CSV of whatever producers wrote.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tollgate::simulate::Rng;

use crate::mutate;
use crate::office::{Tables, answer, api};
use crate::run::{Fate, run};

const QUERIES: [&str; 10] = [
    "/v1/workspaces/w/usage?group_by=user,model&from=2026-11-01&to=2026-12-01&limit=2&format=json",
    "/v1/workspaces/w/usage?period=2026-11-01&user=ann&feature=ai_chat&format=csv",
    "/v1/workspaces/w/events?user=ann&outcome=denied&from=2026-11-01T00:00:00Z&limit=7",
    "/v1/workspaces/w/ledger?actor=ann&kind=grant&account=user:ann&limit=1000",
    "/v1/workspaces/w/alerts?scope=user&id=ann",
    "/v1/workspaces/w/forecast",
    "/v1/workspaces/w/users?sort=user&limit=3",
    "/v1/workspaces/w/users/ann",
    "/v1/workspaces/w/teams",
    "/v1/workspaces/w/features",
];

/// Positions as other lists have them.
const CURSORS: [&str; 6] =
    ["[[\"a\",\"b\"]]", "[\"u\"]", "{\"a\":1}", "[1,2,3]", "\"x\"", "[\"2026-11-22T10:00:00Z\",\"e\",0]"];

fn path(rng: &mut Rng) -> String {
    let mut path = (*mutate::one(rng, &QUERIES)).to_owned();
    if rng.chance(3_000) {
        let example = *mutate::one(rng, &CURSORS);
        let position = mutate::bytes(rng, example.as_bytes(), &[], 2_000);
        let sign = if path.contains('?') { '&' } else { '?' };
        path.push_str(&format!("{sign}cursor={}", URL_SAFE_NO_PAD.encode(position)));
    }
    mutate::text(rng, &path, &[], 8_000)
}

/// The text as a request line can carry it: what may not stand there is escaped.
fn escaped(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(byte);
    text.bytes().map(|b| if plain(&b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[test]
fn every_query_is_answered_or_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let api = api(&Arc::new(Tables::default()));
    let send = |path: &str| {
        let Ok(uri) = path.parse::<Uri>() else { return 400 };
        let request = Request::get(uri).body(Body::empty()).unwrap();
        runtime.block_on(answer(&api, request)).0
    };
    for path in QUERIES {
        assert!([200, 404].contains(&send(path)), "{path}: {}", send(path));
    }
    run("queries", |rng| {
        let path = escaped(&path(rng));
        if !path.starts_with('/') || send(&path) != 200 { Fate::Refused } else { Fate::Accepted }
    });
}

/// One record of a CSV by RFC 4180; the text must be that and nothing more.
fn fields(text: &str) -> Vec<String> {
    let (mut fields, mut chars, mut quoted) = (vec![String::new()], text.chars().peekable(), false);
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                fields.last_mut().unwrap().push(chars.next().unwrap())
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields.last_mut().unwrap().push(c),
        }
    }
    assert!(!quoted, "{text:?} ends inside quotes");
    fields
}

#[test]
fn a_csv_gives_back_what_was_written() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tables = Arc::new(Tables::default());
    let api = api(&tables);
    run("csv", |rng| {
        let model = mutate::text(rng, "gpt-\"4\",a\r\nb", &[], 300);
        tables.0.lock().unwrap().clone_from(&model);
        let request = Request::get("/v1/workspaces/w/usage?group_by=model,user&format=csv");
        let (status, text) = runtime.block_on(answer(&api, request.body(Body::empty()).unwrap()));
        assert_eq!(status, 200, "{text}");
        let row = text.split_once("\r\n").unwrap().1.strip_suffix("\r\n").unwrap();
        let fields = fields(row);
        assert_eq!((fields.len(), &fields[0], &fields[1]), (8, &model, &model));
        Fate::Accepted
    });
}
