//! Administrative changes: one call of `change.lua` each, or a few when a period must be opened first.

use super::RedisError;
use super::codec::{Malformed, Packer, Unpacker};
use super::ledger::RedisLedger;
use super::mend::Unready;
use super::request::Known;
use super::told::{read_books, read_day};
use crate::domain::calendar::{Calendar, CalendarError};
use crate::domain::change::{
    Author, Change, Changed, Enforcement, LimitSetting, Plan, Refusal, Reversed, UserChange,
};
use crate::domain::ledger::{Account, Effects};
use crate::domain::period::{Instant, Period};
use crate::domain::{Credits, TeamId, WorkspaceId};

/// How often a call is repeated because something had to be mended before it.
pub(super) const ATTEMPTS: usize = 8;

enum Answer {
    Unready(Unready),
    Refused(Refusal),
    Done(Box<Changed>),
}

impl RedisLedger {
    /// Makes one change, all or nothing; its entry waits in the outbox until Kafka has it. The same
    /// again under the same idempotency key gives the first answer. The inner error is a refusal:
    /// nothing happened.
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
        let mut known = self.known(workspace);
        let mut opens = false;
        for _ in 0..ATTEMPTS {
            let running = known.calendar.period_of(now);
            let mut placing = placed(workspace, &known, change, now)?;
            placing.opens = opens && placing.splits(&running);
            let argument = pack(workspace, &known, &placing, change, author, now);
            let bytes = self.office.run(&self.change, &self.keys.heads(shard), &[argument]).await?;
            match read(&bytes, shard)? {
                Answer::Unready(unready) => {
                    // The running period is opened by the calendar in force; one that begins with the plan, by the
                    // call that brings it, for a plan that is refused must leave no period behind.
                    opens |= matches!(unready, Unready::Unopened(_)) && placing.splits(&running);
                    self.mend(workspace, &mut known, unready, running, now).await?;
                }
                Answer::Refused(refusal) => return Ok(Err(refusal)),
                Answer::Done(changed) => {
                    // A plan's calendar is not taken over: this may be the answer to the same plan of
                    // before, and another is in force since. The next call is told which.
                    self.learned(workspace, known);
                    return Ok(Ok(*changed));
                }
            }
        }
        Err(RedisError::Contended(workspace.to_string()))
    }
}

impl RedisLedger {
    /// Keeps a refusal that was found outside of the ledger, and answers it; or what was answered under
    /// the same idempotency key before.
    pub async fn refuse(
        &self,
        workspace: &WorkspaceId,
        refusal: Refusal,
        author: &Author,
    ) -> Result<Result<Changed, Refusal>, RedisError> {
        let shard = self.keys.shard_of(workspace);
        let mut out = Packer::default();
        out.array(3).text(workspace.as_str());
        pack_author(&mut out, author);
        out.text(refusal.code());
        let bytes = self.office.run(&self.keep, &self.keys.heads(shard), &[out.into_bytes()]).await?;
        match read(&bytes, shard)? {
            Answer::Refused(kept) => Ok(Err(kept)),
            Answer::Done(changed) => Ok(Ok(*changed)),
            Answer::Unready(_) => Ok(Err(refusal)),
        }
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
    effective_from: Option<Instant>,
    /// Whether the call opens the period that the plan begins with.
    opens: bool,
}

impl Placing {
    /// Whether a plan takes the place of one that has not begun, whose wait had stretched the running period:
    /// that ends where it would have ended without, and now lies in the next.
    fn splits(&self, running: &Period) -> bool {
        self.next.is_some() && self.period.name != running.name
    }
}

fn placed(
    workspace: &WorkspaceId,
    known: &Known,
    change: &Change,
    now: Instant,
) -> Result<Placing, RedisError> {
    let fault = |fault: CalendarError| RedisError::Calendar(workspace.to_string(), fault);
    Ok(match change {
        Change::Plan(plan) => {
            let (next, from) =
                known.calendar.with_plan(now, &plan.timezone, plan.anchor_day).map_err(fault)?;
            Placing {
                period: next.period_of(now),
                next: Some(next),
                effective_from: Some(from),
                opens: false,
            }
        }
        Change::Reversal(event) => {
            let unnamed = Period { name: event.period, ..Period::default() };
            let period = known.calendar.period_named(event.period).unwrap_or(unnamed);
            Placing { period, next: None, effective_from: None, opens: false }
        }
        _ => {
            Placing { period: known.calendar.period_of(now), next: None, effective_from: None, opens: false }
        }
    })
}

fn pack(
    workspace: &WorkspaceId,
    known: &Known,
    placing: &Placing,
    change: &Change,
    author: &Author,
    now: Instant,
) -> Vec<u8> {
    let mut out = Packer::default();
    out.array(10).text(workspace.as_str()).int(known.calendar.version() as i64);
    out.int(known.epoch as i64).int(known.version as i64);
    let period = &placing.period;
    out.array(4).text(&period.name.to_string()).int(period.start.millis()).int(period.end.millis());
    out.int(i64::from(period.planned)).int(now.millis());
    pack_author(&mut out, author);
    // A change is made of strings, numbers and ids: it always serialises.
    out.text(change.kind()).text(&serde_json::to_string(change).unwrap_or_default());
    pack_arguments(&mut out, change, placing);
    out.into_bytes()
}

/// Who asks, and by what a retry is recognised.
pub(super) fn pack_author(out: &mut Packer, author: &Author) {
    out.array(5).text(&author.actor).text(&author.reason);
    match &author.key {
        Some(key) => out.text(&key.key).text(&key.place).text(&key.request),
        None => out.text("").text("").text(""),
    };
}

fn pack_arguments(out: &mut Packer, change: &Change, placing: &Placing) {
    match change {
        Change::Plan(plan) => pack_plan(out, plan, placing),
        Change::User(user) => {
            out.array(8);
            pack_user(out, user);
        }
        Change::Users { users } => {
            out.array(8 * users.len());
            users.iter().for_each(|user| pack_user(out, user));
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
        Change::Grant { user, credits } => {
            let to = Account::User(user.clone()).to_string();
            out.array(4).text("pool").text(&to).int(credits.micro()).int(1);
        }
        Change::Reversal(event) => pack_reversal(out, event),
    }
}

fn pack_plan(out: &mut Packer, plan: &Plan, placing: &Placing) {
    let calendar = placing.next.clone().unwrap_or_default();
    out.array(5).int(calendar.version() as i64).text(&calendar.stored());
    out.array(7).int(plan.monthly_credits.micro()).int(i64::from(plan.enforcement == Enforcement::Soft));
    out.int(optional(plan.default_user_limit)).int(plan.carry_over as i64);
    let thresholds: Vec<i64> = plan.thresholds.percents().iter().map(|percent| i64::from(*percent)).collect();
    out.ints(&thresholds);
    let (seats, each) =
        plan.seats.map_or((-1, 0), |seats| (i64::from(seats.seats), seats.credits_per_seat.micro()));
    out.int(seats).int(each);
    out.int(placing.effective_from.map_or(-1, Instant::millis)).int(i64::from(placing.opens));
}

fn pack_user(out: &mut Packer, change: &UserChange) {
    let limit = match change.limit.flatten() {
        None => -1,
        Some(LimitSetting::None) => -2,
        Some(LimitSetting::Credits(credits)) => credits.micro(),
    };
    let team = change.team.as_ref().and_then(|team| team.as_ref()).map_or("", TeamId::as_str);
    out.text(change.user.as_str()).int(i64::from(change.limit.is_some())).int(limit);
    out.int(i64::from(change.team.is_some())).text(team).int(change.suspended.map_or(-1, i64::from));
    out.int(change.monthly_allocation.map_or(-1, Credits::micro)).int(i64::from(change.apply_now));
}

fn pack_reversal(out: &mut Packer, event: &Reversed) {
    let drawn = event.drawn;
    let name = format!("{}\n{}\n{}", event.source, event.event_id, event.time.micros());
    out.array(9).text(&name).text(event.user.as_str()).text(event.feature.as_str());
    out.text(event.team.as_ref().map_or("", TeamId::as_str)).int(i64::from(event.day.number()));
    out.int(drawn.user.micro()).int(drawn.team.micro()).int(drawn.pool.micro()).int(drawn.overage.micro());
}

fn optional(limit: Option<Credits>) -> i64 {
    limit.map_or(-1, Credits::micro)
}

fn read(bytes: &[u8], shard: u16) -> Result<Answer, Malformed> {
    let mut input = Unpacker::new(bytes);
    input.array()?;
    let word = input.text()?;
    if let Some(unready) = Unready::read(word, &mut input)? {
        return Ok(Answer::Unready(unready));
    }
    match word {
        "refused" => read_refusal(&mut input).map(Answer::Refused),
        "ok" => read_done(&mut input, shard).map(Box::new).map(Answer::Done),
        other => Err(Malformed(format!("{other:?}"))),
    }
}

fn read_refusal(input: &mut Unpacker<'_>) -> Result<Refusal, Malformed> {
    let (code, account) = (input.text()?, input.text()?);
    let [remaining, wanted] = input.ints()?.map(Credits::from_micro);
    let account = || account.parse().map_err(|_| Malformed(format!("account {account:?}")));
    match code {
        "insufficient_credits" => Ok(Refusal::InsufficientCredits { account: account()?, remaining, wanted }),
        "limit_without_credits" => Ok(Refusal::LimitWithoutCredits { account: account()?, wanted }),
        "same_account" => Ok(Refusal::SameAccount(account()?)),
        "no_plan" => Ok(Refusal::NoPlan),
        "too_many_credits" => Ok(Refusal::TooManyCredits),
        "unknown_event" => Ok(Refusal::UnknownEvent),
        "already_reversed" => Ok(Refusal::AlreadyReversed),
        "nothing_to_reverse" => Ok(Refusal::NothingToReverse),
        "idempotency_conflict" => Ok(Refusal::IdempotencyConflict),
        other => Err(Malformed(format!("refusal {other:?}"))),
    }
}

fn read_done(input: &mut Unpacker<'_>, shard: u16) -> Result<Changed, Malformed> {
    input.array()?;
    let name = read_day(input.text()?)?;
    let [start, end, at] = input.ints()?.map(Instant::from_millis);
    let [epoch, sequence, effective_from] = input.ints()?;
    let mut effects = Effects::default();
    let users = read_books(input, at, &mut effects)?;
    Ok(Changed {
        period: Period { name, start, end, planned: true },
        at,
        epoch: epoch as u64,
        sequence: sequence as u64,
        effective_from: (effective_from >= 0).then(|| Instant::from_millis(effective_from)),
        shard,
        users,
        effects,
    })
}
