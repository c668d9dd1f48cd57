//! Events that the programs of others publish: kcat and the CloudEvents SDKs of Python and JavaScript,
//! each in every way that it has. `deploy/local/stack producers` fetches them; the scripts that call the
//! SDKs are in `tests/producers`.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::process::{Command, Stdio};

use jiff::{Timestamp, ToSpan};
use rdkafka::message::Message;
use serde_json::{Value, json};

use crate::support::{Installation, read_to_end};

const WORKSPACE: &str = "acme";

/// Every way to publish, and the credits of the one event that is published so. Languages write numbers
/// in their own manner: Python `1e-06`, JavaScript `0.000001`.
const WAYS: [(&str, f64); 9] = [
    ("kcat-bare", 1.5),
    ("kcat-bare-without-key", 0.25),
    ("kcat-binary", 2.0),
    ("python-binary", 0.000_001),
    ("python-structured", 0.1),
    ("python-v1-binary", 3.75),
    ("python-v1-structured", 0.3),
    ("javascript-binary", 0.000_002),
    ("javascript-structured", 12.0),
];

/// An event of which every value tells by which way it came.
struct Event {
    way: &'static str,
    credits: f64,
    time: Timestamp,
}

impl Event {
    fn source(&self) -> String {
        format!("https://example.com/{}", self.way)
    }

    fn user(&self) -> String {
        format!("{}@example.com", self.way)
    }

    fn data(&self) -> Value {
        json!({ "workspace": WORKSPACE, "user": self.user(), "feature": "ai_chat", "credits": self.credits })
    }

    fn bare(&self) -> Value {
        let mut event = self.data();
        event["id"] = self.way.into();
        event["source"] = self.source().into();
        event["time"] = self.time.to_string().into();
        event
    }

    /// A line for a script. In binary mode the user is the event's `subject`.
    fn line(&self) -> String {
        let (mut data, time) = (self.data(), self.time.to_string());
        let mut attributes =
            json!({ "id": self.way, "source": self.source(), "type": "ai.usage", "time": time });
        if self.way.ends_with("binary") {
            attributes["subject"] = data.as_object_mut().unwrap().remove("user").unwrap();
        }
        json!({ "way": self.way, "key": WORKSPACE, "attributes": attributes, "data": data }).to_string()
    }

    fn check(&self, decision: &Value) {
        let text = |field: &str| decision[field].as_str().unwrap_or_default();
        assert_eq!(text("outcome"), "allowed", "{decision}");
        assert_eq!(text("source"), self.source(), "{decision}");
        assert_eq!(text("workspace"), WORKSPACE, "{decision}");
        assert_eq!(text("user"), self.user(), "{decision}");
        assert_eq!(text("feature"), "ai_chat", "{decision}");
        assert_eq!(decision["credits"].as_f64(), Some(self.credits), "{decision}");
        assert_eq!(decision["drawn"]["pool"].as_f64(), Some(self.credits), "{decision}");
        assert_eq!(text("time").parse::<Timestamp>().unwrap(), self.time, "{decision}");
    }
}

/// One event a way, each at an instant of its own, to the millisecond as JavaScript keeps it.
///
/// A minute ahead: if a month ends just now, that is the period after the plan's first, never the one before.
fn events() -> Vec<Event> {
    let first = Timestamp::from_millisecond(Timestamp::now().as_millisecond() + 60_000).unwrap();
    let ways = (1_i64..).zip(WAYS);
    ways.map(|(number, (way, credits))| Event { way, credits, time: first + (number * 1001).milliseconds() })
        .collect()
}

/// Where the programs are, by the names that the stack gives them.
pub fn programs() -> HashMap<String, String> {
    let stack = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/local/stack");
    let output = Command::new(stack).arg("producers").stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "deploy/local/stack producers");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().filter_map(|line| line.split_once('=')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
}

/// Runs a program to its end, with these lines as its standard input.
fn feed(command: &mut Command, lines: &[String]) {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for line in lines {
        writeln!(stdin, "{line}").unwrap();
    }
    drop(stdin);
    assert!(child.wait().unwrap().success(), "{command:?}");
}

/// The programs that publish into the topic of an installation.
struct Producers<'a> {
    programs: HashMap<String, String>,
    installation: &'a Installation,
}

impl Producers<'_> {
    fn kcat(&self, event: &Event) {
        let kafka = &self.installation.settings.kafka;
        let mut kcat = Command::new(&self.programs["kcat"]);
        kcat.args(["-P", "-b", &kafka.brokers, "-t", &kafka.topics.events]);
        kcat.args(["-X", "message.timeout.ms=20000"]);
        match event.way {
            "kcat-bare" => feed(kcat.args(["-K", "|"]), &[format!("{WORKSPACE}|{}", event.bare())]),
            "kcat-bare-without-key" => feed(&mut kcat, &[event.bare().to_string()]),
            "kcat-binary" => {
                let (id, source, time) = (event.way, event.source(), event.time);
                let attributes = format!("specversion=1.0 type=ai.usage id={id} source={source} time={time}");
                for attribute in attributes.split(' ') {
                    kcat.args(["-H", &format!("ce_{attribute}")]);
                }
                kcat.args(["-H", "content-type=application/json", "-k", WORKSPACE]);
                feed(&mut kcat, &[event.data().to_string()]);
            }
            way => panic!("{way} is no way of kcat"),
        }
    }

    /// All events of a language at once, by its script.
    fn script(&self, program: &str, script: &str, events: &[&Event]) {
        let kafka = &self.installation.settings.kafka;
        let mut command = Command::new(&self.programs[program]);
        command
            .arg(format!("{}/tests/producers/{script}", env!("CARGO_MANIFEST_DIR")))
            .args([&kafka.brokers, &kafka.topics.events])
            .env("NODE_PATH", &self.programs["node_modules"]);
        let lines: Vec<String> = events.iter().map(|event| event.line()).collect();
        feed(&mut command, &lines);
    }

    fn publish(&self, events: &[Event]) {
        let of = |program: &str| -> Vec<&Event> {
            events.iter().filter(|event| event.way.starts_with(program)).collect()
        };
        for event in of("kcat") {
            self.kcat(event);
        }
        self.script("python", "publish.py", &of("python"));
        self.script("node", "publish.cjs", &of("javascript"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kcat_and_the_sdks_publish_is_understood() {
    let programs = programs();
    let installation = Installation::new("producers", "").await;
    let plan = ["admin", "plan", WORKSPACE, "--monthly-credits", "100"];
    assert!(installation.command(&plan).stdout(Stdio::null()).status().unwrap().success());
    let service = installation.serve().await;

    let events = events();
    Producers { programs, installation: &installation }.publish(&events);

    let topics = &installation.settings.kafka.topics;
    let decisions = read_to_end(&installation, &topics.decisions, events.len()).await;
    let decided: BTreeMap<String, Value> = decisions
        .iter()
        .map(|message| serde_json::from_slice::<Value>(message.payload().unwrap()).unwrap())
        .map(|decision| (decision["event_id"].as_str().unwrap().to_owned(), decision))
        .collect();
    assert_eq!(decisions.len(), events.len(), "{decided:?}");
    for event in &events {
        event.check(decided.get(event.way).unwrap_or_else(|| panic!("{}: {decided:?}", event.way)));
    }
    assert!(service.stop(), "{}", installation.log());
    installation.remove().await;
}
