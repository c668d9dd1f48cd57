//! Reads that are never behind: workspaces, users, teams and features, as the office tells them.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use super::args::{FeatureArgs, TeamArgs, UserArgs};
use super::asked::{ListArgs, UsersArgs, WorkspacesArgs};
use super::clerk::Clerk;
use super::paging::listed;
use super::refused::Refused;
use crate::cli::table::{self, Column, or_dash, percent, when};
use crate::domain::period::Instant;
use crate::domain::ports::{Office, View};
use crate::domain::reports::{Activity, Reports};
use crate::domain::standing::{self, FeatureLine, Place, Roster, Summary, TeamLine, UserLine};
use crate::domain::{FeatureId, TeamId, UserId, WorkspaceId};
use crate::http::answer::{About, Head, Listed};
use crate::http::page::Page;

#[derive(Serialize)]
struct WorkspaceItem {
    workspace: WorkspaceId,
}

#[derive(Serialize)]
struct UserAnswer {
    #[serde(flatten)]
    line: UserLine,
    last_active: Option<Instant>,
    top_feature: Option<FeatureId>,
}

#[derive(Serialize)]
struct TeamAnswer {
    #[serde(flatten)]
    line: TeamLine,
    users: Vec<UserId>,
}

impl UserAnswer {
    fn of(line: UserLine, activity: &BTreeMap<UserId, Activity>) -> Self {
        let activity = activity.get(&line.user);
        Self {
            last_active: activity.map(|activity| activity.last_active),
            top_feature: activity.and_then(|activity| activity.top_feature.clone()),
            line,
        }
    }
}

/// Every workspace, and how its running period stands.
pub async fn workspaces(clerk: &Clerk<'_>, args: WorkspacesArgs) -> Result<()> {
    let (paging, mut all) = (args.paging, clerk.office().workspaces().await.map_err(Refused::from)?);
    let after = paging.after::<WorkspaceId>()?;
    all.retain(|id| after.as_ref().is_none_or(|after| id > after));
    let items = all.into_iter().map(|workspace| WorkspaceItem { workspace }).collect();
    let page = Page::cut(items, paging.rows(), |item: &WorkspaceItem| item.workspace.clone());
    let mut rows = BTreeMap::new();
    for item in page.items.iter().filter(|_| !clerk.is_for_scripts()) {
        let view = clerk.view(&item.workspace, None).await?;
        rows.insert(item.workspace.clone(), workspace_row(&view));
    }
    let row = |item: &WorkspaceItem| {
        [vec![item.workspace.to_string()], rows.get(&item.workspace).cloned().unwrap_or_default()].concat()
    };
    clerk.print(&page, || listed("workspaces", &WORKSPACE_COLUMNS, &page, row))
}

const WORKSPACE_COLUMNS: [Column; 6] = [
    Column::Text("workspace"),
    Column::Text("period"),
    Column::Number("total"),
    Column::Number("used"),
    Column::Number("remaining"),
    Column::Number("users"),
];

fn workspace_row(view: &View) -> Vec<String> {
    let Summary { total, used, remaining, user_count, .. } = Summary::of(view);
    let period = view.period.name.to_string();
    vec![period, total.to_string(), used.to_string(), remaining.to_string(), user_count.to_string()]
}

/// Users, sorted and filtered.
pub async fn users(clerk: &Clerk<'_>, args: UsersArgs) -> Result<()> {
    let UsersArgs { of, sort, team, q, paging, .. } = args;
    let after = paging.after::<(String, Place)>()?;
    if after.as_ref().is_some_and(|(name, _)| name != sort.name()) {
        let words = "this cursor was made for another sort".to_owned();
        return Err(Refused::invalid("invalid_cursor", words).into());
    }
    let view = clerk.view(&of.workspace, of.period).await?;
    let activity = activity(clerk, &of.workspace, &view, None).await;
    let roster = Roster { sort, team, contains: q, after: after.map(|(_, place)| place) };
    let lines = roster.lines(&view, paging.rows().saturating_add(1)).into_iter();
    let items = lines.map(|line| UserAnswer::of(line, &activity)).collect();
    let page = Page::cut(items, paging.rows(), |item: &UserAnswer| (sort.name(), sort.place(&item.line)));
    let answer = Listed { head: Head::of(&of.workspace, &view), page };
    clerk.print(&answer, || listed("users", &USER_COLUMNS, &answer.page, user_row))
}

/// One user.
pub async fn user(clerk: &Clerk<'_>, args: UserArgs) -> Result<()> {
    let UserArgs { workspace, user, period, .. } = args;
    let view = clerk.view(&workspace, period).await?;
    let words = || {
        format!("user {user} was never seen in workspace {workspace}; `admin users` lists those that were")
    };
    let line = standing::user(&view, &user).ok_or_else(|| Refused::unknown("unknown_user", words()))?;
    let activity = activity(clerk, &workspace, &view, Some(&user)).await;
    let answer = About { head: Head::of(&workspace, &view), it: UserAnswer::of(line, &activity) };
    clerk.print(&answer, || format!("{}\n{}", title(&workspace, &view), user_card(&answer.it)))
}

/// Tables that are away take two columns with them, not the balances.
async fn activity(
    clerk: &Clerk<'_>,
    workspace: &WorkspaceId,
    view: &View,
    user: Option<&UserId>,
) -> BTreeMap<UserId, Activity> {
    match clerk.tables().activity(workspace, &view.period, user).await {
        Ok(rows) => rows.into_iter().map(|row| (row.user.clone(), row)).collect(),
        Err(fault) => {
            eprintln!("tollgate: last activity and top feature are not known now: {fault}");
            BTreeMap::new()
        }
    }
}

fn title(workspace: &WorkspaceId, view: &View) -> String {
    format!("{workspace}, period {}, resets at {}", view.period.name, view.period.end)
}

const USER_COLUMNS: [Column; 10] = [
    Column::Text("user"),
    Column::Text("team"),
    Column::Number("limit"),
    Column::Number("allocation left"),
    Column::Number("used"),
    Column::Number("held"),
    Column::Number("remaining"),
    Column::Number("of limit"),
    Column::Text("top feature"),
    Column::Text("last active (UTC)"),
];

/// The columns of a user that need no tables.
pub const SHORT_USER_COLUMNS: [Column; 8] = {
    let [a, b, c, d, e, f, g, h, ..] = USER_COLUMNS;
    [a, b, c, d, e, f, g, h]
};

/// A user in [`SHORT_USER_COLUMNS`].
pub fn short_user_row(line: &UserLine) -> Vec<String> {
    vec![
        if line.suspended { format!("{} (suspended)", line.user) } else { line.user.to_string() },
        or_dash(line.team.clone()),
        or_dash(line.limit),
        line.allocation.sums.remaining.to_string(),
        line.used.to_string(),
        line.held.to_string(),
        line.remaining.to_string(),
        percent(line.utilization),
    ]
}

fn user_row(answer: &UserAnswer) -> Vec<String> {
    let of_tables = [or_dash(answer.top_feature.clone()), or_dash(answer.last_active.map(when))];
    short_user_row(&answer.line).into_iter().chain(of_tables).collect()
}

fn user_card(answer: &UserAnswer) -> String {
    let (line, sums) = (&answer.line, &answer.line.allocation.sums);
    let source = serde_json::to_value(line.limit_source).ok();
    let source = source.and_then(|source| source.as_str().map(str::to_owned)).unwrap_or_default();
    let rows = [
        ("user", line.user.to_string()),
        ("team", or_dash(line.team.clone())),
        ("limit", or_dash(line.limit)),
        ("  base, set by the", format!("{}, {source}", or_dash(line.base_limit))),
        ("  granted", line.granted.to_string()),
        ("used", line.used.to_string()),
        ("held", line.held.to_string()),
        ("may still spend", line.remaining.to_string()),
        ("of limit", percent(line.utilization)),
        ("allocation left", sums.remaining.to_string()),
        (
            "  came in, moved away, used",
            format!("{}, {}, {}", sums.credited, sums.transferred_out, sums.used),
        ),
        ("  each period", line.allocation.monthly.to_string()),
        ("suspended", if line.suspended { "yes" } else { "no" }.to_owned()),
        ("last active (UTC)", or_dash(answer.last_active.map(when))),
        ("top feature", or_dash(answer.top_feature.clone())),
    ];
    let rows = rows.map(|(name, value)| vec![name.to_owned(), value]);
    table::columns(&[Column::Text(""), Column::Number("")], rows).to_string()
}

/// Teams in the order of their ids.
pub async fn teams(clerk: &Clerk<'_>, args: ListArgs) -> Result<()> {
    let ListArgs { of, paging } = args;
    let (view, after) = (clerk.view(&of.workspace, of.period).await?, paging.after::<TeamId>()?);
    let mut teams = standing::teams(&view);
    teams.retain(|line| after.as_ref().is_none_or(|after| line.team > *after));
    let page = Page::cut(teams, paging.rows(), |line| line.team.clone());
    let answer = Listed { head: Head::of(&of.workspace, &view), page };
    clerk.print(&answer, || listed("teams", &TEAM_COLUMNS, &answer.page, team_row))
}

/// One team and its members.
pub async fn team(clerk: &Clerk<'_>, args: TeamArgs) -> Result<()> {
    let TeamArgs { workspace, team, period, .. } = args;
    let view = clerk.view(&workspace, period).await?;
    let words = || {
        format!("team {team} was never seen in workspace {workspace}; `admin teams` lists those that were")
    };
    let line = standing::team(&view, &team).ok_or_else(|| Refused::unknown("unknown_team", words()))?;
    let users = standing::members(&view.state, &team).cloned().collect();
    let answer = About { head: Head::of(&workspace, &view), it: TeamAnswer { line, users } };
    clerk.print(&answer, || {
        let TeamAnswer { line, users } = &answer.it;
        let table = table::columns(&TEAM_COLUMNS, [team_row(line)]);
        let names = users.iter().map(UserId::as_str).collect::<Vec<_>>().join(", ");
        let names = if users.is_empty() { "nobody" } else { names.as_str() };
        format!("{}\n{table}\nmembers: {names}", title(&workspace, &view))
    })
}

/// The columns of a team.
pub const TEAM_COLUMNS: [Column; 7] = [
    Column::Text("team"),
    Column::Number("members"),
    Column::Number("default limit"),
    Column::Number("monthly reserve"),
    Column::Number("credited"),
    Column::Number("used"),
    Column::Number("remaining"),
];

/// A team in [`TEAM_COLUMNS`].
pub fn team_row(line: &TeamLine) -> Vec<String> {
    let sums = &line.account;
    let numbers = [line.monthly_reserve, sums.credited, sums.used, sums.remaining];
    let texts = [line.team.to_string(), line.members.to_string(), or_dash(line.default_user_limit)];
    texts.into_iter().chain(numbers.iter().map(ToString::to_string)).collect()
}

/// Features in the order of their ids.
pub async fn features(clerk: &Clerk<'_>, args: ListArgs) -> Result<()> {
    let ListArgs { of, paging } = args;
    let (view, after) = (clerk.view(&of.workspace, of.period).await?, paging.after::<FeatureId>()?);
    let mut features = standing::features(&view);
    features.retain(|line| after.as_ref().is_none_or(|after| line.feature > *after));
    let page = Page::cut(features, paging.rows(), |line| line.feature.clone());
    let answer = Listed { head: Head::of(&of.workspace, &view), page };
    clerk.print(&answer, || listed("features", &FEATURE_COLUMNS, &answer.page, feature_row))
}

/// One feature; zeros when it was never used.
pub async fn feature(clerk: &Clerk<'_>, args: FeatureArgs) -> Result<()> {
    let view = clerk.view(&args.workspace, args.period).await?;
    let line = standing::feature(&view, &args.feature);
    let answer = About { head: Head::of(&args.workspace, &view), it: line };
    clerk.print(&answer, || {
        let table = table::columns(&FEATURE_COLUMNS, [feature_row(&answer.it)]);
        format!("{}\n{table}", title(&args.workspace, &view))
    })
}

/// The columns of a feature.
pub const FEATURE_COLUMNS: [Column; 5] = [
    Column::Text("feature"),
    Column::Number("limit"),
    Column::Number("used"),
    Column::Number("held"),
    Column::Number("limit leaves"),
];

/// A feature in [`FEATURE_COLUMNS`].
pub fn feature_row(line: &FeatureLine) -> Vec<String> {
    let FeatureLine { feature, limit, used, held, remaining } = line;
    vec![feature.to_string(), or_dash(*limit), used.to_string(), held.to_string(), or_dash(*remaining)]
}
