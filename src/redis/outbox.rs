//! What a script left for others to do: ledger entries, alerts and settles wait in the outbox until
//! Kafka has acknowledged them, and then, but for settles, in `rows` until they stand in a table.

use ::redis::streams::StreamRangeReply;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;

use super::RedisError;
use super::codec::{Malformed, Unpacker};
use super::ledger::RedisLedger;
use super::told::{id, read_day};
use crate::domain::alert::{Alert, AlertState, Scope};
use crate::domain::hold::Settle;
use crate::domain::ledger::{Account, Entry, Outgoing, Pending, Posting, Request};
use crate::domain::period::Instant;
use crate::domain::ports::Outbox;
use crate::domain::{Credits, FeatureId, HoldId, UserId, WorkspaceId};

/// How long a process that died keeps others from relaying its shard, in milliseconds.
const CLAIM_MS: u64 = 10_000;

/// Takes the claim if it is free, and renews it if it is the caller's: one who gave up on an answer has it still.
pub(super) const CLAIM: &str = "local owner = redis.call('GET', KEYS[1]) \
    if owner and owner ~= ARGV[1] then return '0' end \
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return '1'";

/// Deletes the claim if it is still that of the caller.
pub(super) const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end return ''";

impl Outbox for RedisLedger {
    type Error = RedisError;

    fn shards(&self) -> u16 {
        self.keys.shards()
    }

    fn shard_of(&self, workspace: &WorkspaceId) -> u16 {
        self.keys.shard_of(workspace)
    }

    async fn claim(&self, shard: u16) -> Result<bool, RedisError> {
        let mut call = self.claim.key(self.keys.relay(shard));
        call.arg(&self.token).arg(CLAIM_MS);
        Ok(self.office.invoke(&call).await? == b"1")
    }

    async fn release(&self, shard: u16) -> Result<(), RedisError> {
        self.office.run(&self.release, &self.keys.relay(shard), &[self.token.as_bytes()]).await.map(drop)
    }

    async fn pending(&self, shard: u16, max: usize) -> Result<Vec<Pending>, RedisError> {
        self.stream(&self.keys.outbox(shard), max).await
    }

    async fn published(&self, shard: u16, ids: &[String]) -> Result<(), RedisError> {
        let mut call = self.published.key(self.keys.heads(shard));
        for id in ids {
            call.arg(id);
        }
        self.office.invoke(&call).await.map(drop)
    }

    async fn unrecorded(&self, shard: u16, max: usize) -> Result<Vec<Pending>, RedisError> {
        self.stream(&self.keys.rows(shard), max).await
    }

    async fn recorded(&self, shard: u16, ids: &[String]) -> Result<(), RedisError> {
        let mut command = ::redis::cmd("XDEL");
        command.arg(self.keys.rows(shard)).arg(ids);
        self.office.query::<i64>(&command).await.map(drop)
    }
}

impl RedisLedger {
    async fn stream(&self, key: &str, max: usize) -> Result<Vec<Pending>, RedisError> {
        let mut command = ::redis::cmd("XRANGE");
        command.arg(key).arg("-").arg("+").arg("COUNT").arg(max);
        let reply: StreamRangeReply = self.office.query(&command).await?;
        let mut pending = Vec::with_capacity(reply.ids.len());
        for item in reply.ids {
            let bytes: Vec<u8> = item.get("entry").unwrap_or_default();
            pending.push(Pending { item: read(&bytes)?, id: item.id });
        }
        Ok(pending)
    }
}

fn read(bytes: &[u8]) -> Result<Outgoing, Malformed> {
    let mut input = Unpacker::new(bytes);
    match (input.array()?, input.text()?) {
        (15, "ledger") => read_entry(&mut input).map(Outgoing::Entry),
        (12, "alert") => read_alert(&mut input).map(Outgoing::Alert),
        (7, "settle") => read_settle(&mut input).map(Outgoing::Settle),
        (parts, word) => Err(Malformed(format!("{word:?} with {parts} parts in the outbox"))),
    }
}

fn read_entry(input: &mut Unpacker<'_>) -> Result<Entry, Malformed> {
    let workspace = id(WorkspaceId::parse(input.text()?))?;
    let [epoch, sequence] = input.ints()?.map(|number: i64| number as u64);
    let kind = input.text()?.to_owned();
    let period = read_day(input.text()?)?;
    let at = Instant::from_millis(input.int()?);
    let actor = input.text()?.to_owned();
    let (reason, idempotency_key) = (some(input.text()?), some(input.text()?));
    let (place, body) = (some(input.text()?), some(input.text()?));
    let postings = (0..input.array()? / 3).map(|_| posting(input)).collect::<Result<_, _>>()?;
    let change = if kind == "opening" { opening(input)? } else { change(input.text()?)? };
    let answer = Some(input.bytes()?).filter(|answer| !answer.is_empty()).map(|answer| BASE64.encode(answer));
    let request = place.zip(body).map(|(place, body)| Request { place, body, answer });
    Ok(Entry {
        workspace,
        epoch,
        sequence,
        kind,
        actor,
        reason,
        idempotency_key,
        request,
        period,
        at,
        postings,
        change,
    })
}

fn read_alert(input: &mut Unpacker<'_>) -> Result<Alert, Malformed> {
    let workspace = id(WorkspaceId::parse(input.text()?))?;
    let [epoch, sequence] = input.ints()?.map(|number: i64| number as u64);
    let scope = match input.int()? {
        0 => Scope::Pool,
        1 => Scope::Team,
        2 => Scope::User,
        other => return Err(Malformed(format!("scope {other}"))),
    };
    let subject = input.text()?.to_owned();
    let threshold = input.int()? as u8;
    let [used, total] = input.ints()?.map(Credits::from_micro);
    let (period, at) = (read_day(input.text()?)?, Instant::from_millis(input.int()?));
    let state = match input.int()? {
        0 => AlertState::Crossed,
        1 => AlertState::Recovered,
        2 => AlertState::Shortfall,
        other => return Err(Malformed(format!("state {other} of an alert"))),
    };
    Ok(Alert { workspace, scope, id: subject, threshold, used, total, period, at, state, epoch, sequence })
}

fn read_settle(input: &mut Unpacker<'_>) -> Result<Settle, Malformed> {
    Ok(Settle {
        workspace: id(WorkspaceId::parse(input.text()?))?,
        hold: id(HoldId::parse(input.text()?))?,
        user: id(UserId::parse(input.text()?))?,
        feature: id(FeatureId::parse(input.text()?))?,
        credits: Credits::from_micro(input.int()?),
        at: Instant::from_millis(input.int()?),
    })
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn account(text: &str) -> Result<Account, Malformed> {
    text.parse().map_err(|_| Malformed(format!("account {text:?}")))
}

fn posting(input: &mut Unpacker<'_>) -> Result<Posting, Malformed> {
    let (account, period) = (account(input.text()?)?, read_day(input.text()?)?);
    Ok(Posting { account, period, credits: Credits::from_micro(input.int()?) })
}

fn change(text: &str) -> Result<serde_json::Value, Malformed> {
    serde_json::from_str(text).map_err(|fault| Malformed(format!("a change that is no JSON: {fault}")))
}

/// An opening tells what the plan brought, what was carried over, and which standing amounts did not fit.
fn opening(input: &mut Unpacker<'_>) -> Result<serde_json::Value, Malformed> {
    input.array()?;
    let [monthly_credits, carried_over] = input.ints()?.map(Credits::from_micro);
    let mut shortfalls = Vec::new();
    for _ in 0..input.array()? / 2 {
        let (account, credits) = (account(input.text()?)?, Credits::from_micro(input.int()?));
        shortfalls.push(serde_json::json!({ "account": account, "credits": credits }));
    }
    Ok(serde_json::json!({
        "kind": "opening",
        "monthly_credits": monthly_credits,
        "carried_over": carried_over,
        "shortfalls": shortfalls,
    }))
}
