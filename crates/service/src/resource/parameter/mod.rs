//! Parameters: what users can set in parameter groups, per family. The data stands in `data/*_parameters.txt`.

mod table;
mod value;

pub use value::allowed_for_people;

use super::engine_version::Family;
use super::node_type::{self, NodeType};

/// When a change reaches a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeType {
    /// While it runs.
    Immediate,
    /// When it starts anew.
    RequiresReboot,
}

impl ChangeType {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            ChangeType::Immediate => "immediate",
            ChangeType::RequiresReboot => "requires-reboot",
        }
    }
}

/// Which values there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Integer,
    Float,
    Boolean,
    Letters,
    Renames,
}

/// The value of a parameter that nobody set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultValue {
    /// The same everywhere.
    Fixed(&'static str),
    /// Only groups with cluster mode on have `yes`.
    ClusterMode,
    /// It depends on the node type.
    PerNodeType(PerNodeType),
}

/// A property of a node type that a parameter shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PerNodeType {
    /// `maxmemory`, in bytes.
    Maxmemory,
    /// The output buffer of replicas: a tenth of it.
    ReplicaBuffer,
    /// Memory of memcached, in MiB.
    MaxCacheMemory,
    /// Virtual CPUs.
    Vcpu,
}

impl PerNodeType {
    /// The value for a node type; none where the engine does not offer the type.
    pub fn value(self, node_type: &NodeType) -> Option<u64> {
        match self {
            PerNodeType::Maxmemory => Some(node_type.maxmemory_bytes),
            PerNodeType::ReplicaBuffer => Some(node_type.maxmemory_bytes / 10),
            PerNodeType::MaxCacheMemory => node_type.memcached_mib,
            PerNodeType::Vcpu => node_type.memcached_mib.map(|_| u64::from(node_type.vcpu_count)),
        }
    }
}

/// What a node is told of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnNode {
    /// A directive with the same value.
    Directive(&'static str),
    /// A part of a directive whose value has several: the directive and its first word.
    Part(&'static str, &'static str),
    /// Nothing, and why not.
    Nothing(&'static str),
}

/// A parameter of a family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Name.
    pub name: &'static str,
    /// Value when nobody set it.
    pub default: DefaultValue,
    /// Words for people.
    pub description: &'static str,
    /// AllowedValues of the API: `yes,no`, `1-65000`, `0-`, `0,20-`.
    pub allowed: &'static str,
    /// Whether users can set it.
    pub modifiable: bool,
    /// When a change reaches a node.
    pub change: ChangeType,
    /// What a node is told.
    pub on_node: OnNode,
    since: Option<&'static str>,
    value_type: Type,
    families: (usize, usize),
}

impl Parameter {
    /// DataType of the API.
    pub fn data_type(&self) -> &'static str {
        match self.value_type {
            Type::Integer => "integer",
            Type::Float => "float",
            Type::Boolean => "boolean",
            Type::Text | Type::Letters | Type::Renames => "string",
        }
    }

    /// The engine version from which on it is there.
    pub fn minimum_version(&self, family: &Family) -> &'static str {
        self.since.filter(|since| !older(since, family.first_version)).unwrap_or(family.first_version)
    }

    /// Whether nodes of that version have it.
    pub fn is_in_version(&self, full_version: &str) -> bool {
        self.since.is_none_or(|since| !older(full_version, since))
    }

    /// Values by node type, in the order of the table; empty if it is the same for all.
    pub fn values_by_node_type(&self) -> Vec<(&'static str, u64)> {
        let DefaultValue::PerNodeType(what) = self.default else { return Vec::new() };
        node_type::all().iter().filter_map(|t| Some((t.name, what.value(t)?))).collect()
    }
}

/// Whether the version `a` is lower than `b`; parts that are no numbers count as zero.
fn older(a: &str, b: &str) -> bool {
    let parts = |text: &str| text.split('.').map(|part| part.parse().unwrap_or(0)).collect::<Vec<u32>>();
    parts(a) < parts(b)
}

/// The parameters of a family, in the order of their names.
pub fn of_family(family: &Family) -> impl Iterator<Item = &'static Parameter> {
    table::of_family(family)
}

/// The parameter of that name in a family.
pub fn find(family: &Family, name: &str) -> Option<&'static Parameter> {
    of_family(family).find(|parameter| parameter.name == name)
}
