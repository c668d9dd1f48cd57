//! A run's world: servers, workers, what stands between them, and the diary of what was done to them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex as Plain};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::Mutex;

use crate::process::{Folder, Server};
use crate::proxy::Mode;
use crate::servers::{self, Ports, Redis};
use crate::workers::{Ended, Proxies, Worker, configure, program};
use crate::workload::{Client, workspace};

/// How many workers share the work.
pub const WORKERS: usize = 3;
/// How often it is asked whether anybody answers.
const PROBE: Duration = Duration::from_millis(500);

/// What happened when, and how often.
pub struct Diary {
    started: Instant,
    lines: Plain<Vec<String>>,
    counts: Plain<BTreeMap<(&'static str, String), u64>>,
}

impl Diary {
    fn new() -> Self {
        Self { started: Instant::now(), lines: Plain::default(), counts: Plain::default() }
    }

    /// A line with the time.
    pub fn note(&self, text: &str) {
        let line = format!("{:7.2} s  {text}", self.started.elapsed().as_secs_f64());
        if std::env::var_os("TOLLGATE_CHAOS_LOUD").is_some() {
            eprintln!("{line}");
        }
        self.lines.lock().unwrap().push(line);
    }

    /// One more of a kind.
    pub fn count(&self, table: &'static str, kind: &str) {
        *self.counts.lock().unwrap().entry((table, kind.to_owned())).or_default() += 1;
    }

    /// All lines.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// One table of counts.
    pub fn counts(&self, table: &str) -> BTreeMap<String, u64> {
        let counts = self.counts.lock().unwrap();
        let of = counts.iter().filter(|((name, _), _)| *name == table);
        of.map(|((_, kind), count)| (kind.clone(), *count)).collect()
    }
}

/// Everything. The folder is last: it is removed when all else has ended.
pub struct World {
    /// What happened.
    pub diary: Diary,
    /// Workers, from 0.
    pub workers: Vec<Mutex<Worker>>,
    /// Of each worker; the last are the run's own, and are never disturbed.
    pub proxies: Vec<Proxies>,
    /// Held by whoever makes workers come and go: a group that is never left alone never works.
    pub crowd: Mutex<()>,
    /// A broker.
    pub kafka: Mutex<Server>,
    /// Two servers.
    pub redis: Mutex<Redis>,
    /// ClickHouse.
    pub tables: Mutex<Server>,
    /// Where they are.
    pub ports: Ports,
    /// Configuration of commands that are run beside the workers.
    pub direct: PathBuf,
    /// Asks workers.
    pub client: Client,
    unavailable_ms: AtomicU64,
    _folder: Folder,
}

impl World {
    /// Servers and tables, and workers that run.
    pub async fn new() -> Arc<Self> {
        let folder = Folder::new();
        let diary = Diary::new();
        let (ports, kafka, redis, tables) = servers::start(&folder).await;
        let (mut proxies, mut workers, mut apis) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..WORKERS {
            let own = Proxies::new(ports).await;
            let (file, api) = configure(folder.path(), &format!("worker-{number}"), ports, &own);
            workers.push(Mutex::new(Worker::new(number, file)));
            apis.push(api);
            proxies.push(own);
        }
        let own = Proxies::new(ports).await;
        let (direct, _) = configure(folder.path(), "direct", ports, &own);
        proxies.push(own);
        let world = Self {
            diary,
            workers,
            proxies,
            crowd: Mutex::new(()),
            kafka: Mutex::new(kafka),
            redis: Mutex::new(redis),
            tables: Mutex::new(tables),
            ports,
            direct,
            client: Client::new(apis),
            unavailable_ms: AtomicU64::new(0),
            _folder: folder,
        };
        let (migrated, text) = world.command(&["migrate"]).await;
        assert!(migrated, "cannot migrate: {text}");
        for worker in &world.workers {
            worker.lock().await.start(None);
        }
        world.diary.note("servers and workers are up");
        Arc::new(world)
    }

    /// Runs the program beside the workers; whether it went well, and what it said.
    pub async fn command(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = program(&self.direct, arguments);
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// Kafka's address.
    pub fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.ports.kafka)
    }

    /// Starts again who has ended, until told to stop.
    pub async fn tend(&self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            for worker in &self.workers {
                // Whoever holds it is doing something to it.
                let Ok(mut worker) = worker.try_lock() else { continue };
                let number = worker.number;
                match worker.tend() {
                    Some(Ended::AtPoint(point)) => {
                        self.diary.note(&format!("worker {number} died at {point}"));
                        self.diary.count("died at", point.split(':').next().unwrap_or_default());
                    }
                    Some(Ended::ByItself(words)) => {
                        self.diary.note(&format!("worker {number} ended by itself: {words}"));
                        self.diary.count("workers", "ended by themselves");
                    }
                    _ => {}
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Asks again and again whether anybody answers a check.
    pub async fn probe(&self, stop: &AtomicBool) {
        let body = json!({ "user": "u0", "feature": "ai_chat", "credits": 1 });
        let path = format!("/v1/workspaces/{}/check", workspace(1));
        while !stop.load(Ordering::Relaxed) {
            let asked = Instant::now();
            let mut answered = false;
            for worker in 0..WORKERS {
                let answer = self.client.ask(worker, ("POST", &path), None, &body, PROBE).await;
                answered = answered || answer.is_some_and(|(status, _)| status < 500);
                if answered {
                    break;
                }
            }
            tokio::time::sleep(PROBE.saturating_sub(asked.elapsed())).await;
            if !answered {
                let passed = asked.elapsed().as_millis() as u64;
                self.unavailable_ms.fetch_add(passed, Ordering::Relaxed);
            }
        }
    }

    /// Seconds in which nobody answered a check.
    pub fn unavailable_s(&self) -> f64 {
        self.unavailable_ms.load(Ordering::Relaxed) as f64 / 1000.0
    }

    /// All proxies let everything pass.
    pub fn heal(&self) {
        for proxies in &self.proxies {
            proxies.redis.set(Mode::Pass);
            proxies.tables.set(Mode::Pass);
        }
    }

    /// Every worker is led to another Redis.
    pub fn point(&self, port: u16) {
        self.proxies.iter().for_each(|proxies| proxies.redis.retarget(port));
    }
}
