//! Endpoint names: how they are built and read, the DNS server that answers for them, and whether this machine's
//! resolver asks it.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::resource::node::Observed;

pub mod answer;
pub mod endpoint;
pub mod probe;
pub mod server;

use endpoint::Zone;

/// The names of all caches, and whether clients can use them.
#[derive(Debug)]
pub struct Names {
    zone: Zone,
    /// Whether this machine's resolver asks our server.
    resolves: AtomicBool,
}

impl Names {
    /// Names of a zone. Until somebody finds out that they can be resolved, addresses are given in their place.
    pub fn new(zone: Zone) -> Names {
        Names { zone, resolves: AtomicBool::new(false) }
    }

    /// How names are built.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// Whether the API gives names (or else addresses, which connect as they are).
    pub fn resolves(&self) -> bool {
        self.resolves.load(Ordering::Relaxed)
    }

    /// Notes whether names can be resolved.
    pub fn set_resolves(&self, resolves: bool) {
        self.resolves.store(resolves, Ordering::Relaxed);
    }

    /// What clients are given to connect to a node.
    pub fn node_address(&self, observed: &Observed, node: &str) -> Option<String> {
        let address = observed.nodes.get(node)?.address;
        Some(if self.resolves() { self.zone.node(&observed.id, node) } else { address.to_string() })
    }

    /// What clients are given as the configuration endpoint: without names the first member, who tells of the others.
    pub fn configuration_address(&self, observed: &Observed) -> Option<String> {
        let first = observed.membership.node_ids.first()?;
        if self.resolves() {
            return Some(self.zone.configuration(&observed.id));
        }
        self.node_address(observed, first)
    }

    /// The member list of Auto Discovery: the version, a line feed, `host|ip|port` of each node with a space between,
    /// a line feed.
    pub fn discovery(&self, observed: &Observed) -> String {
        let member = |id: &String| {
            let node = observed.nodes.get(id)?;
            Some(format!("{}|{}|{}", self.node_address(observed, id)?, node.address, node.port))
        };
        let members: Vec<String> = observed.membership.node_ids.iter().filter_map(member).collect();
        format!("{}\n{}\n", observed.membership.version, members.join(" "))
    }
}
