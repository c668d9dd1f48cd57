//! Who asks: at full speed, each connection as soon as it was answered; or at a fixed rate, each request
//! at its instant, whatever became of the ones before.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tollgate::simulate::{Rng, Spec};

use super::client::{Connection, request};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Checks,
    /// One is made, then voided: two requests.
    Holds,
}

/// A request that was answered.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// When it was to be sent, after the first.
    pub due: Duration,
    pub took: Duration,
}

/// A thread for each connection, which does what `work` says with it and its number.
async fn each(
    address: SocketAddr,
    connections: usize,
    work: impl Fn(&mut Connection, usize) -> anyhow::Result<Vec<Asked>> + Send + Sync + 'static,
) -> anyhow::Result<Vec<Asked>> {
    tokio::task::spawn_blocking(move || {
        std::thread::scope(|scope| {
            let work = &work;
            let one = |n| scope.spawn(move || work(&mut Connection::open(address)?, n));
            let threads: Vec<_> = (0..connections).map(one).collect();
            let mut all = Vec::new();
            for thread in threads {
                all.extend(thread.join().map_err(|_| anyhow::anyhow!("a client died"))??);
            }
            Ok(all)
        })
    })
    .await?
}

/// As many as the connections get in so long a time.
pub async fn full_speed(
    address: SocketAddr,
    spec: &Spec,
    kind: Kind,
    connections: usize,
    duration: Duration,
) -> anyhow::Result<Vec<Asked>> {
    let (who, started) = (Who::new(spec), Instant::now());
    each(address, connections, move |connection, n| {
        let (mut asked, mut numbers) = (Vec::new(), Rng::new(n as u64));
        while started.elapsed() < duration {
            let (due, wish) = (started.elapsed(), who.draw(&mut numbers));
            match kind {
                Kind::Checks => ask(connection, &wish.check())?,
                Kind::Holds => {
                    let name = format!("h{n}-{}", due.as_nanos());
                    ask(connection, &wish.make(&name))?;
                    asked.push(Asked { due, took: started.elapsed() - due });
                    ask(connection, &wish.void(&name))?;
                }
            }
            asked.push(Asked { due, took: started.elapsed() - due });
        }
        Ok(asked)
    })
    .await
}

/// So many a second. Request n belongs to connection n modulo their number, and is late when that one still
/// waits: its time runs from its instant all the same.
pub async fn open(
    address: SocketAddr,
    spec: &Spec,
    rate: u32,
    connections: usize,
    duration: Duration,
) -> anyhow::Result<Vec<Asked>> {
    let (who, started) = (Who::new(spec), Instant::now());
    each(address, connections, move |connection, n| {
        let (mut asked, mut numbers) = (Vec::new(), Rng::new(n as u64));
        for number in (n..).step_by(connections) {
            let due = Duration::from_secs_f64(number as f64 / f64::from(rate));
            if due >= duration {
                break;
            }
            let request = who.draw(&mut numbers).check();
            std::thread::sleep(due.saturating_sub(started.elapsed()));
            ask(connection, &request)?;
            asked.push(Asked { due, took: started.elapsed() - due });
        }
        Ok(asked)
    })
    .await
}

fn ask(connection: &mut Connection, request: &[u8]) -> anyhow::Result<()> {
    let body = connection.ask(request)?;
    anyhow::ensure!(body.starts_with(b"{\"workspace\":"), "{}", String::from_utf8_lossy(body));
    Ok(())
}

/// Whoever may ask.
#[derive(Clone)]
struct Who {
    workspaces: Vec<String>,
    users: usize,
}

struct Wish<'a> {
    workspace: &'a str,
    user: String,
}

impl Who {
    fn new(spec: &Spec) -> Self {
        Self { workspaces: spec.workspaces.clone(), users: spec.users_per_workspace }
    }

    /// Anybody, all equally often.
    fn draw(&self, numbers: &mut Rng) -> Wish<'_> {
        let mut below = |bound: usize| numbers.below(bound as u64) as usize;
        Wish {
            workspace: &self.workspaces[below(self.workspaces.len())],
            user: Spec::user_name(below(self.users)),
        }
    }
}

impl Wish<'_> {
    fn check(&self) -> Vec<u8> {
        let (workspace, user) = (self.workspace, &self.user);
        let body = format!("{{\"user\":\"{user}\",\"feature\":\"ai_chat\",\"credits\":0.01}}");
        request("POST", &format!("/v1/workspaces/{workspace}/check"), &body)
    }

    fn make(&self, name: &str) -> Vec<u8> {
        let (workspace, user) = (self.workspace, &self.user);
        let body =
            format!("{{\"user\":\"{user}\",\"feature\":\"ai_chat\",\"credits\":0.000001,\"id\":\"{name}\"}}");
        request("POST", &format!("/v1/workspaces/{workspace}/holds"), &body)
    }

    fn void(&self, name: &str) -> Vec<u8> {
        request("DELETE", &format!("/v1/workspaces/{}/holds/{name}", self.workspace), "")
    }
}
