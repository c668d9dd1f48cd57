//! The office over the real stores: what an administrator or a client asks, from Redis to Kafka. The
//! tables follow by themselves.

use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use futures::future::{BoxFuture, FutureExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Stores;
use super::rebuild::Rebuilder;
use crate::clickhouse::Store;
use crate::domain::change::{Author, Change, Changed, Refusal};
use crate::domain::hold::{CheckAnswer, Hold, HoldAnswer, HoldRequest, HoldState, Wish};
use crate::domain::ledger::Effects;
use crate::domain::period::PeriodName;
use crate::domain::ports::{Fault, Office, Outbox, Trouble, View};
use crate::domain::{WorkspaceId, standing};
use crate::kafka::Producer;
use crate::metrics;
use crate::pipeline::decide::now;
use crate::pipeline::relay::{Relay, RelayError};
use crate::redis::{RedisError, RedisLedger};

/// How often holds that nobody touches are looked at.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// The office of one process.
#[derive(Clone)]
pub struct Desk {
    ledger: Arc<RedisLedger>,
    relay: Arc<Relay<RedisLedger, Store, Producer>>,
    told: mpsc::Sender<Effects>,
    rebuilder: Arc<Rebuilder>,
}

impl Desk {
    /// An office; whoever reads `told` writes the balances into the tables, and whoever runs the rebuilder
    /// rebuilds what is lost. In a command that comes and goes nobody does: it says so instead.
    pub fn new(
        stores: &Stores,
        relay: Arc<Relay<RedisLedger, Store, Producer>>,
        told: mpsc::Sender<Effects>,
        rebuilder: Arc<Rebuilder>,
    ) -> Self {
        Self { ledger: Arc::clone(&stores.ledger), relay, told, rebuilder }
    }

    /// Nothing is answered from a Redis that may have lost something.
    async fn sure(&self, workspace: &WorkspaceId) -> Result<(), Trouble> {
        self.rebuilder.sure([workspace]).await.map_err(|fault| {
            let fault = format!("{fault:#}");
            tracing::warn!(fault, "cannot tell whether redis lost anything");
            Trouble::Away(fault)
        })
    }

    fn trouble(&self, fault: RedisError) -> Trouble {
        self.rebuilder.met(&fault);
        trouble(fault)
    }

    /// Hands on what changed, and what was opened and swept on the way. The reader is slow only while
    /// ClickHouse is: then whoever changes waits.
    async fn tell(&self, touched: Effects) {
        let mut effects = self.ledger.take_touched();
        effects.extend(touched);
        let expired = effects.holds_expired as u64;
        if expired > 0 {
            count_holds("expired", expired);
        }
        if effects != Effects::default() {
            // Without a reader the process is stopping, and the next touch of the accounts tells them.
            let _ = self.told.send(effects).await;
        }
    }

    /// Ends expired holds that nobody touches, until the process stops.
    pub async fn sweep_all(&self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            for shard in 0..self.ledger.shards() {
                match self.ledger.sweep(shard, now()).await {
                    Ok(()) => self.tell(Effects::default()).await,
                    Err(fault) => {
                        tracing::debug!(%fault, shard, "cannot look for expired holds now");
                        break;
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(SWEEP_INTERVAL) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    /// Kafka has what the shard's outbox held. Errors: it has not, but it will: the service goes on trying.
    async fn relayed(&self, shard: u16) -> Result<(), Trouble> {
        self.relay.relay_now(shard).await.map_err(|fault: RelayError| {
            tracing::warn!(%fault, "what was changed is not in Kafka yet");
            Trouble::Away(format!(
                "the change is made, but its entry is not in the ledger topic yet: {fault}. \
                 The same request with the same Idempotency-Key tells when it is"
            ))
        })
    }

    async fn make_change(
        &self,
        workspace: &WorkspaceId,
        change: &Change,
        author: &Author,
    ) -> Result<Result<Changed, Refusal>, Trouble> {
        self.sure(workspace).await?;
        // 1. Redis: check, apply, append to the outbox, all or nothing.
        let changed = match self
            .ledger
            .change(workspace, change, author, now())
            .await
            .map_err(|fault| self.trouble(fault))?
        {
            Ok(changed) => changed,
            Err(refusal) => return Ok(Err(refusal)),
        };
        // 2. The tables will follow, whatever happens.
        self.tell(changed.effects.clone()).await;
        // 3. Kafka has the entry before anybody is told that it is done. An outbox is empty too when Redis has lost
        //    it: the entry still has to stand where it was made.
        self.relayed(changed.shard).await?;
        let entry = (changed.epoch, changed.sequence);
        let stands = self.ledger.entry_stands(workspace, entry, author.key.as_ref());
        if !stands.await.map_err(|fault| self.trouble(fault))? {
            return Err(Trouble::Away(format!(
                "redis has lost the change of workspace {workspace} meanwhile"
            )));
        }
        Ok(Ok(changed))
    }

    async fn ask_hold(
        &self,
        workspace: &WorkspaceId,
        request: &HoldRequest,
        author: &Author,
    ) -> Result<Result<HoldAnswer, Refusal>, Trouble> {
        self.sure(workspace).await?;
        let held = match self
            .ledger
            .hold(workspace, request, author, now())
            .await
            .map_err(|fault| self.trouble(fault))?
        {
            Ok(held) => held,
            Err(refusal) => {
                if matches!(refusal, Refusal::Denied(_)) {
                    count_holds("denied", 1);
                }
                return Ok(Err(refusal));
            }
        };
        self.tell(Effects::default()).await;
        if !held.repeated {
            count_holds(outcome(request), 1);
        }
        if held.answer.hold.state == HoldState::Settling {
            self.relayed(self.ledger.shard_of(workspace)).await?;
            self.still_settled(workspace, request, author).await?;
        }
        Ok(Ok(held.answer))
    }

    /// As after a change: an empty outbox may also be a lost one. The hold knows, and a hold that knows nothing of
    /// it any more is settled once more, for whoever asks again.
    async fn still_settled(
        &self,
        workspace: &WorkspaceId,
        request: &HoldRequest,
        author: &Author,
    ) -> Result<(), Trouble> {
        let again = self.ledger.hold(workspace, request, author, now()).await;
        match again.map_err(|fault| self.trouble(fault))? {
            Ok(held) if held.repeated => Ok(()),
            _ => {
                self.tell(Effects::default()).await;
                Err(Trouble::Away(format!("redis has lost the settle of workspace {workspace} meanwhile")))
            }
        }
    }

    async fn answer_check(&self, workspace: &WorkspaceId, wish: &Wish) -> Result<CheckAnswer, Trouble> {
        self.sure(workspace).await?;
        let (started, now) = (Clock::now(), now());
        let answer =
            match self.ledger.check(workspace, wish, now).await.map_err(|fault| self.trouble(fault))? {
                Some(answer) => answer,
                None => {
                    let view =
                        self.ledger.view(workspace, None, now).await.map_err(|fault| self.trouble(fault))?;
                    let view =
                        view.ok_or_else(|| Trouble::Broken(format!("workspace {workspace} has gone")))?;
                    standing::check(&view, workspace, wish)
                }
            };
        ::metrics::histogram!(metrics::CHECK).record(started.elapsed().as_secs_f64());
        Ok(answer)
    }

    async fn look(
        &self,
        workspace: &WorkspaceId,
        period: Option<PeriodName>,
    ) -> Result<Option<Arc<View>>, Trouble> {
        self.sure(workspace).await?;
        let now = now();
        self.ledger.sweep(self.ledger.shard_of(workspace), now).await.map_err(|fault| self.trouble(fault))?;
        self.tell(Effects::default()).await;
        Ok(self.ledger.view(workspace, period, now).await.map_err(|fault| self.trouble(fault))?.map(Arc::new))
    }
}

/// A write is finished also when its client goes away or its time runs out: what it did is told and published.
async fn to_its_end<T: Send + 'static>(
    write: impl Future<Output = Result<T, Trouble>> + Send + 'static,
) -> Result<T, Trouble> {
    tokio::spawn(write).await.unwrap_or_else(|fault| {
        tracing::error!(%fault, "a write panicked");
        Err(Trouble::Broken(fault.to_string()))
    })
}

fn outcome(request: &HoldRequest) -> &'static str {
    match request {
        HoldRequest::Make { .. } => "made",
        HoldRequest::Settle { .. } => "settled",
        HoldRequest::Void { .. } => "voided",
    }
}

fn count_holds(outcome: &'static str, count: u64) {
    ::metrics::counter!(metrics::HOLDS, "outcome" => outcome).increment(count);
}

/// Logged here, where it is handled; the caller is told in one sentence.
fn trouble(fault: RedisError) -> Trouble {
    if fault.is_transient() {
        tracing::warn!(%fault, "a request found no answer");
        Trouble::Away(fault.to_string())
    } else {
        tracing::error!(%fault, "a request found no answer");
        Trouble::Broken(fault.to_string())
    }
}

impl Office for Desk {
    fn change<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        change: &'a Change,
        author: &'a Author,
    ) -> BoxFuture<'a, Result<Result<Changed, Refusal>, Trouble>> {
        let (desk, workspace) = (self.clone(), workspace.clone());
        let (change, author) = (change.clone(), author.clone());
        to_its_end(async move { desk.make_change(&workspace, &change, &author).await }).boxed()
    }

    fn refuse<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        refusal: Refusal,
        author: &'a Author,
    ) -> BoxFuture<'a, Result<Result<Changed, Refusal>, Trouble>> {
        async move { self.ledger.refuse(workspace, refusal, author).await.map_err(|fault| self.trouble(fault)) }.boxed()
    }

    fn hold<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        request: &'a HoldRequest,
        author: &'a Author,
    ) -> BoxFuture<'a, Result<Result<HoldAnswer, Refusal>, Trouble>> {
        let (desk, workspace) = (self.clone(), workspace.clone());
        let (request, author) = (request.clone(), author.clone());
        to_its_end(async move { desk.ask_hold(&workspace, &request, &author).await }).boxed()
    }

    fn check<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        wish: &'a Wish,
    ) -> BoxFuture<'a, Result<CheckAnswer, Trouble>> {
        self.answer_check(workspace, wish).boxed()
    }

    fn holds<'a>(&'a self, workspace: &'a WorkspaceId) -> BoxFuture<'a, Result<Vec<Hold>, Trouble>> {
        async move {
            self.ledger
                .sweep(self.ledger.shard_of(workspace), now())
                .await
                .map_err(|fault| self.trouble(fault))?;
            self.tell(Effects::default()).await;
            self.ledger.holds(workspace).await.map_err(|fault| self.trouble(fault))
        }
        .boxed()
    }

    fn view<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        period: Option<PeriodName>,
    ) -> BoxFuture<'a, Result<Option<Arc<View>>, Trouble>> {
        self.look(workspace, period).boxed()
    }

    fn workspaces(&self) -> BoxFuture<'_, Result<Vec<WorkspaceId>, Trouble>> {
        async move { self.ledger.workspaces().await.map_err(|fault| self.trouble(fault)) }.boxed()
    }
}
