//! The servers of a run: Kafka, a Redis primary with a replica, and ClickHouse, started by `deploy/local/stack` with
//! ports and a folder of their own; the replica by itself.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::{Folder, Server};
use crate::proxy::{Mode, Proxy};

/// How long a server may take to answer again.
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);

/// So many ports that nobody uses at the moment.
pub fn free_ports<const N: usize>() -> [u16; N] {
    // All are held until all are known, so that they differ.
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

/// Ports of the three.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// Kafka's listener.
    pub kafka: u16,
    /// The two Redis servers.
    pub redis: [u16; 2],
    /// ClickHouse's HTTP interface.
    pub tables: u16,
}

/// Starts all of them; `folder` holds whatever they write.
pub async fn start(folder: &Folder) -> (Ports, Server, Redis, Server) {
    let [kafka, controller, first, second, tables] = free_ports();
    let ports = Ports { kafka, redis: [first, second], tables };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    share_downloads(root, folder.path());
    let mut stack = Command::new(root.join("deploy/local/stack"));
    stack.arg("up").env("TOLLGATE_STACK_DIR", folder.path()).env("KAFKA_HEAP", "384m");
    for (name, port) in
        [("KAFKA", kafka), ("KAFKA_CONTROLLER", controller), ("REDIS", first), ("CLICKHOUSE", tables)]
    {
        stack.env(format!("{name}_PORT"), port.to_string());
    }
    let output = tokio::task::spawn_blocking(move || stack.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "the servers do not start: {}", String::from_utf8_lossy(&output.stderr));
    let adopted = |name| {
        let pid = std::fs::read_to_string(folder.path().join(format!("run/{name}.pid"))).unwrap();
        Server::adopted(name, folder.path(), pid.trim().parse().unwrap())
    };
    let redis = Redis::with_replica(folder.path(), adopted("redis"), ports.redis).await;
    (ports, adopted("kafka"), redis, adopted("clickhouse"))
}

/// What the ordinary stack has fetched is not fetched again.
fn share_downloads(root: &Path, folder: &Path) {
    let stack = std::env::var_os("TOLLGATE_STACK_DIR").map_or(root.join(".stack"), PathBuf::from);
    std::fs::create_dir_all(folder.join("kafka")).unwrap();
    let libraries = std::fs::read_dir(stack.join("kafka")).into_iter().flatten().flatten();
    let libraries = libraries.filter(|entry| entry.file_name().to_string_lossy().starts_with("libs-"));
    let shared = libraries.map(|entry| (entry.path(), folder.join("kafka").join(entry.file_name())));
    for (from, to) in shared.chain([(stack.join("venv"), folder.join("venv"))]) {
        if from.exists() {
            std::os::unix::fs::symlink(from, to).unwrap();
        }
    }
}

/// A primary and its replica, which hears of it through a proxy.
pub struct Redis {
    folder: PathBuf,
    servers: [Server; 2],
    ports: [u16; 2],
    primary: usize,
    link: Proxy,
}

impl Redis {
    async fn with_replica(folder: &Path, first: Server, ports: [u16; 2]) -> Self {
        let link = Proxy::new(ports[0]).await;
        let data = folder.join("replica");
        std::fs::create_dir_all(&data).unwrap();
        let file = data.join("redis.conf");
        let text = format!(
            "bind 127.0.0.1\nport {}\ndir \"{}\"\ndaemonize no\nset-proc-title no\nappendonly yes\n\
             appendfsync everysec\nmaxmemory-policy noeviction\nsave \"\"\nrepl-diskless-sync-delay 0\n",
            ports[1],
            data.display()
        );
        std::fs::write(&file, text).unwrap();
        let argv = vec![first.program().to_owned(), file.display().to_string()];
        let second = Server::started("redis-replica", folder, argv);
        let mut redis = Self { folder: folder.to_owned(), servers: [first, second], ports, primary: 0, link };
        redis.answers(1).await;
        redis.tell(0, &["CONFIG", "SET", "repl-diskless-sync-delay", "0"]).await;
        redis.follow(1).await;
        redis
    }

    /// The port of the primary.
    pub fn port(&self) -> u16 {
        self.ports[self.primary]
    }

    /// The process of the primary.
    pub fn server(&mut self) -> &mut Server {
        &mut self.servers[self.primary]
    }

    /// Starts the primary again, and waits until it answers.
    pub async fn start(&mut self) {
        self.servers[self.primary].start();
        self.answers(self.primary).await;
    }

    /// Sends a command to the primary; what it answered, as text for people.
    pub async fn command(&mut self, words: &[&str]) -> String {
        self.tell(self.primary, words).await
    }

    async fn tell(&self, which: usize, words: &[&str]) -> String {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        match ask(self.ports[which], &command).await {
            Ok(value) => format!("{value:?}"),
            Err(fault) => fault.to_string(),
        }
    }

    async fn answers(&mut self, which: usize) {
        let deadline = Instant::now() + ANSWER_DEADLINE;
        while ask(self.ports[which], &redis::cmd("DBSIZE")).await.is_err() {
            assert!(Instant::now() < deadline, "redis does not answer again");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Makes one follow the primary, through the link, and waits until it has caught up.
    async fn follow(&mut self, which: usize) {
        self.link.retarget(self.ports[self.primary]);
        self.link.set(Mode::Pass);
        let port = self.link.port().to_string();
        self.tell(which, &["REPLICAOF", "127.0.0.1", &port]).await;
        let deadline = Instant::now() + ANSWER_DEADLINE;
        while !self.tell(which, &["INFO", "replication"]).await.contains("master_link_status:up") {
            assert!(Instant::now() < deadline, "the replica does not catch up");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The replica hears nothing from now on.
    pub fn split(&self) {
        self.link.set(Mode::BlackHole);
    }

    /// The primary dies, and the replica takes over with what it has heard of; the old primary comes back as its
    /// replica, empty. `point` leads the workers to another port.
    pub async fn fail_over(&mut self, point: impl Fn(u16)) {
        let (old, new) = (self.primary, 1 - self.primary);
        self.servers[old].kill();
        self.tell(new, &["REPLICAOF", "NO", "ONE"]).await;
        self.primary = new;
        point(self.ports[new]);
        let _ = std::fs::remove_dir_all(self.data(old).join("appendonlydir"));
        self.servers[old].start();
        self.answers(old).await;
        self.follow(old).await;
    }

    fn data(&self, which: usize) -> PathBuf {
        self.folder.join(["redis", "replica"][which])
    }

    /// Cuts so many bytes off the end of the primary's log, while it is down.
    pub fn cut_log(&self, bytes: u64) -> u64 {
        let folder = self.data(self.primary).join("appendonlydir");
        let files = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
        let mut logs: Vec<PathBuf> =
            files.filter(|path| path.to_string_lossy().ends_with(".incr.aof")).collect();
        logs.sort();
        let Some(last) = logs.last() else { return 0 };
        let length = std::fs::metadata(last).unwrap().len();
        let cut = bytes.min(length);
        std::fs::File::options().write(true).open(last).unwrap().set_len(length - cut).unwrap();
        cut
    }
}

/// Asks a Redis server on this machine.
pub async fn ask(port: u16, command: &redis::Cmd) -> redis::RedisResult<redis::Value> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/0"))?;
    let second = Some(Duration::from_secs(5));
    let config =
        redis::AsyncConnectionConfig::new().set_connection_timeout(second).set_response_timeout(second);
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    command.query_async(&mut connection).await
}
