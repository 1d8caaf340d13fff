//! From what is desired and what is observed to the steps between them.
//!
//! Planning is a pure function: no clock but an argument, no I/O, nothing left to choose while the steps are done.
//! It is called again and again with fresh facts, so a plan never has to foresee failures: whatever a step could
//! not do, the next plan asks for again. An empty plan means that the cluster is as it should be.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::resource::cluster::{Cluster, Engine};
use crate::resource::node::{NodePhase, Observed, ObservedNode};
use stage::Stages;

pub mod group;
mod stage;
pub mod update;

#[cfg(test)]
mod tests;

/// The directive with the memory of the machine that a node plays.
pub const NODE_MEMORY: &str = "node-memory-bytes";

/// When a changed setting comes into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applies {
    /// While the node runs; if the node refuses, at its next reboot.
    Live,
    /// While the node runs, and if it refuses, at its next start, which nobody is asked for: it is no parameter but the
    /// service's own, and a node of an earlier release may not know it.
    Own,
    /// By starting the node again at once.
    Restart,
    /// At the next reboot that somebody asks for.
    Reboot,
    /// At each start, and of no account while the node runs.
    Start,
}

/// A setting that a node should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Value as it stands in the configuration file.
    pub value: String,
    /// When a change of it comes into force.
    pub applies: Applies,
    /// Whether nobody asked for it: a node that never heard of it, being of an earlier release, waits for nothing.
    pub is_default: bool,
}

/// Settings that every node of a cluster should have, by directive.
pub type WantedSettings = BTreeMap<String, Setting>;

/// One idempotent act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Give a new node an address in its subnet.
    Place {
        /// The node.
        node: String,
        /// Where the address comes from.
        subnet_id: String,
    },
    /// Make the node's process run, and wait until it answers.
    Start {
        /// The node.
        node: String,
    },
    /// Stop the node's process in order; the node stays.
    Stop {
        /// The node.
        node: String,
    },
    /// Change settings of the running process.
    Set {
        /// The node.
        node: String,
        /// Directive and value.
        changes: Vec<(String, String)>,
    },
    /// Note whether wanted settings wait for a reboot.
    NotePending {
        /// The node.
        node: String,
        /// Whether some do.
        pending: bool,
    },
    /// Note that these nodes are the next to be given another node type.
    Stage {
        /// Ids of the nodes.
        nodes: Vec<String>,
        /// The next ones follow not before this time, Unix milliseconds.
        next_ms: u64,
    },
    /// Make a new list of members with the next version.
    Enlist {
        /// Ids of the members.
        nodes: Vec<String>,
        /// Whether clients are given names (or else addresses).
        with_names: bool,
    },
    /// Tell a node the list of members.
    Tell {
        /// The node.
        node: String,
    },
    /// Stop the node, and take away its folder and its address.
    Remove {
        /// The node.
        node: String,
    },
    /// Note that all nodes follow this generation.
    Settle {
        /// The generation.
        generation: u64,
    },
    /// Delete the records of the cluster.
    Forget,
}

impl Step {
    /// The node that a step is about.
    pub fn node(&self) -> Option<&str> {
        match self {
            Step::Place { node, .. }
            | Step::Start { node }
            | Step::Stop { node }
            | Step::Set { node, .. }
            | Step::NotePending { node, .. }
            | Step::Tell { node }
            | Step::Remove { node } => Some(node),
            Step::Stage { .. } | Step::Enlist { .. } | Step::Settle { .. } | Step::Forget => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Place { node, subnet_id } => write!(f, "place {node} in {subnet_id}"),
            Step::Start { node } => write!(f, "start {node}"),
            Step::Stop { node } => write!(f, "stop {node}"),
            Step::Set { node, changes } => {
                let shown = |(name, value): &(String, String)| {
                    if is_secret(name) { name.clone() } else { format!("{name}={value}") }
                };
                let changes: Vec<String> = changes.iter().map(shown).collect();
                write!(f, "set {node} {}", changes.join(" "))
            }
            Step::Stage { nodes, next_ms } => {
                write!(f, "replace {} in a stage, the next one from {next_ms}", nodes.join(" "))
            }
            Step::NotePending { node, pending: true } => write!(f, "note {node} needs a reboot"),
            Step::NotePending { node, pending: false } => write!(f, "note {node} needs no reboot"),
            Step::Enlist { nodes, with_names } => {
                write!(f, "enlist {} by {}", nodes.join(" "), if *with_names { "name" } else { "address" })
            }
            Step::Tell { node } => write!(f, "tell {node} the members"),
            Step::Remove { node } => write!(f, "remove {node}"),
            Step::Settle { generation } => write!(f, "settle generation {generation}"),
            Step::Forget => write!(f, "forget"),
        }
    }
}

/// Steps in the order in which they are to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Step>,
    /// Plan again at this time, Unix milliseconds, because something is put off until then.
    pub again_ms: Option<u64>,
}

/// What a plan is made from.
#[derive(Debug)]
pub struct Facts<'a> {
    /// What is desired.
    pub cluster: &'a Cluster,
    /// What is desired of each node's settings.
    pub settings: &'a WantedSettings,
    /// What was recorded.
    pub observed: &'a Observed,
    /// Ids of nodes whose recorded process was seen alive just now.
    pub alive: &'a BTreeSet<String>,
    /// Whether names of nodes can be resolved.
    pub with_names: bool,
    /// Unix milliseconds.
    pub now_ms: u64,
}

/// The steps that lead from what is observed to what is desired.
pub fn plan(facts: &Facts<'_>) -> Plan {
    if facts.cluster.deleting {
        return removal(facts.observed);
    }
    let mut stages = Stages::of(facts);
    if let Some(begins) = stages.begins.take() {
        return Plan { steps: vec![begins], again_ms: None };
    }
    let mut plan = Plan { steps: vec![], again_ms: stages.next_ms };
    for (id, wanted) in facts.cluster.nodes.iter().filter(|(id, _)| !stages.is_now(id)) {
        match facts.observed.nodes.get(id) {
            None => {
                plan.steps.push(Step::Place { node: id.clone(), subnet_id: wanted.subnet_id.clone() });
                plan.steps.push(Step::Start { node: id.clone() });
            }
            Some(node) => keep(facts, id, wanted.reboots, node, stages.waits(id), &mut plan),
        }
    }
    if facts.cluster.engine == Engine::Memcached {
        members(facts, &stages, &mut plan);
    }
    stages.replace(facts, &mut plan);
    let leaving = facts.observed.nodes.keys().filter(|id| !facts.cluster.nodes.contains_key(*id));
    plan.steps.extend(leaving.map(|id| Step::Remove { node: id.clone() }));
    let is_settled = facts.observed.applied_generation >= facts.cluster.generation
        && facts.observed.parameter_group == facts.cluster.parameter_group;
    if plan.again_ms.is_none() && stages.are_over() && !is_settled {
        plan.steps.push(Step::Settle { generation: facts.cluster.generation });
    }
    plan
}

fn removal(observed: &Observed) -> Plan {
    let mut steps: Vec<Step> = observed.nodes.keys().map(|id| Step::Remove { node: id.clone() }).collect();
    steps.push(Step::Forget);
    Plan { steps, again_ms: None }
}

impl Plan {
    /// Plans again at that time, or earlier.
    fn put_off(&mut self, until_ms: u64) {
        self.again_ms = Some(self.again_ms.map_or(until_ms, |other| other.min(until_ms)));
    }
}

/// Steps for a node that was there before and stays; one that `waits` for another node type goes on as it is.
fn keep(facts: &Facts<'_>, id: &str, reboots: u64, node: &ObservedNode, waits: bool, plan: &mut Plan) {
    let differences = Differences::of(facts.settings, node);
    let differences = if waits { differences.of_waiting(facts) } else { differences };
    let must_stop = node.reboots < reboots || !differences.restart.is_empty();
    if facts.alive.contains(id) {
        // A process that lives on while its node is rebooting is one whose stop was interrupted.
        if must_stop || node.phase == NodePhase::Rebooting {
            plan.steps.push(Step::Stop { node: id.to_owned() });
            plan.steps.push(Step::Start { node: id.to_owned() });
            return;
        }
        if !differences.live.is_empty() {
            plan.steps.push(Step::Set { node: id.to_owned(), changes: differences.live });
        }
        if !waits && node.pending_reboot == differences.reboot.is_empty() {
            let pending = !node.pending_reboot;
            plan.steps.push(Step::NotePending { node: id.to_owned(), pending });
        }
        return;
    }
    if facts.now_ms < node.not_before_ms {
        plan.put_off(node.not_before_ms);
        return;
    }
    plan.steps.push(Step::Start { node: id.to_owned() });
}

/// The directive of a node that lets nobody in until its users were set.
pub const CLOSED: &str = "user";

/// The directive with the address from which a node dials others.
pub const SOURCE_ADDRESS: &str = "bind-source-addr";

/// Whether a setting is a user of the node: `user NAME`, whose value are rules.
pub fn is_user(name: &str) -> bool {
    name.strip_prefix(CLOSED).is_some_and(|rest| rest.starts_with(' '))
}

/// Whether the value of a setting is for the node alone.
pub fn is_secret(name: &str) -> bool {
    is_user(name) || name == "masterauth"
}

/// How it is remembered that a node refused the rules of a user.
pub fn refused_user(name: &str, rules: &str) -> String {
    format!("{name} {rules}")
}

/// Settings of a running node that are not as wanted, by how they come into force.
#[derive(Default)]
struct Differences {
    live: Vec<(String, String)>,
    restart: Vec<String>,
    reboot: Vec<String>,
}

impl Differences {
    fn of(wanted: &WantedSettings, node: &ObservedNode) -> Differences {
        let mut differences = Differences::default();
        for (name, setting) in wanted {
            if node.settings.get(name) == Some(&setting.value) {
                continue;
            }
            if is_user(name) {
                // A user whom the node refused waits for another change: a reboot would not help.
                if !node.refused.contains(&refused_user(name, &setting.value)) {
                    differences.live.push((name.clone(), setting.value.clone()));
                }
                continue;
            }
            let was_otherwise = node.settings.contains_key(name);
            match (setting.applies, node.refused.contains(name)) {
                (Applies::Start, _) | (Applies::Own, true) => {}
                (Applies::Live | Applies::Own, false) => {
                    differences.live.push((name.clone(), setting.value.clone()));
                }
                (Applies::Restart, _) => differences.restart.push(name.clone()),
                (Applies::Reboot, _) | (Applies::Live, true) => {
                    if was_otherwise || !setting.is_default {
                        differences.reboot.push(name.clone());
                    }
                }
            }
        }
        for name in node.settings.keys().filter(|name| !wanted.contains_key(*name)) {
            match name.as_str() {
                // A user without rules is deleted; so are the credentials that nobody asks for any more.
                name if is_user(name) => differences.live.push((name.to_owned(), String::new())),
                "masteruser" | "masterauth" | "iam-authenticator" | "iam-cache" | SOURCE_ADDRESS => {
                    differences.live.push((name.clone(), "\"\"".to_owned()))
                }
                // The parameters of a cache have all directives of its family: what is there beside them an earlier release
                // wrote, and goes with the next start.
                _ => {}
            }
        }
        differences.live.retain(|(name, value)| node.settings.get(name) != Some(value));
        differences
    }
}

/// Steps for Auto Discovery: leaving nodes go from the list before they stop, new ones come when they answer.
fn members(facts: &Facts<'_>, stages: &Stages<'_>, plan: &mut Plan) {
    let will_start: BTreeSet<String> = plan.steps.iter().filter_map(started).collect();
    let has_answered = |id: &String| {
        will_start.contains(id) || facts.observed.nodes.get(id).is_some_and(ObservedNode::is_member)
    };
    let mut members: Vec<String> =
        facts.cluster.nodes.keys().filter(|id| has_answered(id)).cloned().collect();
    let count = members.len();
    members.retain(|id| !stages.hides(id, count));
    let membership = &facts.observed.membership;
    let is_new = members != membership.node_ids || facts.with_names != membership.with_names;
    if is_new {
        plan.steps.push(Step::Enlist { nodes: members.clone(), with_names: facts.with_names });
    }
    let knows = |id: &String| {
        let told = facts.observed.nodes.get(id).map_or(0, |node| node.told_version);
        !is_new && !will_start.contains(id) && told == membership.version
    };
    let can_hear = |id: &String| facts.alive.contains(id) || will_start.contains(id);
    let ignorant = members.into_iter().filter(|id| can_hear(id) && !knows(id));
    plan.steps.extend(ignorant.map(|node| Step::Tell { node }));
}

fn started(step: &Step) -> Option<String> {
    match step {
        Step::Start { node } => Some(node.clone()),
        _ => None,
    }
}
