//! From a parameter group to the directives of a node, and which of them a running node can change.

use std::collections::BTreeMap;

use super::{ChangeType, Family, ParameterGroup, RESERVED_BYTES, RESERVED_PERCENT, parameter};
use crate::resource::node_type::NodeType;
use crate::resource::parameter::{DefaultValue, OnNode, Parameter};

/// The directive that two parameters of Memcached make together.
const MAXMEMORY_POLICY: &str = "maxmemory-policy";
/// Most KiB of a buffer for watchers; a larger one would never fill.
const LOGBUF_KIB_MAX: u64 = 1 << 20;

/// Least memory that a node is told, in bytes: zero would mean that there is no bound.
const MAXMEMORY_BYTES_MIN: u64 = 1 << 20;

/// How many bytes of data a node may hold: what its type has, without what the group reserves.
pub fn maxmemory_bytes(group: &ParameterGroup, node_type: &NodeType) -> u64 {
    let number = |name: &str| {
        let parameter = group.parameters().find(|parameter| parameter.name == name)?;
        group.value(parameter)?.parse::<u64>().ok()
    };
    let memcached = Family::find(&group.family).is_some_and(Family::is_memcached);
    let bytes = if memcached {
        let overhead = number("memcached_connections_overhead").unwrap_or(0);
        node_type.memcached_mib.unwrap_or(0).saturating_sub(overhead).saturating_mul(1 << 20)
    } else if let Some(reserved) = number(RESERVED_BYTES) {
        node_type.maxmemory_bytes.saturating_sub(reserved)
    } else {
        let kept = 100u64.saturating_sub(number(RESERVED_PERCENT).unwrap_or(0));
        node_type.maxmemory_bytes / 100 * kept + node_type.maxmemory_bytes % 100 * kept / 100
    };
    bytes.max(MAXMEMORY_BYTES_MIN)
}

/// What a node of the group is told, as names and values of the node's configuration; each name once, in order.
/// Values are as CONFIG SET takes them: whoever writes them into a file must quote an empty one. `version` is the
/// full version, such as `7.1.0`.
pub fn node_directives(group: &ParameterGroup, node_type: &NodeType, version: &str) -> Vec<(String, String)> {
    let mut single: BTreeMap<&str, (bool, String)> = BTreeMap::new();
    let mut parts: BTreeMap<&str, BTreeMap<(&str, usize), String>> = BTreeMap::new();
    for parameter in group.parameters().filter(|parameter| parameter.is_in_version(version)) {
        let Some(value) = value_on(group, parameter, node_type) else { continue };
        match parameter.on_node {
            OnNode::Nothing(_) => {}
            OnNode::Directive(name) => {
                // Two parameters may mean the same (slowlog-…, commandlog-…): what the user set beats a default.
                let set = group.values.contains_key(parameter.name);
                if single.get(name).is_none_or(|(earlier_set, _)| set && !earlier_set) {
                    single.insert(name, (set, translated(parameter, value)));
                }
            }
            OnNode::Part(name, first) => {
                parts.entry(name).or_default().insert((first, place(parameter)), value);
            }
        }
    }
    let single = single.into_iter().map(|(name, (_, value))| (name.to_owned(), value));
    let joined = parts.into_iter().map(|(name, values)| (name.to_owned(), joined(values)));
    let mut directives: Vec<_> = single.chain(joined).collect();
    if Family::find(&group.family).is_some_and(Family::is_memcached) {
        directives.retain(|(name, _)| name != MAXMEMORY_POLICY);
        directives.push((MAXMEMORY_POLICY.to_owned(), memcached_policy(group).to_owned()));
    }
    directives.push(("maxmemory".to_owned(), maxmemory_bytes(group, node_type).to_string()));
    directives.sort();
    directives
}

/// Which items of Memcached give way: two parameters together say it.
fn memcached_policy(group: &ParameterGroup) -> &'static str {
    let is_on = |name: &str| {
        let found = group.parameters().find(|parameter| parameter.name == name);
        found.and_then(|parameter| group.value(parameter)) == Some("1")
    };
    if is_on("error_on_memory_exhausted") {
        "noeviction"
    } else if is_on("expirezero_does_not_evict") {
        "volatile-lru"
    } else {
        "allkeys-lhd"
    }
}

/// `normal 0 0 0 pubsub 33554432 8388608 60 …`: the words of each class, then its values.
fn joined(values: BTreeMap<(&str, usize), String>) -> String {
    let words = values.into_iter().map(|((first, place), value)| match place {
        0 => format!("{first} {value}"),
        _ => value,
    });
    words.collect::<Vec<_>>().join(" ")
}

fn value_on(group: &ParameterGroup, parameter: &Parameter, node_type: &NodeType) -> Option<String> {
    match (group.value(parameter), parameter.default) {
        (Some(value), _) => Some(value.to_owned()),
        (None, DefaultValue::PerNodeType(what)) => what.value(node_type).map(|value| value.to_string()),
        (None, _) => None,
    }
}

/// Where a part stands in its directive: hard limit, soft limit, seconds.
fn place(parameter: &Parameter) -> usize {
    ["hard-limit", "soft-limit", "soft-seconds"]
        .iter()
        .position(|end| parameter.name.ends_with(end))
        .unwrap_or(0)
}

/// The value on a node, where it is said in other words there.
fn translated(parameter: &Parameter, value: String) -> String {
    match (parameter.name, value.as_str()) {
        ("disable_flush_all" | "cas_disabled", "0") => "yes".to_owned(),
        ("disable_flush_all" | "cas_disabled", _) => "no".to_owned(),
        ("maxconns_fast" | "track_sizes" | "lock_down_paged_memory", "0") => "no".to_owned(),
        ("maxconns_fast" | "track_sizes" | "lock_down_paged_memory", _) => "yes".to_owned(),
        ("watcher_logbuf_size" | "worker_logbuf_size", kib) => {
            format!("{}kb", kib.parse().unwrap_or(LOGBUF_KIB_MAX).min(LOGBUF_KIB_MAX))
        }
        _ => value,
    }
}

/// Whether CONFIG SET can change the directive of a running node. What cannot waits until the node starts anew.
pub fn changes_at_once(family: &Family, directive: &str) -> bool {
    let makes = |parameter: &&Parameter| match parameter.on_node {
        OnNode::Directive(name) | OnNode::Part(name, _) => name == directive,
        OnNode::Nothing(_) => false,
    };
    let mut makers = parameter::of_family(family).filter(makes).peekable();
    if directive == "maxmemory" {
        return !family.is_memcached(); // it follows from the reserved memory
    }
    makers.peek().is_some() && makers.all(|parameter| parameter.change == ChangeType::Immediate)
}
