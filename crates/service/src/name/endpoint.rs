//! Endpoint names as ElastiCache builds them, for caches without TLS:
//!
//! `{cluster}.{suffix}.0001.use1.cache.amazonaws.com` is a node, with `cfg` in place of the number it is the
//! configuration endpoint of a memcached cluster. `{group}.{suffix}.ng.0001.use1.cache.amazonaws.com` is the primary of
//! a replication group, with `-ro` after the group its replicas. The suffix is one per account and region.

use serde::{Deserialize, Serialize};

use crate::state::Resource;

/// What all names end with.
pub const DOMAIN: &str = "cache.amazonaws.com";
/// The place of the node number in a configuration endpoint.
const CONFIGURATION: &str = "cfg";
/// The place of the node number in an endpoint of a shard, whose number then follows.
const SHARD: &str = "ng";
/// What the id of a group has at its end in a reader endpoint.
pub const READER: &str = "-ro";
/// Characters of a suffix.
const SUFFIX_ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
/// Length of a suffix.
const SUFFIX_LENGTH: usize = 6;

/// What the names of a region's caches have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// Six characters made once.
    pub suffix: String,
    /// Short code of the region, such as `use1`.
    pub region_code: String,
}

impl Resource for Zone {
    const KIND: &'static str = "name-zone";

    fn id(&self) -> String {
        ZONE_ID.to_owned()
    }
}

/// Id of the one zone record.
pub const ZONE_ID: &str = "default";

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// One node.
    Node {
        /// Id of the cluster.
        cluster: String,
        /// Id of the node.
        node: String,
    },
    /// A shard of a replication group: its primary, or its replicas if the name ends with `-ro`. Which of the two is
    /// meant depends on the groups there are, as a group may have such a name itself.
    Shard {
        /// Id of the group, perhaps with `-ro`.
        name: String,
        /// Id of the shard.
        shard: String,
    },
    /// All nodes of a memcached cluster.
    Configuration {
        /// Id of the cluster.
        cluster: String,
    },
}

impl Zone {
    /// A zone for a region; `random(n)` answers a number below n.
    pub fn new(region: &str, random: &mut dyn FnMut(u32) -> u32) -> Zone {
        let mut letter = || char::from(SUFFIX_ALPHABET[random(SUFFIX_ALPHABET.len() as u32) as usize]);
        let suffix = (0..SUFFIX_LENGTH).map(|_| letter()).collect();
        Zone { suffix, region_code: region_code(region) }
    }

    /// Name of a node.
    pub fn node(&self, cluster: &str, node: &str) -> String {
        format!("{cluster}.{}.{node}.{}.{DOMAIN}", self.suffix, self.region_code)
    }

    /// Name of the primary endpoint of a shard.
    pub fn primary(&self, group: &str, shard: &str) -> String {
        format!("{group}.{}.{SHARD}.{shard}.{}.{DOMAIN}", self.suffix, self.region_code)
    }

    /// Name of the reader endpoint of a shard.
    pub fn reader(&self, group: &str, shard: &str) -> String {
        self.primary(&format!("{group}{READER}"), shard)
    }

    /// Name of a cluster's configuration endpoint.
    pub fn configuration(&self, cluster: &str) -> String {
        self.node(cluster, CONFIGURATION)
    }

    /// A name that no cache has, by which one can find out whether this server is asked.
    pub fn probe(&self) -> String {
        format!("larder-probe.{}.{}.{DOMAIN}", self.suffix, self.region_code)
    }

    /// The part of all names that is the zone's own, in the form that [`Zone::read`] cuts off.
    pub fn ends(&self) -> String {
        format!(".{}.{DOMAIN}", self.region_code)
    }

    /// What a name stands for; none if it is not one of ours. Letters in any case, no dot at the end.
    pub fn read(&self, name: &str) -> Option<Meaning> {
        let name = name.to_ascii_lowercase();
        let mut parts = name.strip_suffix(&self.ends())?.split('.');
        let (cluster, suffix, place) = (parts.next()?, parts.next()?, parts.next()?);
        let more = parts.next();
        if parts.next().is_some() || suffix != self.suffix || cluster.is_empty() {
            return None;
        }
        let cluster = cluster.to_owned();
        let is_number = |text: &str| text.len() == 4 && text.bytes().all(|b| b.is_ascii_digit());
        if let Some(shard) = more {
            let is_shard = place == SHARD && is_number(shard);
            return is_shard.then(|| Meaning::Shard { name: cluster, shard: shard.to_owned() });
        }
        match place {
            CONFIGURATION => Some(Meaning::Configuration { cluster }),
            _ if is_number(place) => Some(Meaning::Node { cluster, node: place.to_owned() }),
            _ => None,
        }
    }
}

/// Short code of a region: the first letters of its area, its directions and its number.
pub(crate) fn region_code(region: &str) -> String {
    let mut parts = region.split('-');
    let area = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    let (number, words) = rest.split_last().unwrap_or((&"", &[]));
    let short = |word: &&str| match *word {
        "north" => "n",
        "south" => "s",
        "east" => "e",
        "west" => "w",
        "central" => "c",
        "northeast" => "ne",
        "northwest" => "nw",
        "southeast" => "se",
        "southwest" => "sw",
        "gov" => "g",
        _ => "x",
    };
    format!("{area}{}{number}", words.iter().map(short).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone() -> Zone {
        Zone { suffix: "abc123".into(), region_code: region_code("us-east-1") }
    }

    #[test]
    fn regions_have_the_codes_of_aws() {
        for (region, code) in [
            ("us-east-1", "use1"),
            ("eu-central-1", "euc1"),
            ("ap-northeast-2", "apne2"),
            ("ap-southeast-1", "apse1"),
            ("ap-south-1", "aps1"),
            ("ca-central-1", "cac1"),
            ("me-south-1", "mes1"),
            ("sa-east-1", "sae1"),
        ] {
            assert_eq!(region_code(region), code);
        }
    }

    #[test]
    fn a_name_is_read_as_it_was_built() {
        let zone = zone();
        let name = zone.node("my-cache", "0002");
        assert_eq!(name, "my-cache.abc123.0002.use1.cache.amazonaws.com");
        let meaning = Some(Meaning::Node { cluster: "my-cache".into(), node: "0002".into() });
        assert_eq!(zone.read(&name.to_uppercase()), meaning);
        let primary = zone.primary("my-group", "0001");
        assert_eq!(primary, "my-group.abc123.ng.0001.use1.cache.amazonaws.com");
        let shard = |name: &str| Some(Meaning::Shard { name: name.into(), shard: "0001".into() });
        assert_eq!(zone.read(&primary), shard("my-group"));
        assert_eq!(zone.read(&zone.reader("my-group", "0001")), shard("my-group-ro"));
        let configuration = Some(Meaning::Configuration { cluster: "pages".into() });
        assert_eq!(zone.read(&zone.configuration("pages")), configuration);
    }

    #[test]
    fn other_names_are_not_ours() {
        for name in [
            "",
            ".",
            "cache.amazonaws.com",
            "a.abc124.0001.use1.cache.amazonaws.com",
            "a.abc123.001.use1.cache.amazonaws.com",
            "a.b.abc123.0001.use1.cache.amazonaws.com",
            ".abc123.0001.use1.cache.amazonaws.com",
            "a.abc123.0001.use1.cache.amazonaws.com.",
            &zone().probe(),
        ] {
            assert_eq!(zone().read(name), None, "{name}");
        }
    }

    #[test]
    fn a_suffix_is_six_letters_or_digits() {
        let mut n = 0;
        let zone = Zone::new("eu-west-1", &mut |below| {
            n += 7;
            n % below
        });
        assert_eq!((zone.suffix.len(), zone.region_code.as_str()), (6, "euw1"));
    }
}
