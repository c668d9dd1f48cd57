//! Holds against the model: made by the rule of their workspace, ended once.

use super::debit::{judge, settle};
use super::{Model, Tenant};
use crate::domain::book::Book;
use crate::domain::change::{Denial, Refusal};
use crate::domain::decision::{Blocked, Reason, Verdict};
use crate::domain::event::UsageEvent;
use crate::domain::hold::{CheckAnswer, Hold, HoldRequest, HoldState, Wish};
use crate::domain::ledger::Account;
use crate::domain::period::{Day, Instant, Period};
use crate::domain::{Credits, HoldId, UserId, WorkspaceId};

/// The source of the events that we publish ourselves for a settle.
pub const SETTLES: &str = "tollgate:holds";

/// Why a wish would not pass, with whose level it is.
pub fn denial(
    workspace: &WorkspaceId,
    wish: &Wish,
    (reason, blocked): (Reason, Blocked),
    period: &Period,
) -> Denial {
    use crate::domain::decision::Level;
    let blocked_id = match reason.level() {
        Level::Workspace | Level::Pool => workspace.to_string(),
        Level::Feature => wish.feature.to_string(),
        Level::User => wish.user.to_string(),
    };
    Denial { reason, blocked, blocked_id, resets_at: period.end }
}

impl Model {
    /// Ends every hold that has expired. Everything else is asked after it.
    pub fn sweep(&mut self, now: Instant) {
        for tenant in self.tenants.values_mut() {
            tenant.sweep(now);
        }
    }

    /// Whether a wish would pass; changes nothing.
    pub fn check(&self, id: &WorkspaceId, wish: &Wish, now: Instant) -> CheckAnswer {
        let mut tenant = self.tenants.get(id).cloned().unwrap_or_else(Tenant::unseen);
        let period = tenant.state.calendar.period_of(now);
        tenant.open(&period);
        let (allowed, failing) = judge(&tenant.state, &period, wish);
        let denial = failing.map(|failing| denial(id, wish, failing, &period));
        CheckAnswer { allowed, denial, period, at: now }
    }

    /// Makes, settles or voids a hold. A settle waits for its event.
    pub fn hold(&mut self, id: &WorkspaceId, request: &HoldRequest, now: Instant) -> Result<Hold, Refusal> {
        if let HoldRequest::Make { .. } = request {
            let period = self.tenant(id).state.calendar.period_of(now);
            self.tenant(id).open(&period); // a refused one has opened it all the same
        }
        let mut tenant = self.tenant(id).clone();
        let hold = match request {
            HoldRequest::Make { hold, wish, ttl_seconds } => {
                tenant.make(id, hold, wish, *ttl_seconds, now)?
            }
            HoldRequest::Settle { hold, credits, owner } => {
                tenant.begin_settle(hold, *credits, owner.as_ref(), now)?
            }
            HoldRequest::Void { hold, owner } => tenant.void(hold, owner.as_ref(), now)?,
        };
        self.tenants.insert(id.clone(), tenant);
        Ok(hold)
    }
}

impl Tenant {
    fn sweep(&mut self, now: Instant) {
        let due = |hold: &&Hold| hold.state == HoldState::Open && hold.expires_at <= now;
        let due: Vec<HoldId> = self.state.holds.values().filter(due).map(|hold| hold.id.clone()).collect();
        for id in due {
            if let Some(hold) = self.state.holds.get(&id).cloned() {
                self.watched(hold.period, |tenant| tenant.end(&hold, HoldState::Expired, hold.expires_at));
            }
        }
    }

    fn make(
        &mut self,
        workspace: &WorkspaceId,
        id: &HoldId,
        wish: &Wish,
        ttl_seconds: u32,
        now: Instant,
    ) -> Result<Hold, Refusal> {
        let period = self.state.calendar.period_of(now);
        if self.state.holds.contains_key(id) || self.ended.contains_key(id) {
            return Err(Refusal::HoldExists);
        }
        let (passes, failing) = judge(&self.state, &period, wish);
        if let (false, Some(failing)) = (passes, failing) {
            return Err(Refusal::Denied(Box::new(denial(workspace, wish, failing, &period))));
        }
        let team = self.state.team_of(&wish.user).cloned();
        let hold = Hold {
            id: id.clone(),
            user: wish.user.clone(),
            feature: wish.feature.clone(),
            team,
            period: period.name,
            credits: wish.credits,
            held: [Credits::ZERO; 3],
            made_at: now,
            expires_at: Instant::from_millis(now.millis() + i64::from(ttl_seconds) * 1000),
            state: HoldState::Open,
            settled: None,
            ended_at: None,
        };
        self.spans.insert(id.clone(), period);
        let hold = self.watched(period.name, |tenant| set_aside(tenant.book(&period), hold));
        self.state.holds.insert(id.clone(), hold.clone());
        Ok(hold)
    }

    /// A hold, open or ended; a caller who is bound to a user learns of no other's.
    fn known_hold(&self, id: &HoldId, owner: Option<&UserId>) -> Result<Hold, Refusal> {
        let known = self.state.holds.get(id).or_else(|| self.ended.get(id));
        let known = known.filter(|hold| owner.is_none_or(|owner| hold.user == *owner));
        known.cloned().ok_or(Refusal::UnknownHold)
    }

    /// The answer is the same however often it is asked, and whatever became of the event.
    fn begin_settle(
        &mut self,
        id: &HoldId,
        credits: Credits,
        owner: Option<&UserId>,
        now: Instant,
    ) -> Result<Hold, Refusal> {
        let known = self.known_hold(id, owner)?;
        let settles = matches!(known.state, HoldState::Settling | HoldState::Settled);
        if settles && known.settled == Some(credits) {
            return Ok(Hold { state: HoldState::Settling, ..known });
        }
        refuse_ended(&known)?;
        let settling =
            Hold { state: HoldState::Settling, settled: Some(credits), ended_at: Some(now), ..known };
        self.state.holds.insert(id.clone(), settling.clone());
        self.state.ledger_sequence += 1;
        Ok(settling)
    }

    fn void(&mut self, id: &HoldId, owner: Option<&UserId>, now: Instant) -> Result<Hold, Refusal> {
        let known = self.known_hold(id, owner)?;
        if known.state == HoldState::Voided {
            return Ok(known);
        }
        refuse_ended(&known)?;
        Ok(self.watched(known.period, |tenant| tenant.end(&known, HoldState::Voided, now)))
    }

    /// The hold that an event settles, if it does.
    pub(super) fn settled_by(&self, event: &UsageEvent) -> Option<Hold> {
        let hold = self.state.holds.get(event.hold.as_ref()?)?;
        let ours = event.source == SETTLES;
        let fits = match hold.state {
            HoldState::Open => !ours,
            HoldState::Settling => ours && hold.settled == Some(event.credits),
            _ => false,
        };
        (fits && hold.user == event.user).then(|| hold.clone())
    }

    /// Ends the hold and debits the event, in the hold's period.
    pub(super) fn settle_hold(&mut self, hold: &Hold, event: &UsageEvent, now: Instant) -> Verdict {
        let day = self.state.calendar.day_of(event.time).day;
        let day = self.spans.get(&hold.id).map_or(day, |span| self.day_inside(day, span));
        let ended = Hold { settled: Some(event.credits), ..hold.clone() };
        self.watched(hold.period, |tenant| {
            tenant.end(&ended, HoldState::Settled, now);
            settle(&mut tenant.state, hold, day, event)
        })
    }

    fn day_inside(&self, day: Day, period: &Period) -> Day {
        let (first, last) = self.state.calendar.days_of(period);
        day.max(first).min(last)
    }

    /// Gives back what a hold set aside, and keeps its name taken.
    fn end(&mut self, hold: &Hold, state: HoldState, at: Instant) -> Hold {
        let book = self.state.books.entry(hold.period).or_default();
        let [user, team, pool] = hold.held;
        book.account(&Account::User(hold.user.clone())).held -= user;
        if let Some(name) = &hold.team {
            book.account(&Account::Team(name.clone())).held -= team;
        }
        book.pool.held -= pool;
        book.held -= hold.held();
        book.users.entry(hold.user.clone()).or_default().holding -= hold.held();
        book.features.entry(hold.feature.clone()).or_default().holding -= hold.held();
        self.state.holds.remove(&hold.id);
        let ended = Hold { state, ended_at: hold.ended_at.or(Some(at)), ..hold.clone() };
        self.ended.insert(hold.id.clone(), ended.clone());
        ended
    }
}

fn refuse_ended(hold: &Hold) -> Result<(), Refusal> {
    match hold.state {
        HoldState::Open => Ok(()),
        HoldState::Settling | HoldState::Settled => {
            Err(Refusal::HoldSettled(hold.settled.unwrap_or(Credits::ZERO)))
        }
        HoldState::Voided => Err(Refusal::HoldVoided),
        HoldState::Expired => Err(Refusal::HoldExpired(hold.expires_at)),
    }
}

/// Sets credits aside as far as accounts reach.
fn set_aside(book: &mut Book, mut hold: Hold) -> Hold {
    let mut wanted = hold.credits;
    let mut take = |account: Account| {
        let state = book.account(&account);
        let taken = wanted.min(state.remaining());
        state.held += taken;
        wanted -= taken;
        taken
    };
    let user = take(Account::User(hold.user.clone()));
    let team = hold.team.clone().map_or(Credits::ZERO, |team| take(Account::Team(team)));
    let pool = take(Account::Pool);
    hold.held = [user, team, pool];
    book.held += hold.held();
    book.users.entry(hold.user.clone()).or_default().holding += hold.held();
    book.features.entry(hold.feature.clone()).or_default().holding += hold.held();
    hold
}
