//! The house rules, kept by a test: which room may see which, how long a file may be, what no file
//! may hold. It names file, line and rule.
#![expect(clippy::unwrap_used, reason = "what a test's helpers cannot do ends the test")]

use std::fs;
use std::path::{Path, PathBuf};

/// Room, and the rooms that it may name besides itself.
const ROOMS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("metrics", &[]),
    ("crash", &[]),
    ("kafka", &["crash", "domain"]),
    ("redis", &["domain"]),
    ("clickhouse", &["crash", "domain"]),
    ("pipeline", &["crash", "domain", "kafka", "metrics"]),
    ("http", &["domain"]),
    ("simulate", &["domain", "kafka"]),
    ("config", &["clickhouse", "domain", "http", "kafka", "pipeline", "redis"]),
];
/// Drivers, and the one room that may name each. `app`, `cli` and `config` hold no rule, so they may.
const DRIVERS: &[(&str, &str)] =
    &[("::redis::", "redis"), ("rdkafka::", "kafka"), ("::clickhouse::", "clickhouse")];
const FREE: &[&str] = &["app", "cli", "lib", "main"];
const FILE_LINES_MAX: usize = 400;
const LINE_CHARS_MAX: usize = 120;
/// Neither clock, nor environment, nor log in the domain.
const IMPURE: &[&str] =
    &["SystemTime::now", "Timestamp::now", "Instant::now()", "std::env", "tracing::", "tokio::"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

fn room(file: &Path) -> String {
    let first = file.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The rooms that a line names by `crate::`.
fn named(line: &str) -> Vec<String> {
    let after = line.split("crate::").skip(1);
    let words = after.map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
    words.filter(|word: &String| !word.is_empty()).collect()
}

fn faults_of_line(room: &str, line: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let code = line.split("//").next().unwrap_or_default();
    if let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) {
        let strangers =
            named(code).into_iter().filter(|other| other != room && !allowed.contains(&other.as_str()));
        faults.extend(strangers.map(|other| format!("{room} may not see {other}")));
    }
    let outside = code.replace("crate::", "");
    for (driver, owner) in DRIVERS {
        if outside.contains(driver) && room != *owner && !FREE.contains(&room) {
            faults.push(format!("{driver} belongs to {owner}"));
        }
    }
    if room == "domain" {
        faults.extend(
            IMPURE.iter().filter(|word| code.contains(**word)).map(|word| format!("{word} in the domain")),
        );
    }
    if line.chars().count() > LINE_CHARS_MAX {
        faults.push(format!("longer than {LINE_CHARS_MAX} characters"));
    }
    if ["TODO", "FIXME", "XXX"].iter().any(|mark| line.contains(mark)) {
        faults.push("a left-over mark".to_owned());
    }
    faults
}

#[test]
fn the_house_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut faults = Vec::new();
    for path in &files {
        let file = path.strip_prefix(&root).unwrap();
        let (room, text) = (room(file), fs::read_to_string(path).unwrap());
        if !ROOMS.iter().any(|(name, _)| *name == room) && !FREE.contains(&room.as_str()) {
            faults.push(format!("{}: {room} is no room of the house", file.display()));
        }
        if !text.starts_with("//!") {
            faults.push(format!("{}:1: does not open with what it is for", file.display()));
        }
        if text.lines().count() > FILE_LINES_MAX {
            faults.push(format!("{}: more than {FILE_LINES_MAX} lines", file.display()));
        }
        // Tests of a room may look further.
        let is_test = file
            .components()
            .any(|part| part.as_os_str().to_string_lossy().trim_end_matches(".rs") == "tests");
        let code = text.split("#[cfg(test)]\nmod tests {").next().filter(|_| !is_test).unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            let found = faults_of_line(&room, line);
            faults
                .extend(found.into_iter().map(|fault| format!("{}:{}: {fault}", file.display(), number + 1)));
        }
    }
    assert!(files.len() > 40, "only {} files were looked at", files.len());
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn a_broken_rule_is_found() {
    assert_eq!(faults_of_line("domain", "use crate::redis::RedisLedger;"), ["domain may not see redis"]);
    assert_eq!(faults_of_line("pipeline", "let x = rdkafka::config::new();"), ["rdkafka:: belongs to kafka"]);
    assert_eq!(faults_of_line("domain", "let now = Timestamp::now();"), ["Timestamp::now in the domain"]);
    assert_eq!(faults_of_line("kafka", "use crate::domain::event::Header;"), Vec::<String>::new());
}
