//! A cache cluster as it is *desired*: what operations wrote, and what follows from it together with what is
//! *observed*. The rules of each operation have a file of their own in this folder.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::auth_token::AuthTokens;
use super::log_delivery::Deliveries;
use super::node::{NodePhase, Observed, ObservedNode};
use super::notification::Topic;
use super::snapshot::Seed;
use super::transit::Transit;
use crate::state::Resource;
use scale::Scale;

pub mod create;
pub mod modify;
pub mod scale;

#[cfg(test)]
pub(crate) mod tests;

/// Most nodes of one memcached cluster (quota L-8C334AD1).
pub const MEMCACHED_NODES_MAX: usize = 60;
/// Most nodes of one account and region (quota L-DFE45DF3).
pub const REGION_NODES_MAX: usize = 300;

/// What a node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Redis OSS.
    Redis,
    /// Valkey.
    Valkey,
    /// Memcached.
    Memcached,
}

impl Engine {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Engine::Redis => "redis",
            Engine::Valkey => "valkey",
            Engine::Memcached => "memcached",
        }
    }

    /// The engine of that word, in any case of letters.
    pub fn parse(word: &str) -> Option<Engine> {
        let all = [Engine::Redis, Engine::Valkey, Engine::Memcached];
        all.into_iter().find(|engine| engine.as_str().eq_ignore_ascii_case(word))
    }

    /// The port where clients expect it.
    pub fn default_port(self) -> u16 {
        if self == Engine::Memcached { 11211 } else { 6379 }
    }
}

/// What the newest change of a cluster was; decides the word for its status until the change is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Changing {
    /// It is being created.
    Create,
    /// Its settings or nodes change.
    Modify,
    /// Nodes are started anew.
    Reboot,
}

/// A node that should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedNode {
    /// Availability zone.
    pub zone: String,
    /// Subnet that the address comes from.
    pub subnet_id: String,
    /// Number of reboots asked for so far.
    pub reboots: u64,
}

/// Another engine version, with what comes along with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineChange {
    /// Engine of the version; redis may become valkey.
    pub engine: Engine,
    /// Full version.
    pub version: String,
    /// Parameter group of the version's family.
    pub parameter_group: String,
}

/// Changes that wait for the maintenance window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Nodes to add.
    pub add: Vec<WantedNode>,
    /// Ids of nodes to remove.
    pub remove: Vec<String>,
    /// Other node type.
    pub node_type: Option<String>,
    /// The stages in which nodes of a memcached cluster are replaced for that.
    #[serde(default)]
    pub scale: Option<Scale>,
    /// Other engine version.
    pub engine: Option<EngineChange>,
    /// Another mode of encryption in transit.
    #[serde(default)]
    pub transit: Option<Transit>,
}

impl Pending {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        *self == Pending::default()
    }
}

/// A cache cluster as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Identifier, lower case.
    pub id: String,
    /// Rises with every change that nodes must follow.
    pub generation: u64,
    /// What the newest generation is about.
    pub changing: Changing,
    /// Set once; from then on everything of the cluster goes away.
    pub deleting: bool,
    /// When it was created, Unix milliseconds.
    pub created_ms: u64,
    /// What its nodes run.
    pub engine: Engine,
    /// Full version, such as `7.1.0`.
    pub engine_version: String,
    /// Node type, such as `cache.t3.micro`.
    pub node_type: String,
    /// Port of every node.
    pub port: u16,
    /// Nodes by id (`0001`, ...).
    pub nodes: BTreeMap<String, WantedNode>,
    /// Name of its parameter group.
    pub parameter_group: String,
    /// Name of its subnet group.
    pub subnet_group: String,
    /// Security groups.
    pub security_group_ids: Vec<String>,
    /// `ddd:hh:mm-ddd:hh:mm`.
    pub maintenance_window: String,
    /// `hh:mm-hh:mm`; memcached has none.
    pub snapshot_window: Option<String>,
    /// Days that automatic snapshots are kept; 0 means there are none.
    pub snapshot_retention_days: u8,
    /// Whether minor versions may be applied.
    pub auto_minor_version_upgrade: bool,
    /// Changes that wait for the maintenance window.
    pub pending: Pending,
    /// The replication group that it is a member of.
    #[serde(default)]
    pub group: Option<String>,
    /// Where its first data come from, if it does not begin empty.
    #[serde(default)]
    pub seed: Option<Seed>,
    /// Number of snapshots that were asked for.
    #[serde(default)]
    pub snapshots: u64,
    /// The snapshot that must be there before a cluster that is deleted goes away.
    #[serde(default)]
    pub final_snapshot: Option<String>,
    /// Encryption in transit.
    #[serde(default)]
    pub transit: Transit,
    /// Its AUTH tokens.
    #[serde(default)]
    pub auth: AuthTokens,
    /// The generation with which its AUTH tokens were last changed, where it is in no group.
    #[serde(default)]
    pub auth_generation: u64,
    /// Logs that are to be delivered.
    #[serde(default)]
    pub log_delivery: Deliveries,
    /// The stages in which nodes of a memcached cluster are replaced where its node type changes.
    #[serde(default)]
    pub scale: Option<Scale>,
    /// Where its events are published.
    #[serde(default)]
    pub topic: Option<Topic>,
}

impl Resource for Cluster {
    const KIND: &'static str = "cluster";

    fn id(&self) -> String {
        self.id.clone()
    }
}

/// Status words of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Being made.
    Creating,
    /// Nothing to do.
    Available,
    /// Following a change.
    Modifying,
    /// Starting nodes anew.
    Rebooting,
    /// Giving its data to a snapshot.
    Snapshotting,
    /// Its first data cannot be read.
    RestoreFailed,
    /// Going away.
    Deleting,
}

impl Status {
    /// The words of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Creating => "creating",
            Status::Available => "available",
            Status::Modifying => "modifying",
            Status::Rebooting => "rebooting cluster nodes",
            Status::Snapshotting => "snapshotting",
            Status::RestoreFailed => "restore-failed",
            Status::Deleting => "deleting",
        }
    }
}

impl Cluster {
    /// The status, which follows from what is desired and what is observed.
    pub fn status(&self, observed: Option<&Observed>) -> Status {
        if self.deleting {
            return Status::Deleting;
        }
        match observed {
            Some(observed) if observed.applied_generation >= self.generation => {
                let is_taken = observed.snapshots < self.snapshots;
                if is_taken { Status::Snapshotting } else { Status::Available }
            }
            Some(observed) if observed.applied_generation > 0 => match self.changing {
                Changing::Reboot => Status::Rebooting,
                Changing::Create | Changing::Modify => Status::Modifying,
            },
            Some(observed)
                if self.seed.is_some() && observed.nodes.values().any(ObservedNode::is_hopeless) =>
            {
                Status::RestoreFailed
            }
            _ => Status::Creating,
        }
    }

    /// Whether its nodes are as they should be; a snapshot that is being taken changes nothing about that.
    pub fn is_settled(&self, observed: Option<&Observed>) -> bool {
        matches!(self.status(observed), Status::Available | Status::Snapshotting)
    }

    /// Ids of nodes that need a reboot before all parameters are in force.
    pub fn nodes_to_reboot<'a>(&self, observed: &'a Observed) -> Vec<&'a str> {
        let waiting = observed.nodes.iter().filter(|(_, node)| node.pending_reboot);
        waiting.map(|(id, _)| id.as_str()).collect()
    }

    /// `in-sync`, `applying` or `pending-reboot`.
    pub fn parameter_apply_status(&self, observed: Option<&Observed>) -> &'static str {
        match observed {
            Some(observed) if observed.nodes.values().any(|node| node.pending_reboot) => "pending-reboot",
            Some(observed)
                if observed.applied_generation > 0 && observed.parameter_group != self.parameter_group =>
            {
                "applying"
            }
            _ => "in-sync",
        }
    }

    /// Whether it has that parameter group, or will have it after its maintenance window.
    pub fn uses_parameter_group(&self, name: &str) -> bool {
        let will = self.pending.engine.as_ref().is_some_and(|change| change.parameter_group == name);
        will || self.parameter_group == name
    }

    /// The one zone of all nodes, or `Multiple`.
    pub fn preferred_zone(&self) -> &str {
        let mut zones = self.nodes.values().map(|node| node.zone.as_str());
        let Some(first) = zones.next() else { return "" };
        if zones.all(|zone| zone == first) { first } else { "Multiple" }
    }

    /// Takes over what waited for the maintenance window. Answers whether there was anything.
    pub fn apply_pending(&mut self) -> bool {
        if self.pending.is_empty() {
            return false;
        }
        let pending = std::mem::take(&mut self.pending);
        for id in &pending.remove {
            self.nodes.remove(id);
        }
        for node in pending.add {
            let id = self.free_node_id();
            self.nodes.insert(id, node);
        }
        if let Some(node_type) = pending.node_type {
            self.node_type = node_type;
            self.scale = pending.scale;
        }
        if let Some(change) = pending.engine {
            self.engine = change.engine;
            self.engine_version = change.version;
            self.parameter_group = change.parameter_group;
        }
        if let Some(transit) = pending.transit {
            self.transit = transit;
        }
        self.changed(Changing::Modify);
        true
    }

    /// Whether its clients can encrypt, now and after its maintenance window.
    pub fn stays_encrypted(&self) -> bool {
        self.transit.is_enabled() && self.pending.transit.is_none_or(Transit::is_enabled)
    }

    /// `AuthTokenStatus`, while nodes follow a change of the AUTH tokens of a cluster that is in no group.
    pub fn auth_status(&self, observed: Option<&Observed>) -> Option<&'static str> {
        let observed = observed.filter(|observed| observed.applied_generation > 0)?;
        let is_following = self.group.is_none() && observed.applied_generation < self.auth_generation;
        if is_following { self.auth.status() } else { None }
    }

    /// Notes that nodes must follow a change.
    pub fn changed(&mut self, what: Changing) {
        self.generation += 1;
        self.changing = what;
    }

    /// The lowest node id that no node has.
    fn free_node_id(&self) -> String {
        let taken = |number: &usize| self.nodes.contains_key(&node_id(*number));
        let number = (1..).find(|number| !taken(number)).unwrap_or(1);
        node_id(number)
    }

    /// Wants these nodes started anew.
    pub fn reboot(&mut self, ids: &[String]) {
        for id in ids {
            if let Some(node) = self.nodes.get_mut(id) {
                node.reboots += 1;
            }
        }
        self.changed(Changing::Reboot);
    }

    /// Wants everything of it gone.
    pub fn delete(&mut self) {
        self.deleting = true;
        self.generation += 1;
    }
}

/// The id of the node of that number, counted from one.
pub fn node_id(number: usize) -> String {
    format!("{number:04}")
}

/// The word for a node's status.
pub fn node_status(phase: NodePhase) -> &'static str {
    match phase {
        NodePhase::Placed => "creating",
        NodePhase::Running => "available",
        NodePhase::Recovering | NodePhase::Rebooting => "rebooting",
        NodePhase::Leaving => "deleting",
    }
}
