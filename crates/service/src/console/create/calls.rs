//! From what was typed to the calls of the API that make the cache.

use super::Draft;
use super::network::NEW;
use super::policy::{self, Group};
use crate::console::parameters::{Log, Parameters};

/// The calls, in their order: a subnet group and a parameter group if they are to be made, then the cache. `own` is the
/// parameter group in the place of the one that was typed.
pub(super) fn of(draft: &Draft, own: Option<&Group>) -> Vec<Parameters> {
    let mut calls = own.map(Group::calls).unwrap_or_default();
    if draft.text("subnet_group") == NEW {
        let name = draft.text("new_group");
        calls.push(
            Parameters::of("CreateCacheSubnetGroup")
                .text("CacheSubnetGroupName", name)
                .text("CacheSubnetGroupDescription", name)
                .list("SubnetIds", "SubnetIdentifier", &draft.fields.texts("new_subnet")),
        );
    }
    let typed = Some(draft.text("parameter_group")).filter(|typed| *typed != policy::OWN);
    let parameters = own.map_or(typed.unwrap_or_default(), |own| own.name.as_str());
    calls.push(if draft.is_memcached() { memcached(draft, parameters) } else { group(draft, parameters) });
    calls
}

/// The group in which the cache shall live; empty for the default one.
fn subnet_group(draft: &Draft) -> &str {
    match draft.text("subnet_group") {
        NEW => draft.text("new_group"),
        name => name,
    }
}

fn memcached(draft: &Draft, parameters: &str) -> Parameters {
    let zones = draft.fields.texts("zone");
    let mut different = zones.clone();
    different.sort_unstable();
    different.dedup();
    let call = Parameters::of("CreateCacheCluster")
        .text("CacheClusterId", draft.text("name"))
        .text("Engine", draft.engine())
        .text("EngineVersion", draft.text("version"))
        .text("CacheNodeType", draft.text("node_type"))
        .number("NumCacheNodes", draft.text("nodes"))
        .text("AZMode", if different.len() > 1 { "cross-az" } else { "" });
    let call = if zones.len() == 1 {
        call.text("PreferredAvailabilityZone", zones[0])
    } else {
        call.list("PreferredAvailabilityZones", "PreferredAvailabilityZone", &zones)
    };
    rest(draft, call, parameters)
}

fn group(draft: &Draft, parameters: &str) -> Parameters {
    let replicas = draft.text("replicas");
    // What is no number goes to the operation as it is, which says so.
    let members =
        replicas.parse::<u32>().map_or_else(|_| replicas.to_owned(), |n| (u64::from(n) + 1).to_string());
    let described =
        Some(draft.text("description")).filter(|text| !text.is_empty()).unwrap_or(draft.text("name"));
    let call = Parameters::of("CreateReplicationGroup")
        .text("ReplicationGroupId", draft.text("name"))
        .text("ReplicationGroupDescription", described)
        .text("Engine", draft.engine())
        .text("EngineVersion", draft.text("version"))
        .text("CacheNodeType", draft.text("node_type"))
        .number("NumCacheClusters", &members);
    let call = on(call, draft, "failover", "AutomaticFailoverEnabled");
    let call = on(call, draft, "multi_az", "MultiAZEnabled");
    let call = on(call, draft, "at_rest", "AtRestEncryptionEnabled");
    let call = call
        .list("PreferredCacheClusterAZs", "AvailabilityZone", &draft.fields.texts("zone"))
        .list("UserGroupIds", "member", &draft.fields.texts("user_group"))
        .secret("AuthToken", draft.text("auth_token"))
        .logs(logs(draft))
        .text("SnapshotName", draft.text("snapshot"));
    let call = if draft.fields.is_on("backup") {
        call.number("SnapshotRetentionLimit", draft.text("retention"))
            .text("SnapshotWindow", draft.text("backup_window"))
    } else {
        call
    };
    rest(draft, call, parameters)
}

/// Where the logs are to go.
fn logs(draft: &Draft) -> Vec<Log> {
    let log = |(sort, to, name, format): (&'static str, &str, &str, &str)| {
        let text = |field: &str| draft.text(field).to_owned();
        (!text(to).is_empty()).then(|| Log { sort, to: text(to), name: text(name), format: text(format) })
    };
    let fields = [
        ("slow-log", "slow_log_to", "slow_log_name", "slow_log_format"),
        ("engine-log", "engine_log_to", "engine_log_name", "engine_log_format"),
    ];
    fields.into_iter().filter_map(log).collect()
}

/// What all caches have.
fn rest(draft: &Draft, call: Parameters, parameters: &str) -> Parameters {
    let call = call
        .number("Port", draft.text("port"))
        .text("CacheParameterGroupName", parameters)
        .text("CacheSubnetGroupName", subnet_group(draft))
        .list("SecurityGroupIds", "SecurityGroupId", &draft.fields.texts("security_group"))
        .text("PreferredMaintenanceWindow", draft.text("maintenance_window"));
    let call = on(call, draft, "in_transit", "TransitEncryptionEnabled");
    let call =
        if draft.fields.is_on("minor_upgrades") { call } else { call.flag("AutoMinorVersionUpgrade", false) };
    call.tags(tags(draft.text("tags")))
}

/// A flag that is sent when it is set.
fn on(call: Parameters, draft: &Draft, field: &str, parameter: &'static str) -> Parameters {
    if draft.fields.is_on(field) { call.flag(parameter, true) } else { call }
}

/// Tags, one a line.
fn tags(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let pair = |line: &str| {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        (key.trim().to_owned(), value.trim().to_owned())
    };
    lines.map(pair).collect()
}
