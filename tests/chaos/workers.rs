//! The workers: `tollgate serve` as child processes, each with proxies and a configuration of its own. Who ends is
//! started again, as a supervisor would.

use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::process::{peak_kib, signal};
use crate::proxy::Proxy;
use crate::servers::{Ports, free_ports};

/// Name of the consumer group, the database and the keys.
pub const NAME: &str = "chaos";
/// Partitions that topics begin with.
pub const PARTITIONS: i32 = 4;
/// Shards of the keys.
pub const SHARDS: u16 = 4;
/// The session timeout of the group; the smallest that Kafka allows by default.
pub const SESSION: Duration = Duration::from_secs(6);
const SIGABRT: i32 = 6;

/// What stands between one worker and its servers.
pub struct Proxies {
    /// Redis.
    pub redis: Proxy,
    /// ClickHouse.
    pub tables: Proxy,
}

impl Proxies {
    /// To these servers.
    pub async fn new(ports: Ports) -> Self {
        Self { redis: Proxy::new(ports.redis[0]).await, tables: Proxy::new(ports.tables).await }
    }
}

/// Writes the configuration of one process, and says where it listens.
pub fn configure(folder: &Path, name: &str, ports: Ports, proxies: &Proxies) -> (PathBuf, u16) {
    let [api, ops] = free_ports();
    let (redis, tables) = (proxies.redis.port(), proxies.tables.port());
    let text = format!(
        "kafka.brokers = \"127.0.0.1:{}\"\nkafka.group = \"{NAME}\"\nkafka.topics.partitions = {PARTITIONS}\n\
         kafka.consumer.session_timeout_ms = {}\nkafka.consumer.revoke_deadline_ms = 2000\n\
         kafka.consumer.close_deadline_ms = 3000\nkafka.consumer.stall_exit_after_s = 30\n\
         kafka.producer.delivery_timeout_ms = 10000\n\
         redis.url = \"redis://127.0.0.1:{redis}/0\"\nredis.name = \"{NAME}\"\nredis.shards = {SHARDS}\n\
         redis.connect_timeout_ms = 1000\nredis.response_timeout_ms = 1000\n\
         clickhouse.url = \"http://127.0.0.1:{tables}\"\nclickhouse.database = \"{NAME}\"\n\
         clickhouse.insert_timeout_ms = 5000\nclickhouse.query_timeout_ms = 5000\n\
         pipeline.retry_pause_ms_max = 500\npipeline.record_interval_ms = 200\npipeline.audit_interval_seconds = 10\n\
         http.listen = \"127.0.0.1:{api}\"\nhttp.request_timeout_ms = 8000\nops.listen = \"127.0.0.1:{ops}\"\n",
        ports.kafka,
        SESSION.as_millis()
    );
    let file = folder.join(format!("{name}.toml"));
    std::fs::write(&file, text).unwrap();
    (file, api)
}

/// The program with a configuration.
pub fn program(file: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.arg("--config").arg(file).args(arguments).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// How a worker ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// At the point that it was armed with.
    AtPoint(String),
    /// With an error of its own.
    ByItself(String),
    /// As it was told, or killed by the run.
    AsTold,
}

/// One worker.
pub struct Worker {
    /// Which one, from 0.
    pub number: usize,
    file: PathBuf,
    log: PathBuf,
    child: Option<Child>,
    armed: Option<String>,
    started: Instant,
    peak_kib: u64,
    /// Whether it is meant to run.
    pub wanted: bool,
}

impl Worker {
    /// One that does not run yet.
    pub fn new(number: usize, file: PathBuf) -> Self {
        let log = file.with_extension("log");
        let (child, armed, started) = (None, None, Instant::now());
        Self { number, file, log, child, armed, started, peak_kib: 0, wanted: true }
    }

    /// Starts it, to die at a point when one is named.
    pub fn start(&mut self, point: Option<&str>) {
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let mut command = program(&self.file, &["serve"]);
        self.armed = point.map(str::to_owned);
        if let Some(point) = point {
            command.env("TOLLGATE_CRASH_AT", point);
        }
        self.child = Some(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        self.started = Instant::now();
    }

    /// How it ended, once, and starts it again when it has ended a moment ago.
    pub fn tend(&mut self) -> Option<Ended> {
        if let Some(child) = &mut self.child {
            self.peak_kib = self.peak_kib.max(peak_kib(child.id()));
            let status = child.try_wait().unwrap()?;
            self.child = None;
            return Some(self.ended(status));
        }
        if self.wanted && self.started.elapsed() > Duration::from_millis(700) {
            self.start(None);
        }
        None
    }

    fn ended(&mut self, status: ExitStatus) -> Ended {
        match (status.signal(), self.armed.take()) {
            (Some(SIGABRT), Some(point)) => Ended::AtPoint(point),
            (None, _) if !status.success() => Ended::ByItself(self.last_words()),
            (Some(SIGABRT), None) => Ended::ByItself(format!("aborted: {}", self.last_words())),
            _ => Ended::AsTold,
        }
    }

    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().rev().find(|line| line.starts_with("tollgate:")).unwrap_or_default().to_owned()
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        if let Some(child) = &self.child {
            signal(child.id(), name);
        }
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|status| status.is_none()))
    }

    /// Kills it at once.
    pub fn kill(&mut self) {
        self.signal("KILL");
        self.wait(Duration::from_secs(5));
    }

    /// Asks it to stop, and waits; killed when it does not.
    pub fn stop(&mut self) {
        self.wanted = false;
        self.signal("TERM");
        if !self.wait(Duration::from_secs(40)) {
            self.kill();
        }
        self.child = None;
    }

    fn wait(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.runs() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        !self.runs()
    }

    /// The most memory that it ever had, in KiB.
    pub fn peak_kib(&self) -> u64 {
        self.peak_kib
    }

    /// How often its log has a word.
    pub fn said(&self, word: &str) -> usize {
        std::fs::read_to_string(&self.log).unwrap_or_default().matches(word).count()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = (child.kill(), child.wait());
        }
    }
}
