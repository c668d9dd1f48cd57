//! Checks and holds: each is a request of `check.lua` or `hold.lua`, which may travel together with others.

use std::sync::Arc;

use super::RedisError;
use super::change::{ATTEMPTS, pack_author};
use super::codec::{Malformed, Packer, Unpacker};
use super::joined::Joined;
use super::ledger::RedisLedger;
use super::mend::Unready;
use super::reply::read_rule;
use super::request::Known;
use super::told::{id, read_day, read_team};
use crate::domain::change::{Author, Refusal};
use crate::domain::decision::{Blocked, Reason};
use crate::domain::hold::{CheckAnswer, Hold, HoldAnswer, HoldRequest, HoldState, Wish};
use crate::domain::model::denial;
use crate::domain::period::{Instant, Period, PeriodName};
use crate::domain::{Credits, FeatureId, HoldId, UserId, WorkspaceId};

/// A hold request that was done.
#[derive(Debug, Clone)]
pub struct Held {
    /// The answer.
    pub answer: HoldAnswer,
    /// It was done before: this is the first answer.
    pub repeated: bool,
}

type Rule = (Option<Reason>, Option<Blocked>);

/// What a script says of one request.
pub(super) enum Answer {
    Unready(Unready),
    Refused { code: String, number: i64 },
    Check { passes: bool, rule: Rule },
    Denied { period: Period, rule: Rule },
    Done { hold: Box<Hold>, period: Period, at: Instant, rule: Rule, repeated: bool },
}

impl RedisLedger {
    /// Makes, settles or voids a hold; what it touched waits in [`RedisLedger::take_touched`]. The same
    /// again under the same idempotency key gives the first answer. The inner error is a refusal: no
    /// credits were moved.
    pub async fn hold(
        &self,
        workspace: &WorkspaceId,
        request: &HoldRequest,
        author: &Author,
        now: Instant,
    ) -> Result<Result<Held, Refusal>, RedisError> {
        let wish = match request {
            HoldRequest::Make { wish, .. } => Some(wish),
            HoldRequest::Settle { .. } | HoldRequest::Void { .. } => None,
        };
        let taken_seconds = self.dedupe.taken_seconds();
        let pack = |known: &Known, period: &Period| {
            let mut out = Packer::default();
            pack_head(&mut out, request, workspace, known, period, author);
            pack_request(&mut out, request, now, taken_seconds);
            out
        };
        let (answer, _) = self.ask(&self.holds, workspace, now, pack).await?;
        let told = |rule: Rule, period: &Period| {
            rule.0.zip(rule.1).zip(wish).map(|(rule, wish)| denial(workspace, wish, rule, period))
        };
        Ok(match answer {
            Answer::Refused { code, number } => Err(refusal(&code, number)?),
            Answer::Denied { period, rule } => match told(rule, &period) {
                Some(denial) => Err(Refusal::Denied(Box::new(denial))),
                None => return Err(Malformed("denied for no reason".to_owned()).into()),
            },
            Answer::Done { hold, period, at, rule, repeated } => {
                let bends = told(rule, &period);
                Ok(Held { answer: HoldAnswer { hold: *hold, bends, period, at }, repeated })
            }
            Answer::Check { .. } | Answer::Unready(_) => {
                return Err(Malformed("not the answer to a hold".to_owned()).into());
            }
        })
    }

    /// Whether a wish would pass now. None when the period was not opened yet: then the books say
    /// nothing, and [`crate::domain::model::judge`] answers from the workspace as it would be opened.
    pub async fn check(
        &self,
        workspace: &WorkspaceId,
        wish: &Wish,
        now: Instant,
    ) -> Result<Option<CheckAnswer>, RedisError> {
        let pack = |known: &Known, period: &Period| {
            let mut out = Packer::default();
            out.array(9).text(workspace.as_str()).int(known.calendar.version() as i64);
            out.int(known.epoch as i64).int(known.version as i64);
            out.text(&period.name.to_string()).int(i64::from(period.planned));
            out.text(wish.user.as_str()).text(wish.feature.as_str()).int(wish.credits.micro());
            out
        };
        let (answer, period) = self.ask(&self.checks, workspace, now, pack).await?;
        match answer {
            Answer::Check { passes, rule } => {
                let denial = rule.0.zip(rule.1).map(|rule| denial(workspace, wish, rule, &period));
                Ok(Some(CheckAnswer { allowed: passes, denial, period, at: now }))
            }
            Answer::Unready(_) => Ok(None),
            _ => Err(Malformed("not the answer to a check".to_owned()).into()),
        }
    }

    /// Sends one request until nothing stands in its way. A check opens no period: it is answered as unready.
    async fn ask(
        &self,
        line: &Arc<Joined>,
        workspace: &WorkspaceId,
        now: Instant,
        pack: impl Fn(&Known, &Period) -> Packer,
    ) -> Result<(Answer, Period), RedisError> {
        let (shard, opens) = (self.keys.shard_of(workspace), Arc::ptr_eq(line, &self.holds));
        let mut known = self.known(workspace);
        for _ in 0..ATTEMPTS {
            let period = known.period_of(now);
            match line.ask(shard, pack(&known, &period), now).await? {
                Answer::Unready(unready) if opens || !matches!(unready, Unready::Unopened(_)) => {
                    self.mend(workspace, &mut known, unready, period, now).await?;
                }
                answer => {
                    self.learned(workspace, known);
                    return Ok((answer, period));
                }
            }
        }
        Err(RedisError::Contended(workspace.to_string()))
    }
}

/// What every request of `hold.lua` begins with.
fn pack_head(
    out: &mut Packer,
    request: &HoldRequest,
    workspace: &WorkspaceId,
    known: &Known,
    period: &Period,
    author: &Author,
) {
    let kind = match request {
        HoldRequest::Make { .. } => "make",
        HoldRequest::Settle { .. } => "settle",
        HoldRequest::Void { .. } => "void",
    };
    out.array(8).text(kind).text(workspace.as_str()).int(known.calendar.version() as i64);
    out.int(known.epoch as i64).int(known.version as i64);
    let (first, last) = known.calendar.days_of(period);
    out.array(6).text(&period.name.to_string()).int(period.start.millis()).int(period.end.millis());
    out.int(i64::from(period.planned)).int(i64::from(first.number())).int(i64::from(last.number()));
    pack_author(out, author);
}

fn pack_request(out: &mut Packer, request: &HoldRequest, now: Instant, taken_seconds: i64) {
    match request {
        HoldRequest::Make { hold, wish, ttl_seconds } => {
            out.array(5).text(wish.user.as_str()).text(wish.feature.as_str()).int(wish.credits.micro());
            out.text(hold.as_str()).int(now.millis() + i64::from(*ttl_seconds) * 1000);
        }
        HoldRequest::Settle { hold, credits, owner } => {
            let change = serde_json::json!({ "kind": "settle", "hold": hold, "credits": credits });
            out.array(4).text(hold.as_str()).int(credits.micro()).text(&change.to_string()).text(name(owner));
        }
        HoldRequest::Void { hold, owner } => {
            out.array(3).text(hold.as_str()).text(name(owner)).int(taken_seconds);
        }
    }
}

/// A user's name; empty for nobody.
fn name(user: &Option<UserId>) -> &str {
    user.as_ref().map_or("", UserId::as_str)
}

impl Answer {
    /// Reads one.
    pub(super) fn read(input: &mut Unpacker<'_>) -> Result<Self, Malformed> {
        let parts = input.array()?;
        let word = input.text()?;
        if let Some(unready) = Unready::read(word, input)? {
            return Ok(Self::Unready(unready));
        }
        match (word, parts) {
            ("refused", 3) => Ok(Self::Refused { code: input.text()?.to_owned(), number: input.int()? }),
            // A conflict of idempotency keys is worded as in change.lua.
            ("refused", 5) => {
                let (code, _account) = (input.text()?.to_owned(), input.text()?);
                let [number, _] = input.ints()?;
                Ok(Self::Refused { code, number })
            }
            ("check", 3) => Ok(Self::Check { passes: input.int()? == 1, rule: rule(input)? }),
            ("denied", 3) => {
                input.array()?;
                let period = read_period(input)?;
                Ok(Self::Denied { period, rule: rule(input)? })
            }
            ("ok", 6) => {
                let name = id(HoldId::parse(input.text()?))?;
                let (hold, period) = read_hold(name, input)?;
                let hold = Box::new(hold);
                let at = Instant::from_millis(input.int()?);
                Ok(Self::Done { hold, period, at, rule: rule(input)?, repeated: input.int()? == 1 })
            }
            (word, parts) => Err(Malformed(format!("{word:?} with {parts} parts"))),
        }
    }
}

fn rule(input: &mut Unpacker<'_>) -> Result<Rule, Malformed> {
    if input.array()? == 0 { Ok((None, None)) } else { read_rule(input.ints()?) }
}

fn read_period(input: &mut Unpacker<'_>) -> Result<Period, Malformed> {
    let name: PeriodName = read_day(input.text()?)?;
    let [start, end] = input.ints()?.map(Instant::from_millis);
    Ok(Period { name, start, end, planned: true })
}

/// The record of a hold as `holds.lua` keeps it.
pub(super) fn read_hold(name: HoldId, input: &mut Unpacker<'_>) -> Result<(Hold, Period), Malformed> {
    input.array()?;
    let user = id(UserId::parse(input.text()?))?;
    let feature = id(FeatureId::parse(input.text()?))?;
    let (team, period) = (read_team(input)?, read_day(input.text()?)?);
    let [credits, from_user, from_team, from_pool] = input.ints()?.map(Credits::from_micro);
    let [made_at, expires_at] = input.ints()?.map(Instant::from_millis);
    let [state, settled, end, _first_day, _last_day, start, ended] = input.ints()?;
    let state = usize::try_from(state).ok().and_then(|at| HoldState::ALL.get(at).copied());
    let state = state.ok_or_else(|| Malformed("a hold in no known state".to_owned()))?;
    let (start, end) = (Instant::from_millis(start), Instant::from_millis(end));
    let hold = Hold {
        id: name,
        user,
        feature,
        team,
        period,
        credits,
        held: [from_user, from_team, from_pool],
        made_at,
        expires_at,
        state,
        settled: (settled >= 0).then(|| Credits::from_micro(settled)),
        ended_at: (ended >= 0).then(|| Instant::from_millis(ended)),
    };
    Ok((hold, Period { name: period, start, end, planned: true }))
}

fn refusal(code: &str, number: i64) -> Result<Refusal, Malformed> {
    Ok(match code {
        "unknown_hold" => Refusal::UnknownHold,
        "hold_exists" => Refusal::HoldExists,
        "hold_settled" => Refusal::HoldSettled(Credits::from_micro(number)),
        "hold_voided" => Refusal::HoldVoided,
        "hold_expired" => Refusal::HoldExpired(Instant::from_millis(number)),
        "idempotency_conflict" => Refusal::IdempotencyConflict,
        other => return Err(Malformed(format!("refusal {other:?}"))),
    })
}
