//! CreateCacheCluster.

use serde::Deserialize;

use super::cache_cluster::{
    self, answer_new, change_topic, check_node_type, check_quota, check_security_groups,
    default_security_group, engine_of, no_cache_security_groups, not_available, only_ipv4, parameter_group,
    store_new, subnets,
};
use super::increase_replica_count::add_members;
use super::replication_group::{find_group, update_group};
use super::snapshot::{begin, engine_like};
use super::{App, Caller, Input};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::auth_token::{AuthTokens, check_cache};
use crate::resource::cluster::Cluster;
use crate::resource::cluster::create::{Chosen, CreateRequest, create, identifier};
use crate::resource::engine_version;
use crate::resource::group::change;
use crate::resource::log_delivery::{self, Request as LogRequest};
use crate::resource::refusal::Refusal;
use crate::resource::subnet_group::DEFAULT_NAME;
use crate::resource::tag::{Tag, TagSet};
use crate::state::{Change, find};

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateCacheCluster {
    cache_cluster_id: String,
    replication_group_id: Option<String>,
    #[serde(rename = "AZMode")]
    az_mode: Option<String>,
    preferred_availability_zone: Option<String>,
    #[serde(default)]
    preferred_availability_zones: Vec<String>,
    num_cache_nodes: Option<i64>,
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
    preferred_maintenance_window: Option<String>,
    port: Option<i64>,
    notification_topic_arn: Option<String>,
    auto_minor_version_upgrade: Option<bool>,
    snapshot_retention_limit: Option<i64>,
    snapshot_window: Option<String>,
    auth_token: Option<String>,
    outpost_mode: Option<String>,
    preferred_outpost_arn: Option<String>,
    #[serde(default)]
    preferred_outpost_arns: Vec<String>,
    #[serde(default)]
    log_delivery_configurations: Vec<LogRequest>,
    transit_encryption_enabled: Option<bool>,
    network_type: Option<String>,
    ip_discovery: Option<String>,
}

impl Input for CreateCacheCluster {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(Some(caller.arn(cache_cluster::SORT, &self.cache_cluster_id)))
    }
}

/// Wants a cluster. Answers it, creating.
pub(super) fn run(app: &App, caller: &Caller, input: CreateCacheCluster) -> Result<Xml, ApiError> {
    let id = identifier(&input.cache_cluster_id)?;
    check_built(&input)?;
    if let Some(group) = &input.replication_group_id {
        return join(app, caller, &input, &id, group);
    }
    let begin = begin(app, input.snapshot_name.as_deref(), &input.snapshot_arns)?;
    let like = begin.as_ref().and_then(|begin| begin.like.as_ref());
    let default_engine = if begin.is_some() { "redis" } else { "memcached" };
    let (engine_name, engine_version) =
        engine_like(input.engine.as_deref(), input.engine_version.as_deref(), like, default_engine)?;
    let version = engine_version::resolve(engine_name, engine_version)?;
    let engine = engine_of(version)?;
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
    let mut tags = TagSet::none(cache_cluster::SORT, &id);
    tags.add(input.tags.clone())?;
    let mut request = request(&input);
    request.port = request.port.or(like.map(|like| i64::from(like.port)));
    let mut cluster = create(&request, &chosen, &mut crate::random::number_below)?;
    cluster.auth = AuthTokens::of_new(input.auth_token.as_deref(), app.now_ms())?;
    if cluster.auth.is_enabled() {
        check_cache(engine, version.full, cluster.transit.is_enabled())?;
    }
    change_topic(app, caller, &mut cluster.topic, input.notification_topic_arn.as_deref(), None)?;
    let logs = &input.log_delivery_configurations;
    log_delivery::change(&mut cluster.log_delivery, logs, engine, version.full, app.now_ms())?;
    let mut holds: Vec<Change> = group_hold.into_iter().chain(subnet_hold).collect();
    if let Some(begin) = begin {
        cluster.seed = Some(begin.seed);
        holds.extend(begin.hold);
    }
    check_quota(app, cluster.nodes.len(), |_| true)?;
    store_new(app, &cluster, &tags, holds)?;
    Ok(answer_new(app, caller, &cluster))
}

/// Wants one more replica of a group, under this name. Answers it, creating.
fn join(
    app: &App,
    caller: &Caller,
    input: &CreateCacheCluster,
    id: &str,
    group: &str,
) -> Result<Xml, ApiError> {
    find_group(app, group)?;
    let inherited = [
        ("CacheNodeType", input.cache_node_type.is_some()),
        ("SnapshotName", input.snapshot_name.is_some()),
        ("SnapshotArns", !input.snapshot_arns.is_empty()),
        ("Engine", input.engine.is_some()),
        ("EngineVersion", input.engine_version.is_some()),
        ("CacheParameterGroupName", input.cache_parameter_group_name.is_some()),
        ("CacheSubnetGroupName", input.cache_subnet_group_name.is_some()),
        ("SecurityGroupIds", !input.security_group_ids.is_empty()),
        ("Port", input.port.is_some()),
        ("PreferredMaintenanceWindow", input.preferred_maintenance_window.is_some()),
        ("SnapshotWindow", input.snapshot_window.is_some()),
        ("SnapshotRetentionLimit", input.snapshot_retention_limit.is_some_and(|days| days != 0)),
        ("AZMode", input.az_mode.is_some()),
        ("AuthToken", input.auth_token.is_some()),
        ("TransitEncryptionEnabled", input.transit_encryption_enabled == Some(true)),
        ("PreferredAvailabilityZones", !input.preferred_availability_zones.is_empty()),
        ("LogDeliveryConfigurations", !input.log_delivery_configurations.is_empty()),
        ("NotificationTopicArn", input.notification_topic_arn.is_some()),
        ("NumCacheNodes", input.num_cache_nodes.is_some_and(|count| count != 1)),
    ];
    if let Some((name, _)) = inherited.iter().find(|(_, given)| *given) {
        return Err(ApiError::invalid_combination(format!(
            "{name} cannot be specified together with ReplicationGroupId: a replica takes it over from its group."
        )));
    }
    let zones: Vec<String> = input.preferred_availability_zone.iter().cloned().collect();
    let exists = || ApiError::new("CacheClusterAlreadyExists", format!("CacheCluster {id} already exists"));
    let whole = update_group(app, group, |whole| {
        change::check_available(&whole.group.value, whole.observed.as_ref())?;
        if find::<Cluster>(app.records.as_ref(), id)?.is_some() {
            return Err(exists());
        }
        change::more_replicas(
            change::only_shard(&whole.group.value, None)?,
            i64::try_from(whole.members.len()).unwrap_or(i64::MAX),
        )?;
        add_members(app, whole, 1, &zones, Some(id), input.tags.clone())
    })?;
    let made = whole.members.last().ok_or_else(|| ApiError::internal(&"a group without its new member"))?;
    Ok(answer_new(app, caller, &made.cluster.value))
}

/// Refuses what is not built, rather than ignoring it.
fn check_built(input: &CreateCacheCluster) -> Result<(), Refusal> {
    no_cache_security_groups(&input.cache_security_group_names)?;
    not_available("OutpostMode", input.outpost_mode.is_some())?;
    not_available("PreferredOutpostArn", input.preferred_outpost_arn.is_some())?;
    not_available("PreferredOutpostArns", !input.preferred_outpost_arns.is_empty())?;
    only_ipv4("NetworkType", input.network_type.as_deref())?;
    only_ipv4("IpDiscovery", input.ip_discovery.as_deref())
}

fn request(input: &CreateCacheCluster) -> CreateRequest {
    CreateRequest {
        id: input.cache_cluster_id.clone(),
        az_mode: input.az_mode.clone(),
        zone: input.preferred_availability_zone.clone(),
        zones: input.preferred_availability_zones.clone(),
        node_count: input.num_cache_nodes,
        port: input.port,
        security_group_ids: input.security_group_ids.clone(),
        maintenance_window: input.preferred_maintenance_window.clone(),
        snapshot_window: input.snapshot_window.clone(),
        snapshot_retention_days: input.snapshot_retention_limit,
        auto_minor_version_upgrade: input.auto_minor_version_upgrade,
        transit_enabled: input.transit_encryption_enabled,
        transit_mode: None,
    }
}
