//! More names than anybody has: nothing of them is a label, and memory stays within bounds.
//!
//! `TOLLGATE_NAMES=100000 cargo test --test it more_names`: so many new users and features, and a tenth of
//! that of new workspaces.

use std::collections::BTreeSet;

use tollgate::kafka::Message;

use super::memory_mib;
use crate::support::{Installation, Service, until};

const NAMES: usize = 20_000;
/// In a build for development.
const MEMORY_MIB_MAX: u64 = 1024;

fn event(n: usize, workspaces: usize) -> Message {
    let workspace = format!("workspace-{}", n % workspaces);
    let event = format!(
        r#"{{"id":"e{n}","workspace":"{workspace}","user":"user-{n}","feature":"feature-{n}","credits":1,"model":"model-{n}"}}"#
    );
    Message { key: Some(workspace.into()), payload: Some(event.into_bytes()), headers: Vec::new() }
}

/// What stands before the value of each series.
async fn series(service: &Service) -> BTreeSet<String> {
    let page = service.get("/metrics").await.unwrap();
    let lines = page.lines().filter(|line| line.starts_with("tollgate_"));
    lines.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
}

#[tokio::test]
async fn more_names_than_anybody_has_are_no_labels() {
    let names = std::env::var("TOLLGATE_NAMES").map_or(NAMES, |n| n.parse().unwrap());
    let it = Installation::new("many", "").await;
    let service = it.serve().await;
    let topic = &it.settings.kafka.topics.events;
    let first: Vec<Message> = (0..100).map(|n| event(n, 10)).collect();
    it.stores.producer.publish(topic, &first).await.unwrap();
    until(&it, "SELECT toString(count()) FROM usage_events", "100").await;
    let (before, memory) = (series(&service).await, memory_mib(&service));
    let started = std::time::Instant::now();
    let all: Vec<Message> = (100..names).map(|n| event(n, names / 10)).collect();
    for chunk in all.chunks(5_000) {
        it.stores.producer.publish(topic, chunk).await.unwrap();
    }
    until(&it, "SELECT toString(count()) FROM usage_events", &names.to_string()).await;
    let (after, seconds) = (series(&service).await, started.elapsed().as_secs_f64());
    let now = memory_mib(&service);
    println!(
        "{names} users and features, {} workspaces in {seconds:.1} s: {} series became {}, memory now and at most \
         {memory:?} MiB became {now:?} MiB",
        names / 10,
        before.len(),
        after.len()
    );
    let new: Vec<&String> = after.difference(&before).filter(|name| name.contains("-1")).collect();
    assert!(new.is_empty(), "a name is a label: {new:?}");
    assert!(after.len() <= before.len() + 20, "{:?}", after.difference(&before).collect::<Vec<_>>());
    assert!(now.1 < MEMORY_MIB_MAX, "{now:?} MiB");
    assert!(service.stop(), "{}", it.log());
    it.remove().await;
}
