//! Teams: what is reserved for them, and who belongs to them.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::{Sums, union};
use crate::domain::book::Workspace;
use crate::domain::ports::View;
use crate::domain::{Credits, TeamId, UserId};

/// A team in one period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TeamLine {
    /// Which team.
    pub team: TeamId,
    /// What is moved from the pool to the team when a period opens.
    pub monthly_reserve: Credits,
    /// For members without a limit of their own.
    pub default_user_limit: Option<Credits>,
    /// The team's account.
    pub account: Sums,
    /// How many belong to it.
    pub members: usize,
}

/// Every team that was ever set, named by a member or credited, in order of id.
pub fn teams(view: &View) -> Vec<TeamLine> {
    let sizes = sizes(&view.state);
    let credited = view.state.books.values().flat_map(|book| book.teams.keys());
    let ids = union(view.state.teams.keys().chain(sizes.keys().copied()).chain(credited));
    ids.into_iter().map(|id| line(view, id, sizes.get(id).copied().unwrap_or(0))).collect()
}

/// One team; none when nobody ever set, named or credited it.
pub fn team(view: &View, id: &TeamId) -> Option<TeamLine> {
    let size = members(&view.state, id).count();
    let credited = view.state.books.values().any(|book| book.teams.contains_key(id));
    (size > 0 || credited || view.state.teams.contains_key(id)).then(|| line(view, id, size))
}

/// Who belongs to a team, in order of id.
pub fn members<'a>(state: &'a Workspace, team: &'a TeamId) -> impl Iterator<Item = &'a UserId> {
    let users = state.users.iter();
    users.filter(move |(_, settings)| settings.team.as_ref() == Some(team)).map(|(user, _)| user)
}

fn sizes(state: &Workspace) -> BTreeMap<&TeamId, usize> {
    let mut sizes = BTreeMap::new();
    for team in state.users.values().filter_map(|settings| settings.team.as_ref()) {
        *sizes.entry(team).or_insert(0) += 1;
    }
    sizes
}

fn line(view: &View, id: &TeamId, members: usize) -> TeamLine {
    let settings = view.state.teams.get(id).copied().unwrap_or_default();
    let account = view.book().teams.get(id).copied().unwrap_or_default().account;
    TeamLine {
        team: id.clone(),
        monthly_reserve: settings.monthly_reserve,
        default_user_limit: settings.default_user_limit,
        account: Sums::from(&account),
        members,
    }
}
