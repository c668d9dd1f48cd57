//! What it was measured on.

use std::fs;
use std::process::Command;

use serde::Serialize;

use crate::servers::Servers;

/// The machine, and what ran on it.
#[derive(Serialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub memory_gib: f64,
    pub kernel: String,
    pub kafka: String,
    pub redis: String,
    pub clickhouse: String,
    pub java: String,
    pub librdkafka: String,
    /// Of this program.
    pub commit: String,
    pub date: String,
}

impl Machine {
    /// Asks around.
    pub async fn read(servers: &Servers) -> anyhow::Result<Self> {
        let info: String = ::redis::cmd("INFO").arg("server").query(&mut servers.redis()?)?;
        let clickhouse: String = servers.tables("default").query("SELECT version()").fetch_one().await?;
        let memory = field("/proc/meminfo", "MemTotal", ':').trim_end_matches(" kB").parse::<f64>()?;
        let pins = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/local/pins.sh");
        Ok(Self {
            processor: field("/proc/cpuinfo", "model name", ':'),
            cores: std::thread::available_parallelism()?.get(),
            memory_gib: (memory / 1024.0 / 102.4).round() / 10.0,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            kafka: first_word(&field(pins, "KAFKA_VERSION", '=')),
            redis: line_of(&info, "redis_version", ':'),
            clickhouse,
            java: said("java", &["--version"]),
            librdkafka: rdkafka::util::get_rdkafka_version().1,
            commit: said("git", &["rev-parse", "--short", "HEAD"]),
            date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
        })
    }
}

fn field(file: &str, name: &str, between: char) -> String {
    line_of(&fs::read_to_string(file).unwrap_or_default(), name, between)
}

fn line_of(text: &str, name: &str, between: char) -> String {
    let lines = text.lines().filter_map(|line| line.split_once(between));
    let found = lines.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned()).next();
    found.unwrap_or_else(|| "unknown".to_owned())
}

fn first_word(text: &str) -> String {
    text.split_whitespace().next().unwrap_or_default().to_owned()
}

/// The first line that a command prints.
fn said(command: &str, arguments: &[&str]) -> String {
    let output = Command::new(command).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").to_owned()
}
