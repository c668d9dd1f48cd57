//! What may be typed and what may not.

use clap::Parser;

use super::{Action, Args};
use crate::domain::Credits;
use crate::domain::change::{CarryOver, Change, Enforcement, LimitSetting, Plan, UserChange};
use crate::domain::standing::Sort;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn parse(line: &str) -> Result<Args, String> {
    let words = ["admin"].into_iter().chain(line.split_whitespace());
    Line::try_parse_from(words).map(|line| line.args).map_err(|fault| fault.to_string())
}

fn action(line: &str) -> Action {
    parse(line).unwrap().action
}

fn plan(line: &str) -> Plan {
    match action(line) {
        Action::Plan(args) => match args.change().unwrap() {
            Change::Plan(plan) => plan,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn user(line: &str) -> Option<UserChange> {
    match action(line) {
        Action::User(args) => args.change().map(|change| match change {
            Change::User(change) => change,
            other => panic!("{other:?}"),
        }),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_commands_are_sound_and_each_has_an_example() {
    use clap::CommandFactory;
    let command = Line::command();
    command.clone().debug_assert();
    for sub in command.get_subcommands() {
        let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains(&format!("tollgate admin {}", sub.get_name())), "{}: {help}", sub.get_name());
    }
}

#[test]
fn a_plan_is_whole() {
    assert_eq!(plan("plan acme --monthly-credits 10"), Plan::monthly(Credits::whole(10)));
    let full = plan(
        "plan acme --seats 7 --credits-per-seat 0.5 --timezone Europe/Berlin --anchor-day 28 --soft \
         --default-user-limit 3 --carry-over all --thresholds 10,90",
    );
    assert_eq!(full.monthly_credits, Credits::from_micro(3_500_000));
    assert_eq!(full.seats.unwrap().seats, 7);
    assert_eq!((full.timezone.as_str(), full.anchor_day), ("Europe/Berlin", 28));
    assert_eq!((full.enforcement, full.carry_over), (Enforcement::Soft, CarryOver::All));
    assert_eq!(
        (full.default_user_limit, full.thresholds.percents()),
        (Some(Credits::whole(3)), &[10, 90][..])
    );
    assert_eq!(plan("plan acme --monthly-credits 1 --enforcement soft").enforcement, Enforcement::Soft);
    assert_eq!(plan("plan acme --monthly-credits 1 --thresholds none").thresholds.percents(), &[0_u8; 0]);
    assert_eq!(plan("plan acme --monthly-credits 1 --carry-over top-ups").carry_over, CarryOver::TopUps);
}

#[test]
fn a_user_changes_in_what_is_named() {
    assert_eq!(user("user acme ann"), None);
    assert_eq!(user("user acme ann --period 2026-11-01"), None);
    let limit = |line: &str| user(line).unwrap().limit;
    assert_eq!(limit("user acme ann --limit none"), Some(Some(LimitSetting::None)));
    assert_eq!(limit("user acme ann --limit inherit"), Some(None));
    assert_eq!(limit("user acme ann --limit 0"), Some(Some(LimitSetting::Credits(Credits::ZERO))));
    let change = user("user acme ann --team none --suspended").unwrap();
    assert_eq!((change.limit, change.team, change.suspended), (None, Some(None), Some(true)));
    let change = user("user acme ann --suspended false --monthly-allocation 5 --apply-now").unwrap();
    assert_eq!((change.suspended, change.monthly_allocation), (Some(false), Some(Credits::whole(5))));
    assert!(change.apply_now);
}

#[test]
fn settings_are_replaced_only_when_one_is_named() {
    let Action::Team(args) = action("team acme red") else { panic!() };
    assert_eq!(args.change(), None);
    let Action::Team(args) = action("team acme red --default-user-limit none") else { panic!() };
    assert!(matches!(args.change(), Some(Change::Team { default_user_limit: None, .. })));
    let Action::Feature(args) = action("feature acme ai_chat --limit none") else { panic!() };
    assert!(matches!(args.change(), Some(Change::Feature { limit: None, .. })));
}

#[test]
fn global_words_stand_anywhere() {
    let args = parse("--json grant acme ann 2 --actor kim --reason launch --idempotency-key k-1").unwrap();
    assert!(args.json);
    assert_eq!((args.actor.as_str(), args.reason.as_str()), ("kim", "launch"));
    assert_eq!(args.idempotency_key.as_deref(), Some("k-1"));
}

#[test]
fn users_are_listed_in_an_order() {
    let Action::Users(args) = action("users acme --sort -utilization --team red --q an --limit 5") else {
        panic!()
    };
    assert_eq!((args.sort, args.q.as_deref(), args.paging.rows()), (Sort::UtilizationFalling, Some("an"), 5));
    let Action::Users(args) = action("users acme --all") else { panic!() };
    assert_eq!((args.sort, args.paging.rows()), (Sort::UsedFalling, usize::MAX));
    assert!(matches!(action("users acme --file -"), Action::Users(args) if args.file.is_some()));
}

#[test]
fn what_makes_no_sense_is_refused_with_what_does() {
    for (line, words) in [
        ("plan acme", "--monthly-credits"),
        ("plan acme --seats 5", "--credits-per-seat"),
        ("plan acme --credits-per-seat 5 --monthly-credits 5", "--seats"),
        ("plan acme --seats 5 --credits-per-seat 1 --monthly-credits 5", "cannot be used with"),
        ("plan acme --monthly-credits -1", "-1"),
        ("plan acme --monthly-credits 1.0000001", "1.0000001"),
        ("plan acme --monthly-credits 8000000001", "8000000000"),
        ("plan acme --monthly-credits 1 --anchor-day 29", "1..=28"),
        ("plan acme --monthly-credits 1 --timezone Mars/Olympus", "Mars/Olympus"),
        ("plan acme --monthly-credits 1 --soft --enforcement hard", "cannot be used with"),
        ("plan acme --monthly-credits 1 --enforcement mild", "hard, soft"),
        ("plan acme --monthly-credits 1 --carry-over some", "top_ups"),
        ("plan acme --monthly-credits 1 --thresholds 80,50", "rising"),
        ("plan acme --monthly-credits 1 --thresholds many", "50,80,100"),
        ("user acme ann --limit much", "none or inherit"),
        ("user acme a/b --limit 1", "a/b"),
        ("user acme ann --suspended maybe", "maybe"),
        ("user acme ann --limit 1 --period 2026-11-01", "cannot be used with"),
        ("team acme red --apply-now", "--monthly-reserve"),
        ("feature acme ai_chat --limit inherit", "credits or none"),
        ("top-up acme 0", "above 0"),
        ("grant acme ann", "<CREDITS>"),
        ("transfer acme pool ann 5", "team:<id>"),
        ("hold acme ann ai_chat 1000000001", "1000000000"),
        ("hold acme ann ai_chat 1 --ttl-seconds 86401", "86400"),
        ("settle acme h", "<CREDITS>"),
        ("check acme ann ai_chat 1 --quantity 2", "cannot be used with"),
        ("users acme --sort best", "-used"),
        ("users acme --file x --sort user", "cannot be used with"),
        ("users acme --limit 0", "1..=1000"),
        ("users acme --all --limit 5", "cannot be used with"),
        ("usage acme --group-by hour", "hour"),
        ("usage acme --from yesterday", "yesterday"),
        ("events acme --outcome duplicate", "allowed, overage, denied"),
        ("events acme --from 2026-11-22", "RFC 3339"),
        ("alerts acme --scope feature", "pool, team, user"),
        ("ledger acme --account ann", "user:<id>"),
        ("show acme --idempotency-key ü", "visible ASCII"),
        ("audit acme", "unrecognized subcommand"),
    ] {
        let fault = parse(line).expect_err(line);
        assert!(fault.contains(words), "{line}: {fault}");
    }
}
