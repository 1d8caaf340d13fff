//! A cluster as it is *observed*: its nodes, their processes, and what they were told. Written by the driver only.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::service_update::Runs;
use crate::state::Resource;

/// Failed first starts after which a node's first data are believed to be unusable.
const FIRST_STARTS_MAX: u32 = 3;

/// Settings of a node: directive to value, as they stand in `node.conf` (an empty value is two quotes).
pub type Settings = BTreeMap<String, String>;

/// Where a node is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodePhase {
    /// It has an address, and has never answered yet.
    Placed,
    /// It answered when it was last looked at.
    Running,
    /// It ended by itself and is being started again.
    Recovering,
    /// It was stopped because a reboot (or a change that needs one) was asked for.
    Rebooting,
    /// It is being removed.
    Leaving,
}

/// What tells one process from every other one, also after its number was given to somebody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Start time in clock ticks since the machine started (field 22 of `/proc/<pid>/stat`).
    pub start_ticks: u64,
    /// `run_id` of INFO: made anew by each engine process.
    pub run_id: String,
}

/// A node as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedNode {
    /// Its own address.
    pub address: Ipv4Addr,
    /// Its port.
    pub port: u16,
    /// Its availability zone.
    pub zone: String,
    /// When it was placed, Unix milliseconds.
    pub created_ms: u64,
    /// Where it is in its life.
    pub phase: NodePhase,
    /// The process that runs it, if one does.
    pub process: Option<Process>,
    /// How often its engine was started.
    pub start_count: u64,
    /// When the engine was last started, Unix milliseconds.
    pub started_ms: u64,
    /// Number of reboots done, of those that are wanted.
    pub reboots: u64,
    /// Settings of the running process.
    pub settings: Settings,
    /// Settings that the running process refused to take over while it runs.
    pub refused: BTreeSet<String>,
    /// Whether a wanted setting needs a reboot first.
    pub pending_reboot: bool,
    /// Version of the member list that the running process knows (memcached).
    pub told_version: u64,
    /// How often in a row it failed to start or ended soon after.
    pub failures: u32,
    /// It is not started again before this time, Unix milliseconds.
    pub not_before_ms: u64,
    /// What the running process is.
    #[serde(default)]
    pub runs: Runs,
    /// The node type that it has; nothing in a record that is older than this field.
    #[serde(default)]
    pub node_type: String,
}

/// What a node says about its replication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replication {
    /// Whether it accepts writes.
    pub is_primary: bool,
    /// Whom it follows, if it does and that is an address.
    pub primary: Option<(Ipv4Addr, u16)>,
    /// Whether it is connected to its primary.
    pub link_up: bool,
    /// Whether it is receiving the primary's whole data.
    pub syncing: bool,
    /// How much of the stream of writes it has.
    pub offset: u64,
    /// The history that its data belong to. It has another one when the data came about in another way.
    pub history: String,
}

/// Who belongs to a memcached cluster, as clients learn from Auto Discovery.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Rises by one at each change; 0 before the first list.
    pub version: u64,
    /// Ids of the nodes.
    pub node_ids: Vec<String>,
    /// Whether clients are given names (or else addresses).
    pub with_names: bool,
}

/// Nodes of a memcached cluster that are replaced together, because its node type changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Ids of the nodes.
    pub nodes: Vec<String>,
    /// The next ones follow not before this time, Unix milliseconds.
    pub next_ms: u64,
}

/// What the driver is doing, for people who look into the records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The step.
    pub step: String,
    /// When it began, Unix milliseconds.
    pub began_ms: u64,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// A cluster as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Identifier of the cluster.
    pub id: String,
    /// The newest generation that all nodes follow; 0 until the cluster was available for the first time.
    pub applied_generation: u64,
    /// The parameter group that is in force.
    pub parameter_group: String,
    /// The node type that is in force.
    pub node_type: String,
    /// Engine and version that are in force; nothing in a record that is older than this field.
    #[serde(default)]
    pub version: String,
    /// Nodes by id.
    pub nodes: BTreeMap<String, ObservedNode>,
    /// Auto Discovery's list.
    pub membership: Membership,
    /// The newest step.
    pub step: Option<StepRecord>,
    /// Snapshots that were taken, or given up.
    #[serde(default)]
    pub snapshots: u64,
    /// The newest stage of a change of the node type, until that is done.
    #[serde(default)]
    pub stage: Option<Stage>,
}

impl Resource for Observed {
    const KIND: &'static str = "cluster-observed";

    fn id(&self) -> String {
        self.id.clone()
    }
}

impl Observed {
    /// The node type that one of its nodes has.
    pub fn type_of<'a>(&'a self, node: &'a ObservedNode) -> &'a str {
        if node.node_type.is_empty() { &self.node_type } else { &node.node_type }
    }
}

impl ObservedNode {
    /// Whether clients can use it, or could until it ended by itself a moment ago.
    pub fn is_member(&self) -> bool {
        matches!(self.phase, NodePhase::Running | NodePhase::Recovering | NodePhase::Rebooting)
    }

    /// Whether it never ran, and failed to start so often that it is believed never to do.
    pub fn is_hopeless(&self) -> bool {
        self.start_count == 0 && self.failures >= FIRST_STARTS_MAX
    }
}
