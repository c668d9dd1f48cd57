//! Every key, spelled once on this side. The other spelling is in `scripts/lib.lua`.

use crate::domain::WorkspaceId;
use crate::domain::period::PeriodName;

/// The names of one installation's keys.
#[derive(Debug, Clone)]
pub struct Keys {
    name: String,
    shards: u16,
}

impl Keys {
    /// Keys that begin with `name`, spread over so many shards.
    pub fn new(name: &str, shards: u16) -> Self {
        Self { name: name.to_owned(), shards: shards.max(1) }
    }

    /// How many shards there are.
    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// The shard of a workspace, by FNV-1a. The hash is part of the stored layout: it never changes.
    pub fn shard_of(&self, workspace: &WorkspaceId) -> u16 {
        self.hash_and_shard(workspace).1
    }

    /// That hash and the shard.
    pub fn hash_and_shard(&self, workspace: &WorkspaceId) -> (u64, u16) {
        let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        let hash = workspace.as_str().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, fold);
        (hash, (hash % u64::from(self.shards)) as u16)
    }

    fn prefix(&self, shard: u16) -> String {
        format!("{}:{{s{shard:02}}}:", self.name)
    }

    /// Workspaces of a shard with epoch, sequences and fences.
    pub fn heads(&self, shard: u16) -> String {
        self.prefix(shard) + "heads"
    }

    /// What Kafka has not acknowledged.
    pub fn outbox(&self, shard: u16) -> String {
        self.prefix(shard) + "outbox"
    }

    /// What is in Kafka and waits for its row.
    pub fn rows(&self, shard: u16) -> String {
        self.prefix(shard) + "rows"
    }

    /// Who relays the outbox of a shard at the moment.
    pub fn relay(&self, shard: u16) -> String {
        self.prefix(shard) + "relay"
    }

    /// What was answered under an idempotency key that belongs to no workspace.
    pub fn remembered(&self, place: &str) -> String {
        format!("{}:answer:{place}", self.name)
    }

    /// Settings of a workspace.
    pub fn settings(&self, workspace: &WorkspaceId) -> String {
        format!("{}w:{workspace}", self.prefix(self.shard_of(workspace)))
    }

    /// The books of a period.
    pub fn book(&self, workspace: &WorkspaceId, period: PeriodName) -> String {
        format!("{}p:{workspace}:{period}", self.prefix(self.shard_of(workspace)))
    }

    /// Every user that a workspace ever saw.
    pub fn users(&self, workspace: &WorkspaceId) -> String {
        format!("{}k:{workspace}", self.prefix(self.shard_of(workspace)))
    }

    /// What is moved out of a workspace's pool when a period opens.
    pub fn standing(&self, workspace: &WorkspaceId) -> String {
        format!("{}s:{workspace}", self.prefix(self.shard_of(workspace)))
    }

    /// Events of a period whose credits went back.
    pub fn reversed(&self, workspace: &WorkspaceId, period: PeriodName) -> String {
        format!("{}r:{workspace}:{period}", self.prefix(self.shard_of(workspace)))
    }

    /// What was answered under an idempotency key of a workspace.
    pub fn answered(&self, workspace: &WorkspaceId, place: &str) -> String {
        format!("{}i:{workspace}|{place}", self.prefix(self.shard_of(workspace)))
    }

    /// Who rebuilds a workspace at the moment.
    pub fn rebuilding(&self, workspace: &WorkspaceId) -> String {
        format!("{}x:{workspace}", self.prefix(self.shard_of(workspace)))
    }

    /// Offsets above the fence that a rebuild found recorded.
    pub fn beyond(&self, workspace: &WorkspaceId, partition: i32) -> String {
        format!("{}b:{workspace}:{partition}", self.prefix(self.shard_of(workspace)))
    }

    /// Holds of a workspace that have not ended.
    pub fn holds(&self, workspace: &WorkspaceId) -> String {
        format!("{}h:{workspace}", self.prefix(self.shard_of(workspace)))
    }

    /// Cells of days that are not their user's latest.
    pub fn cold(&self, workspace: &WorkspaceId, period: PeriodName) -> String {
        format!("{}c:{workspace}:{period}", self.prefix(self.shard_of(workspace)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_stays_in_its_shard_for_ever() {
        let keys = Keys::new("t", 16);
        let shards: Vec<u16> = ["acme", "globex", "initech"]
            .iter()
            .map(|w| keys.shard_of(&WorkspaceId::parse(w).unwrap()))
            .collect();
        assert_eq!(shards, [15, 14, 1], "the layout of every installation depends on these");
    }
}
