//! The tables and Redis against the tally: the same numbers wherever they stand.

use std::collections::BTreeMap;

use clickhouse::Client;
use tollgate::clickhouse::{Store, UsageSource};
use tollgate::config::Settings;
use tollgate::domain::book::Book;
use tollgate::domain::ledger::{Account, Totals};
use tollgate::domain::period::PeriodName;
use tollgate::domain::{Credits, WorkspaceId};
use tollgate::redis::RedisLedger;
use tollgate::simulate::{Cell, Spec, Tally, Verdict, WorkspaceTally};

/// Workspace, user and feature.
pub type CellKey = [String; 3];

/// The tally's cells by their names.
pub fn expected_cells(spec: &Spec, tally: &Tally) -> BTreeMap<CellKey, Cell> {
    let named = spec.workspaces.iter().zip(&tally.workspaces);
    let cells = named.flat_map(|(name, workspace)| {
        workspace.cells.iter().map(|((user, feature), cell)| {
            ([name.clone(), Spec::user_name(*user), spec.features[*feature].name.to_owned()], *cell)
        })
    });
    cells.collect()
}

/// `usage_events`, `usage_rollups` and `account_balances`.
pub async fn tables(tables: &Store, spec: &Spec, tally: &Tally, period: PeriodName) {
    let expected = expected_cells(spec, tally);
    for source in [UsageSource::Events, UsageSource::Rollups] {
        let found = tables.totals(source, None).await.unwrap();
        assert!(found.keys().all(|cell| cell.period == period), "{source:?}: another period than {period}");
        let found: BTreeMap<CellKey, Cell> = found
            .into_iter()
            .map(|(cell, totals)| ([cell.workspace, cell.user, cell.feature], plain(totals)))
            .collect();
        compare(&format!("{source:?}"), &found, &expected);
    }
    for (w, (name, expected)) in spec.workspaces.iter().zip(&tally.workspaces).enumerate() {
        let workspace = WorkspaceId::parse(name).unwrap();
        for balance in tables.balances(&workspace, period).await.unwrap() {
            let micro =
                [balance.credited, balance.transferred_out, balance.used, balance.held, balance.spent];
            let micro = micro.map(Credits::micro);
            match &balance.account {
                Account::Pool => {
                    assert_eq!(micro, [expected.pool_micro, 0, expected.used_micro, 0, 0], "{name}: pool");
                    assert!(balance.remaining() >= Credits::ZERO);
                }
                Account::User(user) => {
                    let place = user_place(spec, user.as_str());
                    assert_eq!(micro, [0, 0, 0, 0, spent(expected, place)], "{name}: {user}");
                    assert_eq!(
                        balance.limit.map(Credits::micro),
                        spec.limit_micro(w, place),
                        "{name}: {user}"
                    );
                }
                Account::Team(team) => panic!("{name}: nobody made a team {team}"),
            }
        }
    }
}

/// The books in Redis; nobody is past a limit and no pool below 0.
pub async fn redis(ledger: &RedisLedger, spec: &Spec, tally: &Tally, period: PeriodName) {
    let mut found = BTreeMap::new();
    for (w, (name, expected)) in spec.workspaces.iter().zip(&tally.workspaces).enumerate() {
        let state = ledger.workspace(&WorkspaceId::parse(name).unwrap(), &[period]).await.unwrap().unwrap();
        let book = &state.books[&period];
        if state.epoch == 1 {
            assert_eq!(state.sequence, expected.verdicts.len() as u64, "{name}");
        }
        assert_eq!(book.total.micro(), expected.pool_micro, "{name}");
        assert_eq!((book.used.micro(), book.pool.used), (expected.used_micro, book.used), "{name}");
        assert_eq!(
            (book.conserved(), book.overage, book.held),
            (book.total, Credits::ZERO, Credits::ZERO),
            "{name}"
        );
        assert!(book.pool.remaining() >= Credits::ZERO, "{name}: the pool is overdrawn");
        for (user, sums) in &book.users {
            let place = user_place(spec, user.as_str());
            assert_eq!(sums.spent.micro(), spent(expected, place), "{name}: {user}");
            let limit = spec.limit_micro(w, place).unwrap_or(i64::MAX);
            assert!(sums.spent.micro() <= limit, "{name}: {user} spent past the limit");
        }
        add_cells(&mut found, name, book);
    }
    compare("Redis", &found, &expected_cells(spec, tally));
}

/// A row for each decided event, each rejected record and each entry of the ledger, and no other.
pub async fn rows(settings: &Settings, ledger: &RedisLedger, spec: &Spec, tally: &Tally) {
    let client =
        Client::default().with_url(&settings.clickhouse.url).with_database(&settings.clickhouse.database);
    let count = |sql: &'static str| {
        let query = client.query(sql);
        async move { query.fetch_one::<u64>().await.unwrap() }
    };
    let decided = tally.workspaces.iter().map(|workspace| workspace.verdicts.len() as u64).sum::<u64>();
    let rows = decided - tally.verdicts(Verdict::Duplicate);
    assert_eq!(count("SELECT count() FROM usage_events").await, rows);
    assert_eq!(count("SELECT count() FROM dead_letters").await, tally.rejects());
    let pools = count("SELECT count() FROM account_balances WHERE account = 'pool'").await;
    assert_eq!(pools, spec.workspaces.len() as u64);
    let gaps = "SELECT countIf(number != last) FROM (
        SELECT count() AS number, max(sequence) AS last FROM credit_ledger GROUP BY workspace, epoch)";
    assert_eq!(count(gaps).await, 0, "entries are missing");
    for name in &spec.workspaces {
        let state = ledger.workspace(&WorkspaceId::parse(name).unwrap(), &[]).await.unwrap().unwrap();
        let last = "SELECT max(sequence) FROM credit_ledger WHERE workspace = ? AND epoch = ?";
        let last = client.query(last).bind(name).bind(state.epoch);
        assert_eq!(last.fetch_one::<u64>().await.unwrap(), state.ledger_sequence, "{name}");
    }
}

fn plain(totals: Totals) -> Cell {
    assert_eq!((totals.overage_credits, totals.overage_events), (Credits::ZERO, 0), "no overage under hard");
    Cell {
        events: totals.events,
        micro: totals.credits.micro(),
        denied_events: totals.denied_events,
        denied_micro: totals.denied_micro,
    }
}

fn add_cells(found: &mut BTreeMap<CellKey, Cell>, workspace: &str, book: &Book) {
    for ((_, user, feature), totals) in &book.cells {
        let cell = found.entry([workspace.to_owned(), user.to_string(), feature.to_string()]).or_default();
        let day = plain(*totals);
        cell.events += day.events;
        cell.micro += day.micro;
        cell.denied_events += day.denied_events;
        cell.denied_micro += day.denied_micro;
    }
}

fn compare(what: &str, found: &BTreeMap<CellKey, Cell>, expected: &BTreeMap<CellKey, Cell>) {
    for (key, expected) in expected {
        assert_eq!(found.get(key), Some(expected), "{what}: {key:?}");
    }
    assert_eq!(found.len(), expected.len(), "{what}: cells that nobody spent in");
}

fn user_place(spec: &Spec, name: &str) -> usize {
    (0..spec.users_per_workspace).find(|user| Spec::user_name(*user) == name).unwrap()
}

fn spent(workspace: &WorkspaceTally, user: usize) -> i64 {
    workspace.spent_micro.get(&user).copied().unwrap_or(0)
}
