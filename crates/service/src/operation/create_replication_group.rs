//! CreateReplicationGroup.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::cache_cluster::{
    change_topic, check_node_type, check_quota, check_security_groups, default_security_group, engine_of,
    no_cache_security_groups, not_available, only_ipv4, parameter_group, subnets,
};
use super::modify_cache_cluster::versions;
use super::replication_group::{self, WholeGroup, answer, attachable, store_new_group};
use super::snapshot::{begin, engine_like};
use super::{App, Caller, Input, cache_cluster};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::auth_token::{AuthTokens, check_cache};
use crate::resource::cluster::create::{Chosen, CreateRequest, create};
use crate::resource::cluster::modify::{ModifyRequest, modify};
use crate::resource::cluster::{Cluster, Engine, Status};
use crate::resource::engine_version;
use crate::resource::group::create::{Layout, check_failover, identifier, spread};
use crate::resource::group::{Group, ONLY_SHARD, Shard, member_id};
use crate::resource::kms;
use crate::resource::log_delivery::{self, Request as LogRequest};
use crate::resource::refusal::Refusal;
use crate::resource::subnet_group::DEFAULT_NAME;
use crate::resource::tag::{Tag, TagSet};
use crate::state::{self, Change, replace};

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateReplicationGroup {
    replication_group_id: String,
    replication_group_description: String,
    global_replication_group_id: Option<String>,
    primary_cluster_id: Option<String>,
    automatic_failover_enabled: Option<bool>,
    #[serde(rename = "MultiAZEnabled")]
    multi_az_enabled: Option<bool>,
    num_cache_clusters: Option<i64>,
    #[serde(default, rename = "PreferredCacheClusterAZs")]
    preferred_zones: Vec<String>,
    num_node_groups: Option<i64>,
    replicas_per_node_group: Option<i64>,
    #[serde(default)]
    node_group_configuration: Vec<IgnoredAny>,
    cache_node_type: Option<String>,
    engine: Option<String>,
    engine_version: Option<String>,
    cache_parameter_group_name: Option<String>,
    cache_subnet_group_name: Option<String>,
    #[serde(default)]
    cache_security_group_names: Vec<String>,
    #[serde(default)]
    security_group_ids: Vec<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default)]
    snapshot_arns: Vec<String>,
    snapshot_name: Option<String>,
    serverless_cache_snapshot_name: Option<String>,
    preferred_maintenance_window: Option<String>,
    port: Option<i64>,
    notification_topic_arn: Option<String>,
    auto_minor_version_upgrade: Option<bool>,
    snapshot_retention_limit: Option<i64>,
    snapshot_window: Option<String>,
    auth_token: Option<String>,
    transit_encryption_enabled: Option<bool>,
    transit_encryption_mode: Option<String>,
    at_rest_encryption_enabled: Option<bool>,
    kms_key_id: Option<String>,
    #[serde(default)]
    user_group_ids: Vec<String>,
    #[serde(default)]
    log_delivery_configurations: Vec<LogRequest>,
    data_tiering_enabled: Option<bool>,
    network_type: Option<String>,
    ip_discovery: Option<String>,
    cluster_mode: Option<String>,
    durability: Option<String>,
}

impl Input for CreateReplicationGroup {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(Some(caller.arn(replication_group::SORT, &self.replication_group_id)))
    }
}

impl CreateReplicationGroup {
    /// How many members are asked for, one way or the other.
    fn members(&self) -> Option<i64> {
        self.num_cache_clusters.or(self.replicas_per_node_group.map(|count| count.saturating_add(1)))
    }
}

/// Wants a group. Answers it, creating.
pub(super) fn run(app: &App, caller: &Caller, input: CreateReplicationGroup) -> Result<Xml, ApiError> {
    let id = identifier(&input.replication_group_id)?;
    check_built(&input)?;
    check_description(&input.replication_group_description)?;
    let (members, mut changes) = match &input.primary_cluster_id {
        Some(primary) => adopt(app, caller, &input, &id, primary)?,
        None => fresh(app, caller, &input, &id)?,
    };
    let first = members.first().ok_or_else(|| ApiError::internal(&"a group without members"))?;
    not_available(
        "TransitEncryptionEnabled for a cluster without it",
        input.transit_encryption_enabled == Some(true) && !first.transit.is_enabled(),
    )?;
    let mut tags = TagSet::none(replication_group::SORT, &id);
    tags.add(input.tags.clone())?;
    // A cluster that is taken over keeps the tags that it has.
    let adopted = input.primary_cluster_id.as_ref().map(|id| id.to_ascii_lowercase());
    for member in members.iter().filter(|member| Some(&member.id) != adopted.as_ref()) {
        let mut own = TagSet::none(cache_cluster::SORT, &member.id);
        own.add(input.tags.clone())?;
        changes.push(state::put_any(&own)?);
    }
    changes.push(state::create(&tags)?);
    let user_group = match input.user_group_ids.as_slice() {
        [] => None,
        [id] => {
            let (id, holds) = attachable(app, id, first)?;
            changes.extend(holds);
            Some(id)
        }
        _ => return Err(ApiError::invalid_value("A replication group can have at most one user group.")),
    };
    let at_rest_encryption = input.at_rest_encryption_enabled.unwrap_or(first.engine == Engine::Valkey);
    if input.kms_key_id.is_some() && !at_rest_encryption {
        return Err(ApiError::invalid_combination(
            "KmsKeyId can only be specified for a replication group whose AtRestEncryptionEnabled is true.",
        ));
    }
    let shard =
        Shard { members: members.iter().map(|member| member.id.clone()).collect(), ..Shard::default() };
    let group = Group {
        id: id.clone(),
        description: input.replication_group_description.clone(),
        generation: 1,
        deleting: false,
        created_ms: app.now_ms(),
        shards: BTreeMap::from([(ONLY_SHARD.to_owned(), shard)]),
        automatic_failover: input.automatic_failover_enabled == Some(true),
        multi_az: input.multi_az_enabled == Some(true),
        at_rest_encryption,
        kms_key: input.kms_key_id.as_deref().map(kms::key).transpose()?,
        snapshotting_cluster: None,
        user_group,
        snapshots: 0,
        auth_generation: 0,
        replication_password: crate::random::password(),
    };
    store_new_group(app, &group, changes)?;
    Ok(answer(app, caller, &WholeGroup::new(group, members)))
}

pub(super) fn check_description(text: &str) -> Result<(), Refusal> {
    if text.is_empty() || text.chars().count() > 255 || text.chars().any(char::is_control) {
        return Err(Refusal::value(
            "The parameter ReplicationGroupDescription must be provided and must contain no more than 255 printable \
             characters.",
        ));
    }
    Ok(())
}

/// A running cluster becomes the primary, and further members are made after its image.
fn adopt(
    app: &App,
    caller: &Caller,
    input: &CreateReplicationGroup,
    id: &str,
    primary: &str,
) -> Result<(Vec<Cluster>, Vec<Change>), ApiError> {
    let inherited = [
        ("CacheNodeType", input.cache_node_type.is_some()),
        ("SnapshotName", input.snapshot_name.is_some()),
        ("SnapshotArns", !input.snapshot_arns.is_empty()),
        ("EngineVersion", input.engine_version.is_some()),
        ("Port", input.port.is_some()),
        ("CacheSubnetGroupName", input.cache_subnet_group_name.is_some()),
        ("AuthToken", input.auth_token.is_some()),
    ];
    if let Some((name, _)) = inherited.iter().find(|(_, given)| *given) {
        return Err(ApiError::invalid_combination(format!(
            "{name} cannot be specified together with PrimaryClusterId: the group takes it over from that cluster."
        )));
    }
    let found = cache_cluster::find_whole(app, primary)?;
    let cluster = &found.desired.value;
    let state = |message: String| ApiError::new("InvalidCacheClusterState", message);
    if let Some(group) = &cluster.group {
        return Err(state(format!("Cache cluster {} is a member of replication group {group}.", cluster.id)));
    }
    if cluster.engine == Engine::Memcached {
        return Err(ApiError::invalid_combination(
            "A memcached cluster cannot be the primary of a replication group.",
        ));
    }
    if cluster.status(found.observed.as_ref()) != Status::Available {
        return Err(state(format!("Cache cluster {} is not in available state.", cluster.id)));
    }
    let asked = input.members().unwrap_or(1);
    let count = usize::try_from(asked).unwrap_or(0);
    let (subnets, hold) = subnets(app, &cluster.subnet_group)?;
    let layout = Layout {
        members: Some(asked),
        automatic_failover: input.automatic_failover_enabled == Some(true),
        multi_az: false,
        zones: input.preferred_zones.clone(),
    };
    let asked_zones = layout.zones(&subnets)?;
    check_failover(layout.automatic_failover, input.multi_az_enabled == Some(true), count)?;
    check_adopted(input, cluster)?;
    let (mut adopted, mut changes) = changed(app, input, &found)?;
    changes.extend(hold);
    adopted.group = Some(id.to_owned());
    change_topic(app, caller, &mut adopted.topic, input.notification_topic_arn.as_deref(), None)?;
    let (engine, version, logs) =
        (adopted.engine, adopted.engine_version.clone(), &input.log_delivery_configurations);
    log_delivery::change(&mut adopted.log_delivery, logs, engine, &version, app.now_ms())?;
    changes.push(replace(&adopted, found.desired.revision)?);
    let known = crate::resource::cluster::create::zone_names(&subnets);
    let zones = match input.preferred_zones.is_empty() {
        true => spread(&known, &[adopted.preferred_zone().to_owned()], count.saturating_sub(1)),
        false => asked_zones.into_iter().skip(1).collect(),
    };
    let mut all = vec![adopted.clone()];
    check_quota(app, zones.len(), |_| true)?;
    let free = (1..).map(|number| member_id(id, number)).filter(|name| *name != adopted.id);
    for (turn, (zone, name)) in zones.iter().zip(free).enumerate() {
        let member = adopted.sibling(&name, zone, &subnets, turn + 1, app.now_ms())?;
        changes.push(state::create(&member)?);
        all.push(member);
    }
    let zones: Vec<String> = all.iter().map(|member| member.preferred_zone().to_owned()).collect();
    crate::resource::group::create::check_multi_az(input.multi_az_enabled == Some(true), &zones)?;
    Ok((all, changes))
}

/// Refuses what the cluster that is taken over has otherwise, and cannot be changed by taking it over.
fn check_adopted(input: &CreateReplicationGroup, cluster: &Cluster) -> Result<(), Refusal> {
    let zone = cluster.preferred_zone();
    let differs = [
        (
            "Engine",
            input.engine.as_deref().is_some_and(|name| !name.eq_ignore_ascii_case(cluster.engine.as_str())),
        ),
        (
            "TransitEncryptionEnabled",
            input.transit_encryption_enabled == Some(false) && cluster.transit.is_enabled(),
        ),
        (
            "TransitEncryptionMode",
            input.transit_encryption_mode.as_deref().is_some_and(|mode| Some(mode) != cluster.transit.mode()),
        ),
        (
            "The first of PreferredCacheClusterAZs",
            input.preferred_zones.first().is_some_and(|first| first != zone),
        ),
    ];
    match differs.iter().find(|(_, differs)| *differs) {
        None => Ok(()),
        Some((name, _)) => Err(Refusal::combination(format!(
            "{name} must be what the cluster of PrimaryClusterId has, or not be specified."
        ))),
    }
}

/// The cluster that is taken over, with what the request wants otherwise.
fn changed(
    app: &App,
    input: &CreateReplicationGroup,
    found: &cache_cluster::Whole,
) -> Result<(Cluster, Vec<Change>), ApiError> {
    let mut cluster = found.desired.value.clone();
    check_security_groups(app, &input.security_group_ids, &cluster.subnet_group)?;
    let group = input.cache_parameter_group_name.as_deref();
    let (_, parameter_group, holds) = versions(app, &cluster, None, None, group)?;
    let request = ModifyRequest {
        security_group_ids: (!input.security_group_ids.is_empty()).then(|| input.security_group_ids.clone()),
        maintenance_window: input.preferred_maintenance_window.clone(),
        snapshot_window: input.snapshot_window.clone(),
        snapshot_retention_days: input.snapshot_retention_limit,
        parameter_group,
        auto_minor_version_upgrade: input.auto_minor_version_upgrade,
        ..ModifyRequest::default()
    };
    modify(&mut cluster, found.observed.as_ref(), request, &[])?;
    Ok((cluster, holds))
}

/// New clusters, all alike but for their zones.
fn fresh(
    app: &App,
    caller: &Caller,
    input: &CreateReplicationGroup,
    id: &str,
) -> Result<(Vec<Cluster>, Vec<Change>), ApiError> {
    let begin = begin(app, input.snapshot_name.as_deref(), &input.snapshot_arns)?;
    let like = begin.as_ref().and_then(|begin| begin.like.as_ref());
    let (engine_name, engine_version) =
        engine_like(input.engine.as_deref(), input.engine_version.as_deref(), like, "redis")?;
    let version = engine_version::resolve(engine_name, engine_version)?;
    let engine = engine_of(version)?;
    if engine == Engine::Memcached {
        return Err(ApiError::invalid_value("A replication group cannot have the engine memcached."));
    }
    let node_type = input.cache_node_type.as_deref().or(like.map(|like| like.node_type.as_str()));
    let node_type = node_type.ok_or_else(|| {
        ApiError::invalid_value("The parameter CacheNodeType must be provided and must not be null.")
    })?;
    check_node_type(node_type, engine)?;
    if let Some(begin) = &begin {
        begin.check(engine, version.full, node_type)?;
    }
    let (group, group_hold) = parameter_group(app, input.cache_parameter_group_name.as_deref(), version)?;
    let subnet_group = input.cache_subnet_group_name.as_deref().unwrap_or(DEFAULT_NAME).to_ascii_lowercase();
    let (subnets, subnet_hold) = subnets(app, &subnet_group)?;
    check_security_groups(app, &input.security_group_ids, &subnet_group)?;
    let default_group = default_security_group(app, &subnet_group)?;
    let layout = Layout {
        members: input.members(),
        zones: input.preferred_zones.clone(),
        automatic_failover: input.automatic_failover_enabled == Some(true),
        multi_az: input.multi_az_enabled == Some(true),
    };
    let zones = layout.zones(&subnets)?;
    let chosen = Chosen {
        region: &app.region,
        engine,
        engine_version: version.full,
        node_type,
        parameter_group: &group,
        subnet_group: &subnet_group,
        subnets: &subnets,
        default_security_group_id: &default_group,
        now_ms: app.now_ms(),
    };
    let request = CreateRequest {
        id: member_id(id, 1),
        zone: zones.first().cloned(),
        port: input.port.or(like.map(|like| i64::from(like.port))),
        security_group_ids: input.security_group_ids.clone(),
        maintenance_window: input.preferred_maintenance_window.clone(),
        snapshot_window: input.snapshot_window.clone(),
        snapshot_retention_days: input.snapshot_retention_limit,
        auto_minor_version_upgrade: input.auto_minor_version_upgrade,
        transit_enabled: input.transit_encryption_enabled,
        transit_mode: input.transit_encryption_mode.clone(),
        ..CreateRequest::default()
    };
    let mut first = create(&request, &chosen, &mut crate::random::number_below)?;
    first.group = Some(id.to_owned());
    change_topic(app, caller, &mut first.topic, input.notification_topic_arn.as_deref(), None)?;
    first.auth = AuthTokens::of_new(input.auth_token.as_deref(), app.now_ms())?;
    if first.auth.is_enabled() {
        check_cache(engine, version.full, first.transit.is_enabled())?;
    }
    let logs = &input.log_delivery_configurations;
    log_delivery::change(&mut first.log_delivery, logs, engine, version.full, app.now_ms())?;
    let mut all = vec![first.clone()];
    for (turn, zone) in zones.iter().enumerate().skip(1) {
        all.push(first.sibling(&member_id(id, turn + 1), zone, &subnets, turn, app.now_ms())?);
    }
    check_quota(app, all.len(), |_| true)?;
    let mut changes: Vec<Change> = group_hold.into_iter().chain(subnet_hold).collect();
    if let Some(begin) = begin {
        // The others get the data from the first.
        all[0].seed = Some(begin.seed);
        changes.extend(begin.hold);
    }
    for member in &all {
        changes.push(state::create(member)?);
    }
    Ok((all, changes))
}

/// Refuses what is not built, rather than ignoring it, and what does not fit together.
fn check_built(input: &CreateReplicationGroup) -> Result<(), Refusal> {
    no_cache_security_groups(&input.cache_security_group_names)?;
    if input.num_cache_clusters.is_some()
        && (input.num_node_groups.is_some() || input.replicas_per_node_group.is_some())
    {
        return Err(Refusal::combination(
            "NumCacheClusters cannot be specified together with NumNodeGroups or ReplicasPerNodeGroup.",
        ));
    }
    not_available("NumNodeGroups", input.num_node_groups.is_some_and(|count| count != 1))?;
    not_available("NodeGroupConfiguration", !input.node_group_configuration.is_empty())?;
    not_available("GlobalReplicationGroupId", input.global_replication_group_id.is_some())?;
    not_available("ServerlessCacheSnapshotName", input.serverless_cache_snapshot_name.is_some())?;
    if input.auth_token.is_some() && !input.user_group_ids.is_empty() {
        return Err(Refusal::combination("AuthToken cannot be specified together with UserGroupIds."));
    }
    not_available("DataTieringEnabled", input.data_tiering_enabled == Some(true))?;
    not_available(
        "Durability",
        input.durability.as_deref().is_some_and(|word| !matches!(word, "default" | "disabled")),
    )?;
    not_available("ClusterMode", input.cluster_mode.as_deref().is_some_and(|word| word != "disabled"))?;
    only_ipv4("NetworkType", input.network_type.as_deref())?;
    only_ipv4("IpDiscovery", input.ip_discovery.as_deref())
}
