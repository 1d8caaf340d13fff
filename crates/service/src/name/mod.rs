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
            let address = node.address.to_string();
            let host = if observed.membership.with_names {
                self.zone.node(&observed.id, id)
            } else {
                address.clone()
            };
            Some(format!("{host}|{address}|{}", node.port))
        };
        let members: Vec<String> = observed.membership.node_ids.iter().filter_map(member).collect();
        format!("{}\n{}\n", observed.membership.version, members.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::cluster::tests::{memcached, settled};

    #[test]
    fn the_member_list_is_as_cluster_clients_parse_it() {
        let names = Names::new(Zone { suffix: "abc123".into(), region_code: "use1".into() });
        let mut observed = settled(&memcached(2));
        observed.membership.version = 12;
        observed.membership.node_ids = vec!["0001".into(), "0002".into()];
        assert_eq!(
            names.discovery(&observed),
            "12\n127.64.0.5|127.64.0.5|11211 127.64.0.6|127.64.0.6|11211\n"
        );
        observed.membership.with_names = true;
        let host = "pages.abc123.0002.use1.cache.amazonaws.com";
        assert!(names.discovery(&observed).ends_with(&format!(" {host}|127.64.0.6|11211\n")));
        assert_eq!(names.configuration_address(&observed).as_deref(), Some("127.64.0.5"));
        names.set_resolves(true);
        assert_eq!(names.node_address(&observed, "0002").as_deref(), Some(host));
        assert_eq!(
            names.configuration_address(&observed).as_deref(),
            Some("pages.abc123.cfg.use1.cache.amazonaws.com")
        );
    }
}
