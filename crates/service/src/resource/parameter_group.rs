//! Parameter groups: values that users set for the parameters of a family. Groups named `default.…` are always there
//! and never change; they are not stored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::engine_version::{FAMILIES, Family};
use super::parameter::{self, ChangeType, DefaultValue, Parameter};
use super::refusal::Refusal;
use crate::state::Resource;

mod directive;

pub use directive::{changes_at_once, maxmemory_bytes, node_directives};

/// Most groups that users can make (quota L-3F15A733).
pub const GROUPS_MAX: usize = 300;
/// Most parameters of one call that changes some.
pub const CHANGES_MAX: usize = 20;
/// First letters of names that are ours.
pub const DEFAULT_PREFIX: &str = "default.";
/// Last letters of the names of default groups with cluster mode on.
const CLUSTER_SUFFIX: &str = ".cluster.on";

const RESERVED_BYTES: &str = "reserved-memory";
const RESERVED_PERCENT: &str = "reserved-memory-percent";
const CLUSTER_ENABLED: &str = "cluster-enabled";
/// Parameters that a group which caches use cannot change any more.
const ONLY_WHILE_UNUSED: &[&str] = &[CLUSTER_ENABLED, "databases"];

/// A parameter group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterGroup {
    /// Name, lower case.
    pub name: String,
    /// Name of its family.
    pub family: String,
    /// Words of the user.
    pub description: String,
    /// Values that users set, by parameter.
    pub values: BTreeMap<String, String>,
}

impl Resource for ParameterGroup {
    const KIND: &'static str = "parameter-group";

    fn id(&self) -> String {
        self.name.clone()
    }
}

impl ParameterGroup {
    /// The groups that are always there, in the order of their names.
    pub fn defaults() -> Vec<ParameterGroup> {
        let plain = FAMILIES.iter().map(|family| ParameterGroup::default_of(family, false));
        let clustered = FAMILIES.iter().filter(|family| family.has_cluster_mode);
        let clustered = clustered.map(|family| ParameterGroup::default_of(family, true));
        let mut groups: Vec<_> = plain.chain(clustered).collect();
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        groups
    }

    fn default_of(family: &Family, cluster_mode: bool) -> ParameterGroup {
        let name = family.name;
        let (suffix, description) = if cluster_mode {
            (CLUSTER_SUFFIX, format!("Customized default parameter group for {name} with cluster mode on"))
        } else {
            ("", format!("Default parameter group for {name}"))
        };
        let values = cluster_mode.then(|| (CLUSTER_ENABLED.to_owned(), "yes".to_owned()));
        ParameterGroup {
            name: format!("{DEFAULT_PREFIX}{name}{suffix}"),
            family: name.to_owned(),
            description,
            values: values.into_iter().collect(),
        }
    }

    /// Whether it is one of the groups that are always there.
    pub fn is_default(&self) -> bool {
        self.name.starts_with(DEFAULT_PREFIX)
    }

    /// Its family.
    ///
    /// # Errors
    /// `InvalidParameterValue`, if a later version of the service wrote a family that we do not know.
    pub fn family(&self) -> Result<&'static Family, Refusal> {
        find_family(&self.family)
    }

    /// Whether its caches spread their keyspace over shards.
    pub fn is_cluster_mode(&self) -> bool {
        self.values.get(CLUSTER_ENABLED).is_some_and(|value| value == "yes")
    }

    /// The parameters that the group has: of the two ways to reserve memory, the one that is in force.
    pub fn parameters(&self) -> impl Iterator<Item = &'static Parameter> {
        let hidden = if self.values.contains_key(RESERVED_BYTES) { RESERVED_PERCENT } else { RESERVED_BYTES };
        let family = Family::find(&self.family);
        family.into_iter().flat_map(parameter::of_family).filter(move |parameter| parameter.name != hidden)
    }

    /// The value that is in force; none for parameters that depend on the node type.
    pub fn value<'a>(&'a self, parameter: &Parameter) -> Option<&'a str> {
        if let Some(value) = self.values.get(parameter.name) {
            return Some(value);
        }
        match parameter.default {
            DefaultValue::Fixed(value) => Some(value),
            DefaultValue::ClusterMode => Some("no"),
            DefaultValue::PerNodeType(_) => None,
        }
    }

    /// Sets values. `in_use` says whether there are caches of the group.
    ///
    /// # Errors
    /// `InvalidParameterValue` for unknown parameters, ones that users cannot set, and bad values;
    /// `InvalidParameterCombination` for both ways of reserving memory at once; `InvalidCacheParameterGroupState`
    /// for parameters that a group in use cannot change. Then nothing is changed.
    pub fn set(&mut self, changes: &[(String, String)], in_use: bool) -> Result<(), Refusal> {
        let family = self.family()?;
        let mut values = self.values.clone();
        for (at, (name, value)) in changes.iter().enumerate() {
            let parameter = modifiable(family, name)?;
            if changes.iter().take(at).any(|(earlier, _)| earlier == name) {
                return Err(Refusal::value(format!("The parameter {name} is given more than once.")));
            }
            parameter.check_value(value)?;
            self.check_unused(parameter, Some(value.as_str()), in_use)?;
            values.insert(name.clone(), value.clone());
        }
        exclude_other_reserve(&mut values, changes)?;
        self.values = values;
        Ok(())
    }

    /// Takes values back to what they are without the user.
    ///
    /// # Errors
    /// As [`ParameterGroup::set`].
    pub fn reset(&mut self, names: &[String], in_use: bool) -> Result<(), Refusal> {
        let family = self.family()?;
        let mut values = self.values.clone();
        for name in names {
            // ElastiCache's own words for it; the Terraform provider knows them.
            if name == RESERVED_BYTES {
                return Err(Refusal::value(format!("Parameter {RESERVED_BYTES} doesn't exist")));
            }
            self.check_unused(modifiable(family, name)?, None, in_use)?;
            values.remove(name);
        }
        self.values = values;
        Ok(())
    }

    /// Takes all values back.
    ///
    /// # Errors
    /// As [`ParameterGroup::set`].
    pub fn reset_all(&mut self, in_use: bool) -> Result<(), Refusal> {
        let family = self.family()?;
        for parameter in self.values.keys().filter_map(|name| parameter::find(family, name)) {
            self.check_unused(parameter, None, in_use)?;
        }
        self.values.clear();
        Ok(())
    }

    fn check_unused(&self, parameter: &Parameter, value: Option<&str>, in_use: bool) -> Result<(), Refusal> {
        let default = ParameterGroup { values: BTreeMap::new(), ..self.clone() };
        let after = value.or(default.value(parameter));
        if in_use && ONLY_WHILE_UNUSED.contains(&parameter.name) && self.value(parameter) != after {
            return Err(Refusal::new(
                "InvalidCacheParameterGroupState",
                format!(
                    "The parameter {} can be changed only while no cache uses the group.",
                    parameter.name
                ),
            ));
        }
        Ok(())
    }
}

/// The family of that name.
///
/// # Errors
/// `InvalidParameterValue`.
pub fn find_family(name: &str) -> Result<&'static Family, Refusal> {
    Family::find(name).ok_or_else(|| {
        let shown: String = name.chars().take(64).collect();
        let known: Vec<&str> = FAMILIES.iter().map(|family| family.name).collect();
        Refusal::value(format!(
            "CacheParameterGroupFamily {shown} is not a valid parameter group family. Valid families are: {}",
            known.join(", ")
        ))
    })
}

fn modifiable(family: &Family, name: &str) -> Result<&'static Parameter, Refusal> {
    let parameter = parameter::find(family, name).ok_or_else(|| {
        let shown: String = name.chars().take(128).collect();
        Refusal::value(format!("Could not find parameter with name: {shown}"))
    })?;
    if !parameter.modifiable {
        return Err(Refusal::value(format!("The parameter {name} cannot be modified.")));
    }
    Ok(parameter)
}

/// A group has one way of reserving memory: setting the one takes the other away.
fn exclude_other_reserve(
    values: &mut BTreeMap<String, String>,
    changes: &[(String, String)],
) -> Result<(), Refusal> {
    let sets = |name: &str| changes.iter().any(|(changed, _)| changed == name);
    match (sets(RESERVED_BYTES), sets(RESERVED_PERCENT)) {
        (true, true) => Err(Refusal::combination(format!(
            "Only one of {RESERVED_BYTES} and {RESERVED_PERCENT} can be set."
        ))),
        (true, false) => {
            values.remove(RESERVED_PERCENT);
            Ok(())
        }
        (false, true) => {
            values.remove(RESERVED_BYTES);
            Ok(())
        }
        (false, false) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
