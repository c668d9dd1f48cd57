//! What keeps a script from doing its work, and the mending of it: a calendar that is not the one in
//! force, a period that nobody opened, holds that have expired. Each is one more call, and rare.

use std::sync::PoisonError;

use super::RedisError;
use super::codec::{Malformed, Packer, Unpacker};
use super::ledger::{RedisLedger, calendar};
use super::request::Known;
use super::told::{read_books, read_day};
use crate::domain::WorkspaceId;
use crate::domain::ledger::Effects;
use crate::domain::period::{Instant, Period, PeriodName};

/// Holds ended in one call: each touches four records.
const SWEPT_MAX: usize = 100;

/// Why a call did nothing.
pub enum Unready {
    /// The workspace follows this calendar.
    Calendar(String),
    /// Its state is missing or stale.
    Rebuild,
    /// Holds of its shard have expired.
    Due,
    /// The period must be opened.
    Unopened(Last),
}

/// What stands before a period that must be opened.
#[derive(Clone, Copy)]
pub struct Last {
    /// The last period that was opened before it.
    pub opened: Option<PeriodName>,
    /// Whether credits move from one period into the next.
    pub carries: bool,
}

impl Last {
    /// Reads it from a reply.
    pub fn read(input: &mut Unpacker<'_>) -> Result<Self, Malformed> {
        let text = input.text()?;
        let opened = if text.is_empty() { None } else { Some(read_day(text)?) };
        Ok(Self { opened, carries: input.int()? > 0 })
    }
}

impl Unready {
    /// Reads one by the word that it begins with; none when it is another word.
    pub fn read(word: &str, input: &mut Unpacker<'_>) -> Result<Option<Self>, Malformed> {
        Ok(Some(match word {
            "calendar" => Self::Calendar(input.text()?.to_owned()),
            "rebuild" => Self::Rebuild,
            "due" => Self::Due,
            "unopened" => Self::Unopened(Last::read(input)?),
            _ => return Ok(None),
        }))
    }
}

impl RedisLedger {
    /// Removes what kept a call about this workspace and period from its work. Errors: a state that must
    /// be rebuilt first.
    pub(super) async fn mend(
        &self,
        workspace: &WorkspaceId,
        known: &mut Known,
        unready: Unready,
        period: Period,
        now: Instant,
    ) -> Result<(), RedisError> {
        match unready {
            Unready::Calendar(text) => known.set_calendar(calendar(workspace, &text)?),
            Unready::Rebuild => return Err(RedisError::NeedsRebuild(workspace.to_string())),
            Unready::Due => self.sweep(self.keys.shard_of(workspace), now).await?,
            Unready::Unopened(last) => self.open(workspace, known, period, last, now).await?,
        }
        Ok(())
    }

    /// Opens a period, and those that must be opened before it.
    pub(super) async fn open(
        &self,
        workspace: &WorkspaceId,
        known: &Known,
        period: Period,
        last: Last,
        now: Instant,
    ) -> Result<(), RedisError> {
        let shard = self.keys.shard_of(workspace);
        for period in known.calendar.chain(last.opened.filter(|_| last.carries), period) {
            let mut out = Packer::default();
            out.array(6).text(workspace.as_str()).int(known.calendar.version() as i64);
            out.int(known.epoch as i64).int(known.version as i64);
            out.text(&period.name.to_string()).int(now.millis());
            let bytes = self.link.run(&self.open, &self.keys.heads(shard), &[out.into_bytes()]).await?;
            let mut input = Unpacker::new(&bytes);
            input.array()?;
            match Unready::read(input.text()?, &mut input)? {
                None => self.touch(|effects| read_books(&mut input, now, effects).map(drop))?,
                Some(Unready::Rebuild) => return Err(RedisError::NeedsRebuild(workspace.to_string())),
                Some(Unready::Due) => return self.sweep(shard, now).await,
                // The caller asks again, and is told the calendar.
                Some(_) => return Ok(()),
            }
        }
        Ok(())
    }

    fn touch(&self, read: impl FnOnce(&mut Effects) -> Result<(), Malformed>) -> Result<(), Malformed> {
        read(&mut self.touched.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What holds, openings and sweeps touched since this was last asked, also when whoever needed them was refused,
    /// failed or went away.
    pub fn take_touched(&self) -> Effects {
        std::mem::take(&mut self.touched.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends the holds of a shard that have expired.
    pub async fn sweep(&self, shard: u16, now: Instant) -> Result<(), RedisError> {
        loop {
            let mut out = Packer::default();
            out.ints(&[now.millis(), SWEPT_MAX as i64, self.dedupe.taken_seconds()]);
            let bytes = self.link.run(&self.sweep, &self.keys.heads(shard), &[out.into_bytes()]).await?;
            let mut input = Unpacker::new(&bytes);
            input.array()?;
            let found = input.int()? as usize;
            self.touch(|effects| {
                read_books(&mut input, now, effects)?;
                effects.holds_expired += input.int()? as usize;
                Ok(())
            })?;
            if found < SWEPT_MAX {
                return Ok(());
            }
        }
    }
}
