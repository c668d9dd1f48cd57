//! One sentence on a change that was made: what is different, and from when on it counts.

use crate::cli::table::or_dash;
use crate::domain::change::{Change, Changed, Plan, Reversed, UserChange};
use crate::domain::ledger::Account;
use crate::domain::ports::View;
use crate::domain::standing::UserLine;
use crate::domain::{Credits, TeamId, UserId, WorkspaceId};

/// A change, and how the workspace stood around it.
pub struct Told<'a> {
    /// Whose.
    pub workspace: &'a WorkspaceId,
    /// What was asked for.
    pub change: &'a Change,
    /// What came of it.
    pub changed: &'a Changed,
    /// Before it.
    pub before: &'a View,
    /// After it.
    pub after: &'a View,
}

const NEXT_EVENT: &str = "in force from the next event on";

/// What is said of a change that was made under the same key before.
pub fn repeat(told: &Told<'_>) -> String {
    let Changed { at, epoch, sequence, .. } = told.changed;
    let kind = told.change.kind();
    format!("Nothing new: this {kind} was made at {at} under the same key (ledger entry {epoch}.{sequence}).")
}

/// What is said of a change.
pub fn sentence(told: &Told<'_>) -> String {
    match told.change {
        Change::Plan(plan) => of_plan(told, plan),
        Change::User(change) => of_user(told, change),
        Change::Users { users } => of_users(told, users),
        Change::Team { team, apply_now, .. } => of_team(told, team, *apply_now),
        Change::Feature { feature, .. } => {
            let limit = |view: &View| limit(view.state.features.get(feature).copied());
            let step = step("limit over all users", limit(told.before), limit(told.after));
            format!("Feature {feature}: {step}; {NEXT_EVENT}.")
        }
        Change::TopUp { credits } => {
            format!(
                "{credits} credits came into {}: {}; at once.",
                told.workspace,
                told.accounts(&[Account::Pool])
            )
        }
        Change::Transfer { from, to, credits, .. } => {
            let moved = told.accounts(&[from.clone(), to.clone()]);
            let limit = if let Account::User(user) = to { told.limit_of(user) } else { String::new() };
            format!("{credits} credits moved: {moved}{limit}; {NEXT_EVENT}.")
        }
        Change::Grant { user, credits } => {
            let moved = told.accounts(&[Account::Pool, Account::User(user.clone())]);
            format!("{user} was granted {credits} credits: {moved}{}; {NEXT_EVENT}.", told.limit_of(user))
        }
        Change::Reversal(event) => of_reversal(told, event),
    }
}

/// `name before -> after`, or that it stays.
fn step(name: &str, before: String, after: String) -> String {
    if before == after { format!("{name} stays {after}") } else { format!("{name} {before} -> {after}") }
}

fn limit(credits: Option<Credits>) -> String {
    credits.map_or_else(|| "none".to_owned(), |credits| credits.to_string())
}

impl Told<'_> {
    /// What is left in accounts, before and after.
    fn accounts(&self, accounts: &[Account]) -> String {
        let step_of = |account: &Account| {
            step(
                &account.to_string(),
                left(self.before, account).to_string(),
                left(self.after, account).to_string(),
            )
        };
        accounts.iter().map(step_of).collect::<Vec<_>>().join(", ")
    }

    fn users(&self, user: &UserId) -> [UserLine; 2] {
        [self.before, self.after].map(|view| UserLine::of(&view.state, &view.book(), user))
    }

    /// The effective limit, where there is one.
    fn limit_of(&self, user: &UserId) -> String {
        let [before, after] = self.users(user).map(|line| line.limit);
        if before.or(after).is_none() {
            return String::new();
        }
        format!(", {}", step("limit", limit(before), limit(after)))
    }

    /// When a standing amount moves.
    fn standing(&self, apply_now: bool) -> String {
        let end = self.changed.period.end;
        let now = if apply_now { "now, and then " } else { "" };
        format!("the standing amount moves {now}when each period opens, next at {end}")
    }
}

fn left(view: &View, account: &Account) -> Credits {
    let book = view.book();
    match account {
        Account::Pool => book.pool.remaining(),
        Account::Team(team) => book.teams.get(team).map(|team| team.account.remaining()).unwrap_or_default(),
        Account::User(user) => book.users.get(user).map(|user| user.account.remaining()).unwrap_or_default(),
    }
}

fn of_plan(told: &Told<'_>, plan: &Plan) -> String {
    let monthly = |view: &View| view.state.monthly_credits.to_string();
    let credits = step("credits a period", monthly(told.before), monthly(told.after));
    let seats = plan
        .seats
        .map_or_else(String::new, |seats| format!(" ({} x {})", seats.seats, seats.credits_per_seat));
    let pool = told.accounts(&[Account::Pool]);
    let (zone, day) = (&plan.timezone, plan.anchor_day);
    let from = told.changed.effective_from.filter(|from| *from > told.changed.at);
    let calendar = from
        .map_or_else(String::new, |from| format!(" Time zone {zone} and anchor day {day} hold from {from}."));
    format!("The plan of {} is replaced: {credits}{seats}, {pool}; {NEXT_EVENT}.{calendar}", told.workspace)
}

fn of_user(told: &Told<'_>, change: &UserChange) -> String {
    let [before, after] = told.users(&change.user);
    let monthly = |line: &UserLine| line.allocation.monthly.to_string();
    let mut steps = Vec::new();
    if change.limit.is_some() || change.team.is_some() {
        steps.push(step("limit", limit(before.limit), limit(after.limit)));
    }
    if change.monthly_allocation.is_some() {
        steps.push(step("monthly allocation", monthly(&before), monthly(&after)));
    }
    if change.apply_now {
        steps.push(told.accounts(&[Account::Pool, Account::User(change.user.clone())]));
    }
    if change.suspended.is_some() {
        steps.push(step("suspended", before.suspended.to_string(), after.suspended.to_string()));
    }
    if change.team.is_some() {
        steps.push(step("team", or_dash(before.team), or_dash(after.team)));
    }
    let stands = change.monthly_allocation.is_some() || change.apply_now;
    let when =
        if stands { format!("{NEXT_EVENT}; {}", told.standing(change.apply_now)) } else { NEXT_EVENT.into() };
    format!("User {}: {}; {when}.", change.user, steps.join(", "))
}

fn of_users(told: &Told<'_>, users: &[UserChange]) -> String {
    const NAMED_MAX: usize = 5;
    let names: Vec<&str> = users.iter().take(NAMED_MAX).map(|change| change.user.as_str()).collect();
    let more = users.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let noun = if users.len() == 1 { "user" } else { "users" };
    let (count, names) = (users.len(), names.join(", "));
    format!("{count} {noun} of {} changed ({names}{more}); {NEXT_EVENT}.", told.workspace)
}

fn of_team(told: &Told<'_>, team: &TeamId, apply_now: bool) -> String {
    let settings = |view: &View| view.state.teams.get(team).copied().unwrap_or_default();
    let (before, after) = (settings(told.before), settings(told.after));
    let default =
        step("default user limit", limit(before.default_user_limit), limit(after.default_user_limit));
    let reserve =
        step("monthly reserve", before.monthly_reserve.to_string(), after.monthly_reserve.to_string());
    let moved = told.accounts(&[Account::Pool, Account::Team(team.clone())]);
    let moved = if apply_now { format!(", {moved}") } else { String::new() };
    format!("Team {team}: {default}, {NEXT_EVENT}; {reserve}{moved}; {}.", told.standing(apply_now))
}

fn of_reversal(told: &Told<'_>, event: &Reversed) -> String {
    let (id, credits, period) = (&event.event_id, event.credits(), event.period);
    let pool = told.accounts(&[Account::Pool]);
    format!("Event {id} is reversed: its {credits} credits went back in period {period} ({pool}); at once.")
}
