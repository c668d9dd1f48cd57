//! Administration and holds over HTTP. Each write has an idempotency key, and is repeated, at whichever worker,
//! until it is answered. One task owns a workspace, so that its limits only ever rise.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{Answer, Client};
use super::{USERS, WORKSPACES, limit_of, pool_of, user, workspace};
use crate::dice::Dice;

const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(120);
const RETRY_PAUSE: Duration = Duration::from_millis(150);
/// How long an answer may be waited for after everything was healed.
const ANSWER_DEADLINE: Duration = Duration::from_secs(240);

/// One request, and what became of it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The tenant.
    pub workspace: String,
    /// The last part of the path, for people.
    pub what: &'static str,
    /// Its idempotency key; none for what changes nothing.
    pub key: Option<String>,
    /// How often it was sent.
    pub attempts: u64,
    /// The answer that was no 429 and no 5xx; none when there was none.
    pub answer: Option<Answer>,
    /// The limit that it asked for, in credits, and of whom; `*` is whoever has none.
    pub limit: Option<(String, u64)>,
}

struct Hand<'a> {
    client: &'a Client,
    dice: Dice,
    asked: Vec<Asked>,
    limits: BTreeMap<(usize, usize), u64>,
    holds: Vec<(usize, String, u64)>,
    count: u64,
    name: usize,
    minutes: u64,
}

/// Sets the plans, while everything is well.
pub async fn plan_all(client: &Client, minutes: u64) -> Vec<Asked> {
    let mut hand = Hand::new(client, 0, 0, minutes);
    for number in 0..WORKSPACES {
        let limit = limit_of(minutes);
        let body = json!({ "monthly_credits": pool_of(number, minutes), "default_user_limit": limit });
        hand.write(number, "plan", ("PUT", "plan"), body, Some(("*".to_owned(), limit))).await;
    }
    assert!(hand.asked.iter().all(|asked| matches!(asked.answer, Some((200, _)))), "{:?}", hand.asked);
    hand.asked
}

/// Works on the workspaces of one of `hands` until told to stop; what is under way then is still finished.
pub async fn administer(
    client: &Client,
    (seed, minutes): (u64, u64),
    (name, hands): (usize, usize),
    stop: &AtomicBool,
) -> Vec<Asked> {
    let mut hand = Hand::new(client, seed, name + 1, minutes);
    let own: Vec<usize> = (0..WORKSPACES).filter(|number| number % hands == name).collect();
    while !stop.load(Ordering::Relaxed) {
        let number = *hand.dice.pick(&own);
        hand.step(number).await;
        tokio::time::sleep(PAUSE).await;
    }
    hand.asked
}

impl<'a> Hand<'a> {
    fn new(client: &'a Client, seed: u64, name: usize, minutes: u64) -> Self {
        let dice = Dice::new(seed, 100 + name as u64);
        Self {
            client,
            dice,
            asked: Vec::new(),
            limits: BTreeMap::new(),
            holds: Vec::new(),
            count: 0,
            name,
            minutes,
        }
    }

    async fn step(&mut self, number: usize) {
        let person = self.dice.below(USERS as u64) as usize;
        let (name, credits) = (user(person), self.dice.between(1, 30));
        match self.dice.below(100) {
            0..=14 => drop(
                self.write(number, "top-up", ("POST", "top-ups"), json!({ "credits": credits }), None).await,
            ),
            15..=24 => {
                let body = json!({ "user": name, "credits": self.dice.between(1, 6) });
                self.write(number, "grant", ("POST", "grants"), body, None).await;
            }
            25..=34 => {
                let body = json!({ "from": "pool", "to": format!("user:{name}"), "credits": credits });
                self.write(number, "transfer", ("POST", "transfers"), body, None).await;
            }
            35..=44 => {
                let limit = self.limits.entry((number, person)).or_insert(limit_of(self.minutes));
                *limit += credits;
                let (limit, path) = (*limit, format!("users/{name}"));
                let body = json!({ "limit": limit });
                self.write(number, "limit", ("PATCH", &path), body, Some((name, limit))).await;
            }
            45..=64 => {
                let body = json!({ "user": name, "feature": "ai_chat", "credits": credits });
                self.ask(number, "check", ("POST", "check"), (None, body), None).await;
            }
            65..=84 => self.hold(number, &name).await,
            _ => self.end_hold().await,
        }
    }

    async fn hold(&mut self, number: usize, name: &str) {
        let (id, credits) = (format!("h-{}-{}", self.name, self.count), self.dice.between(1, 20));
        let seconds = *self.dice.pick(&[5, 60, 600]);
        let body = json!({ "user": name, "feature": "ai_agent", "credits": credits, "id": id, "ttl_seconds": seconds });
        let answer = self.write(number, "hold", ("POST", "holds"), body, None).await;
        if answer.is_some_and(|(status, _)| status == 201) {
            self.holds.push((number, id, credits));
        }
    }

    async fn end_hold(&mut self) {
        if self.holds.is_empty() {
            return;
        }
        let at = self.dice.below(self.holds.len() as u64) as usize;
        let (number, id, credits) = self.holds.swap_remove(at);
        if self.dice.percent(30) {
            self.write(number, "void", ("DELETE", &format!("holds/{id}")), Value::Null, None).await;
            return;
        }
        let spent = self.dice.between(0, credits + 4);
        let path = format!("holds/{id}/settle");
        self.write(number, "settle", ("POST", &path), json!({ "credits": spent }), None).await;
    }

    async fn write(
        &mut self,
        number: usize,
        what: &'static str,
        route: (&str, &str),
        body: Value,
        limit: Option<(String, u64)>,
    ) -> Option<Answer> {
        self.count += 1;
        let key = format!("k-{}-{}", self.name, self.count);
        self.ask(number, what, route, (Some(key), body), limit).await
    }

    async fn ask(
        &mut self,
        number: usize,
        what: &'static str,
        (method, path): (&str, &str),
        (key, body): (Option<String>, Value),
        limit: Option<(String, u64)>,
    ) -> Option<Answer> {
        let path = format!("/v1/workspaces/{}/{path}", workspace(number));
        let (started, mut attempts, mut answer) = (Instant::now(), 0, None);
        while answer.is_none() && started.elapsed() < ANSWER_DEADLINE {
            attempts += 1;
            let worker = self.dice.below(self.client.workers() as u64) as usize;
            let told = self.client.ask(worker, (method, &path), key.as_deref(), &body, PATIENCE).await;
            answer = told.filter(|(status, _)| *status < 500 && *status != 429);
            if answer.is_none() {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
        self.asked.push(Asked {
            workspace: workspace(number),
            what,
            key,
            attempts,
            answer: answer.clone(),
            limit,
        });
        answer
    }
}
