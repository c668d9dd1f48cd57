//! One connection to Redis that mends itself: it is made at the first call, and made anew after a
//! call that failed, because a multiplexed connection does not notice a demoted or black-holed server.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, ErrorKind, Script, ScriptInvocation, ServerErrorKind};
use tokio::sync::Mutex;

use super::{RedisError, Settings};

/// How often a script that Redis forgets at once is sent again.
const SENDINGS_MAX: usize = 3;

/// A client and its one live connection.
pub struct Link {
    client: Client,
    config: AsyncConnectionConfig,
    live: Mutex<Option<MultiplexedConnection>>,
    faults: AtomicU64,
}

impl Link {
    /// A link that has not connected yet. Errors: an address that cannot be read.
    pub fn new(settings: &Settings) -> Result<Self, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_millis(settings.connect_timeout_ms)))
            .set_response_timeout(Some(Duration::from_millis(settings.response_timeout_ms)));
        Ok(Self {
            client: Client::open(settings.url.as_str())?,
            config,
            live: Mutex::new(None),
            faults: AtomicU64::new(0),
        })
    }

    async fn connection(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut live = self.live.lock().await;
        if let Some(connection) = live.as_ref() {
            return Ok(connection.clone());
        }
        let made = self.client.get_multiplexed_async_connection_with_config(&self.config).await;
        let made = made.inspect_err(|_| self.failed())?;
        *live = Some(made.clone());
        Ok(made)
    }

    fn failed(&self) {
        self.faults.fetch_add(1, Ordering::AcqRel);
    }

    async fn checked<T>(&self, result: Result<T, ::redis::RedisError>) -> Result<T, RedisError> {
        if result.is_err() {
            // Counted first: whoever uses the next connection must know that it may lead to another server.
            self.failed();
            self.live.lock().await.take();
        }
        Ok(result?)
    }

    /// How many calls have failed, whoever made them.
    pub fn faults(&self) -> u64 {
        self.faults.load(Ordering::Acquire)
    }

    /// Runs a script on one key with packed arguments. An error may come after the script ran.
    pub async fn run<A: AsRef<[u8]>>(
        &self,
        script: &Script,
        key: &str,
        arguments: &[A],
    ) -> Result<Vec<u8>, RedisError> {
        let mut call = script.key(key);
        for argument in arguments {
            call.arg(argument.as_ref());
        }
        let mut connection = self.connection().await?;
        let mut reply = call.invoke_async(&mut connection).await;
        // The driver sends a script that Redis does not know; one that is forgotten in between is sent again.
        for _ in 0..SENDINGS_MAX {
            if !matches!(&reply, Err(fault) if fault.kind() == ErrorKind::Server(ServerErrorKind::NoScript)) {
                break;
            }
            reply = call.invoke_async(&mut connection).await;
        }
        self.checked(reply).await
    }

    /// Runs a script that is ready to go.
    pub async fn invoke(&self, call: &ScriptInvocation<'_>) -> Result<Vec<u8>, RedisError> {
        let mut connection = self.connection().await?;
        let reply = call.invoke_async(&mut connection).await;
        self.checked(reply).await
    }

    /// Runs several commands with nothing in between.
    pub async fn atomic(&self, pipeline: &::redis::Pipeline) -> Result<Vec<::redis::Value>, RedisError> {
        let mut connection = self.connection().await?;
        let reply = pipeline.query_async(&mut connection).await;
        self.checked(reply).await
    }

    /// Runs one command.
    pub async fn query<T: ::redis::FromRedisValue>(&self, command: &::redis::Cmd) -> Result<T, RedisError> {
        let mut connection = self.connection().await?;
        let reply = command.query_async(&mut connection).await;
        self.checked(reply).await
    }
}
