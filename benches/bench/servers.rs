//! The three servers: where they are, what they have cost, and whether they are at rest.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clickhouse::Client;
use tollgate::config::Settings;

use super::processes;

/// A server at rest takes less than this share of a core.
const REST_CORES_MAX: f64 = 0.12;
const REST_LOOK: Duration = Duration::from_millis(500);
const REST_WAIT_MAX: Duration = Duration::from_secs(40);

/// CPU time so far, in microseconds, by name.
pub type Cpu = BTreeMap<&'static str, u64>;

/// The servers that everybody uses.
pub struct Servers {
    pub settings: Settings,
    pids: Vec<(&'static str, u32)>,
}

impl Servers {
    /// Those of the settings in force; all of them run on this machine.
    pub fn find() -> anyhow::Result<Self> {
        let settings = Settings::load(None)?;
        let addresses = [
            ("kafka", &settings.kafka.brokers),
            ("redis", &settings.redis.url),
            ("clickhouse", &settings.clickhouse.url),
        ];
        let mut pids = Vec::new();
        for (name, address) in addresses {
            let pid = port(address).and_then(processes::listener);
            pids.push((
                name,
                pid.ok_or_else(|| anyhow::anyhow!("{name} is not on this machine: {address}"))?,
            ));
        }
        let servers = Self { settings, pids };
        // Scripts of other versions, which tests and earlier builds have left, make Lua's garbage collector slow.
        ::redis::cmd("SCRIPT").arg("FLUSH").arg("SYNC").query::<()>(&mut servers.redis()?)?;
        Ok(servers)
    }

    /// What they and this process have cost so far.
    pub fn cpu(&self, contender: u32) -> Cpu {
        let all: Vec<_> = self.pids.iter().copied().chain([("contender", contender)]).collect();
        processes::cpu_micros(&all)
    }

    /// Waits until the one before has left no work behind: merges, deletions, compactions.
    pub fn rest(&self) {
        let deadline = Instant::now() + REST_WAIT_MAX;
        loop {
            let (before, started) = (processes::cpu_micros(&self.pids), Instant::now());
            std::thread::sleep(REST_LOOK);
            let after = processes::cpu_micros(&self.pids);
            let micros: u64 = after.iter().map(|(name, micros)| micros.saturating_sub(before[name])).sum();
            let is_still = micros as f64 / 1e6 / started.elapsed().as_secs_f64() < REST_CORES_MAX;
            if is_still || Instant::now() > deadline {
                return;
            }
        }
    }

    /// ClickHouse, in this database.
    pub fn tables(&self, database: &str) -> Client {
        Client::default()
            .with_url(&self.settings.clickhouse.url)
            .with_database(database)
            .with_validation(false)
    }

    /// A connection to Redis.
    pub fn redis(&self) -> anyhow::Result<::redis::Connection> {
        Ok(::redis::Client::open(self.settings.redis.url.as_str())?.get_connection()?)
    }

    /// Bytes that Redis holds.
    pub fn redis_bytes(&self) -> anyhow::Result<i64> {
        let text: String = ::redis::cmd("INFO").arg("memory").query(&mut self.redis()?)?;
        let line = text.lines().find_map(|line| line.strip_prefix("used_memory:"));
        Ok(line.unwrap_or_default().trim().parse()?)
    }

    /// How many script calls Redis has run.
    pub fn script_calls(&self) -> anyhow::Result<u64> {
        let text: String = ::redis::cmd("INFO").arg("commandstats").query(&mut self.redis()?)?;
        let line = text.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
        Ok(line.and_then(|line| line.split(',').next()).unwrap_or("0").parse()?)
    }

    /// Deletes every key that begins so.
    pub fn forget(&self, name: &str) -> anyhow::Result<()> {
        let (mut redis, mut cursor) = (self.redis()?, 0_u64);
        loop {
            let mut scan = ::redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(format!("{name}:*")).arg("COUNT").arg(10_000);
            let (next, keys): (u64, Vec<Vec<u8>>) = scan.query(&mut redis)?;
            if !keys.is_empty() {
                ::redis::cmd("UNLINK").arg(keys).query::<()>(&mut redis)?;
            }
            cursor = next;
            if cursor == 0 {
                return Ok(());
            }
        }
    }
}

/// The port in `host:port`, `redis://host:port/0` or `http://host:port`.
fn port(address: &str) -> Option<u16> {
    let digits = address.rsplit_once(':')?.1;
    digits.split(['/', ',']).next()?.parse().ok()
}
