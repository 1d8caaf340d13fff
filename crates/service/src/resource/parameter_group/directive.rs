//! From a parameter group to the directives of a node, and what of a change a running node can take.

use std::collections::BTreeMap;

use super::{ChangeType, Family, ParameterGroup, RESERVED_BYTES, RESERVED_PERCENT, parameter};
use crate::resource::node_type::NodeType;
use crate::resource::parameter::{Default, OnNode, Parameter};

/// Least memory that a node is told, in bytes: zero would mean that there is no bound.
const MAXMEMORY_BYTES_MIN: u64 = 1 << 20;
/// New name of a command that takes it away.
const BLOCKED: &str = "blocked";

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

/// What a node of the group is told, as names and values of the node's configuration, in the order of the names.
/// A name may come several times (`client-output-buffer-limit`, `rename-command`). Values are as CONFIG SET takes
/// them: whoever writes them into a file must quote an empty one. `version` is the full version, such as `7.1.0`.
pub fn node_directives(group: &ParameterGroup, node_type: &NodeType, version: &str) -> Vec<(String, String)> {
    let mut directives = vec![("maxmemory".to_owned(), maxmemory_bytes(group, node_type).to_string())];
    let mut single: BTreeMap<&str, (bool, String)> = BTreeMap::new();
    let mut parts: BTreeMap<(&str, &str), BTreeMap<usize, String>> = BTreeMap::new();
    for parameter in group.parameters().filter(|parameter| parameter.is_in_version(version)) {
        let Some(value) = value_on(group, parameter, node_type) else { continue };
        match parameter.on_node {
            OnNode::Nothing(_) => {}
            OnNode::Directive("rename-command") => directives.extend(renames(&value)),
            OnNode::Directive(name) => {
                // Two parameters may mean the same (slowlog-…, commandlog-…): what the user set beats a default.
                let set = group.values.contains_key(parameter.name);
                if single.get(name).is_none_or(|(earlier_set, _)| set && !earlier_set) {
                    single.insert(name, (set, translated(parameter, value)));
                }
            }
            OnNode::Part(name, first) => {
                parts.entry((name, first)).or_default().insert(place(parameter), value);
            }
        }
    }
    directives.extend(single.into_iter().map(|(name, (_, value))| (name.to_owned(), value)));
    directives.extend(parts.into_iter().map(joined));
    directives.sort();
    directives
}

fn joined(((name, first), values): ((&str, &str), BTreeMap<usize, String>)) -> (String, String) {
    let values: Vec<String> = values.into_values().collect();
    (name.to_owned(), format!("{first} {}", values.join(" ")))
}

fn value_on(group: &ParameterGroup, parameter: &Parameter, node_type: &NodeType) -> Option<String> {
    match (group.value(parameter), parameter.default) {
        (Some(value), _) => Some(value.to_owned()),
        (None, Default::PerNodeType(what)) => what.value(node_type).map(|value| value.to_string()),
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

/// The one parameter whose values have other names on a node.
fn translated(parameter: &Parameter, value: String) -> String {
    match (parameter.name, value.as_str()) {
        ("error_on_memory_exhausted", "0") => "allkeys-lru".to_owned(),
        ("error_on_memory_exhausted", _) => "noeviction".to_owned(),
        _ => value,
    }
}

fn renames(value: &str) -> Vec<(String, String)> {
    let words: Vec<&str> = value.split(' ').filter(|word| !word.is_empty()).collect();
    let (pairs, _) = words.as_chunks::<2>();
    let rename = |[command, new_name]: &[&str; 2]| {
        let new_name = if new_name.eq_ignore_ascii_case(BLOCKED) { "\"\"" } else { new_name };
        ("rename-command".to_owned(), format!("{command} {new_name}"))
    };
    pairs.iter().map(rename).collect()
}

/// How a running node gets from some directives to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What CONFIG SET can change.
    pub at_once: Vec<(String, String)>,
    /// Whether something else must change, too, which happens when the node starts anew.
    pub needs_reboot: bool,
}

/// Compares two results of [`node_directives`] for groups of one family.
pub fn difference(family: &Family, before: &[(String, String)], after: &[(String, String)]) -> Difference {
    let new = after.iter().filter(|directive| !before.contains(directive));
    let (at_once, at_start): (Vec<_>, Vec<_>) =
        new.cloned().partition(|(name, _)| changes_at_once(family, name));
    let gone = before.iter().any(|(name, value)| {
        let kept = after.iter().any(|(n, v)| n == name && (v == value || changes_at_once(family, name)));
        !kept
    });
    Difference { at_once, needs_reboot: gone || !at_start.is_empty() }
}

fn changes_at_once(family: &Family, directive: &str) -> bool {
    if family.is_memcached() {
        return false;
    }
    let makes = |parameter: &&Parameter| match parameter.on_node {
        OnNode::Directive(name) | OnNode::Part(name, _) => name == directive,
        OnNode::Nothing(_) => false,
    };
    directive == "maxmemory"
        || parameter::of_family(family)
            .filter(makes)
            .all(|parameter| parameter.change == ChangeType::Immediate)
}
