//! The API's listener: refuses to be open to the world, serves until told to stop, and lets what runs
//! come to its end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Stores;
use super::intake::Topic;
use crate::config::Settings;
use crate::domain::ports::Office;
use crate::http::auth::Auth;
use crate::http::{self, Api};

/// How long requests may run on after the listener has closed.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);
/// Before the next attempt, when a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the API answers from. Errors: settings of keys or provider that cannot be used.
pub fn api(settings: &Settings, stores: &Stores, office: Arc<dyn Office>) -> anyhow::Result<Arc<Api>> {
    let auth = Auth::new(&settings.auth).map_err(|faults| anyhow::anyhow!(faults.join("\n")))?;
    let intake = Arc::new(Topic::new(stores, &settings.kafka.topics.events));
    let rules = settings.decode_rules()?;
    let reports = Arc::clone(&stores.tables);
    Ok(Arc::new(Api { office, reports, intake, rules, auth, settings: settings.http.clone() }))
}

/// Opens the API's port. Errors: a sentence, when it is taken, or when an open API could be reached
/// from elsewhere.
pub async fn listen(api: &Api) -> anyhow::Result<TcpListener> {
    let address = api.settings.listen;
    api.auth.check_listen(address).map_err(anyhow::Error::msg)?;
    if api.auth.is_open() {
        tracing::warn!("no key is configured: the API is open to whoever is on this machine, as actor local");
    }
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on http.listen = {address}"))
}

/// Serves until `shutdown` is cancelled, then lets requests that run come to their end. A client that takes
/// too long over the head of a request is let go: axum's own loop would wait for it for ever.
pub async fn serve_api(
    listener: TcpListener,
    api: Arc<Api>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let head_timeout = Duration::from_millis(api.settings.head_timeout_ms);
    let (router, connections) = (http::router(api), TaskTracker::new());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                // An answer goes out as it is written. A client that is gone already is met at once.
                let _ = stream.set_nodelay(true);
                connections.spawn(serve_one(stream, router.clone(), head_timeout, shutdown.clone()));
            }
            Err(fault) => {
                // A client that is gone already, or no file is left to open: others end meanwhile.
                tracing::debug!(%fault, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    // Whoever is still there after that is told by the closed connection.
    let _ = tokio::time::timeout(DRAIN_DEADLINE, connections.wait()).await;
    Ok(())
}

async fn serve_one(stream: TcpStream, router: Router, head_timeout: Duration, stop: CancellationToken) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(head_timeout);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    // Its errors are the client's: what it sent was no request, or it went away.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::http::tests::{Closed, api, settings};

    fn local() -> Arc<Api> {
        Arc::new(api(Closed))
    }

    async fn ask(stream: &mut TcpStream, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn it_serves_until_it_is_told_to_stop() {
        let (api, shutdown) = (local(), CancellationToken::new());
        let listener = listen(&api).await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve_api(listener, api, shutdown.clone()));
        let mut first = TcpStream::connect(address).await.unwrap();
        let answer = ask(&mut first, "/v1/rates").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("\"rates\":[]"), "{answer}");
        shutdown.cancel();
        serving.await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err(), "the port is closed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_stays_does_not_keep_it_from_stopping() {
        let (api, shutdown) = (local(), CancellationToken::new());
        let listener = listen(&api).await.unwrap();
        let mut stays = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        stays.write_all(b"GET /v1/rates HTTP/1.1\r\nhost:").await.unwrap();
        let serving = tokio::spawn(serve_api(listener, api, shutdown.clone()));
        shutdown.cancel();
        tokio::time::timeout(2 * DRAIN_DEADLINE, serving).await.unwrap().unwrap().unwrap();
    }

    #[tokio::test]
    async fn an_open_api_refuses_to_be_reached_from_elsewhere() {
        let listen_at = "0.0.0.0:0".parse().unwrap();
        let open = Api { settings: http::Settings { listen: listen_at, ..settings() }, ..api(Closed) };
        let fault = listen(&open).await.unwrap_err().to_string();
        assert!(fault.contains("http.listen = 0.0.0.0:0") && fault.contains("auth.keys"), "{fault}");
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listen_at = taken.local_addr().unwrap();
        let second = Api { settings: http::Settings { listen: listen_at, ..settings() }, ..api(Closed) };
        let fault = format!("{:#}", listen(&second).await.unwrap_err());
        assert!(fault.contains(&format!("http.listen = {listen_at}")), "{fault}");
    }
}
