//! The API's listener: refuses to be open to the world, serves until told to stop, and lets what runs
//! come to its end.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Stores;
use super::intake::Topic;
use crate::config::Settings;
use crate::domain::ports::Office;
use crate::http::auth::Auth;
use crate::http::{self, Api};

/// How long requests may run on after the listener has closed.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// What the API answers from. Errors: settings of keys or provider that cannot be used.
pub fn api(settings: &Settings, stores: &Stores, office: Arc<dyn Office>) -> anyhow::Result<Arc<Api>> {
    let auth = Auth::new(&settings.auth).map_err(|faults| anyhow::anyhow!(faults.join("\n")))?;
    let intake = Arc::new(Topic::new(stores, &settings.kafka.topics.events));
    let rules = settings.decode_rules()?;
    Ok(Arc::new(Api { office, intake, rules, auth, settings: settings.http.clone() }))
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

/// Serves until `shutdown` is cancelled, then lets requests that run come to their end.
pub async fn serve_api(
    listener: TcpListener,
    api: Arc<Api>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let stop = shutdown.clone();
    let serving = axum::serve(listener, http::router(api)).with_graceful_shutdown(stop.cancelled_owned());
    let drained = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN_DEADLINE).await;
    };
    tokio::select! {
        ended = serving.into_future() => ended.context("the API has ended"),
        () = drained => Ok(()), // whoever is still there has been told by the closed connection
    }
}
