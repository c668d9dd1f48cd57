//! Tollgate as a contender: the real binary as a process, with an installation of its own that reads the
//! data set's topic.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use tollgate::domain::WorkspaceId;
use tollgate::domain::change::Author;
use tollgate::domain::period::Instant as Moment;
use tollgate::kafka::Settings as KafkaSettings;
use tollgate::simulate::Spec;

use super::checksum::{of_rows, used_of_rows};
use super::installation::{Installation, Service};
use super::run::{Run, check, difference};
use super::servers::Servers;
use super::sets::Set;
use super::topics::Watch;
use super::{processes, setup};

/// Workspaces whose plans are set at the same time.
const PLANS_AT_ONCE: usize = 32;
/// Nothing committed for so long is a service that stands still.
const STILL_MAX: Duration = Duration::from_secs(60);

const ROLLUPS: &str = "SELECT workspace, user, feature, events,
    toInt64(toDecimal128(credits, 6) * 1000000) AS micro, denied_events AS denied FROM usage_rollups";
const EVENTS: &str = "SELECT workspace, user, feature, toUInt64(outcome != 'denied') AS events,
    if(outcome != 'denied', toInt64(toDecimal128(credits, 6) * 1000000), 0) AS micro,
    toUInt64(outcome = 'denied') AS denied FROM usage_events";
const POOLS: &str = "SELECT workspace, toInt64(toDecimal128(used, 6) * 1000000) FROM account_balances
    WHERE account = 'pool'";

/// One drain, from the service's readiness to the last commit.
pub async fn run(servers: &Servers, set: &Set) -> anyhow::Result<Run> {
    let installation = prepare("bench-tollgate", &set.spec).await?;
    servers.rest();
    let redis_before = servers.redis_bytes()?;
    let service = serve(&installation, &set.topic).await;
    let (started, before) = (Instant::now(), servers.cpu(service.pid()));
    let mut kafka = installation.settings.kafka.clone();
    kafka.topics.events.clone_from(&set.topic);
    let watch = Watch::new(&kafka);
    let outcome = until_committed(&watch, set.spec.records);
    let (elapsed, after) = (started.elapsed(), servers.cpu(service.pid()));
    let rss_kib = processes::rss_kib_max(service.pid());
    anyhow::ensure!(service.stop(), "the service ended with an error: {}", installation.log());
    outcome.map_err(|fault| fault.context(installation.log()))?;
    let run = Run {
        records: set.spec.records,
        seconds: elapsed.as_secs_f64(),
        cpu: difference(&after, &before),
        rss_kib,
        redis_bytes: servers.redis_bytes()? - redis_before,
    };
    verify(servers, &installation, set, &kafka).await?;
    installation.remove().await;
    Ok(run)
}

/// An installation with the plans and limits of a data set; their ledger entries have gone their way.
pub async fn prepare(what: &str, spec: &Spec) -> anyhow::Result<Installation> {
    let installation = Installation::new(what, "").await;
    let (ledger, relay) = (&installation.stores.ledger, installation.stores.relay(&installation.settings));
    let (at, author) =
        (Moment::from_micros(spec.start_micros), Author { actor: "bench".to_owned(), ..Author::default() });
    let plans = spec.plans();
    let plan = async |w: usize| {
        let workspace = WorkspaceId::parse(&spec.workspaces[w])?;
        for change in setup::changes(&plans, w, spec.users_per_workspace) {
            ledger.change(&workspace, &change, &author, at).await?.map_err(|no| anyhow::anyhow!("{no:?}"))?;
        }
        anyhow::Ok(())
    };
    stream::iter(0..spec.workspaces.len())
        .map(plan)
        .buffer_unordered(PLANS_AT_ONCE)
        .try_collect::<()>()
        .await?;
    for shard in 0..installation.settings.redis.shards {
        relay.relay_now(shard).await?;
        relay.record(shard).await?;
    }
    Ok(installation)
}

/// The service, reading this topic instead of the installation's own.
pub async fn serve(installation: &Installation, topic: &str) -> Service {
    let mut command = installation.command(&["serve"]);
    command.env("TOLLGATE__KAFKA__TOPICS__EVENTS", topic);
    installation.start(command).await
}

fn until_committed(watch: &Watch<'_>, records: u64) -> anyhow::Result<()> {
    let (mut last, mut moved) = (-1, Instant::now());
    loop {
        let committed: i64 = watch.committed().iter().sum();
        if committed as u64 >= records {
            return Ok(());
        }
        if committed > last {
            (last, moved) = (committed, Instant::now());
        }
        anyhow::ensure!(moved.elapsed() < STILL_MAX, "{committed} of {records}, and nothing moves");
        std::thread::sleep(Duration::from_millis(20));
    }
}

async fn verify(
    servers: &Servers,
    installation: &Installation,
    set: &Set,
    kafka: &KafkaSettings,
) -> anyhow::Result<()> {
    let tables = servers.tables(&installation.settings.clickhouse.database);
    let sums = [
        ("usage_rollups", of_rows(&tables, ROLLUPS).await?),
        ("usage_events", of_rows(&tables, EVENTS).await?),
    ];
    check(set, &sums, &used_of_rows(&tables, POOLS).await?)?;
    let decisions: i64 = Watch::new(kafka).ends(&kafka.topics.decisions).iter().sum();
    anyhow::ensure!(
        decisions as u64 == set.spec.records,
        "{decisions} decisions of {} records",
        set.spec.records
    );
    Ok(())
}
