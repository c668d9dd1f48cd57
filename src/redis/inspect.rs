//! What stands in Redis, read back into the domain's own types: for people, and for comparing it
//! with the model.

use std::collections::{BTreeMap, HashMap};

use super::RedisError;
use super::codec::{Malformed, Unpacker};
use super::hold::read_hold;
use super::ledger::{RedisLedger, calendar};
use super::told::{id, limit_of, read_totals, read_user_settings};
use crate::domain::book::{AccountState, Book, FeatureState, TeamSettings, TeamState, UserState, Workspace};
use crate::domain::change::{CarryOver, Enforcement, Seats, Thresholds};
use crate::domain::hold::Hold;
use crate::domain::ledger::Totals;
use crate::domain::period::{Day, PeriodName};
use crate::domain::{Credits, FeatureId, HoldId, TeamId, UserId, WorkspaceId};

type Fields = HashMap<String, Vec<u8>>;

impl RedisLedger {
    /// Every workspace of the installation.
    pub async fn workspaces(&self) -> Result<Vec<WorkspaceId>, RedisError> {
        let mut all = Vec::new();
        for shard in 0..self.keys.shards() {
            let names: Vec<String> =
                self.office.query(::redis::cmd("HKEYS").arg(self.keys.heads(shard))).await?;
            for name in names {
                all.push(id(WorkspaceId::parse(&name))?);
            }
        }
        all.sort();
        Ok(all)
    }

    /// The whole state of a workspace with the books of these periods; none when it was never seen.
    pub async fn workspace(
        &self,
        workspace: &WorkspaceId,
        periods: &[PeriodName],
    ) -> Result<Option<Workspace>, RedisError> {
        Ok(self.snapshot(workspace, periods).await?.map(|snapshot| snapshot.state))
    }

    /// The same with how far it has come, all of one moment.
    pub async fn snapshot(
        &self,
        workspace: &WorkspaceId,
        periods: &[PeriodName],
    ) -> Result<Option<Snapshot>, RedisError> {
        let mut all = ::redis::pipe();
        all.atomic().hget(self.keys.heads(self.keys.shard_of(workspace)), workspace.as_str());
        all.hgetall(self.keys.settings(workspace)).hgetall(self.keys.holds(workspace));
        for period in periods {
            all.hgetall(self.keys.book(workspace, *period)).hgetall(self.keys.cold(workspace, *period));
        }
        let mut found = self.office.atomic(&all).await?.into_iter();
        let head: Option<Vec<u8>> = next(&mut found)?;
        let Some(head) = head else {
            return if self.is_lost(workspace).await? {
                Err(RedisError::NeedsRebuild(workspace.to_string()))
            } else {
                Ok(None)
            };
        };
        let mut snapshot = read_head(&head)?;
        let state = &mut snapshot.state;
        read_settings(workspace, &next(&mut found)?, state)?;
        state.holds =
            read_holds(&next(&mut found)?)?.into_iter().map(|hold| (hold.id.clone(), hold)).collect();
        for period in periods {
            let mut book = read_sums(&next(&mut found)?)?;
            read_cold(&mut book, &next(&mut found)?)?;
            state.books.insert(*period, book);
        }
        Ok(Some(snapshot))
    }

    /// Whether a workspace without a head ought to have one.
    async fn is_lost(&self, workspace: &WorkspaceId) -> Result<bool, RedisError> {
        let mut exists = ::redis::cmd("EXISTS");
        exists.arg(self.keys.settings(workspace));
        Ok(self.known(workspace).epoch > 0 || self.office.query::<u64>(&exists).await? > 0)
    }

    /// The holds that have not ended, in the order of their ids.
    pub async fn holds(&self, workspace: &WorkspaceId) -> Result<Vec<Hold>, RedisError> {
        Ok(read_holds(&self.fields(&self.keys.holds(workspace)).await?)?)
    }

    /// The books of one period; cells only of each user's latest day.
    pub(super) async fn sums(&self, workspace: &WorkspaceId, period: PeriodName) -> Result<Book, RedisError> {
        Ok(read_sums(&self.fields(&self.keys.book(workspace, period)).await?)?)
    }

    /// The books of one period, whole.
    pub async fn book(&self, workspace: &WorkspaceId, period: PeriodName) -> Result<Book, RedisError> {
        let mut book = self.sums(workspace, period).await?;
        read_cold(&mut book, &self.fields(&self.keys.cold(workspace, period)).await?)?;
        Ok(book)
    }

    async fn fields(&self, key: &str) -> Result<Fields, RedisError> {
        self.office.query(::redis::cmd("HGETALL").arg(key)).await
    }
}

/// A workspace of one moment.
pub struct Snapshot {
    /// Its state.
    pub state: Workspace,
    /// Epoch, and count of decisions, entries and other changes.
    pub version: (u64, u64),
    /// The last offset of each partition that was decided.
    pub fences: BTreeMap<i32, i64>,
}

fn next<T: ::redis::FromRedisValue>(
    found: &mut impl Iterator<Item = ::redis::Value>,
) -> Result<T, RedisError> {
    let value = found.next().ok_or_else(|| Malformed("an answer is missing".to_owned()))?;
    T::from_redis_value(value).map_err(|fault| RedisError::Server(fault.into()))
}

/// What a head says; the rest of the state is empty.
pub(super) fn read_head(head: &[u8]) -> Result<Snapshot, Malformed> {
    let mut input = Unpacker::new(head);
    input.array()?;
    let mut state = Workspace::default();
    [state.epoch, state.sequence, state.ledger_sequence] = input.ints()?.map(|number: i64| number as u64);
    let fences = read_fences(&mut input)?;
    let version = (state.epoch, state.sequence + state.ledger_sequence + input.int()? as u64);
    Ok(Snapshot { state, version, fences })
}

/// The last offset of each partition that was decided.
pub(super) fn read_fences(input: &mut Unpacker<'_>) -> Result<BTreeMap<i32, i64>, Malformed> {
    let mut fences = BTreeMap::new();
    for _ in 0..input.array()? / 2 {
        let [partition, offset] = input.ints()?;
        fences.insert(partition as i32, offset);
    }
    Ok(fences)
}

fn read_settings(workspace: &WorkspaceId, fields: &Fields, state: &mut Workspace) -> Result<(), RedisError> {
    for (name, value) in fields {
        let mut input = Unpacker::new(value);
        match name.split_once(':') {
            None if name == "s" => read_plan(&mut input, state)?,
            None if name == "cal" => {
                let text = String::from_utf8_lossy(value);
                state.calendar = calendar(workspace, &text)?;
            }
            Some(("u", user)) => {
                input.array()?;
                state.users.insert(id(UserId::parse(user))?, read_user_settings(&mut input)?);
            }
            Some(("t", team)) => {
                input.array()?;
                let [limit, reserve] = input.ints()?;
                let (default_user_limit, monthly_reserve) = (limit_of(limit), Credits::from_micro(reserve));
                state
                    .teams
                    .insert(id(TeamId::parse(team))?, TeamSettings { default_user_limit, monthly_reserve });
            }
            Some(("f", feature)) => {
                input.array()?;
                if let Some(limit) = limit_of(input.int()?) {
                    state.features.insert(id(FeatureId::parse(feature))?, limit);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn read_holds(fields: &Fields) -> Result<Vec<Hold>, Malformed> {
    let read = |(name, value): (&String, &Vec<u8>)| {
        Ok(read_hold(id(HoldId::parse(name))?, &mut Unpacker::new(value))?.0)
    };
    let mut holds = fields.iter().map(read).collect::<Result<Vec<Hold>, Malformed>>()?;
    holds.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(holds)
}

fn read_sums(fields: &Fields) -> Result<Book, Malformed> {
    let mut book = Book::default();
    for (name, value) in fields {
        read_record(&mut book, name, value)?;
    }
    Ok(book)
}

fn read_cold(book: &mut Book, fields: &Fields) -> Result<(), Malformed> {
    for (name, value) in fields {
        let (day, user) = name.split_once(':').unwrap_or_default();
        let day = Day::from_number(day.parse().map_err(|_| Malformed(format!("day {day:?}")))?);
        read_cells(book, &mut Unpacker::new(value), day, &id(UserId::parse(user))?)?;
    }
    Ok(())
}

fn read_plan(input: &mut Unpacker<'_>, state: &mut Workspace) -> Result<(), Malformed> {
    input.array()?;
    let [_version, monthly, soft, default, carry] = input.ints()?;
    state.monthly_credits = Credits::from_micro(monthly);
    state.enforcement = if soft == 1 { Enforcement::Soft } else { Enforcement::Hard };
    state.default_user_limit = limit_of(default);
    let mode = usize::try_from(carry).ok().and_then(|at| CarryOver::ALL.get(at).copied());
    state.carry_over = mode.ok_or_else(|| Malformed(format!("carry-over {carry}")))?;
    let percents = (0..input.array()?).map(|_| input.int().map(|percent| percent as u8));
    let percents: Vec<u8> = percents.collect::<Result<_, _>>()?;
    state.thresholds = Thresholds::try_from(percents).map_err(Malformed)?;
    let [seats, each] = input.ints()?;
    let credits_per_seat = Credits::from_micro(each);
    state.seats = u32::try_from(seats).ok().map(|seats| Seats { seats, credits_per_seat });
    Ok(())
}

fn read_account(input: &mut Unpacker<'_>) -> Result<AccountState, Malformed> {
    let [credited, transferred_out, used, held] = input.ints()?.map(Credits::from_micro);
    Ok(AccountState { credited, transferred_out, used, held })
}

fn read_record(book: &mut Book, name: &str, value: &[u8]) -> Result<(), Malformed> {
    let mut input = Unpacker::new(value);
    input.array()?;
    match name.split_once(':') {
        None if name == "p" => {
            book.opened = true;
            book.pool = read_account(&mut input)?;
            [book.total, book.used, book.held, book.overage, book.top_ups] =
                input.ints()?.map(Credits::from_micro);
            book.alerted = input.int()? as u8;
        }
        Some(("t", team)) => {
            let account = read_account(&mut input)?;
            let [standing, alerted] = input.ints()?;
            let standing = Credits::from_micro(standing);
            book.teams
                .insert(id(TeamId::parse(team))?, TeamState { account, standing, alerted: alerted as u8 });
        }
        Some(("u", user)) => {
            let user = id(UserId::parse(user))?;
            let account = read_account(&mut input)?;
            let [spent, holding, granted] = input.ints()?.map(Credits::from_micro);
            let [day, standing, alerted] = input.ints()?;
            read_cells(book, &mut input, Day::from_number(day as i32), &user)?;
            let (standing, alerted) = (Credits::from_micro(standing), alerted as u8);
            book.users.insert(user, UserState { account, spent, holding, granted, standing, alerted });
        }
        Some(("f", feature)) => {
            let [spent, holding] = input.ints()?.map(Credits::from_micro);
            book.features.insert(id(FeatureId::parse(feature))?, FeatureState { spent, holding });
        }
        _ => return Err(Malformed(format!("field {name:?} of the books"))),
    }
    Ok(())
}

fn read_cells(book: &mut Book, input: &mut Unpacker<'_>, day: Day, user: &UserId) -> Result<(), Malformed> {
    for _ in 0..input.array()? / 8 {
        let feature = id(FeatureId::parse(input.text()?))?;
        let totals: Totals = read_totals(input.ints()?);
        book.cells.insert((day, user.clone(), feature), totals);
    }
    Ok(())
}
