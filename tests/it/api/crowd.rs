//! 64 clients and a stream of events on one workspace at once: never over a hard limit, never out of
//! conservation, and at the end exactly what the ledger and the decided events add up to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};
use tollgate::domain::book::Book;
use tollgate::domain::ledger::Account;
use tollgate::domain::{Credits, UserId, WorkspaceId};
use tollgate::kafka::Message;
use tollgate::simulate::Rng;

use crate::support::{Api, Installation, rows, until};

const CLIENTS: u64 = 64;
const EVENTS_PER_SECOND: u64 = 5000;
const SECONDS: u64 = 8;
/// Users 0..10 have a limit that only grows; those of 10..20 are changed at will.
const USERS: u64 = 20;
const STEADY: u64 = 10;
const LIMIT: i64 = 300;

fn user(n: u64) -> String {
    format!("user-{n:02}")
}

fn credits(value: &Value) -> Credits {
    Credits::parse(&value.to_string()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_clients_beside_a_stream_of_events() {
    let installation = Installation::new("crowd", "").await;
    let service = installation.serve().await;
    let api = Api::of(&installation);
    prepare(&api).await;

    let stop = Arc::new(AtomicBool::new(false));
    let counts = Arc::new(Counts::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| tokio::spawn(client(api.clone(), n, Arc::clone(&stop), Arc::clone(&counts))))
        .collect();
    let watching = tokio::spawn(watch(api.clone(), Arc::clone(&stop)));
    let started = Instant::now();
    stream(&installation).await;
    let seconds = started.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    let looks = watching.await.unwrap();
    end_holds(&api).await;

    let expected = EVENTS_PER_SECOND * SECONDS + counts.settled.load(Ordering::Relaxed);
    until(&installation, "SELECT toString(count()) FROM usage_events", &expected.to_string()).await;
    compare(&installation, &api).await;
    println!(
        "{} events in {seconds:.1} s beside {} requests of {CLIENTS} clients ({} refused), {} settles, looked at {looks} times",
        EVENTS_PER_SECOND * SECONDS,
        counts.requests.load(Ordering::Relaxed),
        counts.refused.load(Ordering::Relaxed),
        counts.settled.load(Ordering::Relaxed),
    );
    assert!(service.stop(), "{}", installation.log());
    installation.remove().await;
}

#[derive(Default)]
struct Counts {
    requests: AtomicU64,
    refused: AtomicU64,
    settled: AtomicU64,
}

async fn prepare(api: &Api) {
    api.write("PUT", "/v1/workspaces/busy/plan", json!({"monthly_credits": 6000})).await;
    let users: Vec<Value> =
        (0..USERS).map(|n| json!({"user": user(n), "limit": LIMIT, "team": "t"})).collect();
    api.write("PATCH", "/v1/workspaces/busy/users", json!({"users": users})).await;
    let team = json!({"monthly_reserve": 500, "apply_now": true});
    api.write("PUT", "/v1/workspaces/busy/teams/t", team).await;
}

/// Publishes at a steady rate.
async fn stream(installation: &Installation) {
    let topic = &installation.settings.kafka.topics.events;
    let mut rng = Rng::new(7);
    let started = Instant::now();
    for tick in 0..SECONDS * 20 {
        let messages: Vec<Message> = (0..EVENTS_PER_SECOND / 20).map(|n| event(&mut rng, tick, n)).collect();
        installation.stores.producer.publish(topic, &messages).await.unwrap();
        let due = Duration::from_millis((tick + 1) * 50);
        tokio::time::sleep(due.saturating_sub(started.elapsed())).await;
    }
}

fn event(rng: &mut Rng, tick: u64, n: u64) -> Message {
    let (user, credits) = (user(rng.below(USERS)), 0.05 * (1 + rng.below(8)) as f64);
    let event = json!({
        "id": format!("e-{tick}-{n}"), "workspace": "busy", "user": user, "feature": "ai_chat",
        "credits": format!("{credits:.2}"),
    });
    Message { key: Some("busy".into()), payload: Some(event.to_string().into_bytes()), headers: Vec::new() }
}

/// One client: asks, holds, settles, grants, moves and limits, until told to stop.
async fn client(api: Api, n: u64, stop: Arc<AtomicBool>, counts: Arc<Counts>) {
    let mut rng = Rng::new(1000 + n);
    let mut turn = 0;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let who = rng.below(USERS);
        let key = format!("{n}-{turn}");
        match rng.below(6) {
            0 => drop(
                call(
                    &api,
                    &counts,
                    "check",
                    &key,
                    json!({"user": user(who), "feature": "ai_chat", "credits": 3}),
                )
                .await,
            ),
            1 | 2 => hold_and_end(&api, &mut rng, &counts, &key, who).await,
            3 => drop(call(&api, &counts, "grants", &key, json!({"user": user(who), "credits": 0.25})).await),
            4 => drop(call(&api, &counts, "transfers", &key, transfer(&mut rng)).await),
            _ => {
                let limited = STEADY + rng.below(USERS - STEADY);
                let body = json!({"limit": rng.below(600)});
                let path = format!("/v1/workspaces/busy/users/{}", user(limited));
                tally(
                    &counts,
                    &api.send("PATCH", &path, &[("Idempotency-Key", &key)], Some(&body)).await.status,
                );
            }
        }
    }
}

/// Never out of a steady user: that would lower what was granted, and with it the limit.
fn transfer(rng: &mut Rng) -> Value {
    let account = |n: u64| match n {
        0 => "pool".to_owned(),
        1 => "team:t".to_owned(),
        _ => format!("user:{}", user(STEADY + n - 2)),
    };
    json!({"from": account(rng.below(6)), "to": account(rng.below(6)), "credits": 1.5})
}

fn tally(counts: &Counts, status: &u16) {
    counts.requests.fetch_add(1, Ordering::Relaxed);
    if *status >= 300 {
        counts.refused.fetch_add(1, Ordering::Relaxed);
    }
    assert!([200, 201, 202, 402, 409, 410, 429].contains(status), "status {status}");
}

async fn call(api: &Api, counts: &Counts, what: &str, key: &str, body: Value) -> crate::support::Answer {
    let path = format!("/v1/workspaces/busy/{what}");
    let answer = api.send("POST", &path, &[("Idempotency-Key", key)], Some(&body)).await;
    tally(counts, &answer.status);
    answer
}

async fn hold_and_end(api: &Api, rng: &mut Rng, counts: &Counts, key: &str, who: u64) {
    let body = json!({"user": user(who), "feature": "ai_agent", "credits": 2, "id": key});
    if call(api, counts, "holds", key, body).await.status != 201 {
        return;
    }
    let path = format!("/v1/workspaces/busy/holds/{key}");
    match rng.below(4) {
        0 => {} // left open, ended at the end
        1 => tally(counts, &api.send("DELETE", &path, &[], None).await.status),
        _ => {
            // A steady user's call never takes more than was held: the rest would be overage.
            let most = if who < STEADY { 3 } else { 9 };
            let body = json!({"credits": rng.below(most)});
            let answer = call(api, counts, &format!("holds/{key}/settle"), key, body.clone()).await;
            if answer.status == 202 {
                counts.settled.fetch_add(1, Ordering::Relaxed);
                let again = call(api, counts, &format!("holds/{key}/settle"), key, body).await;
                assert_eq!(again.json, answer.json, "the same answer again");
            }
        }
    }
}

/// Looks at balances while everything moves.
async fn watch(api: Api, stop: Arc<AtomicBool>) -> u64 {
    let mut looks = 0;
    while !stop.load(Ordering::Relaxed) {
        let whole = api.get("/v1/workspaces/busy").await;
        let [total, used, held, remaining] =
            ["total", "used", "held", "remaining"].map(|f| credits(&whole[f]));
        assert_eq!(total, Credits::whole(6000), "{whole}");
        assert_eq!(total, used + held + remaining, "{whole}");
        let list = api.get("/v1/workspaces/busy/users?sort=user").await;
        for line in &list["items"].as_array().unwrap()[..STEADY as usize] {
            let over = credits(&line["used"]) + credits(&line["held"]) > credits(&line["limit"]);
            assert!(!over, "over its limit: {line}");
        }
        looks += 1;
    }
    looks
}

async fn end_holds(api: &Api) {
    loop {
        let open = api.get("/v1/workspaces/busy/holds?limit=1000").await;
        let open: Vec<String> = open["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|hold| hold["state"] == "open")
            .map(|hold| format!("/v1/workspaces/busy/holds/{}", hold["id"].as_str().unwrap()))
            .collect();
        if open.is_empty() {
            return;
        }
        for answer in join_all(open.iter().map(|path| api.send("DELETE", path, &[], None))).await {
            assert!([200, 410].contains(&answer.status), "{}", answer.text);
        }
    }
}

/// What the ledger and the decided events add up to, worked out apart from the program.
#[derive(Debug, Default, PartialEq)]
struct Sums {
    /// What went in minus what was moved on.
    moved: BTreeMap<Account, i64>,
    used: BTreeMap<Account, i64>,
    spent: BTreeMap<String, i64>,
    granted: BTreeMap<String, i64>,
    limits: BTreeMap<String, i64>,
}

async fn compare(installation: &Installation, api: &Api) {
    let id = WorkspaceId::parse("busy").unwrap();
    let period = installation
        .stores
        .ledger
        .view(&id, None, tollgate::pipeline::decide::now())
        .await
        .unwrap()
        .unwrap()
        .period;
    let book = installation.stores.ledger.book(&id, period.name).await.unwrap();
    assert_eq!(book.conserved(), book.total);
    assert_eq!(book.held, Credits::ZERO);
    let mut expected = Sums::default();
    fold_ledger(api, &mut expected).await;
    fold_events(installation, &mut expected).await;
    assert_eq!(found(&book, &expected), expected);
    for n in 0..STEADY {
        let (spent, granted) =
            (expected.spent[&user(n)], expected.granted.get(&user(n)).copied().unwrap_or(0));
        assert!(spent <= LIMIT * 1_000_000 + granted, "user {n} spent {spent}, was granted {granted}");
    }
    let denied = rows(installation, "SELECT toString(countIf(outcome = 'denied')) FROM usage_events").await;
    assert!(denied.parse::<u64>().unwrap() > 100, "limits were met: {denied} denied");
}

fn found(book: &Book, expected: &Sums) -> Sums {
    let users: Vec<(UserId, _)> = book.users.iter().map(|(id, user)| (id.clone(), *user)).collect();
    let teams = book.teams.iter().map(|(id, team)| (Account::Team(id.clone()), team.account));
    let accounts = users.iter().map(|(id, user)| (Account::User(id.clone()), user.account)).chain(teams);
    let accounts: Vec<_> = accounts.chain([(Account::Pool, book.pool)]).collect();
    let some = |pairs: Vec<(Account, i64)>| pairs.into_iter().filter(|(_, micro)| *micro != 0).collect();
    let moved = |(account, sums): &(Account, tollgate::domain::book::AccountState)| {
        (account.clone(), (sums.credited - sums.transferred_out).micro())
    };
    Sums {
        moved: some(accounts.iter().map(moved).collect()),
        used: some(accounts.iter().map(|(account, sums)| (account.clone(), sums.used.micro())).collect()),
        spent: users.iter().map(|(id, user)| (id.to_string(), user.spent.micro())).collect(),
        granted: users
            .iter()
            .map(|(id, user)| (id.to_string(), user.granted.micro()))
            .filter(|(_, micro)| *micro != 0)
            .collect(),
        limits: expected.limits.clone(),
    }
}

/// Every entry, oldest first, as anybody can fold it.
async fn fold_ledger(api: &Api, sums: &mut Sums) {
    let (mut entries, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/v1/workspaces/busy/ledger?limit=1000{cursor}")).await;
        entries.extend(page["items"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    entries.reverse();
    for (at, entry) in entries.iter().enumerate() {
        assert_eq!(entry["sequence"], json!(at + 1), "gapless");
        for posting in entry["postings"].as_array().unwrap() {
            let account: Account = posting["account"].as_str().unwrap().parse().unwrap();
            *sums.moved.entry(account).or_default() += credits(&posting["credits"]).micro();
        }
        fold_granted(entry, sums);
    }
    sums.moved.retain(|_, micro| *micro != 0);
    sums.granted.retain(|_, micro| *micro != 0);
}

fn fold_granted(entry: &Value, sums: &mut Sums) {
    let change = &entry["change"];
    if entry["kind"] == "grant" {
        *sums.granted.entry(change["user"].as_str().unwrap().to_owned()).or_default() +=
            credits(&change["credits"]).micro();
    }
    if entry["kind"] == "transfer"
        && let Some(from) = change["from"].as_str().unwrap().strip_prefix("user:")
    {
        let granted = sums.granted.entry(from.to_owned()).or_default();
        *granted = (*granted - credits(&change["credits"]).micro()).max(0);
    }
}

async fn fold_events(installation: &Installation, sums: &mut Sums) {
    let sql = "SELECT user, team, toString(sum(toInt64(drawn_user * 1000000))), \
               toString(sum(toInt64(drawn_team * 1000000))), toString(sum(toInt64(drawn_pool * 1000000))), \
               toString(sumIf(toInt64(credits * 1000000), outcome != 'denied')) \
               FROM usage_events GROUP BY user, team ORDER BY user";
    for line in rows(installation, sql).await.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let micro = |at: usize| columns[at].parse::<i64>().unwrap();
        let accounts = [format!("user:{}", columns[0]), format!("team:{}", columns[1]), "pool".to_owned()];
        for (at, account) in accounts.iter().enumerate() {
            if micro(2 + at) != 0 {
                *sums.used.entry(account.parse().unwrap()).or_default() += micro(2 + at);
            }
        }
        *sums.spent.entry(columns[0].to_owned()).or_default() += micro(5);
    }
}
