//! The numbers of a workspace, on states that the model made.

use super::*;
use crate::domain::book::{FeatureState, UserSettings, UserState};
use crate::domain::change::{Change, Enforcement, LimitSetting, Plan, UserChange};
use crate::domain::decision::Reason;
use crate::domain::hold::Wish;
use crate::domain::ledger::Account;
use crate::domain::model::Model;
use crate::domain::period::Instant;
use crate::domain::{FeatureId, TeamId, WorkspaceId};

fn at() -> Instant {
    Instant::from_timestamp("2026-11-24T12:00:00Z".parse().unwrap())
}

fn id(text: &str) -> UserId {
    UserId::parse(text).unwrap()
}

fn view_of(state: Workspace) -> View {
    let period = state.calendar.period_of(at());
    View { state, period, as_of: at() }
}

fn team_change(default_user_limit: Option<Credits>) -> Change {
    let (team, monthly_reserve) = (TeamId::parse("sales").unwrap(), Credits::ZERO);
    Change::Team { team, monthly_reserve, apply_now: false, default_user_limit }
}

fn user_change(user: &str, limit: Option<LimitSetting>, team: Option<&str>) -> Change {
    let team = Some(team.map(|team| TeamId::parse(team).unwrap()));
    Change::User(UserChange { limit: Some(limit), team, ..UserChange::of(id(user)) })
}

/// 10,000 credits: ann in sales (team default 500), bob unlimited by his own setting, cid inherits the
/// plan's 300 and was granted 1,000.
fn office() -> View {
    let (mut model, workspace) = (Model::new(3600), WorkspaceId::parse("w").unwrap());
    let plan =
        Plan { default_user_limit: Some(Credits::whole(300)), ..Plan::monthly(Credits::whole(10_000)) };
    let to = Account::Team(TeamId::parse("sales").unwrap());
    for change in [
        Change::Plan(plan),
        team_change(Some(Credits::whole(500))),
        user_change("ann", None, Some("sales")),
        user_change("bob", Some(LimitSetting::None), None),
        Change::Grant { user: id("cid"), credits: Credits::whole(1000) },
        Change::Transfer { from: Account::Pool, to, credits: Credits::whole(2000), raise_limit: false },
    ] {
        model.change(&workspace, &change, at()).unwrap();
    }
    view_of(model.workspace(&workspace).unwrap().clone())
}

fn spend(view: &mut View, user: &str, credits: i64) {
    let book = view.state.books.get_mut(&view.period.name).unwrap();
    let feature = FeatureId::parse("ai_chat").unwrap();
    book.users.entry(id(user)).or_default().spent += Credits::whole(credits);
    book.features.entry(feature).or_default().spent += Credits::whole(credits);
    book.pool.used += Credits::whole(credits);
    book.used += Credits::whole(credits);
}

#[test]
fn a_summary_adds_up() {
    let mut view = office();
    spend(&mut view, "ann", 100);
    let summary = Summary::of(&view);
    assert_eq!(summary.total, Credits::whole(10_000));
    assert_eq!(summary.allocated_to_users, Credits::whole(1000));
    assert_eq!(summary.reserved_for_teams, Credits::whole(2000));
    assert_eq!(summary.remaining, Credits::whole(9900));
    assert_eq!(summary.pool_remaining, Credits::whole(6900));
    assert_eq!(summary.user_count, 3);
    // ann 500, bob without limit counts as 10,000, cid 300 + 1,000.
    assert_eq!(summary.oversubscription, Some(1.18));
}

#[test]
fn without_a_total_nothing_is_oversubscribed() {
    let summary = Summary::of(&view_of(Workspace::default()));
    assert_eq!((summary.oversubscription, summary.total), (None, Credits::ZERO));
}

#[test]
fn many_users_of_the_largest_limit_do_not_overflow() {
    let mut state = office().state;
    let settings =
        UserSettings { limit: Some(LimitSetting::Credits(Credits::TOTAL_MAX)), ..UserSettings::default() };
    state.users = (0..70_000).map(|n| (id(&format!("u{n}")), settings.clone())).collect();
    let summary = Summary::of(&view_of(state));
    assert!(summary.oversubscription.unwrap() > 5e10);
}

#[test]
fn a_user_shows_where_the_limit_comes_from_and_what_is_left() {
    let mut view = office();
    spend(&mut view, "ann", 450);
    let ann = user(&view, &id("ann")).unwrap();
    assert_eq!((ann.limit_source, ann.limit), (LimitSource::Team, Some(Credits::whole(500))));
    assert_eq!((ann.remaining, ann.utilization), (Credits::whole(50), Some(0.9)));
    let bob = user(&view, &id("bob")).unwrap();
    assert_eq!((bob.limit_source, bob.limit, bob.utilization), (LimitSource::User, None, None));
    assert_eq!(bob.remaining, Credits::whole(10_000 - 2000 - 1000 - 450), "the pool's alone");
    let cid = user(&view, &id("cid")).unwrap();
    assert_eq!((cid.limit_source, cid.base_limit), (LimitSource::Workspace, Some(Credits::whole(300))));
    assert_eq!((cid.limit, cid.granted), (Some(Credits::whole(1300)), Credits::whole(1000)));
    assert_eq!(user(&view, &id("dan")), None);
}

#[test]
fn a_limit_of_0_leaves_nothing_and_has_no_utilization() {
    let mut view = office();
    let zero = UserSettings { limit: Some(LimitSetting::Credits(Credits::ZERO)), ..UserSettings::default() };
    view.state.users.insert(id("eve"), zero);
    let eve = user(&view, &id("eve")).unwrap();
    assert_eq!((eve.remaining, eve.utilization), (Credits::ZERO, None));
}

/// Many users with few different sums, so that ties are common.
fn crowd() -> View {
    let mut view = office();
    let book = view.state.books.get_mut(&view.period.name).unwrap();
    for n in 0..97_i64 {
        let spent = Credits::whole(n % 7);
        book.users.insert(id(&format!("u{n:02}")), UserState { spent, ..UserState::default() });
    }
    view
}

fn walk(view: &View, mut roster: Roster, limit: usize) -> Vec<UserLine> {
    let mut all = Vec::new();
    loop {
        let lines = roster.lines(view, limit);
        assert!(lines.len() <= limit);
        let Some(last) = lines.last() else { return all };
        let place = serde_json::to_string(&roster.sort.place(last)).unwrap();
        roster.after = Some(serde_json::from_str(&place).unwrap());
        all.extend(lines);
    }
}

#[test]
fn pages_neither_repeat_nor_skip() {
    let view = crowd();
    for (name, sort) in Sort::ALL {
        let roster = Roster { sort: name.parse().unwrap(), ..Roster::default() };
        assert_eq!(roster.sort.name(), name);
        let whole = roster.lines(&view, 1000);
        assert_eq!(whole.len(), 100);
        for limit in [1, 3, 50, 99, 100] {
            assert_eq!(walk(&view, roster.clone(), limit), whole, "{sort:?} by {limit}");
        }
    }
}

#[test]
fn every_sort_has_its_order_and_ties_go_by_id() {
    let view = crowd();
    let lines = |sort| Roster { sort, ..Roster::default() }.lines(&view, 1000);
    let used = lines(Sort::UsedFalling);
    assert!(used.windows(2).all(|pair| (-pair[0].used, &pair[0].user) < (-pair[1].used, &pair[1].user)));
    let left = lines(Sort::RemainingRising);
    assert!(left.windows(2).all(|p| (p[0].remaining, &p[0].user) < (p[1].remaining, &p[1].user)));
    let shares: Vec<f64> =
        lines(Sort::UtilizationFalling).iter().map_while(|line| line.utilization).collect();
    assert_eq!(shares.len(), 99, "bob has no limit and comes last");
    assert!(shares.windows(2).all(|pair| pair[0] >= pair[1]));
    assert!(lines(Sort::User).windows(2).all(|pair| pair[0].user < pair[1].user));
    assert!("used,-user".parse::<Sort>().is_err());
}

#[test]
fn a_roster_is_filtered_by_team_and_by_a_part_of_the_id() {
    let view = crowd();
    let team = Some(TeamId::parse("sales").unwrap());
    let sales = Roster { team, ..Roster::default() }.lines(&view, 10);
    assert_eq!(sales.iter().map(|line| line.user.as_str()).collect::<Vec<_>>(), ["ann"]);
    let part = Roster { contains: Some("U9".into()), sort: Sort::User, ..Roster::default() }.lines(&view, 10);
    assert_eq!(part.len(), 7);
}

#[test]
fn teams_show_their_members_and_account() {
    let view = office();
    let sales = &teams(&view)[0];
    assert_eq!((sales.members, sales.account.remaining), (1, Credits::whole(2000)));
    assert_eq!(team(&view, &sales.team).as_ref(), Some(sales));
    assert_eq!(members(&view.state, &sales.team).collect::<Vec<_>>(), [&id("ann")]);
    assert_eq!(team(&view, &TeamId::parse("ops").unwrap()), None);
}

#[test]
fn a_feature_that_nobody_used_shows_zeros() {
    let mut view = office();
    let chat = FeatureId::parse("ai_chat").unwrap();
    let zeros = feature(&view, &chat);
    assert_eq!((zeros.used, zeros.limit, zeros.remaining), (Credits::ZERO, None, None));
    view.state.features.insert(chat.clone(), Credits::whole(10));
    let book = view.state.books.get_mut(&view.period.name).unwrap();
    let (spent, holding) = (Credits::whole(7), Credits::whole(5));
    book.features.insert(chat, FeatureState { spent, holding });
    assert_eq!(features(&view)[0].remaining, Some(Credits::ZERO), "never below 0");
}

#[test]
fn a_check_names_the_first_rule_that_fails() {
    let mut view = office();
    spend(&mut view, "ann", 450);
    let before = format!("{view:?}");
    let workspace = WorkspaceId::parse("w").unwrap();
    let feature = FeatureId::parse("ai_chat").unwrap();
    let ask = |view: &View, user: &str, credits: i64| {
        let wish = Wish { user: id(user), feature: feature.clone(), credits: Credits::whole(credits) };
        check(view, &workspace, &wish)
    };
    assert!(ask(&view, "ann", 50).allowed);
    let denied = ask(&view, "ann", 51);
    let denial = denied.denial.unwrap();
    assert_eq!(
        (denied.allowed, denial.reason, denial.blocked_id.as_str()),
        (false, Reason::UserLimit, "ann")
    );
    assert_eq!((denial.blocked.remaining, denial.resets_at), (Credits::whole(50), view.period.end));
    assert_eq!(format!("{view:?}"), before, "a check changes nothing");
    let poor = ask(&view, "bob", 7000).denial.unwrap();
    assert_eq!((poor.reason, poor.blocked_id.as_str()), (Reason::InsufficientCredits, "w"));
    view.state.enforcement = Enforcement::Soft;
    let soft = ask(&view, "ann", 51);
    assert_eq!((soft.allowed, soft.denial.map(|denial| denial.reason)), (true, Some(Reason::UserLimit)));
    let nothing = ask(&view_of(Workspace::default()), "ann", 0);
    assert_eq!(nothing.denial.map(|denial| denial.reason), Some(Reason::NoPlan));
}
