//! Writes the state of a workspace anew. It is taken out of use first, and its head is written last:
//! in between every script answers that it must be rebuilt, so that nothing is decided on half a state,
//! and a crash leaves what a repetition mends. Only this workspace stands still.

mod records;

use std::collections::{BTreeMap, BTreeSet};

use super::RedisError;
use super::codec::{Packer, Unpacker};
use super::inspect::{Snapshot, read_fences, read_head};
use super::ledger::RedisLedger;
use super::marks::{mark_lives, pack_lives, pack_marks};
use crate::domain::book::Workspace;
use crate::domain::change::IdempotencyKey;
use crate::domain::period::{Instant, PeriodName};
use crate::domain::ports::Outbox as _;
use crate::domain::{UserId, WorkspaceId};
use records::{cold_cells, head, records, settings, standing};

/// How long a process that died keeps others from rebuilding, in milliseconds.
const CLAIM_MS: u64 = 30_000;
/// Fields of one command: it must not keep others waiting.
const FIELDS_MAX: usize = 500;
/// Marks of one call.
pub const MARKS_MAX: usize = 1000;
/// How long an answer under an idempotency key is kept, in seconds.
const ANSWER_SECONDS: i64 = 86_400;

/// Writes the head, if the claim is still the caller's, and gives the claim back.
pub(super) const BEGIN: &str = "if redis.call('GET', KEYS[2]) ~= ARGV[1] then return '0' end \
    redis.call('HSET', KEYS[1], ARGV[2], ARGV[3]) redis.call('DEL', KEYS[2]) return '1'";

/// Keeps the claim, if it is still the caller's: after a loss it is not, and what was written before is gone.
pub(super) const RENEW: &str = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return '0' end \
    redis.call('PEXPIRE', KEYS[1], ARGV[2]) return '1'";

/// An event that was recorded, as far as it is recognised by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The workspace's, from when it is recognised.
    pub epoch: u64,
    /// The producer.
    pub source: String,
    /// The producer's id.
    pub id: String,
    /// When it happened.
    pub time: Instant,
    /// The record's Kafka timestamp.
    pub arrived_at: Instant,
}

/// A state that is to be written.
pub struct Restored<'a> {
    /// The tenant.
    pub workspace: &'a WorkspaceId,
    /// Settings and books, whole; holds are not written.
    pub state: &'a Workspace,
    /// Every user that was ever named.
    pub users: &'a BTreeSet<UserId>,
    /// Events whose credits went back.
    pub reversed: &'a BTreeMap<PeriodName, BTreeSet<String>>,
    /// Highest offset of each partition below which everything is recorded.
    pub fences: &'a BTreeMap<i32, i64>,
    /// Offsets above it that are recorded too.
    pub beyond: &'a BTreeMap<i32, Vec<i64>>,
    /// Place, digest of the request, the script's answer, and when it was given.
    pub answers: &'a [(String, String, Vec<u8>, Instant)],
}

/// More than any state counts.
const VERSION_MAX: u64 = (1 << 40) - 1;

type Fields = Vec<(String, Vec<u8>)>;

impl RedisLedger {
    /// Takes the right to rebuild a workspace; false when another process has it.
    pub async fn claim_rebuild(&self, workspace: &WorkspaceId) -> Result<bool, RedisError> {
        let mut call = self.claim.key(self.keys.rebuilding(workspace));
        call.arg(&self.token).arg(CLAIM_MS);
        Ok(self.office.invoke(&call).await? == b"1")
    }

    /// Keeps the right; false when it was lost.
    pub async fn renew_rebuild(&self, workspace: &WorkspaceId) -> Result<bool, RedisError> {
        let mut call = self.renew.key(self.keys.rebuilding(workspace));
        call.arg(&self.token).arg(CLAIM_MS);
        Ok(self.office.invoke(&call).await? == b"1")
    }

    /// Gives the right back.
    pub async fn give_up_rebuild(&self, workspace: &WorkspaceId) -> Result<(), RedisError> {
        let key = self.keys.rebuilding(workspace);
        self.office.run(&self.release, &key, &[self.token.as_bytes()]).await.map(drop)
    }

    /// Takes the workspace out of use and forgets its state; answers the epoch that it had, 0 for none, and the
    /// last offsets that were decided, none where these are lost too. `periods` are those that may have books.
    pub async fn stop(
        &self,
        workspace: &WorkspaceId,
        periods: &[PeriodName],
    ) -> Result<(u64, Option<BTreeMap<i32, i64>>), RedisError> {
        let mut out = Packer::default();
        out.array(1 + periods.len()).text(workspace.as_str());
        for period in periods {
            out.text(&period.to_string());
        }
        let heads = self.keys.heads(self.keys.shard_of(workspace));
        let bytes = self.office.run(&self.stop, &heads, &[out.into_bytes()]).await?;
        let mut input = Unpacker::new(&bytes);
        input.array()?;
        let epoch = input.int()? as u64;
        let fences = read_fences(&mut input)?;
        Ok((epoch, (epoch > 0).then_some(fences)))
    }

    /// The epoch of each workspace that is in use.
    pub async fn epochs(
        &self,
        workspaces: impl IntoIterator<Item = &WorkspaceId>,
    ) -> Result<BTreeMap<WorkspaceId, u64>, RedisError> {
        let heads = self.versions(workspaces).await?;
        Ok(heads.into_iter().map(|(workspace, (epoch, _))| (workspace, epoch)).collect())
    }

    /// Epoch, and count of decisions, entries and other changes, of each workspace that is in use.
    async fn versions(
        &self,
        workspaces: impl IntoIterator<Item = &WorkspaceId>,
    ) -> Result<BTreeMap<WorkspaceId, (u64, u64)>, RedisError> {
        let heads = self.heads(workspaces).await?;
        Ok(heads.into_iter().map(|(workspace, head)| (workspace, head.version)).collect())
    }

    async fn heads(
        &self,
        workspaces: impl IntoIterator<Item = &WorkspaceId>,
    ) -> Result<BTreeMap<WorkspaceId, Snapshot>, RedisError> {
        let mut of_shard: BTreeMap<u16, Vec<&WorkspaceId>> = BTreeMap::new();
        for workspace in workspaces {
            of_shard.entry(self.shard_of(workspace)).or_default().push(workspace);
        }
        let mut found = BTreeMap::new();
        for (shard, workspaces) in of_shard {
            for chunk in workspaces.chunks(FIELDS_MAX) {
                let mut command = ::redis::cmd("HMGET");
                command.arg(self.keys.heads(shard));
                for workspace in chunk {
                    command.arg(workspace.as_str());
                }
                let heads: Vec<Option<Vec<u8>>> = self.office.query(&command).await?;
                for (workspace, head) in chunk.iter().zip(heads) {
                    let Some(head) = head else { continue };
                    found.insert((*workspace).clone(), read_head(&head)?);
                }
            }
        }
        Ok(found)
    }

    /// Whether an entry that was made still stands: in the state that it was made in, or in an answer that is kept
    /// with it or was restored from the ledger. Else Redis lost it, maybe before Kafka had it.
    pub async fn entry_stands(
        &self,
        workspace: &WorkspaceId,
        (epoch, sequence): (u64, u64),
        key: Option<&IdempotencyKey>,
    ) -> Result<bool, RedisError> {
        let heads = self.heads([workspace]).await?;
        let is_in = |head: &Snapshot| head.state.epoch == epoch && head.state.ledger_sequence >= sequence;
        if heads.get(workspace).is_some_and(is_in) {
            return Ok(true);
        }
        let Some(key) = key else { return Ok(false) };
        let mut exists = ::redis::cmd("EXISTS");
        exists.arg(self.keys.answered(workspace, &key.place));
        Ok(self.office.query::<u64>(&exists).await? > 0)
    }

    /// Takes note of how far workspaces had come, so that no state older than that is used, and answers
    /// those whose state is: with the epoch that it has, 0 for none.
    pub async fn expect(
        &self,
        expected: &BTreeMap<WorkspaceId, (u64, u64)>,
    ) -> Result<BTreeMap<WorkspaceId, u64>, RedisError> {
        for (workspace, (epoch, version)) in expected {
            self.saw(workspace, *epoch, *version).await;
        }
        let found = self.versions(expected.keys()).await?;
        let behind = expected.iter().filter(|(workspace, version)| found.get(workspace) < Some(version));
        let epoch = |workspace| found.get(workspace).map_or(0, |(epoch, _)| *epoch);
        Ok(behind.map(|(workspace, _)| (workspace.clone(), epoch(workspace))).collect())
    }

    /// Takes note of the last entry of each workspace's ledger that Kafka has, so that no state that lacks it is
    /// used, and answers those whose state does: with the epoch that it has, 0 for none.
    pub async fn expect_entries(
        &self,
        published: &BTreeMap<WorkspaceId, (u64, u64)>,
    ) -> Result<BTreeMap<WorkspaceId, u64>, RedisError> {
        let found = self.heads(published.keys()).await?;
        let mut behind = BTreeMap::new();
        for (workspace, (epoch, sequence)) in published {
            let state = found.get(workspace).map(|head| &head.state);
            let has = state.map_or((0, 0), |state| (state.epoch, state.ledger_sequence));
            if has >= (*epoch, *sequence) {
                continue;
            }
            // A count of everything says little of entries: what is behind in its epoch is not used any more.
            let version = if has.0 == *epoch { VERSION_MAX } else { *sequence };
            self.saw(workspace, *epoch, version).await;
            behind.insert(workspace.clone(), has.0);
        }
        Ok(behind)
    }

    /// How far back an event may be recognised.
    pub fn remembers_since(&self, now: Instant) -> Instant {
        Instant::from_micros(now.micros() - mark_lives(self.dedupe).0 * 1_000_000)
    }

    /// Marks events that were recorded, so that each is recognised when it comes again.
    pub async fn restore_marks(
        &self,
        events: &[(WorkspaceId, Seen)],
        now: Instant,
    ) -> Result<(), RedisError> {
        let mut of_shard: BTreeMap<u16, Vec<&(WorkspaceId, Seen)>> = BTreeMap::new();
        for event in events {
            of_shard.entry(self.shard_of(&event.0)).or_default().push(event);
        }
        for (shard, events) in of_shard {
            for chunk in events.chunks(MARKS_MAX) {
                let mut out = Packer::default();
                pack_lives(&mut out, self.dedupe, chunk.len());
                for (workspace, event) in chunk {
                    let identity = [workspace.as_str(), &event.source, &event.id];
                    let times = (event.time.micros(), event.arrived_at.micros());
                    pack_marks(&mut out, event.epoch, identity, times, now.micros(), self.dedupe);
                }
                self.office.run(&self.restore, &self.keys.heads(shard), &[out.into_bytes()]).await?;
            }
        }
        Ok(())
    }

    /// Writes a state, and puts the workspace back into use by its head; false when another process has
    /// taken over the rebuild, whose head is the one that counts.
    pub async fn begin(&self, restored: &Restored<'_>, now: Instant) -> Result<bool, RedisError> {
        let Restored { workspace, state, .. } = restored;
        // 1. Everything but the head; a crash on the way leaves the workspace out of use.
        for (period, book) in &state.books {
            self.put(&self.keys.book(workspace, *period), records(book)).await?;
            self.put(&self.keys.cold(workspace, *period), cold_cells(book)).await?;
        }
        self.put(&self.keys.standing(workspace), standing(state)).await?;
        self.put_members(restored).await?;
        self.put_answers(restored, now).await?;
        self.put(&self.keys.settings(workspace), settings(state)).await?;
        // 2. The head.
        let heads = self.keys.heads(self.shard_of(workspace));
        let mut call = self.begin.key(heads);
        call.key(self.keys.rebuilding(workspace)).arg(&self.token).arg(workspace.as_str());
        call.arg(head(restored));
        Ok(self.office.invoke(&call).await? == b"1")
    }

    async fn put(&self, key: &str, fields: Fields) -> Result<(), RedisError> {
        for chunk in fields.chunks(FIELDS_MAX) {
            let mut command = ::redis::cmd("HSET");
            command.arg(key);
            for (field, value) in chunk {
                command.arg(field).arg(value.as_slice());
            }
            self.office.query::<u64>(&command).await?;
        }
        Ok(())
    }

    async fn add<T: ::redis::ToRedisArgs>(&self, key: &str, members: &[T]) -> Result<(), RedisError> {
        for chunk in members.chunks(FIELDS_MAX) {
            self.office.query::<u64>(::redis::cmd("SADD").arg(key).arg(chunk)).await?;
        }
        Ok(())
    }

    async fn put_members(&self, restored: &Restored<'_>) -> Result<(), RedisError> {
        let workspace = restored.workspace;
        let users: Vec<&str> = restored.users.iter().map(UserId::as_str).collect();
        self.add(&self.keys.users(workspace), &users).await?;
        for (period, names) in restored.reversed {
            let names: Vec<&String> = names.iter().collect();
            self.add(&self.keys.reversed(workspace, *period), &names).await?;
        }
        for (partition, offsets) in restored.beyond {
            let key = self.keys.beyond(workspace, *partition);
            self.office.query::<u64>(::redis::cmd("UNLINK").arg(&key)).await?;
            self.add(&key, offsets).await?;
            let lifetime = mark_lives(self.dedupe).0;
            self.office.query::<u64>(::redis::cmd("EXPIRE").arg(&key).arg(lifetime)).await?;
        }
        Ok(())
    }

    /// What is there already is what was answered.
    async fn put_answers(&self, restored: &Restored<'_>, now: Instant) -> Result<(), RedisError> {
        for (place, request, answer, at) in restored.answers {
            let left = ANSWER_SECONDS - (now.micros() - at.micros()) / 1_000_000;
            if left <= 0 {
                continue;
            }
            let mut out = Packer::default();
            out.text(request).bytes(answer);
            let mut command = ::redis::cmd("SET");
            command.arg(self.keys.answered(restored.workspace, place)).arg(out.into_bytes());
            command.arg("NX").arg("EX").arg(left);
            self.office.query::<Option<String>>(&command).await?;
        }
        Ok(())
    }
}
