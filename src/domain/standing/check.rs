//! Whether a wish would pass, asked of a view: for periods that no event or write has opened yet.
//! The rule itself is the [`model`]'s; it debits a copy that holds what the rule looks at and no more.

use std::collections::BTreeMap;

use crate::domain::WorkspaceId;
use crate::domain::book::{Book, Workspace};
use crate::domain::change::Denial;
use crate::domain::decision::{Level, Outcome, Reason, Verdict};
use crate::domain::event::UsageEvent;
use crate::domain::hold::{CheckAnswer, Wish};
use crate::domain::model;
use crate::domain::ports::View;

/// Whether the wish would pass in the period of the view. Changes nothing.
pub fn check(view: &View, workspace: &WorkspaceId, wish: &Wish) -> CheckAnswer {
    let event = as_event(view, workspace, wish);
    let verdict = model::debit(&mut narrowed(view, wish), &view.period, &event);
    CheckAnswer {
        allowed: verdict.outcome != Outcome::Denied,
        denial: denial(&verdict, view, workspace, wish),
        period: view.period,
        at: view.as_of,
    }
}

/// The copy: one user, their team, the feature. The rule sees no others, and copying all is slow.
fn narrowed(view: &View, wish: &Wish) -> Workspace {
    let (state, book) = (&view.state, view.book());
    let team = state.team_of(&wish.user);
    let book = Book {
        teams: team.map_or_else(BTreeMap::new, |team| only(&book.teams, team)),
        users: only(&book.users, &wish.user),
        features: only(&book.features, &wish.feature),
        cells: BTreeMap::new(),
        ..*book
    };
    Workspace {
        calendar: state.calendar.clone(),
        enforcement: state.enforcement,
        default_user_limit: state.default_user_limit,
        users: only(&state.users, &wish.user),
        teams: team.map_or_else(BTreeMap::new, |team| only(&state.teams, team)),
        features: only(&state.features, &wish.feature),
        books: BTreeMap::from([(view.period.name, book)]),
        ..Workspace::default()
    }
}

fn only<K: Ord + Clone, V: Clone>(all: &BTreeMap<K, V>, key: &K) -> BTreeMap<K, V> {
    all.get_key_value(key).map(|(key, value)| (key.clone(), value.clone())).into_iter().collect()
}

fn as_event(view: &View, workspace: &WorkspaceId, wish: &Wish) -> UsageEvent {
    UsageEvent {
        id: "check".into(),
        source: "".into(),
        time: view.as_of,
        workspace: workspace.clone(),
        user: wish.user.clone(),
        feature: wish.feature.clone(),
        credits: wish.credits,
        model: None,
        input_tokens: None,
        output_tokens: None,
        quantity: None,
        hold: None,
        rate_version: None,
    }
}

fn denial(verdict: &Verdict, view: &View, workspace: &WorkspaceId, wish: &Wish) -> Option<Denial> {
    let (reason, blocked) = verdict.reason.zip(verdict.blocked)?;
    let blocked_id = blocked_id(reason, workspace, wish);
    Some(Denial { reason, blocked, blocked_id, resets_at: view.period.end })
}

fn blocked_id(reason: Reason, workspace: &WorkspaceId, wish: &Wish) -> String {
    match reason.level() {
        Level::Workspace | Level::Pool => workspace.to_string(),
        Level::User => wish.user.to_string(),
        Level::Feature => wish.feature.to_string(),
    }
}
