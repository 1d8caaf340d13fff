//! A replication group as it is *desired* and as it is *observed*. Its member cache clusters are records of their own:
//! engine, node type, parameter group and windows stand there, and the group answers with those of its first member.
//! The rules of each operation have a file of their own in this folder.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::node::{Process, StepRecord};
use crate::state::Resource;

pub mod change;
pub mod create;
pub mod tests_of_failover;

/// Most members of one shard: a primary and five replicas.
pub const SHARD_MEMBERS_MAX: usize = 6;
/// The one shard of a group with cluster mode disabled.
pub const ONLY_SHARD: &str = "0001";
/// The one node of a redis or valkey cluster.
pub const ONLY_NODE: &str = "0001";

/// A shard that should be: members that hold the same data. With cluster mode disabled there is one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Ids of its clusters, in the order in which they came.
    pub members: Vec<String>,
    /// Number of promotions that were asked for by hand.
    pub promotions: u64,
    /// Who is to be the primary after the newest of them.
    pub promote: Option<String>,
    /// Number of failovers that TestFailover asked for.
    pub failovers: u64,
}

/// A replication group as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Identifier, lower case.
    pub id: String,
    /// What it is for, in the words of who made it.
    pub description: String,
    /// Rises with every change that the group must follow.
    pub generation: u64,
    /// Set once; from then on everything of the group goes away.
    pub deleting: bool,
    /// When it was created, Unix milliseconds.
    pub created_ms: u64,
    /// Shards by id.
    pub shards: BTreeMap<String, Shard>,
    /// Whether a lost primary is replaced by a replica.
    pub automatic_failover: bool,
    /// Whether members must lie in several zones.
    pub multi_az: bool,
    /// Whether data at rest is to be encrypted.
    pub at_rest_encryption: bool,
    /// The key that somebody named for that.
    #[serde(default)]
    pub kms_key: Option<String>,
    /// The member whose data go into automatic snapshots, if somebody chose one.
    pub snapshotting_cluster: Option<String>,
    /// User group whose users may use it.
    #[serde(default)]
    pub user_group: Option<String>,
    /// Number of snapshots that were asked for.
    #[serde(default)]
    pub snapshots: u64,
    /// The generation with which its AUTH tokens were last changed.
    #[serde(default)]
    pub auth_generation: u64,
    /// By which replicas prove to the primary who they are, where clients must prove it.
    pub replication_password: String,
}

impl Resource for Group {
    const KIND: &'static str = "replication-group";

    fn id(&self) -> String {
        self.id.clone()
    }
}

/// Why a member is made the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// There was none before.
    First,
    /// The primary was lost.
    Failure,
    /// TestFailover.
    Test,
    /// ModifyReplicationGroup with another PrimaryClusterId.
    ByHand,
    /// The primary was lost without automatic failover and runs again, empty: a replica with the data stands in, as only
    /// a primary gives its data to others.
    StandIn,
    /// The one that was stood in for has the data again.
    GiveBack,
    /// The primary runs again: after a reboot, or because no replica could take its place.
    Restart,
}

/// A promotion that was decided and is being carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promoting {
    /// The cluster.
    pub cluster: String,
    /// `run_id` of its process: another one does not have the data.
    pub run_id: String,
    /// Why.
    pub why: Why,
}

/// Who may accept writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acting {
    /// The cluster.
    pub cluster: String,
    /// `run_id` of the process that was made the primary.
    pub run_id: String,
    /// That process: it must be gone before another one is made the primary, whatever became of its cluster.
    #[serde(default)]
    pub process: Option<Process>,
    /// The history of its data, as it was seen last.
    #[serde(default)]
    pub history: String,
    /// Reboots that its node had had by then.
    pub reboots: u64,
}

/// A replica as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedMember {
    /// `run_id` of the process that was seen to hold the primary's data.
    pub synced_run_id: Option<String>,
    /// How much of the stream of writes it had then: if it has less, it let go of its data to be given others.
    #[serde(default)]
    pub synced_offset: u64,
    /// Whether the reader endpoint leads to it.
    pub online: bool,
}

/// A shard as it is. Only `primary` and `promoting` can name members that accept writes: every other process of the
/// group was started as a replica of nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedShard {
    /// The primary.
    pub primary: Option<Acting>,
    /// Who is being made the primary.
    pub promoting: Option<Promoting>,
    /// Replicas by cluster id.
    pub members: BTreeMap<String, ObservedMember>,
    /// Who becomes the primary again as soon as it has the data of the one that stands in for it.
    #[serde(default)]
    pub give_back: Option<String>,
    /// Promotions by hand that were taken up.
    pub promotions: u64,
    /// Test failovers that were taken up.
    pub failovers: u64,
}

/// A replication group as it is. Written by its driver only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedGroup {
    /// Identifier.
    pub id: String,
    /// The newest generation that the group follows; 0 until it was available for the first time.
    pub applied_generation: u64,
    /// Whether automatic failover is in force.
    pub automatic_failover: bool,
    /// The user group that is in force.
    #[serde(default)]
    pub user_group: Option<String>,
    /// How many members it had when it was settled last.
    #[serde(default)]
    pub members: usize,
    /// Shards by id.
    pub shards: BTreeMap<String, ObservedShard>,
    /// The newest step.
    pub step: Option<StepRecord>,
    /// Snapshots that were taken, or given up.
    #[serde(default)]
    pub snapshots: u64,
}

impl Resource for ObservedGroup {
    const KIND: &'static str = "replication-group-observed";

    fn id(&self) -> String {
        self.id.clone()
    }
}

/// Status words of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Being made.
    Creating,
    /// Nothing to do.
    Available,
    /// Following a change.
    Modifying,
    /// Giving its data to a snapshot.
    Snapshotting,
    /// Going away.
    Deleting,
}

impl Status {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Creating => "creating",
            Status::Available => "available",
            Status::Modifying => "modifying",
            Status::Snapshotting => "snapshotting",
            Status::Deleting => "deleting",
        }
    }
}

impl Group {
    /// `StorageEncryptionType`.
    pub fn storage_encryption_type(&self) -> &'static str {
        match (self.at_rest_encryption, &self.kms_key) {
            (false, _) => "none",
            (true, None) => "sse-elasticache",
            (true, Some(_)) => "sse-kms",
        }
    }

    /// The status, which follows from what is desired and what is observed.
    pub fn status(&self, observed: Option<&ObservedGroup>) -> Status {
        if self.deleting {
            return Status::Deleting;
        }
        match observed {
            Some(observed) if observed.applied_generation >= self.generation => {
                let is_taken = observed.snapshots < self.snapshots;
                if is_taken { Status::Snapshotting } else { Status::Available }
            }
            Some(observed) if observed.applied_generation > 0 => Status::Modifying,
            _ => Status::Creating,
        }
    }

    /// `enabled`, `disabled`, or on the way there.
    pub fn automatic_failover_status(&self, observed: Option<&ObservedGroup>) -> &'static str {
        let present = observed.is_some_and(|observed| observed.automatic_failover);
        match (self.automatic_failover, present) {
            (true, true) => "enabled",
            (true, false) => "enabling",
            (false, true) => "disabling",
            (false, false) => "disabled",
        }
    }

    /// Ids of all member clusters, shard after shard.
    pub fn members(&self) -> impl Iterator<Item = &String> {
        self.shards.values().flat_map(|shard| &shard.members)
    }

    /// Whether a process that starts for a member must wait to be told what it is. The only member of a shard cannot
    /// meet another primary.
    pub fn starts_as_replica(&self, cluster: &str) -> bool {
        let mut of_cluster = self.shards.values().filter(|shard| shard.members.iter().any(|m| m == cluster));
        of_cluster.any(|shard| shard.members.len() > 1)
    }

    /// Id of a new member of the shard: the lowest number that is free there and not in `taken`.
    pub fn free_member_id(&self, shard: &Shard, taken: impl Fn(&str) -> bool) -> String {
        let ids = (1..).map(|number| member_id(&self.id, number));
        let mut free = ids.filter(|id| !shard.members.contains(id) && !taken(id));
        free.next().unwrap_or_default()
    }
}

impl ObservedGroup {
    /// The cluster that is the primary of a shard.
    pub fn primary(&self, shard: &str) -> Option<&str> {
        self.shards.get(shard)?.primary.as_ref().map(|acting| acting.cluster.as_str())
    }

    /// Where the reader endpoint of a shard leads: to all replicas that hold the data, or without any to the primary.
    pub fn read_targets(&self, shard: &str) -> Vec<String> {
        let readers: Vec<String> = self.readers(shard).map(str::to_owned).collect();
        if readers.is_empty() {
            self.primary(shard).map(str::to_owned).into_iter().collect()
        } else {
            readers
        }
    }

    /// The replicas that are in sync and well.
    pub fn readers<'a>(&'a self, shard: &str) -> impl Iterator<Item = &'a str> {
        let members = self.shards.get(shard).map(|shard| &shard.members);
        let online = members.into_iter().flatten().filter(|(_, member)| member.online);
        online.map(|(id, _)| id.as_str())
    }
}

/// The id of the cluster of that number in a group with cluster mode disabled.
pub fn member_id(group: &str, number: usize) -> String {
    format!("{group}-{number:03}")
}
