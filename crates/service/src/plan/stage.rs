//! Another node type for a memcached cluster, stage by stage: some nodes leave the list of members and are started anew,
//! the others wait for a later stage.
//!
//! A node that ends by itself meanwhile starts with the new type at once: it is empty in any case. Each stage is recorded
//! before anything of it is done, so a service that is killed goes on with the same nodes and the same hour.

use std::collections::BTreeSet;

use super::{Applies, Differences, Facts, NODE_MEMORY, Plan, Step};
use crate::resource::cluster::Engine;

/// Which nodes have another type than the cluster should have, and what is to be done about them.
#[derive(Default)]
pub(super) struct Stages<'a> {
    /// Nodes of another type.
    old: BTreeSet<&'a str>,
    /// Those of them whose turn it is.
    now: BTreeSet<&'a str>,
    /// A stage that is to begin.
    pub(super) begins: Option<Step>,
    /// When the next one may begin, Unix milliseconds.
    pub(super) next_ms: Option<u64>,
}

impl<'a> Stages<'a> {
    pub(super) fn of(facts: &Facts<'a>) -> Stages<'a> {
        let (cluster, observed) = (facts.cluster, facts.observed);
        if cluster.engine != Engine::Memcached {
            return Stages::default();
        }
        let staying = cluster.nodes.keys().filter_map(|id| Some((id.as_str(), observed.nodes.get(id)?)));
        let old: BTreeSet<&str> = staying
            .filter(|(_, node)| {
                let now = observed.type_of(node);
                node.start_count > 0 && !now.is_empty() && now != cluster.node_type
            })
            .map(|(id, _)| id)
            .collect();
        if old.is_empty() {
            return Stages::default();
        }
        let recorded = observed.stage.as_ref();
        let now: BTreeSet<&str> = recorded
            .map(|stage| old.iter().copied().filter(|id| stage.nodes.iter().any(|node| node == id)).collect())
            .unwrap_or_default();
        if !now.is_empty() {
            return Stages { old, now, begins: None, next_ms: None };
        }
        let next_ms = recorded.map_or(0, |stage| stage.next_ms);
        if facts.now_ms < next_ms {
            return Stages { old, now, begins: None, next_ms: Some(next_ms) };
        }
        let scale = cluster.scale.unwrap_or_default();
        let count = scale.nodes_at_once(cluster.nodes.len());
        let nodes = old.iter().take(count).map(|id| (*id).to_owned()).collect();
        let begins = Step::Stage { nodes, next_ms: facts.now_ms + scale.interval_ms() };
        Stages { old, now, begins: Some(begins), next_ms: None }
    }

    /// Whether all nodes have the type that they should have, and are on the list again.
    pub(super) fn are_over(&self) -> bool {
        self.old.is_empty()
    }

    /// Whether it is the node's turn to be started anew.
    pub(super) fn is_now(&self, id: &str) -> bool {
        self.now.contains(id)
    }

    /// Whether the node goes on as it is until a later stage.
    pub(super) fn waits(&self, id: &str) -> bool {
        self.old.contains(id) && !self.now.contains(id)
    }

    /// Whether clients are to leave the node alone: only as long as others are left to them.
    pub(super) fn hides(&self, id: &str, members: usize) -> bool {
        self.now.contains(id) && self.now.len() < members
    }

    /// Steps for the nodes whose turn it is.
    pub(super) fn replace(&self, facts: &Facts<'_>, plan: &mut Plan) {
        for id in &self.now {
            let Some(node) = facts.observed.nodes.get(*id) else { continue };
            if facts.alive.contains(*id) {
                plan.steps.push(Step::Stop { node: (*id).to_owned() });
            } else if facts.now_ms < node.not_before_ms {
                plan.put_off(node.not_before_ms);
                continue;
            }
            plan.steps.push(Step::Start { node: (*id).to_owned() });
        }
    }
}

impl Differences {
    /// Of a node that waits for its stage: what the service itself wants of it, such as who may connect. All that comes
    /// with another type, version or parameter group comes with the start that it waits for.
    pub(super) fn of_waiting(mut self, facts: &Facts<'_>) -> Differences {
        let is_own = |name: &str| {
            let setting = facts.settings.get(name);
            setting.is_some_and(|setting| setting.applies == Applies::Own) && name != NODE_MEMORY
        };
        self.live.retain(|(name, _)| is_own(name));
        self.restart.clear();
        self
    }
}
