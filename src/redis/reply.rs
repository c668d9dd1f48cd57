//! What `decide.lua` answers, as effects of the domain.

use super::codec::{Malformed, Unpacker};
use super::request::Request;
use super::told::{Told, limit_of};
use crate::domain::decision::{Blocked, Decision, Drawn, Outcome, Reason, Verdict};
use crate::domain::ledger::{Account, Balance, PoolState, Rollup, Totals, version};
use crate::domain::period::{Day, Instant, Period};
use crate::domain::{Credits, TeamId};

/// What a call can answer.
pub enum Reply {
    /// Nothing was done: these workspaces follow other calendars, by place and text.
    Calendar(Vec<(usize, String)>),
    /// Nothing was done: the state of these workspaces, by place, is missing or stale.
    Rebuild(Vec<usize>),
    /// Nothing was done: these events, by place, were decided before, and belong where they were put then.
    Moved(Vec<(usize, (Period, Day))>),
    /// Everything was done.
    Done(Done),
}

/// The effects of one call.
#[derive(Default)]
pub struct Done {
    /// For each event its verdict; none for one that was settled before.
    pub verdicts: Vec<Option<Verdict>>,
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
        ("ok", 8) => read_done(&mut input, request, now).map(Reply::Done),
        (word, parts) => Err(Malformed(format!("{word:?} with {parts} parts"))),
    }
}

fn place(number: i64) -> Result<usize, Malformed> {
    usize::try_from(number - 1).map_err(|_| Malformed(format!("{number} is no place in a list")))
}

fn read_moved(input: &mut Unpacker<'_>) -> Result<(usize, (Period, Day)), Malformed> {
    let (event, name) = (place(input.int()?)?, input.text()?);
    let name = name.parse().map_err(|_| Malformed(format!("period {name:?}")))?;
    let [planned, end, day] = input.ints()?;
    // Where it starts does not matter any more: the event is inside.
    let period =
        Period { name, start: Instant::default(), end: Instant::from_millis(end), planned: planned == 1 };
    Ok((event, (period, Day::from_number(day as i32))))
}

fn read_done(input: &mut Unpacker<'_>, request: &Request<'_>, now: Instant) -> Result<Done, Malformed> {
    let mut done = Done::default();
    for _ in 0..input.array()? / 2 {
        done.heads.push((input.int()? as u64, input.int()? as u64));
    }
    for placed in &request.placed[..input.array()?] {
        let epoch = done.heads[request.groups[placed.0].0].0;
        done.verdicts.push(read_answer(input, epoch)?);
    }
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
    for _ in 0..input.array()? / 10 {
        done.rollups.push(read_cell(input, request, &told)?);
    }
    for _ in 0..input.array()? {
        done.again.push(place(input.int()?)?);
    }
    Ok(done)
}

fn read_accounts(
    input: &mut Unpacker<'_>,
    done: &mut Done,
    request: &Request<'_>,
    told: &[Told<'_>],
) -> Result<(), Malformed> {
    for told in &told[..input.array()?] {
        if input.array()? > 0 {
            let (own, whole) = (input.ints()?, input.ints()?);
            done.balances.push(told.balance(Account::Pool, own, 0, -1));
            done.pools.push(told.pool(own, whole));
        }
    }
    for _ in 0..input.array()? / 6 {
        let group = place(input.int()?)?;
        let team = Account::Team(id(TeamId::parse(input.text()?))?);
        done.balances.push(told[group].balance(team, input.ints()?, 0, -1));
    }
    for _ in 0..input.array()? / 7 {
        let (group, user) = request.users[place(input.int()?)?];
        let (sums, [spent, limit]) = (input.ints()?, input.ints()?);
        done.balances.push(told[group].balance(Account::User(user.clone()), sums, spent, limit));
    }
    Ok(())
}

fn id<T>(parsed: Result<T, crate::domain::ids::IdError>) -> Result<T, Malformed> {
    parsed.map_err(|fault| Malformed(format!("an id {fault}")))
}

fn read_answer(input: &mut Unpacker<'_>, epoch: u64) -> Result<Option<Verdict>, Malformed> {
    let (parts, code) = (input.array()?, input.int()?);
    let plain = |outcome, sequence: i64, team: &str| -> Result<_, Malformed> {
        let team = if team.is_empty() { None } else { Some(id(TeamId::parse(team))?) };
        let drawn = Drawn::default();
        Ok(Verdict { outcome, reason: None, blocked: None, drawn, team, epoch, sequence: sequence as u64 })
    };
    match (code, parts) {
        // `drawn` is filled in from the event: all of it came from the pool.
        (1, 3) => plain(Outcome::Allowed, input.int()?, input.text()?).map(Some),
        (2, 13) => {
            let outcome = match input.int()? {
                1 => Outcome::Allowed,
                2 => Outcome::Overage,
                3 => Outcome::Denied,
                other => return Err(Malformed(format!("outcome {other}"))),
            };
            let mut verdict = plain(outcome, input.int()?, input.text()?)?;
            let [user, team, pool, overage] = input.ints()?.map(Credits::from_micro);
            verdict.drawn = Drawn { user, team, pool, overage };
            (verdict.reason, verdict.blocked) = read_reason(input)?;
            Ok(Some(verdict))
        }
        (3, 3) => plain(Outcome::Duplicate, input.int()?, input.text()?).map(Some),
        (4, 1) => Ok(None),
        _ => Err(Malformed(format!("answer {code} with {parts} parts"))),
    }
}

fn read_reason(input: &mut Unpacker<'_>) -> Result<(Option<Reason>, Option<Blocked>), Malformed> {
    let [reason, limit, used, held, remaining] = input.ints()?;
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
    let (group, user) = request.users[place(input.int()?)?];
    let (_, feature) = request.features[place(input.int()?)?];
    let day = Day::from_number(input.int()? as i32);
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

/// The totals of a cell as the scripts keep them.
pub fn read_totals(cell: [i64; 7]) -> Totals {
    let [credits, overage, events, overage_events, denied_events, denied_credits, denied_micro] = cell;
    Totals {
        credits: Credits::from_micro(credits),
        overage_credits: Credits::from_micro(overage),
        events: events as u64,
        overage_events: overage_events as u64,
        denied_events: denied_events as u64,
        denied_micro: i128::from(denied_credits) * 1_000_000 + i128::from(denied_micro),
    }
}

/// Joins an event with its verdict.
pub fn decision(request: &Request<'_>, at: usize, mut verdict: Verdict, now: Instant) -> Decision {
    let arrival = request.arrivals[at];
    let (group, _, _, day) = request.placed[at];
    let period = request.groups[group].1;
    if verdict.outcome == Outcome::Allowed && verdict.drawn == Drawn::default() {
        verdict.drawn.pool = arrival.event.credits;
    }
    Decision {
        hold_ignored: arrival.event.hold.is_some(),
        event: arrival.event.clone(),
        position: arrival.position,
        period: period.name,
        day,
        resets_at: period.end,
        verdict,
        arrived_at: arrival.timestamp,
        redelivered: false,
        decided_at: now,
    }
}
