//! A TCP proxy between one worker and one server, that can be told to misbehave. Its target can be changed, so
//! that a worker follows a failover without knowing of it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How traffic is treated at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As it comes.
    Pass,
    /// Each piece waits so long, in both directions.
    Delay(Duration),
    /// Nothing passes, and nobody is told.
    BlackHole,
    /// Connections are closed as soon as they are made.
    Refuse,
    /// One answer in so many is thrown away after its request was forwarded; then the connection ends.
    LoseReplies(u64),
    /// The same, but the connection stays open and silent.
    Swallow(u64),
    /// An answer ends after so many bytes, and with it the connection.
    CutAfter(usize),
}

struct Shared {
    target: Mutex<u16>,
    mode: watch::Sender<Mode>,
    /// Raised to end every connection that is open.
    generation: watch::Sender<u64>,
    replies: AtomicU64,
    lost: AtomicU64,
}

/// A proxy that listens until it is dropped.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    listening: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Proxy {
    /// A proxy on a port of its own.
    pub async fn new(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            mode: watch::Sender::new(Mode::Pass),
            generation: watch::Sender::new(0),
            replies: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        });
        let listening = tokio::spawn(listen(listener, Arc::clone(&shared)));
        Self { port, shared, listening }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Treats traffic so from now on; open connections too.
    pub fn set(&self, mode: Mode) {
        self.shared.mode.send_replace(mode);
    }

    /// Ends every open connection.
    pub fn cut(&self) {
        self.shared.generation.send_modify(|generation| *generation += 1);
    }

    /// Connections lead there from now on; those that are open end.
    pub fn retarget(&self, port: u16) {
        *self.shared.target.lock().unwrap() = port;
        self.cut();
    }

    /// Answers that were thrown away.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let mut generation = shared.generation.subscribe();
            tokio::select! {
                () = serve(client, &shared) => {}
                _ = generation.changed() => {}
            }
        });
    }
}

async fn serve(client: TcpStream, shared: &Shared) {
    if *shared.mode.borrow() == Mode::Refuse {
        return;
    }
    held(shared).await;
    let target = SocketAddr::from(([127, 0, 0, 1], *shared.target.lock().unwrap()));
    let Ok(server) = TcpStream::connect(target).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        () = requests(from_client, to_server, shared) => {}
        () = replies(from_server, to_client, shared) => {}
    }
}

/// Waits while nothing may pass.
async fn held(shared: &Shared) {
    let mut mode = shared.mode.subscribe();
    let _ = mode.wait_for(|mode| *mode != Mode::BlackHole).await;
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared) {
    let mut piece = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        held(shared).await;
        let mode = *shared.mode.borrow();
        match mode {
            Mode::Delay(wait) => tokio::time::sleep(wait).await,
            Mode::Refuse => return,
            _ => {}
        }
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}

async fn replies(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared) {
    let mut piece = vec![0; 1 << 16];
    let mut silent = false;
    while let Ok(mut length @ 1..) = from.read(&mut piece).await {
        held(shared).await;
        let mode = *shared.mode.borrow();
        let counted = shared.replies.fetch_add(1, Ordering::Relaxed);
        let mut last = false;
        match mode {
            Mode::Delay(wait) => tokio::time::sleep(wait).await,
            Mode::Refuse => return,
            Mode::LoseReplies(one_in) if counted.is_multiple_of(one_in) => {
                shared.lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Mode::Swallow(one_in) if counted.is_multiple_of(one_in) => {
                shared.lost.fetch_add(1, Ordering::Relaxed);
                silent = true;
            }
            Mode::CutAfter(bytes) => (length, last) = (length.min(bytes), true),
            _ => {}
        }
        if !silent && to.write_all(&piece[..length]).await.is_err() || last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        port
    }

    async fn say(stream: &mut TcpStream, text: &str) -> Option<String> {
        stream.write_all(text.as_bytes()).await.ok()?;
        let mut answer = vec![0; 64];
        let read = tokio::time::timeout(Duration::from_millis(300), stream.read(&mut answer)).await;
        let length = read.ok()?.ok()?;
        Some(String::from_utf8_lossy(&answer[..length]).into_owned())
    }

    #[tokio::test]
    async fn each_mode_does_what_it_says() {
        let proxy = Proxy::new(echo().await).await;
        let connect = || TcpStream::connect(("127.0.0.1", proxy.port()));
        let mut stream = connect().await.unwrap();
        assert_eq!(say(&mut stream, "abc").await.as_deref(), Some("abc"));
        proxy.set(Mode::BlackHole);
        assert_eq!(say(&mut stream, "abc").await, None, "nothing comes, and nothing ends");
        proxy.set(Mode::Pass);
        assert_eq!(say(&mut stream, "").await.as_deref(), Some("abc"), "what waited comes");
        proxy.set(Mode::LoseReplies(1));
        assert_eq!(say(&mut stream, "abc").await.as_deref(), Some(""), "closed");
        assert_eq!(proxy.lost(), 1);
        proxy.set(Mode::CutAfter(2));
        let mut stream = connect().await.unwrap();
        assert_eq!(say(&mut stream, "abc").await.as_deref(), Some("ab"));
        proxy.set(Mode::Refuse);
        let mut stream = connect().await.unwrap();
        assert_ne!(say(&mut stream, "abc").await.as_deref(), Some("abc"));
    }
}
