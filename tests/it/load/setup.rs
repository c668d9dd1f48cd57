//! What a load consists of, and the plans and limits that its tally counts with.

use tollgate::domain::calendar::Calendar;
use tollgate::domain::change::Author;
use tollgate::domain::change::{Change, LimitSetting, Plan, UserChange};
use tollgate::domain::period::{Instant, PeriodName};
use tollgate::domain::{Credits, UserId, WorkspaceId};
use tollgate::pipeline::decide::now;
use tollgate::redis::RedisLedger;
use tollgate::simulate::{Plans, Spec};

/// Workspaces of a load.
pub const WORKSPACES: usize = 200;
/// Users of each.
pub const USERS: usize = 50;
/// Longer than a day, so that the day turns on the way.
const DURATION_MICROS: i64 = 30 * 3_600_000_000;

/// A number from the environment.
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

/// 2 % resends, 1 % malformed, some users past their limits and some pools dry; all events within
/// one period, and not so long ago that they would be too old.
pub fn spec(records: u64) -> (Spec, PeriodName) {
    let (calendar, now) = (Calendar::default(), now());
    let month = calendar.period_of(now).start.micros();
    let end = if now.micros() - DURATION_MICROS < month { month - 1 } else { now.micros() };
    let start_micros = end - DURATION_MICROS;
    let workspaces = (0..WORKSPACES).map(|n| format!("workspace-{n:03}")).collect();
    let spec = Spec {
        start_micros,
        duration_micros: DURATION_MICROS,
        resends_per_10k: 200,
        malformed_per_10k: 100,
        limited_user_every: 10,
        dry_pool_every: 20,
        ..Spec::new(number("TOLLGATE_LOAD_SEED", 1), workspaces, USERS, records)
    };
    (spec, calendar.period_of(Instant::from_micros(start_micros)).name)
}

/// Sets every plan and limit that the specification names.
pub async fn set_plans(ledger: &RedisLedger, spec: &Spec) {
    let (at, plans) = (Instant::from_micros(spec.start_micros), spec.plans());
    let author = Author { actor: "load".to_owned(), ..Author::default() };
    for (w, name) in spec.workspaces.iter().enumerate() {
        let workspace = WorkspaceId::parse(name).unwrap();
        for change in changes(&plans, w, spec.users_per_workspace) {
            ledger.change(&workspace, &change, &author, at).await.unwrap().unwrap();
        }
    }
}

/// The plan of one workspace and the limits of its users.
pub fn changes(plans: &Plans, workspace: usize, users: usize) -> impl Iterator<Item = Change> {
    let limits = (0..users).filter_map(move |u| limit(u, plans.limit_micro(workspace, u)?));
    [plan(plans.pool_micro(workspace))].into_iter().chain(limits)
}

fn plan(micro: i64) -> Change {
    Change::Plan(Plan::monthly(Credits::from_micro(micro)))
}

fn limit(user: usize, micro: i64) -> Option<Change> {
    let user = UserId::parse(&Spec::user_name(user)).ok()?;
    let limit = Some(Some(LimitSetting::Credits(Credits::from_micro(micro))));
    Some(Change::User(UserChange { limit, ..UserChange::of(user) }))
}
