//! The data sets: published once, drained by everybody. Each also as a short one, of a tenth, for the
//! slow.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant as Clock};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use tollgate::domain::calendar::Calendar;
use tollgate::kafka::{Producer, Settings};
use tollgate::pipeline::decide::now;
use tollgate::simulate::{Encodings, Plans, Spec, Spread, Tally, Verdict, produce};

use super::checksum::{self, Used};
use super::kafka::client;
use super::ledger::unique;

pub const PARTITIONS: i32 = 12;
pub const USERS: usize = 50;
const ZIPF_WORKSPACES: usize = 10_000;
const ZIPF_EXPONENT: f64 = 1.1;
const FLAT_WORKSPACES: usize = 10;
const RESENDS_PER_10K: u32 = 200;
/// So that about one event in twenty is denied.
const LIMITED_USER_EVERY: usize = 8;
/// Longer than a day, so that the day turns on the way.
const DURATION_MICROS: i64 = 30 * 3_600_000_000;

/// Records in a topic, and what must become of them.
pub struct Set {
    /// `zipf` or `flat`.
    pub name: String,
    pub topic: String,
    pub spec: Spec,
    /// Of the payload, on average.
    pub bytes_per_event: f64,
    pub denied: u64,
    pub duplicates: u64,
    pub checksum: u64,
    pub used: Used,
    /// Pools and limits, a line each.
    pub plans: PathBuf,
}

/// What `zipf` and `flat` are.
pub fn spec(name: &str, records: u64) -> Spec {
    let (workspaces, spread) = match name {
        "zipf" => (ZIPF_WORKSPACES, Spread::Power(ZIPF_EXPONENT)),
        "flat" => (FLAT_WORKSPACES, Spread::Power(0.0)),
        other => panic!("TOLLGATE_BENCH_SETS: {other} is no data set"),
    };
    let workspaces = (0..workspaces).map(|n| format!("workspace-{n:05}")).collect();
    Spec {
        start_micros: start_micros(),
        duration_micros: DURATION_MICROS,
        resends_per_10k: RESENDS_PER_10K,
        limited_user_every: LIMITED_USER_EVERY,
        spread,
        encodings: Encodings { bare: 1, structured: 0, base64: 0, binary: 0 },
        by_the_book: true,
        ..Spec::new(1, workspaces, USERS, records)
    }
}

/// As many events of it as come in so many seconds, as old as if they came then.
pub fn live(name: &str, rate: u32, seconds: u32) -> Spec {
    let spec = spec(name, u64::from(rate) * u64::from(seconds));
    let duration_micros = i64::from(seconds) * 1_000_000;
    let start_micros = spec.start_micros + DURATION_MICROS - duration_micros;
    Spec { start_micros, duration_micros, ..spec }
}

/// All events fall into one period, and none is too old.
fn start_micros() -> i64 {
    let now = now();
    let month = Calendar::default().period_of(now).start.micros();
    let end = if now.micros() - DURATION_MICROS < month { month - 1 } else { now.micros() };
    end - DURATION_MICROS
}

impl Set {
    /// Publishes it.
    pub async fn publish(settings: &Settings, name: &str, records: u64) -> anyhow::Result<Self> {
        let (topic, spec) = (unique(&format!("bench-{name}")), spec(name, records));
        create_topic(settings, &topic).await?;
        let started = Clock::now();
        let published = produce(&Producer::new(settings)?, &topic, &spec, None, |_| ()).await?;
        let tally = published.tally;
        checksum::prove(&spec, &tally);
        let count = |verdict| tally.verdicts(verdict);
        let set = Self {
            name: name.to_owned(),
            bytes_per_event: published.bytes as f64 / records as f64,
            denied: count(Verdict::UserLimit) + count(Verdict::InsufficientCredits),
            duplicates: count(Verdict::Duplicate),
            checksum: checksum::expected(&spec, &tally),
            used: checksum::expected_used(&spec, &tally),
            plans: write_plans(&topic, &spec, &tally)?,
            topic,
            spec,
        };
        eprintln!("{}", set.description(started.elapsed()));
        Ok(set)
    }

    fn description(&self, elapsed: Duration) -> String {
        let records = self.spec.records;
        let percent = |part: u64| part as f64 * 100.0 / records as f64;
        format!(
            "{}: {records} events of {:.0} bytes published in {:.1} s; {:.1} % denied, {:.1} % duplicates",
            self.name,
            self.bytes_per_event,
            elapsed.as_secs_f64(),
            percent(self.denied),
            percent(self.duplicates),
        )
    }

    /// Removes the topic and the file.
    pub async fn remove(self, settings: &Settings) {
        let _ = std::fs::remove_file(&self.plans);
        remove_topics(settings, &[self.topic.as_str()]).await;
    }
}

async fn create_topic(settings: &Settings, topic: &str) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = client(&settings.brokers).create()?;
    let new = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1)).set("retention.ms", "-1");
    let created = admin.create_topics(&[new], &AdminOptions::new()).await?;
    created
        .into_iter()
        .try_for_each(|one| one.map(drop))
        .map_err(|(name, code)| anyhow::anyhow!("{name}: {code}"))
}

/// Deletes topics; those that are not there are no matter.
pub async fn remove_topics(settings: &Settings, topics: &[&str]) {
    let admin: AdminClient<DefaultClientContext> = client(&settings.brokers).create().unwrap();
    let _ = admin.delete_topics(topics, &AdminOptions::new()).await;
}

/// Tabs between workspace, user and microcredits; no user means the pool.
fn write_plans(topic: &str, spec: &Spec, tally: &Tally) -> anyhow::Result<PathBuf> {
    let (mut text, plans) = (String::new(), spec.plans());
    for (w, name) in spec.workspaces.iter().enumerate() {
        writeln!(text, "{name}\t\t{}", tally.workspaces[w].pool_micro)?;
        for (user, micro) in limits(spec, &plans, w) {
            writeln!(text, "{name}\t{user}\t{micro}")?;
        }
    }
    let file = std::env::temp_dir().join(format!("{topic}.tsv"));
    std::fs::write(&file, text)?;
    Ok(file)
}

/// Users with a limit, and the limit in microcredits.
pub fn limits(spec: &Spec, plans: &Plans, workspace: usize) -> impl Iterator<Item = (String, i64)> {
    let limited = move |user| Some((Spec::user_name(user), plans.limit_micro(workspace, user)?));
    (0..spec.users_per_workspace).filter_map(limited)
}
