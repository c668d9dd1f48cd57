//! An installation of one test: topics, keys and a database of its own, and the program as its users
//! run it, as a process that can be stopped and killed.

use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tollgate::app::{self, Stores};
use tollgate::config::Settings;

use super::{forget, unique};

/// How long a service may take to be ready.
const READY_DEADLINE: Duration = Duration::from_secs(60);
/// How long what was published may take to be in the tables.
const ANSWER_DEADLINE: Duration = Duration::from_secs(120);

/// Names that no other test has, written down as a configuration file.
pub struct Installation {
    /// What the file says, as the program reads it.
    pub settings: Settings,
    /// Clients of the same servers.
    pub stores: Stores,
    folder: PathBuf,
}

impl Installation {
    /// Makes the tables and topics. `more` is added to the configuration file.
    pub async fn new(what: &str, more: &str) -> Self {
        let installation = Self::unmigrated(what, more);
        app::migrate(&installation.settings).await.unwrap();
        installation
    }

    /// Only the names.
    pub fn unmigrated(what: &str, more: &str) -> Self {
        let name = unique(what);
        let folder = std::env::temp_dir().join(&name);
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("tollgate.toml");
        // Both are held until both are known, so that they differ.
        let ports = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [api, ops] = ports.map(|port| port.local_addr().unwrap());
        // A table that has a key already is not opened again: its others stand beside it.
        let (http, more) = match more.strip_prefix("[http]\n") {
            Some(keys) => (keys.lines().map(|key| format!("http.{key}\n")).collect::<String>(), ""),
            None => (String::new(), more),
        };
        let text = format!(
            "kafka.group = \"{name}\"\nredis.name = \"{name}\"\nclickhouse.database = \"{name}\"\n\
             http.listen = \"{api}\"\nops.listen = \"{ops}\"\n{http}\
             [kafka.topics]\nevents = \"{name}-events\"\ndecisions = \"{name}-decisions\"\n\
             dead_letters = \"{name}-dead-letters\"\nledger = \"{name}-ledger\"\nalerts = \"{name}-alerts\"\n{more}\n"
        );
        std::fs::write(&file, text).unwrap();
        let settings = Settings::load(Some(&file)).unwrap();
        let stores = Stores::new(&settings).unwrap();
        Self { settings, stores, folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("tollgate.toml")
    }

    /// The program with this installation's configuration.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command.arg("--config").arg(self.file()).args(arguments).env_remove("RUST_LOG");
        command
    }

    /// Starts the service and waits until it is ready; its log is in the test's folder.
    pub async fn serve(&self) -> Service {
        self.serve_as(&["serve"]).await
    }

    /// The same, with these arguments.
    pub async fn serve_as(&self, arguments: &[&str]) -> Service {
        self.start(self.command(arguments)).await
    }

    /// Starts the service by this command.
    pub async fn start(&self, mut command: Command) -> Service {
        let log = File::options().create(true).append(true).open(self.folder.join("log")).unwrap();
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let (address, api) = (self.settings.ops.listen.to_string(), self.settings.http.listen.to_string());
        let mut service = Service { child, address, api };
        let deadline = Instant::now() + READY_DEADLINE;
        while !service.get("/readyz").await.is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            let gone = service.child.try_wait().unwrap();
            assert!(gone.is_none() && Instant::now() < deadline, "not ready ({gone:?}): {}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        service
    }

    /// What the service wrote so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Removes everything; an installation of a failed test stays to be looked at.
    pub async fn remove(self) {
        super::remove(&self.settings.kafka).await;
        forget(&self.settings.redis.name);
        let database = &self.settings.clickhouse.database;
        let client = clickhouse::Client::default().with_url(&self.settings.clickhouse.url);
        client.query(&format!("DROP DATABASE `{database}`")).execute().await.unwrap();
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// What ClickHouse answers, tabs between columns.
pub async fn rows(installation: &Installation, sql: &str) -> String {
    let settings = &installation.settings.clickhouse;
    let client = clickhouse::Client::default().with_url(&settings.url).with_database(&settings.database);
    let answer = client.query(sql).fetch_bytes("TSV").unwrap().collect().await.unwrap();
    String::from_utf8_lossy(&answer).trim().to_owned()
}

/// Waits until ClickHouse answers so.
pub async fn until(installation: &Installation, sql: &str, wanted: &str) {
    let deadline = Instant::now() + ANSWER_DEADLINE;
    loop {
        let found = rows(installation, sql).await;
        if found == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{sql}: {found}, not {wanted}; {}", installation.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The service as a process; dropped, it is killed.
pub struct Service {
    child: Child,
    address: String,
    api: String,
}

impl Service {
    /// Kills it as a machine that loses power would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, and waits for it; true when it ended well.
    pub fn stop(mut self) -> bool {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap().success()
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Head and body of a page of the operators' port; none when nobody answers.
    pub async fn get(&self, path: &str) -> Option<String> {
        ask(&self.address, &format!("GET {path} HTTP/1.1\r\n"), "").await
    }

    /// Head and body of the API's answer; none when nobody answers. `head` is the request's, line by line.
    pub async fn ask(&self, head: &[&str], body: &str) -> Option<String> {
        let lines: String = head.iter().map(|line| format!("{line}\r\n")).collect();
        ask(&self.api, &lines, body).await
    }
}

async fn ask(address: &str, head: &str, body: &str) -> Option<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
    let length = body.len();
    let request =
        format!("{head}Host: {address}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

impl Drop for Service {
    fn drop(&mut self) {
        // Both fail when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
