//! Advice for a few accounts at a time: who gives, who gets, and that nobody gives what is not idle.

use super::super::{Method, Range};
use super::*;

fn forecast(used: i64, projected: i64, high: i64, total: Option<i64>) -> Forecast {
    let (used, projected_use) = (Credits::whole(used), Credits::whole(projected));
    let total = total.map(Credits::whole);
    Forecast {
        method: Method::WeeklyPattern,
        note: String::new(),
        history_days: 56,
        used,
        held: Credits::ZERO,
        total,
        projected_use: Some(projected_use),
        range: Some(Range { low: used, high: Credits::whole(high) }),
        projected_shortfall: total.map(|total| (projected_use - total).at_least_zero()),
        exhaustion: None,
        exhaustion_earliest: None,
        backtest: None,
    }
}

/// Advice for accounts of (name, team, remaining, limited, forecast), as "from > to: credits".
fn told(rows: &[(&str, Option<&str>, i64, bool, Forecast)]) -> (Vec<String>, Advice) {
    let accounts: Vec<Account> = rows.iter().map(|row| row.0.parse().unwrap()).collect();
    let teams: Vec<_> = rows.iter().map(|row| row.1.map(|team| TeamId::parse(team).unwrap())).collect();
    let holders: Vec<Holder<'_>> = (0..rows.len())
        .map(|i| Holder {
            account: &accounts[i],
            team: teams[i].as_ref(),
            remaining: Credits::whole(rows[i].2),
            limited: rows[i].3,
            forecast: &rows[i].4,
        })
        .collect();
    let advice = advise(&holders);
    let moves = advice.moves.iter().map(|m| format!("{} > {}: {}", m.from, m.to, m.credits)).collect();
    (moves, advice)
}

#[test]
fn a_user_at_the_limit_is_given_idle_pool_credits_with_a_raised_limit() {
    let (moves, advice) = told(&[
        ("pool", None, 5000, false, forecast(1000, 3000, 4000, Some(6000))),
        ("user:ann", None, 0, true, forecast(900, 1500, 1600, Some(1000))),
    ]);
    assert_eq!(moves, ["pool > user:ann: 500"]);
    assert!(advice.moves[0].raise_limit);
    assert!(advice.moves[0].because.contains("500 more than its limit allows"), "{:?}", advice.moves);
    assert_eq!((advice.idle, advice.short), (Credits::whole(2000), Credits::whole(500)));
}

#[test]
fn a_short_pool_is_filled_from_idle_accounts_by_way_of_the_teams_that_overdraw() {
    let (moves, advice) = told(&[
        ("pool", None, 100, false, forecast(0, 1900, 2200, Some(2600))),
        ("team:sales", None, 1500, false, forecast(0, 200, 300, Some(1500))),
        ("team:help", None, 500, false, forecast(0, 900, 1000, Some(500))),
        ("user:ann", Some("help"), 500, false, forecast(0, 100, 150, Some(1100))),
    ]);
    // Demand 1900: ann covers 100, sales 200, help 500; 1100 fall to the pool's 100. Of the 1000
    // that are missing, help overdraws 300.
    assert_eq!(moves, ["team:sales > pool: 700", "team:sales > team:help: 300"]);
    // Idle is what the upper end leaves: 1500 - 300 of sales, 500 - 150 of ann.
    assert_eq!((advice.idle, advice.short), (Credits::whole(1550), Credits::whole(1000)));
}

#[test]
fn a_team_past_its_reserve_needs_nothing_while_the_pool_reaches() {
    let (moves, advice) = told(&[
        ("pool", None, 3000, false, forecast(0, 900, 1000, Some(3500))),
        ("team:help", None, 500, false, forecast(0, 900, 1000, Some(500))),
    ]);
    assert_eq!((moves.len(), advice.idle), (0, Credits::whole(2500)));
}

#[test]
fn without_a_projection_nothing_is_idle_and_a_limit_on_own_credits_is_no_shortage() {
    let mut fresh = forecast(0, 0, 0, None);
    (fresh.projected_use, fresh.range) = (None, None);
    let (moves, advice) = told(&[
        ("user:new", None, 900, false, fresh),
        ("user:bob", None, 800, true, forecast(100, 500, 550, Some(200))),
        ("user:ann", None, 0, false, forecast(100, 500, 550, Some(200))),
    ]);
    assert_eq!((moves.len(), advice.idle, advice.short), (0, Credits::ZERO, Credits::whole(300)));
}

#[test]
fn no_source_gives_more_than_it_has_idle_and_the_list_is_bounded() {
    let mut rows = Vec::new();
    let names: Vec<String> = (0..60).map(|number| format!("user:u{number:02}")).collect();
    for (number, name) in names.iter().enumerate() {
        let number = number as i64;
        let (left, total) = if number % 2 == 0 { (40 + number, None) } else { (0, Some(10)) };
        rows.push((name.as_str(), None, left, false, forecast(0, 10 + number % 7, 20 + number % 9, total)));
    }
    let (_, advice) = told(&rows);
    assert_eq!(advice.moves.len(), MOVES_MAX);
    for (name, _, left, _, forecast) in &rows {
        let given: Credits =
            advice.moves.iter().filter(|m| m.from.to_string() == *name).map(|m| m.credits).sum();
        let idle = Credits::whole(*left) - forecast.range.unwrap().high;
        assert!(given <= idle.at_least_zero(), "{name} gives {given} of {idle}");
    }
    assert!(advice.moves.iter().all(|m| m.credits >= Credits::whole(1) && m.from != m.to));
}

#[test]
fn amounts_are_whole_credits() {
    assert_eq!(whole_down(Credits::from_micro(1_999_999)), Credits::whole(1));
    assert_eq!(whole_up(Credits::from_micro(1_000_001)), Credits::whole(2));
    assert_eq!(whole_up(Credits::whole(2)), Credits::whole(2));
}
