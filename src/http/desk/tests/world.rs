//! An office on the model and tables that know two things, so that requests run without servers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::{BoxFuture, ready};

use crate::domain::change::{Author, Change, Changed, Refusal, Reversed, UserStanding};
use crate::domain::hold::{CheckAnswer, Hold, HoldAnswer, HoldRequest, Wish};
use crate::domain::ledger::{Account, Balance, Effects};
use crate::domain::model::Model;
use crate::domain::period::{Instant, PeriodName};
use crate::domain::ports::{Office, Trouble, View};
use crate::domain::{Credits, HoldId, UserId, WorkspaceId};

type Kept = (String, Result<Changed, Refusal>);

/// Makes changes in a model, and remembers its answers by their keys.
pub struct FakeOffice {
    model: Mutex<Model>,
    kept: Mutex<BTreeMap<String, Kept>>,
    holds: Mutex<BTreeMap<HoldId, Hold>>,
}

pub fn at() -> Instant {
    Instant::from_timestamp("2026-11-24T12:00:00Z".parse().unwrap())
}

impl FakeOffice {
    pub fn new() -> Self {
        let (kept, holds) = (Mutex::default(), Mutex::default());
        Self { model: Mutex::new(Model::new(3600)), kept, holds }
    }

    fn look(&self, workspace: &WorkspaceId) -> Option<View> {
        let state = self.model.lock().unwrap().workspace(workspace)?.clone();
        let period = state.calendar.period_of(at());
        Some(View { state, period, as_of: at() })
    }

    fn make(&self, workspace: &WorkspaceId, change: &Change) -> Result<Changed, Refusal> {
        self.model.lock().unwrap().change(workspace, change, at())?;
        let view = self.look(workspace).unwrap();
        let mut changed = changed(&view, workspace);
        let named: Vec<&UserId> = match change {
            Change::User(user) => vec![&user.user],
            Change::Users { users } => users.iter().map(|user| &user.user).collect(),
            Change::Grant { user, .. } => vec![user],
            _ => Vec::new(),
        };
        changed.users = named.into_iter().map(|user| standing_of(&view, user)).collect();
        Ok(changed)
    }
}

fn standing_of(view: &View, user: &UserId) -> UserStanding {
    let state = view.book().users.get(user).copied().unwrap_or_default();
    UserStanding {
        user: user.clone(),
        settings: view.state.users.get(user).cloned().unwrap_or_default(),
        limit: view.state.effective_limit(user, state.granted),
        state,
    }
}

/// As if the change had touched every account.
fn changed(view: &View, workspace: &WorkspaceId) -> Changed {
    let book = view.book();
    let users = book.users.iter().map(|(id, user)| (Account::User(id.clone()), user.account));
    let teams = book.teams.iter().map(|(id, team)| (Account::Team(id.clone()), team.account));
    let accounts = users.chain(teams).chain([(Account::Pool, book.pool)]);
    let balances = accounts.map(|(account, sums)| Balance {
        workspace: workspace.clone(),
        period: view.period.name,
        account,
        credited: sums.credited,
        transferred_out: sums.transferred_out,
        used: sums.used,
        held: sums.held,
        spent: Credits::ZERO,
        limit: None,
        version: 0,
    });
    Changed {
        period: view.period,
        at: at(),
        epoch: view.state.epoch,
        sequence: view.state.ledger_sequence,
        effective_from: Some(at()),
        shard: 0,
        users: Vec::new(),
        effects: Effects { balances: balances.collect(), ..Effects::default() },
    }
}

impl Office for FakeOffice {
    fn change<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        change: &'a Change,
        author: &'a Author,
    ) -> BoxFuture<'a, Result<Result<Changed, Refusal>, Trouble>> {
        let mut kept = self.kept.lock().unwrap();
        let Some(key) = &author.key else { return ready(Ok(self.make(workspace, change))).boxed() };
        let (request, answer) = kept
            .entry(key.place.clone())
            .or_insert_with(|| (key.request.clone(), self.make(workspace, change)));
        let conflict = *request != key.request;
        ready(Ok(if conflict { Err(Refusal::IdempotencyConflict) } else { answer.clone() })).boxed()
    }

    fn refuse<'a>(
        &'a self,
        _workspace: &'a WorkspaceId,
        refusal: Refusal,
        _author: &'a Author,
    ) -> BoxFuture<'a, Result<Result<Changed, Refusal>, Trouble>> {
        ready(Ok(Err(refusal))).boxed()
    }

    fn hold<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        request: &'a HoldRequest,
        _author: &'a Author,
    ) -> BoxFuture<'a, Result<Result<HoldAnswer, Refusal>, Trouble>> {
        let made = self.model.lock().unwrap().hold(workspace, request, at());
        let period = self.look(workspace).unwrap().period;
        let answer = made.map(|hold| HoldAnswer { hold, bends: None, period, at: at() });
        let mut holds = self.holds.lock().unwrap();
        holds.extend(answer.iter().map(|answer| (answer.hold.id.clone(), answer.hold.clone())));
        ready(Ok(answer)).boxed()
    }

    fn check<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        wish: &'a Wish,
    ) -> BoxFuture<'a, Result<CheckAnswer, Trouble>> {
        ready(Ok(self.model.lock().unwrap().check(workspace, wish, at()))).boxed()
    }

    fn holds<'a>(&'a self, _workspace: &'a WorkspaceId) -> BoxFuture<'a, Result<Vec<Hold>, Trouble>> {
        let holds = self.holds.lock().unwrap().values().cloned().collect();
        ready(Ok(holds)).boxed()
    }

    fn view<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        period: Option<PeriodName>,
    ) -> BoxFuture<'a, Result<Option<Arc<View>>, Trouble>> {
        let view = self.look(workspace).filter(|view| period.is_none_or(|name| name == view.period.name));
        ready(Ok(view.map(Arc::new))).boxed()
    }

    fn workspaces(&self) -> BoxFuture<'_, Result<Vec<WorkspaceId>, Trouble>> {
        ready(Ok(["a", "b", "c"].map(|id| WorkspaceId::parse(id).unwrap()).to_vec())).boxed()
    }
}

/// The event that [`super::tables::FakeReports`] knows.
pub fn past_event() -> Reversed {
    Reversed {
        event_id: "e1".into(),
        source: String::new(),
        time: at(),
        period: "2026-11-01".parse().unwrap(),
        day: "2026-11-24".parse().unwrap(),
        user: UserId::parse("ann").unwrap(),
        team: None,
        feature: crate::domain::FeatureId::parse("ai_chat").unwrap(),
        drawn: crate::domain::decision::Drawn { pool: Credits::whole(5), ..Default::default() },
    }
}
