//! What `decide.lua` answers, as effects of the domain.

use std::sync::Arc;

use super::codec::{Malformed, Unpacker};
use super::mend::Last;
use super::request::Request;
use super::told::{Told, id, limit_of, read_day, read_team, read_totals};
use crate::domain::decision::{Blocked, Decision, Drawn, Outcome, Reason, Verdict};
use crate::domain::ledger::{Account, Balance, PoolState, Rollup, version};
use crate::domain::period::{Day, Instant, Period};
use crate::domain::{Credits, TeamId};

/// What a call can answer.
pub enum Reply {
    /// Nothing was done: these workspaces follow other calendars, by place and text.
    Calendar(Vec<(usize, String)>),
    /// Nothing was done: the state of these workspaces, by place, is missing or stale.
    Rebuild(Vec<usize>),
    /// Nothing was done: these events, by place, belong elsewhere.
    Moved(Vec<(usize, (Period, Day))>),
    /// Nothing was done: these groups, by place, have a period that must be opened.
    Unopened(Vec<(usize, Last)>),
    /// Nothing was done: holds of the shard have expired.
    Due,
    /// Everything was done.
    Done(Done),
}

/// A verdict, and whether its event settled the hold that it named.
pub struct Answer {
    /// What became of the event.
    pub verdict: Verdict,
    /// It settled its hold.
    pub settled: bool,
}

/// The effects of one call.
#[derive(Default)]
pub struct Done {
    /// For each event its verdict; none for one that was settled before.
    pub verdicts: Vec<Option<Answer>>,
    /// Places of events that were decided before.
    pub again: Vec<usize>,
    /// For each workspace epoch and version.
    pub heads: Vec<(u64, u64)>,
    /// Accounts touched.
    pub balances: Vec<Balance>,
    /// Cells touched.
    pub rollups: Vec<Rollup>,
    /// Workspaces touched.
    pub pools: Vec<PoolState>,
}

/// Reads a reply.
pub fn read(bytes: &[u8], request: &Request<'_>, now: Instant) -> Result<Reply, Malformed> {
    let mut input = Unpacker::new(bytes);
    let parts = input.array()?;
    match (input.text()?, parts) {
        ("calendar", 2) => {
            let len = input.array()?;
            let pair = |_| Ok((place(input.int()?)?, input.text()?.to_owned()));
            (0..len / 2).map(pair).collect::<Result<_, _>>().map(Reply::Calendar)
        }
        ("rebuild", 2) => {
            let len = input.array()?;
            (0..len).map(|_| place(input.int()?)).collect::<Result<_, _>>().map(Reply::Rebuild)
        }
        ("moved", 2) => {
            let len = input.array()?;
            (0..len / 5).map(|_| read_moved(&mut input)).collect::<Result<_, _>>().map(Reply::Moved)
        }
        ("unopened", 2) => {
            let len = input.array()?;
            let entry = |_| Ok((place(input.int()?)?, Last::read(&mut input)?));
            (0..len / 3).map(entry).collect::<Result<_, _>>().map(Reply::Unopened)
        }
        ("due", 1) => Ok(Reply::Due),
        ("ok", 9) => read_done(&mut input, request, now).map(Reply::Done),
        (word, parts) => Err(Malformed(format!("{word:?} with {parts} parts"))),
    }
}

fn place(number: i64) -> Result<usize, Malformed> {
    usize::try_from(number - 1).map_err(|_| Malformed(format!("{number} is no place in a list")))
}

fn read_moved(input: &mut Unpacker<'_>) -> Result<(usize, (Period, Day)), Malformed> {
    let (event, name) = (place(input.int()?)?, read_day(input.text()?)?);
    let [planned, end, day] = input.ints()?;
    // Where it starts does not matter any more: the event is inside.
    let period =
        Period { name, start: Instant::default(), end: Instant::from_millis(end), planned: planned == 1 };
    Ok((event, (period, Day::from_number(day as i32))))
}

fn read_done(input: &mut Unpacker<'_>, request: &Request<'_>, now: Instant) -> Result<Done, Malformed> {
    let mut done = Done::default();
    let mut last = Vec::new();
    for _ in 0..input.array()? / 3 {
        done.heads.push((input.int()? as u64, input.int()? as u64));
        last.push(input.int()? as u64);
    }
    for _ in 0..input.array()? {
        done.again.push(place(input.int()?)?);
    }
    done.again.sort_unstable();
    read_answers(input, request, &mut done, &mut last)?;
    let told: Vec<Told<'_>> = request
        .groups
        .iter()
        .map(|(workspace, period)| {
            let (epoch, count) = done.heads[*workspace];
            let version = version(epoch, count);
            Told { workspace: request.workspaces[*workspace], period: period.name, version, now }
        })
        .collect();
    read_accounts(input, &mut done, request, &told)?;
    for _ in 0..input.array()? {
        input.array_of(8)?;
        done.rollups.push(read_cell(input, request, &told)?);
    }
    Ok(done)
}

/// Answers, and the sequences that events decided now took up to the `last` of each workspace.
fn read_answers(
    input: &mut Unpacker<'_>,
    request: &Request<'_>,
    done: &mut Done,
    last: &mut [u64],
) -> Result<(), Malformed> {
    let events = input.array()?;
    let workspace_of = |at: usize| request.groups[request.group_of(at)].0;
    let mut again = done.again.iter().peekable();
    let fresh: Vec<usize> = (0..events).filter(|at| again.next_if_eq(&at).is_none()).collect();
    for at in &fresh {
        last[workspace_of(*at)] -= 1;
    }
    let mut fresh = fresh.into_iter().peekable();
    for at in 0..events {
        let workspace = workspace_of(at);
        let epoch = done.heads[workspace].0;
        let answer = if fresh.next_if_eq(&at).is_some() {
            last[workspace] += 1;
            Some(read_fresh(input, epoch, last[workspace])?)
        } else {
            read_again(input, epoch)?
        };
        done.verdicts.push(answer);
    }
    for _ in 0..input.array()? / 2 {
        let (at, team) = (place(input.int()?)?, read_team(input)?);
        if let Some(Some(answer)) = done.verdicts.get_mut(at) {
            answer.verdict.team = team;
        }
    }
    Ok(())
}

fn read_accounts(
    input: &mut Unpacker<'_>,
    done: &mut Done,
    request: &Request<'_>,
    told: &[Told<'_>],
) -> Result<(), Malformed> {
    for told in &told[..input.array()?] {
        if input.array()? > 0 {
            let (own, whole, [_top_ups, _alerted]) = (input.ints()?, input.ints()?, input.ints()?);
            done.balances.push(told.balance(Account::Pool, own, 0, -1));
            done.pools.push(told.pool(own, whole));
        }
    }
    for _ in 0..input.array()? / 6 {
        let group = place(input.int()?)?;
        let team = Account::Team(id(TeamId::parse(input.text()?))?);
        done.balances.push(told[group].balance(team, input.ints()?, 0, -1));
    }
    for _ in 0..input.array()? {
        input.array_of(7)?;
        let (group, user) = request.users[place(input.int()?)?];
        let (sums, [spent, limit]) = (input.ints()?, input.ints()?);
        done.balances.push(told[group].balance(Account::User(user.clone()), sums, spent, limit));
    }
    Ok(())
}

/// An event that is decided now: a code, or an array of it and what it needs.
fn read_fresh(input: &mut Unpacker<'_>, epoch: u64, sequence: u64) -> Result<Answer, Malformed> {
    let parts = if input.is_array() { input.array()? } else { 1 };
    let code = input.int()?;
    read_verdict(input, (code, parts), (epoch, sequence, None))
}

/// An event that was decided before: its first answer, or none when that is recorded.
fn read_again(input: &mut Unpacker<'_>, epoch: u64) -> Result<Option<Answer>, Malformed> {
    let (parts, code) = (input.array()?, input.int()?);
    if (code, parts) == (4, 1) {
        return Ok(None);
    }
    let (sequence, team) = (input.int()? as u64, read_team(input)?);
    read_verdict(input, (code, parts.saturating_sub(2)), (epoch, sequence, team)).map(Some)
}

fn read_verdict(
    input: &mut Unpacker<'_>,
    (code, parts): (i64, usize),
    (epoch, sequence, team): (u64, u64, Option<TeamId>),
) -> Result<Answer, Malformed> {
    let drawn = Drawn::default();
    let mut verdict =
        Verdict { outcome: Outcome::Allowed, reason: None, blocked: None, drawn, team, epoch, sequence };
    match (code, parts) {
        // `drawn` is filled in from the event: all of it came from the pool.
        (1, 1) => {}
        (2 | 5, 11) => {
            verdict.outcome = match input.int()? {
                1 => Outcome::Allowed,
                2 => Outcome::Overage,
                3 => Outcome::Denied,
                other => return Err(Malformed(format!("outcome {other}"))),
            };
            let [user, team, pool, overage] = input.ints()?.map(Credits::from_micro);
            verdict.drawn = Drawn { user, team, pool, overage };
            (verdict.reason, verdict.blocked) = read_rule(input.ints()?)?;
        }
        (3, 1) => verdict.outcome = Outcome::Duplicate,
        _ => return Err(Malformed(format!("answer {code} with {parts} parts"))),
    }
    Ok(Answer { verdict, settled: code == 5 })
}

/// A rule that fails, with limit, used, held and remaining of its level; 0 for none.
pub fn read_rule(
    [reason, limit, used, held, remaining]: [i64; 5],
) -> Result<(Option<Reason>, Option<Blocked>), Malformed> {
    if reason == 0 {
        return Ok((None, None));
    }
    let word = place(reason).ok().and_then(|at| Reason::ALL.get(at).copied());
    let word = word.ok_or_else(|| Malformed(format!("reason {reason}")))?;
    let [used, held, remaining] = [used, held, remaining].map(Credits::from_micro);
    Ok((Some(word), Some(Blocked { limit: limit_of(limit), used, held, remaining })))
}

fn read_cell(
    input: &mut Unpacker<'_>,
    request: &Request<'_>,
    told: &[Told<'_>],
) -> Result<Rollup, Malformed> {
    let (user, feature, day) = request.cells[place(input.int()?)?];
    let ((group, user), (_, feature)) = (request.users[user], request.features[feature]);
    let told = told[group];
    Ok(Rollup {
        workspace: told.workspace.clone(),
        period: told.period,
        user: user.clone(),
        feature: feature.clone(),
        day,
        totals: read_totals(input.ints()?),
        version: told.version,
    })
}

/// Joins an event with its verdict.
pub fn decision(request: &Request<'_>, at: usize, answer: Answer, now: Instant) -> Decision {
    let Answer { mut verdict, settled } = answer;
    let arrival = request.arrivals[at];
    let period = request.groups[request.group_of(at)].1;
    if verdict.outcome == Outcome::Allowed && verdict.drawn == Drawn::default() {
        verdict.drawn.pool = arrival.event.credits;
    }
    Decision {
        hold_ignored: arrival.event.hold.is_some() && !settled && verdict.outcome != Outcome::Duplicate,
        event: Arc::clone(&arrival.event),
        position: arrival.position,
        period: period.name,
        day: request.day_of(at),
        resets_at: period.end,
        verdict,
        arrived_at: arrival.timestamp,
        redelivered: false,
        decided_at: now,
    }
}
