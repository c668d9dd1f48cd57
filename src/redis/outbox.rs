//! Ledger entries between the script that made them and Kafka's acknowledgement.

use ::redis::streams::StreamRangeReply;

use super::RedisError;
use super::codec::{Malformed, Unpacker};
use super::ledger::RedisLedger;
use crate::domain::ledger::{Account, Entry, Pending, Posting};
use crate::domain::period::{Day, Instant};
use crate::domain::ports::Outbox;
use crate::domain::{Credits, WorkspaceId};

/// How long a process that died keeps others from relaying its shard, in milliseconds.
const CLAIM_MS: u64 = 10_000;

/// Deletes the claim if it is still that of the caller.
pub(super) const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end return ''";

impl Outbox for RedisLedger {
    type Error = RedisError;

    fn shards(&self) -> u16 {
        self.keys.shards()
    }

    async fn claim(&self, shard: u16) -> Result<bool, RedisError> {
        let mut command = ::redis::cmd("SET");
        command.arg(self.keys.relay(shard)).arg(&self.token).arg("NX").arg("PX").arg(CLAIM_MS);
        Ok(self.link.query::<Option<String>>(&command).await?.is_some())
    }

    async fn release(&self, shard: u16) -> Result<(), RedisError> {
        self.link.run(&self.release, &self.keys.relay(shard), self.token.as_bytes()).await.map(drop)
    }

    async fn pending(&self, shard: u16, max: usize) -> Result<Vec<Pending>, RedisError> {
        let mut command = ::redis::cmd("XRANGE");
        command.arg(self.keys.outbox(shard)).arg("-").arg("+").arg("COUNT").arg(max);
        let reply: StreamRangeReply = self.link.query(&command).await?;
        let mut pending = Vec::with_capacity(reply.ids.len());
        for item in reply.ids {
            let bytes: Vec<u8> = item.get("entry").unwrap_or_default();
            pending.push(Pending { entry: read(&bytes)?, id: item.id });
        }
        Ok(pending)
    }

    async fn acknowledged(&self, shard: u16, ids: &[String]) -> Result<(), RedisError> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut command = ::redis::cmd("XDEL");
        command.arg(self.keys.outbox(shard)).arg(ids);
        self.link.query::<i64>(&command).await.map(drop)
    }
}

fn read(bytes: &[u8]) -> Result<Entry, Malformed> {
    let mut input = Unpacker::new(bytes);
    if input.array()? != 11 {
        return Err(Malformed("an outbox entry has 11 parts".to_owned()));
    }
    let workspace = WorkspaceId::parse(input.text()?).map_err(|fault| Malformed(fault.to_string()))?;
    let [epoch, sequence] = input.ints()?.map(|number: i64| number as u64);
    let kind = input.text()?.to_owned();
    let period = day(input.text()?)?;
    let at = Instant::from_millis(input.int()?);
    let actor = input.text()?.to_owned();
    let reason = some(input.text()?);
    let idempotency_key = some(input.text()?);
    let postings = (0..input.array()? / 3).map(|_| posting(&mut input)).collect::<Result<_, _>>()?;
    let change = if kind == "opening" { opening(&mut input)? } else { change(input.text()?)? };
    Ok(Entry {
        workspace,
        epoch,
        sequence,
        kind,
        actor,
        reason,
        idempotency_key,
        period,
        at,
        postings,
        change,
    })
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn day(text: &str) -> Result<Day, Malformed> {
    text.parse().map_err(|_| Malformed(format!("period {text:?}")))
}

fn account(text: &str) -> Result<Account, Malformed> {
    text.parse().map_err(|_| Malformed(format!("account {text:?}")))
}

fn posting(input: &mut Unpacker<'_>) -> Result<Posting, Malformed> {
    let (account, period) = (account(input.text()?)?, day(input.text()?)?);
    Ok(Posting { account, period, credits: Credits::from_micro(input.int()?) })
}

fn change(text: &str) -> Result<serde_json::Value, Malformed> {
    serde_json::from_str(text).map_err(|fault| Malformed(format!("a change that is no JSON: {fault}")))
}

/// An opening tells what the plan brought, and which standing amounts did not fit.
fn opening(input: &mut Unpacker<'_>) -> Result<serde_json::Value, Malformed> {
    input.array()?;
    let monthly_credits = Credits::from_micro(input.int()?);
    let mut shortfalls = Vec::new();
    for _ in 0..input.array()? / 2 {
        let (account, credits) = (account(input.text()?)?, Credits::from_micro(input.int()?));
        shortfalls.push(serde_json::json!({ "account": account, "credits": credits }));
    }
    Ok(serde_json::json!({ "kind": "opening", "monthly_credits": monthly_credits, "shortfalls": shortfalls }))
}
