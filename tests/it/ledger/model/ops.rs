//! Random operations of administrators, clients and producers on a few workspaces, and what may befall
//! their state.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tollgate::domain::change::{
    CarryOver, Change, Enforcement, LimitSetting, Plan, Seats, Thresholds, UserChange,
};
use tollgate::domain::hold::{HoldRequest, Wish};
use tollgate::domain::ledger::Account;
use tollgate::domain::{Credits, FeatureId, HoldId, TeamId, UserId, WorkspaceId};

/// An event by its numbers; `id` repeats, so that duplicates happen, and so may `hold`.
#[derive(Debug, Clone)]
pub struct Spend {
    pub workspace: u8,
    pub user: u8,
    pub feature: u8,
    pub id: u8,
    pub time_shift_hours: i64,
    pub micro: i64,
    pub hold: Option<u8>,
}

#[derive(Debug, Clone)]
pub enum Op {
    Events(Vec<Spend>),
    /// Delivers the last so many events again.
    Redeliver(usize),
    /// A producer sends one of the events again, as it was.
    Resend(usize),
    Change(u8, Change),
    /// One of the requests so far comes again under its key; the second says whether with another body.
    Again(usize, bool),
    /// Gives back the credits of one of the events decided so far.
    Reverse(usize),
    Check(u8, Wish),
    Hold(u8, HoldRequest),
    /// Publishes the event of a hold that is settling.
    Settled(u8, u8),
    Sleep(i64),
    /// A copy of a workspace's state is made.
    Keep(u8),
    /// The copy takes the place of the state for a moment.
    Stale(u8),
    /// A part of the state is gone for a moment.
    Lose(u8, Part),
}

/// What of a workspace's state is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    All,
    Head,
    Settings,
    Book,
}

pub fn user(n: u8) -> UserId {
    UserId::parse(&format!("user-{n}")).unwrap()
}

pub fn team(n: u8) -> TeamId {
    TeamId::parse(&format!("team-{n}")).unwrap()
}

pub fn feature(n: u8) -> FeatureId {
    FeatureId::parse(&format!("feature-{n}")).unwrap()
}

pub fn workspace(n: u8) -> WorkspaceId {
    WorkspaceId::parse(&format!("workspace-{n}")).unwrap()
}

pub fn hold(n: u8) -> HoldId {
    HoldId::parse(&format!("hold-{n}")).unwrap()
}

fn micro() -> impl Strategy<Value = i64> {
    prop_oneof![
        6 => 0..50_000_000_i64,
        2 => Just(1_000_000),
        1 => Just(0),
        1 => 0..=Credits::EVENT_MAX.micro(),
    ]
}

fn amount() -> impl Strategy<Value = Credits> {
    prop_oneof![
        8 => (1..200_000_000_i64).prop_map(Credits::from_micro),
        1 => Just(Credits::TOTAL_MAX),
    ]
}

fn spend() -> impl Strategy<Value = Spend> {
    let time = prop_oneof![8 => Just(0), 1 => -72_i64..=0, 1 => 0..3_i64];
    let hold = prop::option::weighted(0.2, 0..6_u8);
    (0..3_u8, 0..4_u8, 0..3_u8, 0..60_u8, time, micro(), hold).prop_map(
        |(workspace, user, feature, id, time_shift_hours, micro, hold)| Spend {
            workspace,
            user,
            feature,
            id,
            time_shift_hours,
            micro,
            hold,
        },
    )
}

fn account() -> impl Strategy<Value = Account> {
    prop_oneof![
        Just(Account::Pool),
        (0..2_u8).prop_map(|n| Account::Team(team(n))),
        (0..4_u8).prop_map(|n| Account::User(user(n))),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let timezone = prop_oneof![Just("UTC"), Just("America/New_York"), Just("Asia/Tokyo")];
    let monthly = prop_oneof![8 => 0..600_i64, 1 => Just(8_000_000_000)];
    let carry_over = prop::sample::select(CarryOver::ALL.to_vec());
    let thresholds = prop::sample::select(vec![vec![], vec![50, 80, 100], vec![1, 90]]);
    let seats =
        prop::option::of((0..9_u32).prop_map(|seats| Seats { seats, credits_per_seat: Credits::whole(7) }));
    (monthly, timezone, 1..=28_i8, any::<bool>(), prop::option::of(amount()), carry_over, thresholds, seats)
        .prop_map(
            |(monthly, timezone, anchor_day, soft, default_user_limit, carry_over, thresholds, seats)| Plan {
                monthly_credits: Credits::whole(monthly),
                seats,
                timezone: timezone.to_owned(),
                anchor_day,
                enforcement: if soft { Enforcement::Soft } else { Enforcement::Hard },
                default_user_limit,
                carry_over,
                thresholds: Thresholds::try_from(thresholds).unwrap(),
            },
        )
}

fn user_change() -> impl Strategy<Value = UserChange> {
    let limit = prop::option::of(prop::option::of(prop_oneof![
        4 => amount().prop_map(LimitSetting::Credits),
        1 => Just(LimitSetting::Credits(Credits::ZERO)),
        1 => Just(LimitSetting::None),
    ]));
    let member = prop::option::of(prop::option::of((0..2_u8).prop_map(team)));
    let suspended = prop::option::weighted(0.2, any::<bool>());
    let allocation = prop::option::weighted(0.4, (0..60_i64).prop_map(Credits::whole));
    ((0..4_u8).prop_map(user), limit, member, suspended, allocation, any::<bool>()).prop_map(
        |(user, limit, team, suspended, monthly_allocation, apply_now)| UserChange {
            user,
            limit,
            team,
            monthly_allocation,
            apply_now,
            suspended,
        },
    )
}

fn users_change() -> impl Strategy<Value = Change> {
    prop::collection::vec(user_change(), 1..4).prop_map(|mut users| {
        users.sort_by(|a, b| a.user.cmp(&b.user));
        users.dedup_by(|a, b| a.user == b.user);
        Change::Users { users }
    })
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => plan().prop_map(Change::Plan),
        3 => user_change().prop_map(Change::User),
        1 => users_change(),
        2 => ((0..2_u8).prop_map(team), 0..100_i64, any::<bool>(), prop::option::of(amount()))
            .prop_map(|(team, reserve, apply_now, default_user_limit)| Change::Team {
                team, monthly_reserve: Credits::whole(reserve), apply_now, default_user_limit
            }),
        1 => ((0..3_u8).prop_map(feature), prop::option::of(amount()))
            .prop_map(|(feature, limit)| Change::Feature { feature, limit }),
        1 => amount().prop_map(|credits| Change::TopUp { credits }),
        2 => (account(), account(), amount(), any::<bool>())
            .prop_map(|(from, to, credits, raise_limit)| Change::Transfer { from, to, credits, raise_limit }),
        2 => ((0..4_u8).prop_map(user), amount()).prop_map(|(user, credits)| Change::Grant { user, credits }),
    ]
}

fn wish() -> impl Strategy<Value = Wish> {
    (0..4_u8, 0..3_u8, micro()).prop_map(|(who, what, micro)| Wish {
        user: user(who),
        feature: feature(what),
        credits: Credits::from_micro(micro),
    })
}

fn hold_request() -> impl Strategy<Value = HoldRequest> {
    let ttl = prop_oneof![Just(300_u32), Just(7_200), Just(86_400)];
    prop_oneof![
        4 => (0..6_u8, wish(), ttl)
            .prop_map(|(n, wish, ttl_seconds)| HoldRequest::Make { hold: hold(n), wish, ttl_seconds }),
        2 => (0..6_u8, micro())
            .prop_map(|(n, micro)| HoldRequest::Settle { hold: hold(n), credits: Credits::from_micro(micro), owner: None }),
        1 => (0..6_u8, prop::option::of(0..4_u8))
            .prop_map(|(n, owner)| HoldRequest::Void { hold: hold(n), owner: owner.map(user) }),
    ]
}

pub fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => prop::collection::vec(spend(), 1..24).prop_map(Op::Events),
        1 => (1..30_usize).prop_map(Op::Redeliver),
        4 => (0..3_u8, change()).prop_map(|(workspace, change)| Op::Change(workspace, change)),
        1 => any::<usize>().prop_map(Op::Reverse),
        1 => (0..3_u8, wish()).prop_map(|(workspace, wish)| Op::Check(workspace, wish)),
        4 => (0..3_u8, hold_request()).prop_map(|(workspace, request)| Op::Hold(workspace, request)),
        2 => (0..3_u8, 0..6_u8).prop_map(|(workspace, hold)| Op::Settled(workspace, hold)),
        1 => prop_oneof![1..3_i64, Just(30), Just(24 * 20), Just(24 * 70)].prop_map(Op::Sleep),
        1 => any::<usize>().prop_map(Op::Resend),
        1 => (any::<usize>(), prop::bool::weighted(0.2)).prop_map(|(n, other)| Op::Again(n, other)),
        1 => misfortune(),
    ]
}

fn misfortune() -> impl Strategy<Value = Op> {
    let part = prop::sample::select(vec![Part::All, Part::Head, Part::Settings, Part::Book]);
    prop_oneof![
        (0..3_u8).prop_map(Op::Keep),
        (0..3_u8).prop_map(Op::Stale),
        (0..3_u8, part).prop_map(|(workspace, part)| Op::Lose(workspace, part)),
    ]
}

/// What leads to the largest total: a plan of that much, and usage that goes on beyond it.
pub fn largest_total(n: u8) -> Vec<Op> {
    let largest = Plan::monthly(Credits::TOTAL_MAX);
    let plan = Change::Plan(Plan { enforcement: Enforcement::Soft, ..largest });
    let micro = Credits::EVENT_MAX.micro();
    let spend = |id| Spend { workspace: n, user: 0, feature: 0, id, time_shift_hours: 0, micro, hold: None };
    vec![Op::Change(n, plan), Op::Events((70..82).map(spend).collect())]
}

/// What leads to a period that cannot open with all standing amounts: more is promised than the plan brings.
pub fn short_opening(n: u8) -> Vec<Op> {
    let plan = Change::Plan(Plan::monthly(Credits::whole(10)));
    let standing = Change::User(UserChange {
        user: user(1),
        limit: None,
        team: None,
        monthly_allocation: Some(Credits::whole(60)),
        apply_now: false,
        suspended: None,
    });
    let top_up = Change::TopUp { credits: Credits::whole(1) };
    vec![Op::Change(n, plan), Op::Change(n, standing), Op::Sleep(24 * 31), Op::Change(n, top_up)]
}

/// So many operations, the same for the same seed.
pub fn operations(seed: u64, count: usize) -> Vec<Op> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner =
        TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let rest = (0..count).map(|_| op().new_tree(&mut runner).unwrap().current());
    // A life of some wealth: otherwise nearly everything is denied or refused.
    let plan = |credits| Change::Plan(Plan::monthly(Credits::whole(credits)));
    let start = [1_000, 20_000, 400].into_iter().zip(0..).map(|(credits, n)| Op::Change(n, plan(credits)));
    start.chain(rest).collect()
}
