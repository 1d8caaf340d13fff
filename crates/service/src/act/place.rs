//! Which address a new node gets.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::Ipv4Addr;

use crate::host::NodeKey;
use crate::resource::network::Subnet;

/// Candidates in the order in which they are to be tried: all usable addresses of the subnet that no node has.
///
/// The first one follows from the node's name, so that an address that was just given back is seldom given to
/// another cache at once: clients of the old one may still have it in their memory.
pub(super) fn candidates<'a>(
    subnet: &'a Subnet,
    taken: &'a HashSet<Ipv4Addr>,
    key: &NodeKey,
) -> impl Iterator<Item = Ipv4Addr> + 'a {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let count = subnet.usable_count();
    let first = (hasher.finish() % u64::from(count.max(1))) as u32;
    let addresses = (0..count).filter_map(move |n| subnet.usable((first + n) % count));
    addresses.filter(|address| !taken.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_free_address_is_a_candidate_once() {
        let subnet =
            Subnet { id: "s".into(), zone: "z".into(), base: Ipv4Addr::new(127, 64, 16, 0), prefix: 28 };
        let taken = HashSet::from([Ipv4Addr::new(127, 64, 16, 9)]);
        let key = NodeKey { cluster: "a".into(), node: "0001".into() };
        let mut found: Vec<_> = candidates(&subnet, &taken, &key).collect();
        assert_eq!(found.len(), 16 - 4 - 1 - 1);
        found.sort();
        found.dedup();
        assert_eq!(found.len(), 10, "none twice");
        assert_eq!((found[0], found[9]), (Ipv4Addr::new(127, 64, 16, 4), Ipv4Addr::new(127, 64, 16, 14)));
        assert!(!found.contains(&Ipv4Addr::new(127, 64, 16, 9)));
    }
}
