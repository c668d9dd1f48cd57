//! The story of one workspace through one month, played against the running service as its users
//! would live it, and checked at each step. Every run has a workspace of its own.

mod story;

use std::time::Duration;

use anyhow::{Context, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use self::story::Story;
use super::table::table;
use crate::clickhouse::RankingOrder;
use crate::config::Settings;
use crate::domain::Credits;
use crate::domain::change::{Change, LimitSetting, Plan, Refusal, UserChange};
use crate::domain::ledger::Account;

/// Who plays which part, and with which limit in credits.
const LIMITED: [(&str, i64); 3] = [("user-01", 1_000), ("user-02", 10_000), ("user-03", 2_500)];
/// What each of the five features costs a use, in credits.
pub(super) const FEATURES: [(&str, i64); 5] =
    [("ai_chat", 10), ("ai_agent", 200), ("ai_automation", 50), ("ai_field", 10), ("image_generation", 100)];
const SEATS: i64 = 70;
const CREDITS_PER_SEAT: i64 = 5_000;
const GRANT: i64 = 2_000;

/// Plays the story. Errors: the first step that did not hold.
pub async fn run(settings: &Settings) -> anyhow::Result<()> {
    let mut story = Story::begin(settings).await?;
    println!("The workspace {} has {SEATS} users with {CREDITS_PER_SEAT} credits each.\n", story.workspace);
    open(&mut story).await?;
    a_team_spends(&mut story).await?;
    a_user_reaches_the_limit(&mut story).await?;
    the_admin_grants(&mut story).await?;
    a_grant_is_refused(&mut story).await?;
    the_tables_agree(&mut story).await?;
    println!("\nEvery step held. Look at:");
    for (what, address) in story.addresses() {
        println!("  {what:<18} {address}");
    }
    Ok(())
}

/// 1. The plan opens the pool, and three users get limits.
async fn open(story: &mut Story) -> anyhow::Result<()> {
    let monthly_credits = Credits::whole(SEATS * CREDITS_PER_SEAT);
    let plan = Plan { timezone: "Europe/Berlin".to_owned(), ..Plan::monthly(monthly_credits) };
    story.change(&Change::Plan(plan)).await?;
    for (user, limit) in LIMITED {
        let limit = Some(Some(LimitSetting::Credits(Credits::whole(limit))));
        let user = story::user(user)?;
        story.change(&Change::User(UserChange { limit, ..UserChange::of(user) })).await?;
    }
    let book = story.book().await?;
    ensure!(book.total == monthly_credits, "the pool holds {}, not {monthly_credits}", book.total);
    story.held(&format!("the pool opens with {monthly_credits} credits"));
    story.held("user-01 is limited to 1000, user-02 to 10000, user-03 to 2500");
    Ok(())
}

/// 2. Everybody works; five features spend.
async fn a_team_spends(story: &mut Story) -> anyhow::Result<()> {
    const EVENTS: u64 = 2_000;
    let bar = ProgressBar::new(EVENTS).with_style(
        ProgressStyle::with_template("   {bar:40} {pos}/{len} events decided").context("a progress bar")?,
    );
    let expected = story.work(EVENTS).await?;
    while story.decided() < EVENTS {
        story.wait_for_decision().await?;
        bar.set_position(story.decided());
    }
    bar.finish_and_clear();
    let used = story.book().await?.used;
    ensure!(used == expected, "the pool gave {used}, the events ask for {expected}");
    story.held(&format!("{EVENTS} events of five features are decided, {used} credits of the pool are used"));
    Ok(())
}

/// 3. A user spends up to the limit, and the next call is denied with its reason.
async fn a_user_reaches_the_limit(story: &mut Story) -> anyhow::Result<()> {
    for _ in 0..10 {
        let answer = story.spend("user-01", "image_generation", 100).await?;
        ensure!(answer["outcome"] == "allowed", "within the limit, but: {answer}");
    }
    story.held("user-01 spends 10 x 100 credits and has reached 1000 of 1000");
    let denied = story.spend("user-01", "ai_chat", 10).await?;
    let blocked = &denied["blocked_by"];
    ensure!(denied["outcome"] == "denied" && denied["reason"] == "user_limit", "not denied: {denied}");
    ensure!(blocked["limit"] == 1000 && blocked["used"] == 1000 && blocked["remaining"] == 0, "{denied}");
    let resets_at = denied["resets_at"].as_str().unwrap_or_default().to_owned();
    story.held(&format!(
        "the next 10 are denied: user_limit, limit 1000, used 1000, remaining 0, resets {resets_at}"
    ));
    Ok(())
}

/// 4. Help within a minute: credits from the pool, and the user goes on.
async fn the_admin_grants(story: &mut Story) -> anyhow::Result<()> {
    let before = story.book().await?.pool.remaining();
    let (user, credits) = (story::user("user-01")?, Credits::whole(GRANT));
    story.change(&Change::Grant { user, credits }).await?;
    let after = story.book().await?.pool.remaining();
    ensure!(before - after == credits, "the pool went from {before} to {after}");
    story.held(&format!(
        "the admin grants user-01 {GRANT}: the pool goes from {before} to {after} unallocated"
    ));
    let allowed = story.spend("user-01", "ai_agent", 200).await?;
    ensure!(allowed["outcome"] == "allowed" && allowed["drawn"]["user"] == 200, "still blocked: {allowed}");
    story.held("user-01 spends again: 200 credits, drawn from the grant");
    Ok(())
}

/// 5. What the pool does not hold cannot be given.
async fn a_grant_is_refused(story: &mut Story) -> anyhow::Result<()> {
    let change = Change::Grant { user: story::user("user-02")?, credits: Credits::whole(1_000_000) };
    let Err(Refusal::InsufficientCredits { account, remaining, .. }) = story.try_change(&change).await?
    else {
        anyhow::bail!("a grant of more than the pool was not refused");
    };
    ensure!(account == Account::Pool, "refused by {account}");
    story.held(&format!("a grant of 1000000 is refused: the pool has {remaining} left"));
    Ok(())
}

/// 6. The same numbers from ClickHouse: the ranking, the features, the month.
async fn the_tables_agree(story: &mut Story) -> anyhow::Result<()> {
    let book = story.book().await?;
    story.recorded(book.used, Duration::from_secs(20)).await?;
    let (tables, workspace, period) = (story.tables(), story.workspace.clone(), story.period());
    let ranking = tables.ranking(&workspace, period, RankingOrder::MostSpent, 5).await?;
    let least = tables.ranking(&workspace, period, RankingOrder::LeastSpent, 3).await?;
    let features = tables.by_feature(&workspace, period).await?;
    let months = tables.monthly(&workspace).await?;
    let month: Credits = months.iter().map(|row| row.credits).sum();
    ensure!(month == book.used, "the month in ClickHouse is {month}, Redis says {}", book.used);
    ensure!(features.len() == FEATURES.len(), "{} features in ClickHouse", features.len());
    let row = |name: &str, credits: Credits, events: u64, denied: u64| {
        vec![name.to_owned(), credits.to_string(), events.to_string(), denied.to_string()]
    };
    let users = ranking.iter().map(|u| row(&u.user, u.credits, u.events, u.denied_events)).collect();
    println!("\n{}", table(&["most credits", "credits", "events", "denied"], users));
    let users = least.iter().map(|u| row(&u.user, u.credits, u.events, u.denied_events)).collect();
    println!("{}", table(&["fewest credits", "credits", "events", "denied"], users));
    let features = features.iter().map(|f| row(&f.feature, f.credits, f.events, f.denied_events)).collect();
    println!("{}\n", table(&["feature", "credits", "events", "denied"], features));
    story.held(&format!("ClickHouse says the same: {month} credits in {period}, by user, feature and month"));
    Ok(())
}
