//! The other contenders: processes that are told what to drain, measured from outside, and held to the
//! same checksum.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use super::checksum::{Used, of_rows, used_of_rows};
use super::contender::Contender;
use super::contenders::{Job, Line};
use super::ledger::unique;
use super::run::{Run, check, difference};
use super::servers::Servers;
use super::sets::{Set, limits, remove_topics};
use super::{processes, streams};

const ROLLUPS: &str = "SELECT workspace, user, feature, events, micro, denied FROM rollups";
const ROLLUPS_FINAL: &str = "SELECT workspace, user, feature, events, micro, denied FROM rollups FINAL";
const EVENTS: &str = "SELECT workspace, user, feature, toUInt64(outcome = 'allowed') AS events,
    if(outcome = 'allowed', micro, 0) AS micro, toUInt64(outcome != 'allowed') AS denied FROM events";
const POOLS_FINAL: &str = "SELECT workspace, used FROM pools FINAL";
/// Keys of one pipeline that sets or reads many.
const KEYS_AT_ONCE: usize = 1_000;

/// One drain, from the first record to the last commit.
pub async fn run(servers: &Servers, contender: Contender, set: &Set) -> anyhow::Result<Run> {
    let job = job(servers, contender, set);
    if contender.decides() {
        let sql = format!("CREATE DATABASE `{}`", job.name);
        servers.tables("default").query(&sql).execute().await?;
    }
    if contender.remembers_in_redis() {
        set_plans(servers, &job.name, set)?;
    }
    servers.rest();
    let redis_before = servers.redis_bytes()?;
    let mut peer = Peer::start(contender, &job)?;
    let before = servers.cpu(peer.child.id());
    let line = peer.work()?;
    let after = servers.cpu(peer.child.id());
    let run = Run {
        records: line.records,
        seconds: line.seconds,
        cpu: difference(&after, &before),
        rss_kib: processes::rss_kib_max(peer.child.id()),
        redis_bytes: servers.redis_bytes()? - redis_before,
    };
    peer.end()?;
    anyhow::ensure!(line.records == set.spec.records, "{} of {} records", line.records, set.spec.records);
    verify(servers, contender, set, &job.name).await?;
    clear(servers, contender, &job).await?;
    Ok(run)
}

fn job(servers: &Servers, contender: Contender, set: &Set) -> Job {
    let settings = &servers.settings;
    Job {
        brokers: settings.kafka.brokers.clone(),
        topic: set.topic.clone(),
        records: set.spec.records,
        name: unique(&format!("bench-{}", contender.name())),
        redis: settings.redis.url.clone(),
        clickhouse: settings.clickhouse.url.clone(),
        plans: set.plans.clone(),
    }
}

/// A contender's process.
struct Peer {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts it and waits until it is connected.
    fn start(contender: Contender, job: &Job) -> anyhow::Result<Self> {
        let mut command = match contender {
            Contender::Streams => streams::command(),
            _ => Command::new(std::env::current_exe()?),
        };
        if contender != Contender::Streams {
            command.args(["contender", contender.name()]);
        }
        command.arg(serde_json::to_string(job)?).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let said = child.stdout.take().ok_or_else(|| anyhow::anyhow!("no standard output"))?;
        let mut peer = Self { child, said: BufReader::new(said) };
        anyhow::ensure!(peer.line()? == "ready", "it did not become ready");
        Ok(peer)
    }

    /// Lets it work and waits for its last word.
    fn work(&mut self) -> anyhow::Result<Line> {
        self.go()?;
        Ok(serde_json::from_str(&self.line()?)?)
    }

    /// Lets it end.
    fn end(mut self) -> anyhow::Result<()> {
        self.go()?;
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "it ended with {status}");
        Ok(())
    }

    fn go(&mut self) -> anyhow::Result<()> {
        let stdin = self.child.stdin.as_mut().ok_or_else(|| anyhow::anyhow!("no standard input"))?;
        Ok(writeln!(stdin, "go")?)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        anyhow::ensure!(self.said.read_line(&mut line)? > 0, "it ended: {:?}", self.child.try_wait());
        Ok(line.trim().to_owned())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Both fail when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn set_plans(servers: &Servers, name: &str, set: &Set) -> anyhow::Result<()> {
    let (mut redis, plans) = (servers.redis()?, set.spec.plans());
    let pools: Vec<(String, i64)> =
        set.spec.workspaces.iter().enumerate().map(|(w, id)| (id.clone(), plans.pool_micro(w))).collect();
    for chunk in pools.chunks(KEYS_AT_ONCE) {
        let mut pipeline = ::redis::pipe();
        for (workspace, micro) in chunk {
            pipeline.hset(format!("{name}:pool:{workspace}"), "left", micro).ignore();
        }
        pipeline.query::<()>(&mut redis)?;
    }
    for (w, workspace) in set.spec.workspaces.iter().enumerate() {
        let mut pipeline = ::redis::pipe();
        for (user, micro) in limits(&set.spec, &plans, w) {
            pipeline.hset(format!("{name}:user:{workspace}:{user}"), "limit", micro).ignore();
        }
        pipeline.query::<()>(&mut redis)?;
    }
    Ok(())
}

async fn verify(servers: &Servers, contender: Contender, set: &Set, name: &str) -> anyhow::Result<()> {
    if !contender.decides() {
        return Ok(());
    }
    let tables = servers.tables(name);
    let rollups = if contender == Contender::Streams { ROLLUPS_FINAL } else { ROLLUPS };
    let sums = [("rollups", of_rows(&tables, rollups).await?), ("events", of_rows(&tables, EVENTS).await?)];
    let used = match contender {
        Contender::Streams => used_of_rows(&tables, POOLS_FINAL).await?,
        _ => used_of_redis(servers, set, name)?,
    };
    check(set, &sums, &used)
}

fn used_of_redis(servers: &Servers, set: &Set, name: &str) -> anyhow::Result<Used> {
    let (mut redis, mut used, plans) = (servers.redis()?, Used::new(), set.spec.plans());
    for (w, workspace) in set.spec.workspaces.iter().enumerate() {
        let left: i64 =
            ::redis::cmd("HGET").arg(format!("{name}:pool:{workspace}")).arg("left").query(&mut redis)?;
        used.insert(workspace.clone(), plans.pool_micro(w) - left);
    }
    used.retain(|_, micro| *micro != 0);
    Ok(used)
}

/// Nothing of a run stays but its figures.
async fn clear(servers: &Servers, contender: Contender, job: &Job) -> anyhow::Result<()> {
    if contender.decides() {
        let sql = format!("DROP DATABASE `{}` SYNC", job.name);
        servers.tables("default").query(&sql).execute().await?;
    }
    if contender.remembers_in_redis() {
        servers.forget(&job.name)?;
    }
    if contender == Contender::Streams {
        let topics = streams::STORES.map(|store| format!("{}-{store}-changelog", job.name));
        remove_topics(&servers.settings.kafka, &topics.each_ref().map(String::as_str)).await;
        // It makes a folder only if it has something to keep there.
        let _ = std::fs::remove_dir_all(std::env::temp_dir().join(&job.name));
    }
    Ok(())
}
