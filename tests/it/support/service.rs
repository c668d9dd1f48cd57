//! The real binary as a child process, with topics, keys and a database of its own.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tollgate::config::Settings;

const READY_DEADLINE: Duration = Duration::from_secs(60);
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// One installation that nobody else uses.
pub struct Installation {
    /// Its settings, for looking at it from outside.
    pub settings: Settings,
    environment: Vec<(&'static str, String)>,
    log: PathBuf,
}

impl Installation {
    /// Everything in it is called `name`; nothing is made yet.
    pub fn new(name: &str) -> Self {
        let mut settings = Settings::load(None).expect("settings");
        let (kafka, topics) = (&mut settings.kafka.group, &mut settings.kafka.topics);
        *kafka = name.to_owned();
        for (topic, of) in [
            (&mut topics.events, "events"),
            (&mut topics.decisions, "decisions"),
            (&mut topics.dead_letters, "dead-letters"),
            (&mut topics.ledger, "ledger"),
            (&mut topics.alerts, "alerts"),
        ] {
            *topic = format!("{name}-{of}");
        }
        settings.redis.name = name.to_owned();
        settings.clickhouse.database = name.replace('-', "_");
        settings.ops.listen = free_address();
        // The owner of partitions is missed sooner, and somebody waits for that here.
        settings.kafka.consumer.session_timeout_ms = 6_000;
        let environment = environment(&settings);
        let log = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.log"));
        Self { settings, environment, log }
    }

    /// Runs one command to its end; fails when it does.
    pub fn run(&self, command: &str) {
        let status = self.command(command).status().expect("start tollgate");
        assert!(status.success(), "tollgate {command}: {status}, see {}", self.log.display());
    }

    /// Starts the service; it may not be ready yet.
    pub fn serve(&self) -> Service {
        let child = self.command("serve").spawn().expect("start tollgate");
        Service { child, ops: self.settings.ops.listen }
    }

    fn command(&self, command: &str) -> Command {
        let mut started = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        started.arg(command).stdin(Stdio::null()).stdout(self.log()).stderr(self.log());
        started.envs(self.environment.iter().map(|(name, value)| (name, value)));
        started
    }

    fn log(&self) -> File {
        OpenOptions::new().create(true).append(true).open(&self.log).expect("open the log")
    }
}

fn environment(settings: &Settings) -> Vec<(&'static str, String)> {
    let topics = &settings.kafka.topics;
    vec![
        ("TOLLGATE__KAFKA__GROUP", settings.kafka.group.clone()),
        ("TOLLGATE__KAFKA__TOPICS__EVENTS", topics.events.clone()),
        ("TOLLGATE__KAFKA__TOPICS__DECISIONS", topics.decisions.clone()),
        ("TOLLGATE__KAFKA__TOPICS__DEAD_LETTERS", topics.dead_letters.clone()),
        ("TOLLGATE__KAFKA__TOPICS__LEDGER", topics.ledger.clone()),
        ("TOLLGATE__KAFKA__TOPICS__ALERTS", topics.alerts.clone()),
        (
            "TOLLGATE__KAFKA__CONSUMER__SESSION_TIMEOUT_MS",
            settings.kafka.consumer.session_timeout_ms.to_string(),
        ),
        ("TOLLGATE__REDIS__NAME", settings.redis.name.clone()),
        ("TOLLGATE__CLICKHOUSE__DATABASE", settings.clickhouse.database.clone()),
        ("TOLLGATE__OPS__LISTEN", settings.ops.listen.to_string()),
    ]
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address")
}

/// A running `tollgate serve`; killed when it is dropped.
pub struct Service {
    child: Child,
    ops: SocketAddr,
}

impl Service {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `/readyz` answers 200; fails when the process ends before.
    pub fn wait_ready(&mut self) {
        let deadline = Instant::now() + READY_DEADLINE;
        while !self.is_ready() {
            self.check_alive();
            assert!(Instant::now() < deadline, "not ready after {READY_DEADLINE:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Fails when the process has ended by itself.
    pub fn check_alive(&mut self) {
        let ended = self.child.try_wait().expect("ask for the process");
        assert_eq!(ended, None, "the service has ended by itself");
    }

    fn is_ready(&self) -> bool {
        self.get("/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect_timeout(&self.ops, Duration::from_secs(2)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// `kill -9`: nothing is finished, committed or closed.
    pub fn kill(mut self) {
        self.child.kill().expect("kill the service");
        self.child.wait().expect("wait for the service");
    }

    /// Asks it to stop; fails when it does not, or ends with an error.
    pub fn stop(mut self) {
        let asked = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status();
        assert!(asked.is_ok_and(|status| status.success()), "cannot signal the service");
        let deadline = Instant::now() + STOP_DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("ask for the process") {
                assert!(status.success(), "the service ended with {status}");
                return;
            }
            assert!(Instant::now() < deadline, "not stopped after {STOP_DEADLINE:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It has ended already when it was stopped or killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
