//! Node types: what a node may use, and what AWS asks for it. The data stands in `data/node_types.txt`.

use std::sync::LazyLock;

/// A node type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeType {
    /// Such as `cache.t3.micro`.
    pub name: &'static str,
    /// Virtual CPUs.
    pub vcpu_count: u32,
    /// Memory that a cache can use, as AWS tells it, in bytes.
    pub memory_bytes: u64,
    /// Solid-state storage for data tiering, in bytes; most types have none.
    pub ssd_bytes: Option<u64>,
    /// Network in Gbit/s, `baseline/burst`; not known of old types.
    pub network: Option<&'static str>,
    /// The parameter `maxmemory` of redis and valkey, in bytes.
    pub maxmemory_bytes: u64,
    /// The parameter `max_cache_memory` of memcached, in MiB; none where memcached is not offered.
    pub memcached_mib: Option<u64>,
    /// On demand in us-east-1 for redis and memcached, in millionths of a USD per hour.
    pub price_micro_usd: Option<u64>,
    /// On demand in us-east-1 for valkey, in millionths of a USD per hour.
    pub valkey_price_micro_usd: Option<u64>,
}

static NODE_TYPES: LazyLock<Vec<NodeType>> =
    LazyLock::new(|| lines(include_str!("../../data/node_types.txt")).filter_map(parse).collect());

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// All node types.
pub fn all() -> &'static [NodeType] {
    &NODE_TYPES
}

/// The node type of exactly that name.
pub fn find(name: &str) -> Option<&'static NodeType> {
    NODE_TYPES.iter().find(|node_type| node_type.name == name)
}

impl NodeType {
    /// Whether new caches of the engine can have it: memcached lacks data tiering, the newest types are for valkey.
    pub fn offers(&self, engine: &str) -> bool {
        match engine {
            "memcached" => self.memcached_mib.is_some() && !self.is_valkey_only(),
            "redis" => !self.is_valkey_only(),
            _ => true,
        }
    }

    fn is_valkey_only(&self) -> bool {
        self.price_micro_usd.is_none() && self.valkey_price_micro_usd.is_some()
    }

    /// Price on demand in us-east-1 for the engine, in millionths of a USD per hour.
    pub fn price_micro_usd(&self, engine: &str) -> Option<u64> {
        if engine == "valkey" { self.valkey_price_micro_usd } else { self.price_micro_usd }
    }
}

fn parse(line: &'static str) -> Option<NodeType> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [name, vcpu, gib, ssd, network, maxmemory, memcached, price, valkey_price] = *fields.as_slice()
    else {
        return None;
    };
    let known = |text: &'static str| (text != "-").then_some(text);
    Some(NodeType {
        name,
        vcpu_count: vcpu.parse().ok()?,
        memory_bytes: gib_to_bytes(gib)?,
        ssd_bytes: known(ssd).and_then(gib_to_bytes),
        network: known(network),
        maxmemory_bytes: maxmemory.parse().ok()?,
        memcached_mib: known(memcached).and_then(|text| text.parse().ok()),
        price_micro_usd: known(price).and_then(|text| decimal(text, 1_000_000)),
        valkey_price_micro_usd: known(valkey_price).and_then(|text| decimal(text, 1_000_000)),
    })
}

fn gib_to_bytes(text: &str) -> Option<u64> {
    Some(decimal(text, 1000)? * (1 << 30) / 1000)
}

/// A decimal number in parts of `scale`, without going through floating point. More digits than that are refused.
fn decimal(text: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = u32::try_from(fraction.len()).ok()?;
    let part = scale.checked_div(10u64.checked_pow(digits)?).filter(|part| *part > 0)?;
    Some(whole.parse::<u64>().ok()? * scale + fraction.parse::<u64>().ok()? * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_understood() {
        let lines = lines(include_str!("../../data/node_types.txt")).count();
        assert_eq!((lines, all().len()), (105, 105));
        let mut names: Vec<_> = all().iter().map(|t| t.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 105);
        assert!(all().iter().all(|t| t.name.starts_with("cache.") && t.vcpu_count > 0));
    }

    #[test]
    fn memory_columns_agree() {
        for t in all() {
            let ratio = t.memory_bytes as f64 / t.maxmemory_bytes as f64;
            // AWS rounds, and cache.m4.xlarge differs in its own documents.
            assert!((0.97..1.04).contains(&ratio) || t.name == "cache.m4.xlarge", "{} {ratio}", t.name);
        }
    }

    #[test]
    fn known_types() {
        let small = find("cache.t2.micro").unwrap();
        assert_eq!((small.maxmemory_bytes, small.memory_bytes / 1_000_000), (581_959_680, 595));
        assert_eq!((small.price_micro_usd, small.valkey_price_micro_usd), (Some(17_000), Some(13_600)));
        let tiered = find("cache.r6gd.xlarge").unwrap();
        assert!(tiered.ssd_bytes.is_some() && !tiered.offers("memcached") && tiered.offers("redis"));
        let new = find("cache.m8g.large").unwrap();
        assert!(new.offers("valkey") && !new.offers("redis") && !new.offers("memcached"));
        assert!(find("cache.m3.medium").unwrap().offers("redis"));
        assert_eq!(find("cache.T2.micro"), None);
    }
}
