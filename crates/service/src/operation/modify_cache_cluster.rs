//! ModifyCacheCluster.

use serde::Deserialize;

use super::cache_cluster::{
    self, answer, change_topic, check_node_type, check_quota, check_room, check_security_groups, engine_of,
    no_cache_security_groups, only_ipv4, parameter_group, subnets, update, version_of,
};
use super::event::note;
use super::log_delivery::check_at_once;
use super::{App, Caller, Input};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::auth_token::{Strategy, check_cache};
use crate::resource::cluster::modify::{ModifyRequest, modify};
use crate::resource::cluster::scale::Scale;
use crate::resource::cluster::{Changing, Cluster, EngineChange};
use crate::resource::engine_version;
use crate::resource::event::SourceType;
use crate::resource::log_delivery::{self, Request as LogRequest};
use crate::resource::parameter_group::DEFAULT_PREFIX;
use crate::resource::refusal::Refusal;
use crate::state::Change;

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ModifyCacheCluster {
    cache_cluster_id: String,
    num_cache_nodes: Option<i64>,
    #[serde(default)]
    cache_node_ids_to_remove: Vec<String>,
    #[serde(rename = "AZMode")]
    az_mode: Option<String>,
    #[serde(default)]
    new_availability_zones: Vec<String>,
    #[serde(default)]
    cache_security_group_names: Vec<String>,
    #[serde(default)]
    security_group_ids: Vec<String>,
    preferred_maintenance_window: Option<String>,
    notification_topic_arn: Option<String>,
    notification_topic_status: Option<String>,
    cache_parameter_group_name: Option<String>,
    apply_immediately: Option<bool>,
    engine: Option<String>,
    engine_version: Option<String>,
    auto_minor_version_upgrade: Option<bool>,
    snapshot_retention_limit: Option<i64>,
    snapshot_window: Option<String>,
    cache_node_type: Option<String>,
    auth_token: Option<String>,
    auth_token_update_strategy: Option<String>,
    #[serde(default)]
    log_delivery_configurations: Vec<LogRequest>,
    ip_discovery: Option<String>,
    scale_config: Option<ScaleConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ScaleConfig {
    scale_percentage: Option<i64>,
    scale_interval_minutes: Option<i64>,
}

impl Input for ModifyCacheCluster {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(Some(caller.arn(cache_cluster::SORT, &self.cache_cluster_id)))
    }
}

/// Wants a cluster otherwise. Answers it, modifying or with values pending.
pub(super) fn run(app: &App, caller: &Caller, input: ModifyCacheCluster) -> Result<Xml, ApiError> {
    check_built(&input)?;
    let whole = update(app, &input.cache_cluster_id, |cluster, observed| {
        check_member(cluster)?;
        check_security_groups(app, &input.security_group_ids, &cluster.subnet_group)?;
        let (request, mut changes) = request(app, cluster, &input)?;
        changes.extend(admitted(app, cluster, request.security_group_ids.as_deref())?);
        let (subnets, hold) = subnets(app, &cluster.subnet_group)?;
        modify(cluster, observed, request, &subnets)?;
        let (arn, status) = (&input.notification_topic_arn, &input.notification_topic_status);
        change_topic(app, caller, &mut cluster.topic, arn.as_deref(), status.as_deref())?;
        tokens(cluster, &input, app.now_ms())?;
        let (engine, version) = (cluster.engine, cluster.engine_version.clone());
        let logs = &input.log_delivery_configurations;
        log_delivery::change(&mut cluster.log_delivery, logs, engine, &version, app.now_ms())?;
        check_quota(app, cluster.nodes.len() + cluster.pending.add.len(), |other| other.id != cluster.id)?;
        changes.extend(hold);
        Ok(changes)
    })?;
    Ok(answer(app, caller, &whole))
}

/// The event of other security groups.
pub(super) fn admitted(
    app: &App,
    cluster: &Cluster,
    asked: Option<&[String]>,
) -> Result<Option<Change>, ApiError> {
    let Some(asked) = asked.filter(|asked| *asked != cluster.security_group_ids) else { return Ok(None) };
    let message = format!("Security groups changed to {}", asked.join(", "));
    Ok(Some(note(app, SourceType::CacheCluster, &cluster.id, message)?))
}

/// What members of a group have in common is changed through the group.
fn check_member(cluster: &Cluster) -> Result<(), Refusal> {
    match &cluster.group {
        None => Ok(()),
        Some(group) => Err(Refusal::cluster_state(format!(
            "Cache cluster {} is a member of replication group {group}; use ModifyReplicationGroup.",
            cluster.id
        ))),
    }
}

/// Another AUTH token: nodes follow at once.
fn tokens(cluster: &mut Cluster, input: &ModifyCacheCluster, now_ms: u64) -> Result<(), Refusal> {
    if input.auth_token.is_none() && input.auth_token_update_strategy.is_none() {
        return Ok(());
    }
    let strategy = Strategy::parse(input.auth_token_update_strategy.as_deref())?;
    check_tokens_at_once(input.apply_immediately)?;
    check_cache(cluster.engine, &cluster.engine_version, cluster.stays_encrypted())?;
    if strategy == Strategy::Delete {
        return Err(Refusal::combination(
            "AuthTokenUpdateStrategy DELETE needs a user group in the place of the token, which only a replication group \
             can have.",
        ));
    }
    cluster.auth.change(input.auth_token.as_deref(), strategy, now_ms)?;
    cluster.changed(Changing::Modify);
    cluster.auth_generation = cluster.generation;
    Ok(())
}

/// Refuses a change of AUTH tokens that would have to wait.
pub(super) fn check_tokens_at_once(apply_immediately: Option<bool>) -> Result<(), Refusal> {
    if apply_immediately == Some(true) {
        return Ok(());
    }
    Err(Refusal::combination("ApplyImmediately must be true: a change of the AUTH token cannot wait."))
}

/// Refuses what is not built, rather than ignoring it.
fn check_built(input: &ModifyCacheCluster) -> Result<(), Refusal> {
    no_cache_security_groups(&input.cache_security_group_names)?;
    check_at_once(!input.log_delivery_configurations.is_empty(), input.apply_immediately)?;
    only_ipv4("IpDiscovery", input.ip_discovery.as_deref())
}

fn request(
    app: &App,
    cluster: &Cluster,
    input: &ModifyCacheCluster,
) -> Result<(ModifyRequest, Vec<Change>), ApiError> {
    if let Some(node_type) = &input.cache_node_type {
        check_node_type(node_type, cluster.engine)?;
        check_room(app, cluster, node_type)?;
    }
    let (engine, parameter_group, changes) = versions(
        app,
        cluster,
        input.engine.as_deref(),
        input.engine_version.as_deref(),
        input.cache_parameter_group_name.as_deref(),
    )?;
    let groups = (!input.security_group_ids.is_empty()).then(|| input.security_group_ids.clone());
    let scale = input.scale_config.as_ref();
    let scale = scale.map(|config| Scale::of(config.scale_percentage, config.scale_interval_minutes));
    let request = ModifyRequest {
        node_count: input.num_cache_nodes,
        remove: input.cache_node_ids_to_remove.clone(),
        az_mode: input.az_mode.clone(),
        new_zones: input.new_availability_zones.clone(),
        security_group_ids: groups,
        maintenance_window: input.preferred_maintenance_window.clone(),
        snapshot_window: input.snapshot_window.clone(),
        snapshot_retention_days: input.snapshot_retention_limit,
        parameter_group,
        engine,
        node_type: input.cache_node_type.clone(),
        scale: scale.transpose()?,
        auto_minor_version_upgrade: input.auto_minor_version_upgrade,
        apply_immediately: input.apply_immediately == Some(true),
    };
    Ok((request, changes))
}

/// Another version, another parameter group, and what keeps the group from being deleted at the same moment.
pub(super) type Versions = (Option<EngineChange>, Option<String>, Vec<Change>);

/// Another version with its parameter group, or another parameter group alone.
pub(super) fn versions(
    app: &App,
    cluster: &Cluster,
    asked_engine: Option<&str>,
    asked_version: Option<&str>,
    asked_group: Option<&str>,
) -> Result<Versions, ApiError> {
    let present = version_of(cluster)?;
    if asked_version.is_none() && asked_engine.is_none_or(|e| e.eq_ignore_ascii_case(present.engine)) {
        let Some(asked) = asked_group else { return Ok((None, None, vec![])) };
        let (name, hold) = parameter_group(app, Some(asked), present)?;
        return Ok((None, Some(name), hold.into_iter().collect()));
    }
    let engine = asked_engine.unwrap_or(present.engine);
    let Some(wanted) = asked_version else {
        return Err(ApiError::invalid_combination("A change of Engine needs EngineVersion."));
    };
    let wanted_full = wanted == present.full && engine.eq_ignore_ascii_case(present.engine);
    let version = if wanted_full { present } else { engine_version::resolve(engine, Some(wanted))? };
    // A cluster with the default group of one family goes over to the default group of the other.
    let is_default = cluster.parameter_group.starts_with(DEFAULT_PREFIX);
    let group = asked_group.or((!is_default).then_some(cluster.parameter_group.as_str()));
    let (name, hold) = parameter_group(app, group, version)?;
    let change = EngineChange {
        engine: engine_of(version)?,
        version: version.full.to_owned(),
        parameter_group: name.clone(),
    };
    // Without a change of the version the group is what changes.
    let same = version.full == present.full && version.engine == present.engine;
    let alone = (same && asked_group.is_some()).then_some(name);
    Ok((Some(change), alone, hold.into_iter().collect()))
}
