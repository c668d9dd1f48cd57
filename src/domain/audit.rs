//! Redis against its truths: what stands there, what `usage_events` sums up to, what `usage_rollups`
//! says, and what the ledger folds into, number by number.

use std::collections::{BTreeMap, BTreeSet};

use super::book::{Book, UserState, Workspace};
use super::credits::Credits;
use super::fold::Fold;
use super::ids::{FeatureId, UserId};
use super::ledger::{Account, Totals};
use super::period::{Day, PeriodName};

/// A number on which the sources differ. Events are counted in whole credits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The period.
    pub period: PeriodName,
    /// `pool`, `team:<id>`, `user:<id>` or `feature:<id>`; of one cell with feature and day.
    pub account: String,
    /// What is counted.
    pub what: &'static str,
    /// What Redis says.
    pub redis: Credits,
    /// What the events sum up to; none where they do not tell.
    pub events: Option<Credits>,
    /// What the rollups say.
    pub rollups: Option<Credits>,
    /// What the ledger folds into.
    pub ledger: Option<Credits>,
}

impl Difference {
    /// The widest distance of a source from Redis, signed: above 0 when Redis says more.
    pub fn amount(&self) -> Credits {
        let sources = [self.events, self.rollups, self.ledger].into_iter().flatten();
        let distances = sources.map(|source| self.redis - source);
        distances.max_by_key(|distance| distance.micro().abs()).unwrap_or_default()
    }
}

/// The rollups of a workspace, each cell with its version.
pub type Cells = BTreeMap<(PeriodName, UserId, FeatureId, Day), (Totals, u64)>;

/// What was compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audit {
    /// Where the sources differ, by period and account.
    pub differences: Vec<Difference>,
    /// Numbers compared.
    pub compared: usize,
    /// Cells whose rollups had moved past this moment, and were left out.
    pub moving: usize,
}

/// Compares a state of Redis with ledger and events of the same moment, both in `truth`, and with the
/// rollups as far as they are not newer than `version`.
pub fn audit(redis: &Workspace, truth: &Fold, rollups: &Cells, version: u64) -> Audit {
    let mut audit = Audit::default();
    let periods: BTreeSet<PeriodName> = redis.books.keys().chain(truth.state.books.keys()).copied().collect();
    let nothing = Book::default();
    for period in periods {
        let here = redis.books.get(&period).unwrap_or(&nothing);
        let there = truth.state.books.get(&period).unwrap_or(&nothing);
        audit.accounts(period, here, there);
        audit.whole(period, here, there);
        audit.users(period, (redis, here), (&truth.state, there));
        audit.features(period, here, there);
        let of_period = |(name, cell): (&(PeriodName, UserId, FeatureId, Day), &(Totals, u64))| {
            let (of, user, feature, day) = name.clone();
            (of == period).then_some(((day, user, feature), *cell))
        };
        audit.cells(period, here, there, &rollups.iter().filter_map(of_period).collect(), version);
    }
    audit
}

impl Audit {
    fn number(&mut self, difference: Difference) {
        self.compared += 1;
        if difference.amount() != Credits::ZERO {
            self.differences.push(difference);
        }
    }

    fn ledger(&mut self, period: PeriodName, account: &str, what: &'static str, pair: (Credits, Credits)) {
        let account = account.to_owned();
        let (redis, ledger) = (pair.0, Some(pair.1));
        self.number(Difference { period, account, what, redis, events: None, rollups: None, ledger });
    }

    fn events(&mut self, period: PeriodName, account: &str, what: &'static str, pair: (Credits, Credits)) {
        let account = account.to_owned();
        let (redis, events) = (pair.0, Some(pair.1));
        self.number(Difference { period, account, what, redis, events, rollups: None, ledger: None });
    }

    fn accounts(&mut self, period: PeriodName, here: &Book, there: &Book) {
        let teams = here.teams.keys().chain(there.teams.keys()).cloned().map(Account::Team);
        let users = here.users.keys().chain(there.users.keys()).cloned().map(Account::User);
        let all: BTreeSet<Account> = [Account::Pool].into_iter().chain(teams).chain(users).collect();
        let (mut here, mut there) = (here.clone(), there.clone());
        for account in all {
            let (ours, theirs) = (*here.account(&account), *there.account(&account));
            let name = account.to_string();
            self.ledger(period, &name, "credited", (ours.credited, theirs.credited));
            self.ledger(period, &name, "transferred_out", (ours.transferred_out, theirs.transferred_out));
            self.events(period, &name, "used", (ours.used, theirs.used));
        }
    }

    fn whole(&mut self, period: PeriodName, here: &Book, there: &Book) {
        self.ledger(period, "workspace", "total", (here.total, there.total));
        self.events(period, "workspace", "used", (here.used, there.used));
        self.events(period, "workspace", "overage", (here.overage, there.overage));
    }

    fn users(&mut self, period: PeriodName, here: (&Workspace, &Book), there: (&Workspace, &Book)) {
        let all: BTreeSet<&UserId> = here.1.users.keys().chain(there.1.users.keys()).collect();
        for id in all {
            let of = |book: &Book| book.users.get(id).copied().unwrap_or_default();
            let (ours, theirs): (UserState, UserState) = (of(here.1), of(there.1));
            let name = format!("user:{id}");
            self.events(period, &name, "spent", (ours.spent, theirs.spent));
            self.ledger(period, &name, "granted", (ours.granted, theirs.granted));
            // No limit is told from every limit by a number that none can have.
            let limit = |state: &Workspace| state.base_limit(id).unwrap_or(Credits::from_micro(-1));
            self.ledger(period, &name, "limit", (limit(here.0), limit(there.0)));
        }
    }

    fn features(&mut self, period: PeriodName, here: &Book, there: &Book) {
        let all: BTreeSet<&FeatureId> = here.features.keys().chain(there.features.keys()).collect();
        for id in all {
            let spent = |book: &Book| book.features.get(id).map_or(Credits::ZERO, |feature| feature.spent);
            self.events(period, &format!("feature:{id}"), "spent", (spent(here), spent(there)));
        }
    }

    fn cells(
        &mut self,
        period: PeriodName,
        here: &Book,
        there: &Book,
        rollups: &BTreeMap<(Day, UserId, FeatureId), (Totals, u64)>,
        version: u64,
    ) {
        let all: BTreeSet<_> = here.cells.keys().chain(there.cells.keys()).chain(rollups.keys()).collect();
        for cell in all {
            let of = |book: &Book| book.cells.get(cell).copied().unwrap_or_default();
            let (ours, theirs) = (of(here), of(there));
            let (rollup, of_version) = rollups.get(cell).copied().unwrap_or_default();
            let moved = of_version > version;
            self.moving += usize::from(moved);
            let (day, user, feature) = cell;
            let account = format!("user:{user} {feature} {day}");
            for (what, number) in NUMBERS {
                let (redis, events) = (number(&ours), Some(number(&theirs)));
                let rollups = (!moved).then(|| number(&rollup));
                let account = account.clone();
                self.number(Difference { period, account, what, redis, events, rollups, ledger: None });
            }
        }
    }
}

type Number = (&'static str, fn(&Totals) -> Credits);

/// What a cell counts.
const NUMBERS: [Number; 6] = [
    ("credits", |totals| totals.credits),
    ("overage_credits", |totals| totals.overage_credits),
    ("events", |totals| Credits::whole(totals.events as i64)),
    ("overage_events", |totals| Credits::whole(totals.overage_events as i64)),
    ("denied_events", |totals| Credits::whole(totals.denied_events as i64)),
    ("denied_credits", |totals| Credits::from_micro(totals.denied_micro.min(i128::from(i64::MAX)) as i64)),
];
