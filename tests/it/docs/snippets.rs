//! The programs of `docs/producers.md`, run as they stand there, by the packages of their languages;
//! what became of their events is read from the decisions topic.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;

use rdkafka::message::Message;
use serde_json::{Value, json};
use tollgate::domain::event::RejectReason;

use super::blocks::{block, document};
use super::examples::tempfile;
use crate::producers::programs;
use crate::support::{Api, Installation, read_to_end, unique};

/// Name, and who runs it.
const SNIPPETS: [(&str, &str); 4] = [
    ("python publish.py", "python"),
    ("ts publish.ts", "node"),
    ("python guarded.py", "python"),
    ("ts guarded.ts", "node"),
];
/// A key for the programs, and what the service knows of it.
const KEY: &str = "all-key";

/// A folder in which the snippets find their packages.
struct Desk<'a> {
    programs: HashMap<String, String>,
    folder: PathBuf,
    installation: &'a Installation,
}

impl<'a> Desk<'a> {
    fn new(installation: &'a Installation) -> Self {
        let programs = programs();
        let folder = std::env::temp_dir().join(unique("docs-snippets"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("package.json"), r#"{"type": "module"}"#).unwrap();
        std::os::unix::fs::symlink(&programs["node_modules"], folder.join("node_modules")).unwrap();
        Self { programs, folder, installation }
    }

    /// What a snippet printed.
    fn run(&self, (info, program): (&str, &str)) -> String {
        let snippet = block("producers.md", info);
        let file = self.folder.join(info.split(' ').next_back().unwrap());
        std::fs::write(&file, &snippet.text).unwrap();
        let mut command = Command::new(&self.programs[program]);
        if program == "node" {
            command.arg(format!("{}/tsx/dist/cli.mjs", self.programs["node_modules"]));
        }
        let settings = &self.installation.settings;
        let output = command
            .arg(&file)
            .env("KAFKA_BROKERS", &settings.kafka.brokers)
            .env("TOPIC", &settings.kafka.topics.events)
            .env("TOLLGATE_URL", format!("http://{}", settings.http.listen))
            .env("TOLLGATE_KEY", KEY)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {info}: {errors}", snippet.place);
        String::from_utf8(output.stdout).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_programs_of_the_producers_guide_do_what_it_says() {
    let rates = tempfile(&block("producers.md", "toml rates").text);
    let keys = block("api.md", "toml keys").text;
    let more = format!("{keys}\n[events]\nrates_file = {:?}\n", rates.display().to_string());
    let installation = Installation::new("docs-producers", &more).await;
    let service = installation.serve().await;
    let api = Api::of(&installation).with_token(KEY);
    let plan = json!({"monthly_credits": 1000, "default_user_limit": 50});
    api.write("PUT", "/v1/workspaces/acme/plan", plan).await;

    let desk = Desk::new(&installation);
    let printed = SNIPPETS.map(|snippet| desk.run(snippet));
    let expected = block("producers.md", "text guarded").text;
    assert_eq!(printed, [String::new(), String::new(), expected.clone(), expected]);

    let decisions = decisions(&installation, 8).await;
    assert!(decisions.iter().all(|decision| decision["outcome"] == "allowed"), "{decisions:#?}");
    check_published(&decisions);
    for (user, source) in [("ben", "/python-guide"), ("tess", "/typescript-guide")] {
        check_guarded(&decisions, user, source);
        let shown = api.get(&format!("/v1/workspaces/acme/users/{user}")).await;
        assert_eq!((&shown["used"], &shown["held"]), (&json!(11.5), &json!(0)), "{shown}");
    }
    std::fs::remove_dir_all(&desk.folder).unwrap();
    std::fs::remove_file(rates).unwrap();
    assert!(service.stop(), "{}", installation.log());
    installation.remove().await;
}

async fn decisions(installation: &Installation, count: usize) -> Vec<Value> {
    let messages = read_to_end(installation, &installation.settings.kafka.topics.decisions, count).await;
    messages.iter().map(|message| serde_json::from_slice(message.payload().unwrap()).unwrap()).collect()
}

/// Both languages' events: what was given, what the rate card made of the tokens, all in one partition.
fn check_published(decisions: &[Value]) {
    let find = |id: &str| decisions.iter().find(|decision| decision["event_id"] == id).unwrap();
    for (id, credits) in [("py-1", 2.5), ("py-2", 2.0), ("ts-1", 2.5), ("ts-2", 2.0)] {
        let decision = find(id);
        assert_eq!(decision["credits"].as_f64(), Some(credits), "{decision}");
        assert_eq!(decision["partition"], find("py-1")["partition"], "one workspace, one partition");
    }
}

/// One call was settled, one was too late for its hold and came as an event; nothing else was decided.
fn check_guarded(decisions: &[Value], user: &str, source: &str) {
    let own: Vec<&Value> = decisions.iter().filter(|decision| decision["user"] == user).collect();
    assert_eq!(own.len(), 2, "{own:#?}");
    let from = |source: &str| own.iter().find(|decision| decision["source"] == source).unwrap();
    let (settled, late) = (from("tollgate:holds"), from(source));
    assert_eq!((&settled["credits"], &settled["hold"]), (&json!(7.5), &settled["event_id"]), "{settled}");
    assert_eq!(
        (late["credits"].as_f64(), &late["feature"]),
        (Some(4.0), &json!("image_generation")),
        "{late}"
    );
}

#[test]
fn every_reason_of_a_dead_letter_is_explained() {
    let guide = document("producers.md");
    for reason in RejectReason::ALL {
        assert!(guide.contains(&format!("\n| `{}` | ", reason.as_str())), "{}", reason.as_str());
    }
}
