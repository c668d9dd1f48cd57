//! What Redis alone gives: `redis-benchmark` calls a script, each call awaited, nothing in a pipeline. Once the
//! script that the API calls, with a check in it; once the least that could answer one: three reads.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::Context as _;
use tollgate::domain::WorkspaceId;
use tollgate::domain::calendar::Calendar;
use tollgate::domain::ports::Outbox as _;
use tollgate::pipeline::decide::now;
use tollgate::redis::{Packer, Unpacker};
use tollgate::simulate::Spec;

use crate::installation::Installation;
use crate::servers::Servers;

const CALLS: u32 = 200_000;
const CHECK: &str = concat!(
    include_str!("../../../src/redis/scripts/lib.lua"),
    include_str!("../../../src/redis/scripts/check.lua"),
);
const THREE_READS: &str = "local left = redis.call('HGET', KEYS[1], 'pool')
    local limit = redis.call('HGET', KEYS[1], 'limit')
    local spent = redis.call('HGET', KEYS[1], 'spent')
    if tonumber(left) < 10000 then return 0 end
    return tonumber(spent) + 10000 <= tonumber(limit) and 1 or 0";

/// Two scripts that Redis knows, and what they are called with.
pub struct Bare {
    port: String,
    three: Call,
    same: Call,
}

struct Call {
    sha: String,
    key: String,
}

impl Bare {
    /// Loads the scripts. Errors: an answer that is no answer to a check.
    pub async fn prepare(
        servers: &Servers,
        installation: &Installation,
        spec: &Spec,
    ) -> anyhow::Result<Self> {
        let mut redis = servers.redis()?;
        let name = &installation.settings.redis.name;
        let key = format!("{name}:three");
        let fields = [("pool", "1000000000"), ("limit", "1000000000"), ("spent", "5000000")];
        ::redis::cmd("HSET").arg(&key).arg(&fields[..]).query::<()>(&mut redis)?;
        let three = Call { sha: load(&mut redis, THREE_READS)?, key };
        let workspace = WorkspaceId::parse(&spec.workspaces[0])?;
        let shard = installation.stores.ledger.shard_of(&workspace);
        let version = calendar_version(&mut redis, &format!("{name}:{{s{shard:02}}}:w:{workspace}"))?;
        let script = with_argument(&check(&workspace, version));
        let same = Call { sha: load(&mut redis, &script)?, key: format!("{name}:{{s{shard:02}}}:heads") };
        anyhow::ensure!(call::<i64>(&mut redis, &three)? == 1, "three reads say no");
        let answer: Vec<u8> = call(&mut redis, &same)?;
        anyhow::ensure!(is_check(&answer), "no answer to a check: {}", String::from_utf8_lossy(&answer));
        let port =
            installation.settings.redis.url.rsplit_once(':').and_then(|(_, rest)| rest.split('/').next());
        Ok(Self { port: port.context("redis.url has no port")?.to_owned(), three, same })
    }

    /// Calls a second of the least script.
    pub fn three_reads(&self, connections: usize) -> anyhow::Result<f64> {
        self.run(&self.three, connections)
    }

    /// Calls a second of the API's script.
    pub fn same_script(&self, connections: usize) -> anyhow::Result<f64> {
        self.run(&self.same, connections)
    }

    fn run(&self, call: &Call, connections: usize) -> anyhow::Result<f64> {
        let (connections, calls) = (connections.to_string(), CALLS.to_string());
        let output = Command::new("redis-benchmark")
            .args(["-p", &self.port, "-c", &connections, "-n", &calls, "--csv"])
            .args(["EVALSHA", &call.sha, "1", &call.key])
            .output()
            .context("redis-benchmark, which comes with redis-tools")?;
        let text = String::from_utf8_lossy(&output.stdout);
        // Its last line: the call, whose argument may hold anything, then the rate and six latencies.
        let field = text.trim_end().rsplit("\",\"").nth(6);
        let rate = field.and_then(|field| field.parse().ok());
        rate.with_context(|| format!("redis-benchmark said {text:?}"))
    }
}

fn load(redis: &mut ::redis::Connection, script: &str) -> anyhow::Result<String> {
    Ok(::redis::cmd("SCRIPT").arg("LOAD").arg(script).query(redis)?)
}

fn call<T: ::redis::FromRedisValue>(redis: &mut ::redis::Connection, call: &Call) -> anyhow::Result<T> {
    Ok(::redis::cmd("EVALSHA").arg(&call.sha).arg(1).arg(&call.key).query(redis)?)
}

/// `redis-benchmark` ends an argument at its first zero byte: so this one stands in the script.
fn with_argument(argument: &[u8]) -> String {
    let mut text = "local ARGV = {'".to_owned();
    for byte in argument {
        let _ = write!(text, "\\{byte:03}");
    }
    text + "'}\n" + CHECK
}

fn calendar_version(redis: &mut ::redis::Connection, key: &str) -> anyhow::Result<i64> {
    let settings: Vec<u8> = ::redis::cmd("HGET").arg(key).arg("s").query(redis)?;
    let mut input = Unpacker::new(&settings);
    input.array()?;
    Ok(input.int()?)
}

/// One check, as the program packs it: see `check.lua`.
fn check(workspace: &WorkspaceId, version: i64) -> Vec<u8> {
    let (now, mut out) = (now(), Packer::default());
    out.array(2).int(now.millis()).array(1);
    out.array(9).text(workspace.as_str()).int(version).int(1).int(0);
    out.text(&Calendar::default().period_of(now).name.to_string()).int(1);
    out.text(&Spec::user_name(0)).text("ai_chat").int(10_000);
    out.into_bytes()
}

fn is_check(answer: &[u8]) -> bool {
    let mut input = Unpacker::new(answer);
    let mut read = || {
        input.array()?;
        let ok = input.text()? == "ok";
        input.array()?;
        input.array()?;
        Ok::<bool, tollgate::redis::Malformed>(ok && input.text()? == "check" && input.int()? == 1)
    };
    read().unwrap_or(false)
}
