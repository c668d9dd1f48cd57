//! A workspace as people look at it: settings and the books of one period, opened as the first touch
//! would open them. Looking writes nothing.

use super::RedisError;
use super::codec::Unpacker;
use super::ledger::RedisLedger;
use super::told::{id, read_day};
use crate::domain::book::Workspace;
use crate::domain::period::{Instant, Period, PeriodName};
use crate::domain::ports::View;
use crate::domain::{UserId, WorkspaceId};

impl RedisLedger {
    /// The running period, or the one of that name. None when the workspace was never seen, or nobody
    /// touched that period. Several commands: exact while nobody writes, a moment old otherwise.
    pub async fn view(
        &self,
        workspace: &WorkspaceId,
        named: Option<PeriodName>,
        now: Instant,
    ) -> Result<Option<View>, RedisError> {
        let Some(mut state) = self.workspace(workspace, &[]).await? else { return Ok(None) };
        let running = state.calendar.period_of(now);
        let Some(period) = named.map_or(Some(running), |name| state.calendar.period_named(name)) else {
            return Ok(None);
        };
        let book = self.sums(workspace, period.name).await?;
        let touched = book.opened || !book.users.is_empty();
        if !touched && period.name != running.name {
            return Ok(None);
        }
        state.books.insert(period.name, book);
        let known: Vec<String> =
            self.office.query(::redis::cmd("SMEMBERS").arg(self.keys.users(workspace))).await?;
        for user in known {
            state.users.entry(id(UserId::parse(&user))?).or_default();
        }
        self.open_in_thought(workspace, &mut state, &period).await?;
        Ok(Some(View { state, period, as_of: now }))
    }

    /// Opens the period in this copy of the workspace alone.
    async fn open_in_thought(
        &self,
        workspace: &WorkspaceId,
        state: &mut Workspace,
        period: &Period,
    ) -> Result<(), RedisError> {
        if state.unopened(period).is_empty() {
            return Ok(());
        }
        if let Some(last) = self.opened_before(workspace, period.name).await? {
            let book = self.sums(workspace, last).await?;
            state.books.insert(last, book);
        }
        for period in state.unopened(period) {
            state.open(period.name);
        }
        Ok(())
    }

    /// The last period before this one that was opened.
    async fn opened_before(
        &self,
        workspace: &WorkspaceId,
        period: PeriodName,
    ) -> Result<Option<PeriodName>, RedisError> {
        let mut command = ::redis::cmd("HGET");
        command.arg(self.keys.settings(workspace)).arg("opened");
        let Some(packed) = self.office.query::<Option<Vec<u8>>>(&command).await? else { return Ok(None) };
        let mut input = Unpacker::new(&packed);
        let mut last = None;
        for _ in 0..input.array()? {
            last = Some(read_day(input.text()?)?).filter(|opened| *opened < period).or(last);
        }
        Ok(last)
    }
}
