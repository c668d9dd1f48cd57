//! Every record as the scripts keep it; `scripts/lib.lua` says what stands where.

use std::collections::BTreeMap;

use super::{Fields, Restored};
use crate::domain::book::{AccountState, Book, UserSettings, Workspace};
use crate::domain::change::{Enforcement, LimitSetting};
use crate::domain::ledger::Totals;
use crate::domain::period::{Day, PeriodName};
use crate::domain::{Credits, FeatureId, TeamId, UserId};
use crate::redis::codec::Packer;

fn packed(write: impl FnOnce(&mut Packer)) -> Vec<u8> {
    let mut out = Packer::default();
    write(&mut out);
    out.into_bytes()
}

fn ints(numbers: &[i64]) -> Vec<u8> {
    packed(|out| {
        out.ints(numbers);
    })
}

/// The head: with it the workspace is in use again.
pub(super) fn head(restored: &Restored<'_>) -> Vec<u8> {
    let state = restored.state;
    let pairs = |map: &BTreeMap<i32, i64>| -> Vec<i64> {
        map.iter().flat_map(|(partition, offset)| [i64::from(*partition), *offset]).collect()
    };
    let last = |(partition, offsets): (&i32, &Vec<i64>)| Some((*partition, *offsets.iter().max()?));
    let beyond: BTreeMap<i32, i64> = restored.beyond.iter().filter_map(last).collect();
    packed(|out| {
        out.array(if beyond.is_empty() { 5 } else { 6 });
        out.int(state.epoch as i64).int(state.sequence as i64).int(state.ledger_sequence as i64);
        out.ints(&pairs(restored.fences)).int(0);
        if !beyond.is_empty() {
            out.ints(&pairs(&beyond));
        }
    })
}

fn optional(limit: Option<Credits>) -> i64 {
    limit.map_or(-1, Credits::micro)
}

/// Settings of plan, users, teams and features.
pub(super) fn settings(state: &Workspace) -> Fields {
    let mut fields = vec![("s".to_owned(), plan(state))];
    if state.calendar.version() > 0 {
        fields.push(("cal".to_owned(), state.calendar.stored().into_bytes()));
    }
    let opened: Vec<&PeriodName> =
        state.books.iter().filter(|(_, book)| book.opened).map(|(name, _)| name).collect();
    if !opened.is_empty() {
        let list = packed(|out| {
            out.array(opened.len());
            for period in &opened {
                out.text(&period.to_string());
            }
        });
        fields.push(("opened".to_owned(), list));
    }
    fields.extend(state.users.iter().map(|(id, user)| (format!("u:{id}"), user_settings(user))));
    fields.extend(state.teams.iter().map(|(id, team)| {
        let limits = [optional(team.default_user_limit), team.monthly_reserve.micro()];
        (format!("t:{id}"), ints(&limits))
    }));
    let feature = |(id, limit): (&FeatureId, &Credits)| (format!("f:{id}"), ints(&[limit.micro()]));
    fields.extend(state.features.iter().map(feature));
    fields
}

fn plan(state: &Workspace) -> Vec<u8> {
    packed(|out| {
        out.array(9).int(state.calendar.version() as i64).int(state.monthly_credits.micro());
        out.int(i64::from(state.enforcement == Enforcement::Soft)).int(optional(state.default_user_limit));
        out.int(state.carry_over as i64);
        let percents: Vec<i64> = state.thresholds.percents().iter().map(|p| i64::from(*p)).collect();
        out.ints(&percents);
        match state.seats {
            Some(seats) => out.int(i64::from(seats.seats)).int(seats.credits_per_seat.micro()),
            None => out.int(-1).int(0),
        };
        out.int(standing(state).len() as i64);
    })
}

fn user_settings(user: &UserSettings) -> Vec<u8> {
    let limit = match user.limit {
        None => -1,
        Some(LimitSetting::None) => -2,
        Some(LimitSetting::Credits(credits)) => credits.micro(),
    };
    packed(|out| {
        out.array(4).int(limit).text(user.team.as_ref().map_or("", TeamId::as_str));
        out.int(i64::from(user.suspended)).int(user.monthly_allocation.micro());
    })
}

/// Every standing amount above 0, by account.
pub(super) fn standing(state: &Workspace) -> Fields {
    let teams = state.teams.iter().map(|(id, team)| (format!("team:{id}"), team.monthly_reserve));
    let users = state.users.iter().map(|(id, user)| (format!("user:{id}"), user.monthly_allocation));
    let above = teams.chain(users).filter(|(_, credits)| *credits > Credits::ZERO);
    above.map(|(account, credits)| (account, credits.micro().to_string().into_bytes())).collect()
}

fn account(sums: &AccountState) -> [i64; 4] {
    [sums.credited, sums.transferred_out, sums.used, sums.held].map(Credits::micro)
}

type Cells<'a> = BTreeMap<&'a UserId, BTreeMap<Day, Vec<(&'a FeatureId, &'a Totals)>>>;

fn cells_by_day(book: &Book) -> Cells<'_> {
    let mut cells = Cells::new();
    for ((day, user, feature), totals) in &book.cells {
        cells.entry(user).or_default().entry(*day).or_default().push((feature, totals));
    }
    cells
}

fn pack_cells(out: &mut Packer, cells: &[(&FeatureId, &Totals)]) {
    out.array(8 * cells.len());
    for (feature, totals) in cells {
        out.text(feature.as_str()).int(totals.credits.micro()).int(totals.overage_credits.micro());
        out.int(totals.events as i64).int(totals.overage_events as i64).int(totals.denied_events as i64);
        out.int((totals.denied_micro / 1_000_000) as i64).int((totals.denied_micro % 1_000_000) as i64);
    }
}

/// The records of a book, each user's with the cells of their latest day.
pub(super) fn records(book: &Book) -> Fields {
    let mut fields = Fields::new();
    if book.opened {
        let whole = [book.total, book.used, book.held, book.overage, book.top_ups].map(Credits::micro);
        let sums: Vec<i64> =
            account(&book.pool).into_iter().chain(whole).chain([i64::from(book.alerted)]).collect();
        fields.push(("p".to_owned(), ints(&sums)));
    }
    for (id, team) in &book.teams {
        let more = [team.standing.micro(), i64::from(team.alerted)];
        let sums: Vec<i64> = account(&team.account).into_iter().chain(more).collect();
        fields.push((format!("t:{id}"), ints(&sums)));
    }
    let cells = cells_by_day(book);
    let mut users = book.users.clone();
    for user in cells.keys() {
        users.entry((*user).clone()).or_default();
    }
    for (id, user) in &users {
        let latest = cells.get(id).and_then(|days| days.last_key_value());
        let [spent, holding, granted] = [user.spent, user.holding, user.granted].map(Credits::micro);
        let day = latest.map_or(-1, |(day, _)| i64::from(day.number()));
        let more = [spent, holding, granted, day, user.standing.micro(), i64::from(user.alerted)];
        let sums: Vec<i64> = account(&user.account).into_iter().chain(more).collect();
        let record = packed(|out| {
            out.ints(&sums);
            pack_cells(out, latest.map_or(&[], |(_, cells)| cells.as_slice()));
        });
        fields.push((format!("u:{id}"), record));
    }
    for (id, feature) in &book.features {
        let sums = [feature.spent.micro(), feature.holding.micro()];
        fields.push((format!("f:{id}"), ints(&sums)));
    }
    fields
}

/// The cells of every day but each user's latest.
pub(super) fn cold_cells(book: &Book) -> Fields {
    let mut fields = Fields::new();
    for (user, days) in cells_by_day(book) {
        for (day, cells) in days.iter().rev().skip(1) {
            fields.push((format!("{}:{user}", day.number()), packed(|out| pack_cells(out, cells))));
        }
    }
    fields
}
