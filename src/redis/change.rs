//! Administrative changes: one call of `change.lua` each.

use super::RedisError;
use super::codec::{Malformed, Packer, Unpacker};
use super::ledger::{RedisLedger, calendar};
use super::request::Known;
use super::told::Told;
use crate::domain::calendar::{Calendar, CalendarError};
use crate::domain::change::{Author, Change, Changed, Enforcement, LimitSetting, Refusal, UserChange};
use crate::domain::ledger::{Account, Effects, version};
use crate::domain::period::{Instant, Period};
use crate::domain::{Credits, TeamId, UserId, WorkspaceId};

/// How often a call is repeated because the calendar changed under it.
const CALENDAR_ATTEMPTS: usize = 8;

enum Answer {
    Calendar(String),
    Rebuild,
    Refused(Refusal),
    Done(Changed),
}

impl RedisLedger {
    /// Makes one change, all or nothing; its entry waits in the outbox until Kafka has it.
    /// The inner error is a refusal: nothing happened.
    pub async fn change(
        &self,
        workspace: &WorkspaceId,
        change: &Change,
        author: &Author,
        now: Instant,
    ) -> Result<Result<Changed, Refusal>, RedisError> {
        if let Some(refusal) = refused_at_sight(change) {
            return Ok(Err(refusal));
        }
        let shard = self.keys.shard_of(workspace);
        let mut shard_known = self.shards[usize::from(shard)].lock().await;
        let known = shard_known.entry_ref(workspace).or_default();
        for _ in 0..CALENDAR_ATTEMPTS {
            let placing = placed(workspace, known, change, now)?;
            let argument = pack(workspace, known, &placing, change, author, now);
            let bytes = self.link.run(&self.change, &self.keys.heads(shard), &argument).await?;
            match read(&bytes, workspace, shard, &placing.period, now)? {
                Answer::Calendar(text) => known.set_calendar(calendar(workspace, &text)?),
                Answer::Rebuild => return Err(RedisError::NeedsRebuild(workspace.to_string())),
                Answer::Refused(refusal) => return Ok(Err(refusal)),
                Answer::Done(changed) => {
                    if let Some(next) = placing.next {
                        known.set_calendar(next);
                    }
                    return Ok(Ok(changed));
                }
            }
        }
        Err(RedisError::Contended(workspace.to_string()))
    }
}

fn refused_at_sight(change: &Change) -> Option<Refusal> {
    let (Change::TopUp { credits } | Change::Transfer { credits, .. } | Change::Grant { credits, .. }) =
        change
    else {
        return None;
    };
    if *credits <= Credits::ZERO {
        return Some(Refusal::NotPositive);
    }
    (*credits > Credits::TOTAL_MAX).then_some(Refusal::TooManyCredits)
}

/// The period that a change belongs to, and the calendar that it brings.
struct Placing {
    period: Period,
    next: Option<Calendar>,
}

fn placed(
    workspace: &WorkspaceId,
    known: &Known,
    change: &Change,
    now: Instant,
) -> Result<Placing, RedisError> {
    let fault = |fault: CalendarError| RedisError::Calendar(workspace.to_string(), fault);
    let next = match change {
        Change::Plan(plan) => {
            Some(known.calendar.with_plan(now, &plan.timezone, plan.anchor_day).map_err(fault)?.0)
        }
        _ => None,
    };
    Ok(Placing { period: next.as_ref().unwrap_or(&known.calendar).period_of(now), next })
}

fn pack(
    workspace: &WorkspaceId,
    known: &Known,
    Placing { period, next }: &Placing,
    change: &Change,
    author: &Author,
    now: Instant,
) -> Vec<u8> {
    let mut out = Packer::default();
    out.array(11).text(workspace.as_str()).int(known.calendar.version() as i64);
    out.int(known.epoch as i64).int(known.version as i64);
    out.text(&period.name.to_string()).int(i64::from(period.planned)).int(now.millis());
    out.array(3)
        .text(&author.actor)
        .text(&author.reason)
        .text(author.key.as_ref().map_or("", |key| &key.key));
    // A change is made of strings, numbers and ids: it always serialises.
    out.text(change.kind()).text(&serde_json::to_string(change).unwrap_or_default());
    pack_arguments(&mut out, change, next.as_ref());
    out.into_bytes()
}

fn pack_arguments(out: &mut Packer, change: &Change, next: Option<&Calendar>) {
    match change {
        Change::Plan(plan) => {
            let calendar = next.cloned().unwrap_or_default();
            out.array(5)
                .int(calendar.version() as i64)
                .text(&calendar.stored())
                .int(plan.monthly_credits.micro());
            out.int(i64::from(plan.enforcement == Enforcement::Soft)).int(optional(plan.default_user_limit));
        }
        Change::User(UserChange { user, limit, team, suspended, .. }) => {
            let limit_number = match limit.flatten() {
                None => -1,
                Some(LimitSetting::None) => -2,
                Some(LimitSetting::Credits(credits)) => credits.micro(),
            };
            let team_name = team.as_ref().and_then(|team| team.as_ref()).map_or("", TeamId::as_str);
            out.array(6).text(user.as_str()).int(i64::from(limit.is_some())).int(limit_number);
            out.int(i64::from(team.is_some())).text(team_name).int(suspended.map_or(-1, i64::from));
        }
        Change::Team { team, monthly_reserve, apply_now, default_user_limit } => {
            out.array(4).text(team.as_str()).int(optional(*default_user_limit));
            out.int(monthly_reserve.micro()).int(i64::from(*apply_now));
        }
        Change::Feature { feature, limit } => {
            out.array(2).text(feature.as_str()).int(optional(*limit));
        }
        Change::TopUp { credits } => {
            out.array(1).int(credits.micro());
        }
        Change::Transfer { from, to, credits, raise_limit } => {
            out.array(4).text(&from.to_string()).text(&to.to_string()).int(credits.micro());
            out.int(i64::from(*raise_limit));
        }
        Change::Users { .. } | Change::Reversal(_) => {}
        Change::Grant { user, credits } => {
            let to = Account::User(user.clone()).to_string();
            out.array(4).text("pool").text(&to).int(credits.micro()).int(1);
        }
    }
}

fn optional(limit: Option<Credits>) -> i64 {
    limit.map_or(-1, Credits::micro)
}

fn read(
    bytes: &[u8],
    workspace: &WorkspaceId,
    shard: u16,
    period: &Period,
    now: Instant,
) -> Result<Answer, Malformed> {
    let mut input = Unpacker::new(bytes);
    let parts = input.array()?;
    match (input.text()?, parts) {
        ("calendar", 2) => Ok(Answer::Calendar(input.text()?.to_owned())),
        ("rebuild", 1) => Ok(Answer::Rebuild),
        ("refused", 5) => read_refusal(&mut input).map(Answer::Refused),
        ("ok", 6) => {
            let effects = read_effects(&mut input, workspace, period, now)?;
            Ok(Answer::Done(Changed {
                period: *period,
                shard,
                effects,
                at: now,
                epoch: 0,
                sequence: 0,
                effective_from: None,
                users: Vec::new(),
            }))
        }
        (word, parts) => Err(Malformed(format!("{word:?} with {parts} parts"))),
    }
}

fn read_refusal(input: &mut Unpacker<'_>) -> Result<Refusal, Malformed> {
    let (code, account) = (input.text()?, input.text()?);
    let [remaining, wanted] = input.ints()?.map(Credits::from_micro);
    let account = || account.parse().map_err(|_| Malformed(format!("account {account:?}")));
    match code {
        "insufficient_credits" => Ok(Refusal::InsufficientCredits { account: account()?, remaining, wanted }),
        "same_account" => Ok(Refusal::SameAccount(account()?)),
        "no_plan" => Ok(Refusal::NoPlan),
        "too_many_credits" => Ok(Refusal::TooManyCredits),
        other => Err(Malformed(format!("refusal {other:?}"))),
    }
}

fn read_effects(
    input: &mut Unpacker<'_>,
    workspace: &WorkspaceId,
    period: &Period,
    now: Instant,
) -> Result<Effects, Malformed> {
    let [epoch, count] = input.ints()?;
    let version = version(epoch as u64, count as u64);
    let told = Told { workspace, period: period.name, version, now };
    let mut effects = Effects::default();
    if input.array()? > 0 {
        let (own, whole) = (input.ints()?, input.ints()?);
        effects.balances.push(told.balance(Account::Pool, own, 0, -1));
        effects.pools.push(told.pool(own, whole));
    }
    for _ in 0..input.array()? / 5 {
        let team = TeamId::parse(input.text()?).map_err(|fault| Malformed(fault.to_string()))?;
        effects.balances.push(told.balance(Account::Team(team), input.ints()?, 0, -1));
    }
    for _ in 0..input.array()? / 7 {
        let user = UserId::parse(input.text()?).map_err(|fault| Malformed(fault.to_string()))?;
        let (sums, [spent, limit]) = (input.ints()?, input.ints()?);
        effects.balances.push(told.balance(Account::User(user), sums, spent, limit));
    }
    Ok(effects)
}
