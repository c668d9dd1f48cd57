//! The five topics: created by `migrate`, checked at every start, never changed or deleted by us.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode as Code;

use std::fmt;

use super::{KafkaError, Settings};

/// How often brokers are asked whether they know a new topic.
const SHOWN_PAUSE: Duration = Duration::from_millis(50);

type Admin = AdminClient<DefaultClientContext>;

/// What `migrate` found or made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicReport {
    /// The topic.
    pub name: String,
    /// Made now; otherwise it existed.
    pub created: bool,
    /// Where an existing one differs from what we would make, a sentence each.
    pub differences: Vec<String>,
}

impl fmt::Display for TopicReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "topic {} {}", self.name, if self.created { "created" } else { "is there" })?;
        self.differences.iter().try_for_each(|difference| write!(f, "; {difference}"))
    }
}

/// Creates the topics that are missing and compares those that exist; nothing existing is changed.
/// Errors: Kafka away, or a topic refused.
pub async fn ensure(settings: &Settings) -> Result<Vec<TopicReport>, KafkaError> {
    let admin = admin(settings)?;
    let plans = plans(settings);
    let options = options(settings);
    let new: Vec<NewTopic<'_>> = plans.iter().map(Plan::new_topic).collect();
    let results = admin.create_topics(&new, &options).await.map_err(KafkaError::client("creating topics"))?;
    let mut reports = Vec::with_capacity(plans.len());
    for (plan, result) in plans.iter().zip(results) {
        let created = match result {
            Ok(_) => true,
            Err((_, Code::TopicAlreadyExists)) => false,
            Err((topic, code)) => return Err(KafkaError::Topic { topic, code }),
        };
        reports.push(TopicReport { name: plan.name.clone(), created, differences: Vec::new() });
    }
    let admin = shown(settings, admin, &plans).await?;
    compare(settings, admin, &plans, &mut reports).await?;
    Ok(reports)
}

/// Waits until brokers tell of every topic: they learn of a new one a moment after it was made.
async fn shown(settings: &Settings, mut admin: Admin, plans: &[Plan]) -> Result<Admin, KafkaError> {
    let deadline = Instant::now() + timeout(settings);
    loop {
        let there;
        (admin, there) = partitions(admin, timeout(settings)).await?;
        let missing = plans.iter().filter(|plan| !there.contains_key(&plan.name));
        let missing: Vec<String> = missing.map(|plan| plan.name.clone()).collect();
        match missing.is_empty() {
            true => return Ok(admin),
            false if Instant::now() > deadline => return Err(KafkaError::MissingTopics(missing)),
            false => tokio::time::sleep(SHOWN_PAUSE).await,
        }
    }
}

/// Errors when a topic is missing, naming all that are.
pub async fn check(settings: &Settings) -> Result<(), KafkaError> {
    let (_, there) = partitions(admin(settings)?, timeout(settings)).await?;
    let names = settings.topics.names().into_iter();
    let missing: Vec<String> = names.filter(|n| !there.contains_key(*n)).map(str::to_owned).collect();
    if missing.is_empty() { Ok(()) } else { Err(KafkaError::MissingTopics(missing)) }
}

/// A topic as we would make it.
struct Plan {
    name: String,
    partitions: i32,
    replication: i32,
    config: Vec<(&'static str, String)>,
}

impl Plan {
    fn new_topic(&self) -> NewTopic<'_> {
        let topic = NewTopic::new(&self.name, self.partitions, TopicReplication::Fixed(self.replication));
        self.config.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
    }

    fn differences(&self, partitions: Option<i32>, config: &BTreeMap<String, String>) -> Vec<String> {
        let mut found = Vec::new();
        if let Some(there) = partitions.filter(|there| *there != self.partitions) {
            found.push(format!("has {there} partitions, settings say {}", self.partitions));
        }
        for (key, wanted) in &self.config {
            if let Some(there) = config.get(*key).filter(|there| *there != wanted) {
                found.push(format!("has {key} {there}, settings say {wanted}"));
            }
        }
        found
    }
}

fn plans(settings: &Settings) -> Vec<Plan> {
    let topics = &settings.topics;
    topics.names().into_iter().map(|name| plan(settings, name)).collect()
}

fn plan(settings: &Settings, name: &str) -> Plan {
    let topics = &settings.topics;
    let retention_ms = if name == topics.ledger { -1 } else { i64::from(topics.retention_hours) * 3_600_000 };
    let in_sync = if topics.replication_factor >= 3 { 2 } else { 1 };
    Plan {
        name: name.to_owned(),
        partitions: topics.partitions,
        replication: topics.replication_factor,
        config: vec![
            ("message.timestamp.type", "LogAppendTime".to_owned()),
            ("cleanup.policy", "delete".to_owned()),
            ("retention.ms", retention_ms.to_string()),
            ("max.message.bytes", topics.bytes_max(name).to_string()),
            ("min.insync.replicas", in_sync.to_string()),
        ],
    }
}

/// Fills in the differences of the topics that existed before.
async fn compare(
    settings: &Settings,
    admin: Admin,
    plans: &[Plan],
    reports: &mut [TopicReport],
) -> Result<(), KafkaError> {
    let (admin, there) = partitions(admin, timeout(settings)).await?;
    let names: Vec<ResourceSpecifier<'_>> =
        plans.iter().map(|plan| ResourceSpecifier::Topic(&plan.name)).collect();
    let doing = "describing topics";
    let described = admin.describe_configs(&names, &options(settings)).await;
    let described = described.map_err(KafkaError::client(doing))?;
    for ((plan, report), config) in plans.iter().zip(reports).zip(described) {
        let config =
            config.map_err(|code| KafkaError::Topic { topic: plan.name.clone(), code })?.entries.into_iter();
        let config = config.filter_map(|entry| Some((entry.name, entry.value?))).collect();
        if !report.created {
            report.differences = plan.differences(there.get(&plan.name).copied(), &config);
        }
        for difference in &report.differences {
            tracing::warn!(topic = report.name, difference, "topic differs from the settings");
        }
    }
    Ok(())
}

/// Every topic's partition count. The driver's call blocks, so it runs elsewhere.
async fn partitions(admin: Admin, timeout: Duration) -> Result<(Admin, BTreeMap<String, i32>), KafkaError> {
    let look = move || {
        let doing = "reading the list of topics";
        // All topics: naming one that is missing would make a broker with auto-creation create it.
        let metadata = admin.inner().fetch_metadata(None, timeout).map_err(KafkaError::client(doing))?;
        let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        let there = metadata.topics().iter().map(|t| (t.name().to_owned(), count(t.partitions().len())));
        let there = there.collect();
        Ok((admin, there))
    };
    tokio::task::spawn_blocking(look).await.map_err(|_| KafkaError::ThreadGone)?
}

fn admin(settings: &Settings) -> Result<Admin, KafkaError> {
    settings.client().create().map_err(KafkaError::client("making an administrative client"))
}

fn timeout(settings: &Settings) -> Duration {
    Duration::from_millis(settings.topics.request_timeout_ms)
}

fn options(settings: &Settings) -> AdminOptions {
    let timeout = Some(timeout(settings));
    AdminOptions::new().request_timeout(timeout).operation_timeout(timeout)
}
