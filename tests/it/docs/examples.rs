//! The examples of `docs/api.md`, sent in their order to a service of their own. An `http` block is a
//! request: method and path, headers, an empty line, a body. The block behind it is the answer, its
//! status beside its language; `soon` says that tables may lag behind, so it is asked until it fits.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::blocks::{Block, block, blocks};
use super::compare::{Kept, difference, filled};
use crate::support::{Answer, Api, Installation};

/// The key of every example that names none.
const KEY: &str = "all-key";
/// How long an answer may take to become as `soon` says; 5 s are promised, the machine may be busy.
const SOON: Duration = Duration::from_secs(30);

/// A request as a document writes it.
#[derive(Debug)]
struct Asked {
    place: String,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

impl Asked {
    fn read(block: &Block) -> Self {
        let (head, body) = block.text.split_once("\n\n").unwrap_or((block.text.trim_end(), ""));
        let mut lines = head.lines();
        let (method, path) = lines.next().and_then(|line| line.split_once(' ')).unwrap_or_else(|| {
            panic!("{}: the first line is METHOD path", block.place);
        });
        let header = |line: &str| {
            let (name, value) =
                line.split_once(": ").unwrap_or_else(|| panic!("{}: no header: {line}", block.place));
            (name.to_owned(), value.to_owned())
        };
        Self {
            place: block.place.clone(),
            method: method.to_owned(),
            path: path.trim().to_owned(),
            headers: lines.map(header).collect(),
            body: Some(body.trim().to_owned()).filter(|body| !body.is_empty()),
        }
    }

    async fn send(&self, api: &Api, kept: &Kept) -> Answer {
        let path = filled(&self.path, kept);
        let mut headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let authorization = format!("Bearer {KEY}");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
            headers.push(("Authorization", &authorization));
        }
        let body = self.body.as_ref().map(|body| filled(body, kept));
        api.send_text(&self.method, &path, &headers, body).await
    }
}

/// What is expected of an answer.
struct Expected {
    place: String,
    status: u16,
    soon: bool,
    text: String,
    is_json: bool,
}

impl Expected {
    fn read(block: &Block) -> Self {
        let mut words = block.info.split(' ');
        let is_json = words.next() == Some("json");
        let status = words.next().and_then(|word| word.parse().ok());
        let status = status.unwrap_or_else(|| panic!("{}: no status behind the language", block.place));
        let soon = match words.next() {
            None => false,
            Some("soon") => true,
            Some(word) => panic!("{}: {word} means nothing here", block.place),
        };
        Self { place: block.place.clone(), status, soon, text: block.text.clone(), is_json }
    }

    /// Where the answer differs; none when it fits. Only then is anything kept.
    fn difference(&self, answer: &Answer, kept: &mut Kept) -> Option<String> {
        if answer.status != self.status {
            return Some(format!("the status is {}, expected {}", answer.status, self.status));
        }
        if !self.is_json {
            let text = answer.text.replace("\r\n", "\n");
            return (text.trim_end() != self.text.trim_end()).then(|| "the text is another".to_owned());
        }
        let expected: Value =
            serde_json::from_str(&self.text).unwrap_or_else(|fault| panic!("{}: {fault}", self.place));
        let mut keeping = kept.clone();
        let found = difference(&expected, &answer.json, &mut keeping);
        if found.is_none() {
            *kept = keeping;
        }
        found
    }
}

async fn fits(api: &Api, asked: &Asked, expected: &Expected, kept: &mut Kept) -> Option<String> {
    let deadline = Instant::now() + SOON;
    loop {
        let answer = asked.send(api, kept).await;
        let found = expected.difference(&answer, kept)?;
        if !expected.soon || Instant::now() > deadline {
            let Asked { place, method, path, .. } = asked;
            return Some(format!("{place}: {method} {path}: {found}\n  {}", answer.text));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Requests with the answers that stand behind them.
fn examples(name: &str) -> Vec<(Asked, Expected)> {
    let all = blocks(name);
    let mut found = Vec::new();
    for (at, block) in all.iter().enumerate().filter(|(_, block)| block.is("http")) {
        let answer = all.get(at + 1).filter(|next| !next.is("http"));
        let answer = answer.unwrap_or_else(|| panic!("{}: no answer stands behind it", block.place));
        found.push((Asked::read(block), Expected::read(answer)));
    }
    found
}

/// Whether a path is one of a route, in which braces stand for one segment.
fn is_of(route: &str, path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let (route, path): (Vec<&str>, Vec<&str>) = (route.split('/').collect(), path.split('/').collect());
    route.len() == path.len()
        && route.iter().zip(path).all(|(part, text)| part.starts_with('{') || *part == text)
}

/// Routes of the API's own description that no example calls with success.
async fn without_example(api: &Api, examples: &[(Asked, Expected)]) -> BTreeSet<String> {
    let document = api.get("/openapi.json").await;
    let mut missing = BTreeSet::new();
    for (route, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let shown = examples.iter().any(|(asked, expected)| {
                asked.method.eq_ignore_ascii_case(method)
                    && expected.status < 300
                    && is_of(route, &asked.path)
            });
            if !shown {
                missing.insert(format!("{} {route}", method.to_uppercase()));
            }
        }
    }
    missing
}

#[tokio::test]
async fn every_example_of_the_api_document_is_answered_as_it_says() {
    let rates = tempfile(&block("api.md", "toml rates").text);
    let keys = block("api.md", "toml keys").text;
    let more = format!("{keys}\n[events]\nrates_file = {:?}\n", rates.display().to_string());
    let installation = Installation::new("docs-api", &more).await;
    let service = installation.serve().await;
    let api = Api::of(&installation);

    let examples = examples("api.md");
    let mut kept = Kept::new();
    let mut faults = Vec::new();
    for (asked, expected) in &examples {
        faults.extend(fits(&api, asked, expected, &mut kept).await);
    }
    let missing = without_example(&api, &examples).await;
    faults.extend(missing.into_iter().map(|route| format!("docs/api.md has no example of {route}")));
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert!(service.stop(), "{}", installation.log());
    installation.remove().await;
    std::fs::remove_file(rates).unwrap();
}

/// A file with this text.
pub(super) fn tempfile(text: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(crate::support::unique("docs-rates"));
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_wrong_answer_is_found() {
    let place = "docs/x.md:1".to_owned();
    let text = "{\"a\": \"$kept\", \"b\": 1}".to_owned();
    let expected = Expected { place, status: 200, soon: false, text, is_json: true };
    let answer = |status, text: &str| Answer {
        status,
        json: serde_json::from_str(text).unwrap_or_default(),
        text: text.to_owned(),
    };
    let mut kept = Kept::new();
    assert!(expected.difference(&answer(200, r#"{"a":"x","b":2}"#), &mut kept).unwrap().contains("$.b is 2"));
    assert!(expected.difference(&answer(201, r#"{"a":"x","b":1}"#), &mut kept).unwrap().contains("201"));
    assert!(kept.is_empty(), "what did not fit is not kept");
    assert_eq!(expected.difference(&answer(200, r#"{"a":"x","b":1,"c":0}"#), &mut kept), None);
    assert_eq!(kept["$kept"], "x");
    assert!(is_of("/v1/a/{b}/c", "/v1/a/x/c?q=1") && !is_of("/v1/a/{b}", "/v1/a/x/c"));
}
