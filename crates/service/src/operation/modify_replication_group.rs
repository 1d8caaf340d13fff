//! ModifyReplicationGroup.

use serde::Deserialize;

use super::cache_cluster::{
    change_topic, check_node_type, check_room, check_security_groups, no_cache_security_groups,
    not_available, only_ipv4,
};
use super::log_delivery::check_at_once;
use super::modify_cache_cluster::{admitted, check_tokens_at_once, versions};
use super::replication_group::{self, WholeGroup, answer, attachable, update_group};
use super::{App, Caller, Input};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::auth_token::{AuthTokens, Strategy, check_cache};
use crate::resource::cluster::Changing;
use crate::resource::cluster::modify::{ModifyRequest, modify};
use crate::resource::group::change;
use crate::resource::group::create::{check_failover, check_multi_az};
use crate::resource::log_delivery::{self, Request as LogRequest};
use crate::resource::refusal::Refusal;
use crate::resource::transit::changed;
use crate::state::Change;

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ModifyReplicationGroup {
    replication_group_id: String,
    replication_group_description: Option<String>,
    primary_cluster_id: Option<String>,
    snapshotting_cluster_id: Option<String>,
    automatic_failover_enabled: Option<bool>,
    #[serde(rename = "MultiAZEnabled")]
    multi_az_enabled: Option<bool>,
    node_group_id: Option<String>,
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
    user_group_ids_to_add: Vec<String>,
    #[serde(default)]
    user_group_ids_to_remove: Vec<String>,
    remove_user_groups: Option<bool>,
    #[serde(default)]
    log_delivery_configurations: Vec<LogRequest>,
    ip_discovery: Option<String>,
    transit_encryption_enabled: Option<bool>,
    transit_encryption_mode: Option<String>,
    cluster_mode: Option<String>,
    durability: Option<String>,
}

impl Input for ModifyReplicationGroup {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(Some(caller.arn(replication_group::SORT, &self.replication_group_id)))
    }
}

/// Wants a group otherwise. Answers it, modifying or with values pending.
pub(super) fn run(app: &App, caller: &Caller, input: ModifyReplicationGroup) -> Result<Xml, ApiError> {
    check_built(&input)?;
    if !input.asks_for_something() {
        return Err(ApiError::invalid_combination("No modifications were requested."));
    }
    let whole = update_group(app, &input.replication_group_id, |whole| {
        change::check_available(&whole.group.value, whole.observed.as_ref())?;
        // A change concerns the one shard, whether it is named or not.
        change::only_shard(&whole.group.value, input.node_group_id.as_deref())?;
        let mut changes = members(app, whole, &input)?;
        group(whole, &input)?;
        transit(whole, &input)?;
        logs(app, whole, &input)?;
        topics(app, caller, whole, &input)?;
        changes.extend(users(app, whole, &input)?);
        tokens(whole, &input, app.now_ms())?;
        Ok(changes)
    })?;
    Ok(answer(app, caller, &whole))
}

impl ModifyReplicationGroup {
    fn asks_for_something(&self) -> bool {
        self.replication_group_description.is_some()
            || self.primary_cluster_id.is_some()
            || self.snapshotting_cluster_id.is_some()
            || self.automatic_failover_enabled.is_some()
            || self.multi_az_enabled.is_some()
            || self.asks_members()
            || self.notification_topic_arn.is_some()
            || self.notification_topic_status.is_some()
            || self.asks_users()
            || self.asks_tokens()
            || !self.log_delivery_configurations.is_empty()
            || self.transit_encryption_enabled.is_some()
            || self.transit_encryption_mode.is_some()
    }

    /// Whether it asks for other AUTH tokens.
    fn asks_tokens(&self) -> bool {
        self.auth_token.is_some() || self.auth_token_update_strategy.is_some()
    }

    /// Whether it asks for other users.
    fn asks_users(&self) -> bool {
        !self.user_group_ids_to_add.is_empty()
            || !self.user_group_ids_to_remove.is_empty()
            || self.remove_user_groups == Some(true)
    }

    /// Whether the group will have no user group any more.
    fn leaves_users(&self) -> bool {
        self.user_group_ids_to_add.is_empty() && self.asks_users()
    }

    /// Whether it asks for something that stands in the records of the members.
    fn asks_members(&self) -> bool {
        !self.security_group_ids.is_empty()
            || self.preferred_maintenance_window.is_some()
            || self.cache_parameter_group_name.is_some()
            || self.engine.is_some()
            || self.engine_version.is_some()
            || self.auto_minor_version_upgrade.is_some()
            || self.snapshot_retention_limit.is_some()
            || self.snapshot_window.is_some()
            || self.cache_node_type.is_some()
    }
}

/// What every member follows by itself, at once or in its maintenance window.
fn members(
    app: &App,
    whole: &mut WholeGroup,
    input: &ModifyReplicationGroup,
) -> Result<Vec<Change>, ApiError> {
    let mut changes = Vec::new();
    if !input.asks_members() {
        return Ok(changes);
    }
    for (index, member) in whole.members.iter_mut().enumerate() {
        let cluster = &mut member.cluster.value;
        if let Some(node_type) = &input.cache_node_type {
            check_node_type(node_type, cluster.engine)?;
            check_room(app, cluster, node_type)?;
        }
        let (engine, parameter_group, holds) = versions(
            app,
            cluster,
            input.engine.as_deref(),
            input.engine_version.as_deref(),
            input.cache_parameter_group_name.as_deref(),
        )?;
        // Each record stands in a transaction once.
        if index == 0 {
            changes.extend(holds);
        }
        check_security_groups(app, &input.security_group_ids, &cluster.subnet_group)?;
        let groups = (!input.security_group_ids.is_empty()).then(|| input.security_group_ids.clone());
        changes.extend(admitted(app, cluster, groups.as_deref())?);
        let request = ModifyRequest {
            security_group_ids: groups,
            maintenance_window: input.preferred_maintenance_window.clone(),
            snapshot_window: input.snapshot_window.clone(),
            snapshot_retention_days: input.snapshot_retention_limit,
            parameter_group,
            engine,
            node_type: input.cache_node_type.clone(),
            auto_minor_version_upgrade: input.auto_minor_version_upgrade,
            apply_immediately: input.apply_immediately == Some(true),
            ..ModifyRequest::default()
        };
        let before = cluster.generation;
        modify(cluster, member.observed.as_ref(), request, &[])?;
        if cluster.generation != before && index == 0 {
            whole.group.value.generation += 1;
        }
    }
    Ok(changes)
}

/// What is the group's own.
fn group(whole: &mut WholeGroup, input: &ModifyReplicationGroup) -> Result<(), ApiError> {
    let zones: Vec<String> =
        whole.members.iter().map(|member| member.cluster.value.preferred_zone().to_owned()).collect();
    let (group, observed) = (&mut whole.group.value, whole.observed.as_ref());
    if let Some(text) = &input.replication_group_description {
        super::create_replication_group::check_description(text)?;
        group.description.clone_from(text);
    }
    let automatic = input.automatic_failover_enabled.unwrap_or(group.automatic_failover);
    let multi_az = input.multi_az_enabled.unwrap_or(group.multi_az);
    if (automatic, multi_az) != (group.automatic_failover, group.multi_az) {
        check_failover(automatic, multi_az, zones.len())?;
        check_multi_az(multi_az, &zones)?;
        (group.automatic_failover, group.multi_az) = (automatic, multi_az);
        group.generation += 1;
    }
    if let Some(cluster) = &input.snapshotting_cluster_id {
        let cluster = cluster.to_ascii_lowercase();
        if !group.members().any(|member| *member == cluster) {
            return Err(ApiError::invalid_value(format!(
                "SnapshottingClusterId: {cluster} is not a member of replication group {}.",
                group.id
            )));
        }
        group.snapshotting_cluster = Some(cluster);
    }
    if let Some(primary) = &input.primary_cluster_id {
        change::promote(group, observed, primary)?;
    }
    Ok(())
}

/// Another mode of encryption in transit: all members follow at once, or in their maintenance window.
fn transit(whole: &mut WholeGroup, input: &ModifyReplicationGroup) -> Result<(), ApiError> {
    let (enabled, mode) = (input.transit_encryption_enabled, input.transit_encryption_mode.as_deref());
    if enabled.is_none() && mode.is_none() {
        return Ok(());
    }
    let has_users = whole.group.value.user_group.is_some() && !input.leaves_users();
    let mut is_changed = false;
    for member in &mut whole.members {
        let cluster = &mut member.cluster.value;
        let after = changed(cluster.transit, &cluster.engine_version, enabled, mode)?;
        // The mode that is there already cancels one that waits.
        cluster.pending.transit = (after != cluster.transit).then_some(after);
        if input.apply_immediately == Some(true) {
            is_changed |= cluster.apply_pending();
        }
        if has_users && !cluster.stays_encrypted() {
            return Err(ApiError::invalid_combination(
                "Encryption in transit cannot be disabled while the replication group has a user group.",
            ));
        }
    }
    whole.group.value.generation += u64::from(is_changed);
    Ok(())
}

/// Other deliveries of logs: they concern no node, and are made at once.
fn logs(app: &App, whole: &mut WholeGroup, input: &ModifyReplicationGroup) -> Result<(), ApiError> {
    for member in &mut whole.members {
        let cluster = &mut member.cluster.value;
        let (engine, version) = (cluster.engine, cluster.engine_version.clone());
        let logs = &input.log_delivery_configurations;
        log_delivery::change(&mut cluster.log_delivery, logs, engine, &version, app.now_ms())?;
    }
    Ok(())
}

/// Another topic for its events: they are published from now on.
fn topics(
    app: &App,
    caller: &Caller,
    whole: &mut WholeGroup,
    input: &ModifyReplicationGroup,
) -> Result<(), ApiError> {
    let (arn, status) = (&input.notification_topic_arn, &input.notification_topic_status);
    for member in &mut whole.members {
        let topic = &mut member.cluster.value.topic;
        change_topic(app, caller, topic, arn.as_deref(), status.as_deref())?;
    }
    Ok(())
}

/// Another user group, or none: all members follow at once.
fn users(app: &App, whole: &mut WholeGroup, input: &ModifyReplicationGroup) -> Result<Vec<Change>, ApiError> {
    if !input.asks_users() {
        return Ok(vec![]);
    }
    let before = whole.group.value.user_group.clone();
    let mut after = before.clone();
    for id in &input.user_group_ids_to_remove {
        if after.as_deref() != Some(id.to_ascii_lowercase().as_str()) {
            let shown: String = id.chars().take(64).collect();
            return Err(ApiError::invalid_value(format!(
                "User group {shown} is not associated with the replication group."
            )));
        }
        after = None;
    }
    if input.remove_user_groups == Some(true) {
        after = None;
    }
    let mut changes = vec![];
    match input.user_group_ids_to_add.as_slice() {
        [] => {}
        [id] if after.is_none() => {
            let first =
                whole.members.first().ok_or_else(|| ApiError::internal(&"a group without members"))?;
            let (id, holds) = attachable(app, id, &first.cluster.value)?;
            changes.extend(holds);
            after = Some(id);
        }
        _ => return Err(ApiError::invalid_value("A replication group can have at most one user group.")),
    }
    if after != before {
        whole.group.value.user_group = after;
        whole.group.value.generation += 1;
        for member in &mut whole.members {
            member.cluster.value.changed(Changing::Modify);
        }
    }
    Ok(changes)
}

/// Other AUTH tokens, or none: all members follow at once. A cache has tokens or a user group, and tokens only where they
/// are not sent in the clear.
fn tokens(whole: &mut WholeGroup, input: &ModifyReplicationGroup, now_ms: u64) -> Result<(), ApiError> {
    let first = whole.members.first().ok_or_else(|| ApiError::internal(&"a group without members"))?;
    let first = &first.cluster.value;
    let has_users = whole.group.value.user_group.is_some();
    if !input.asks_tokens() {
        if !first.auth.is_enabled() {
            return Ok(());
        }
        if has_users {
            return Err(ApiError::invalid_combination(
                "The replication group has an AUTH token: UserGroupIdsToAdd needs AuthTokenUpdateStrategy DELETE.",
            ));
        }
        return Ok(check_cache(first.engine, &first.engine_version, first.stays_encrypted())?);
    }
    let strategy = Strategy::parse(input.auth_token_update_strategy.as_deref())?;
    check_tokens_at_once(input.apply_immediately)?;
    check_cache(first.engine, &first.engine_version, first.stays_encrypted())?;
    match (strategy, has_users) {
        (Strategy::Delete, _) if input.user_group_ids_to_add.is_empty() => {
            return Err(ApiError::invalid_combination(
                "AuthTokenUpdateStrategy DELETE can only be specified together with UserGroupIdsToAdd.",
            ));
        }
        (Strategy::Rotate | Strategy::Set, true) => {
            return Err(ApiError::invalid_combination(
                "A replication group with a user group cannot have an AUTH token.",
            ));
        }
        _ => {}
    }
    let auth = if strategy == Strategy::Set && input.asks_users() && !first.auth.is_enabled() {
        // From a user group to a token: there is no older one that clients could have.
        AuthTokens::of_new(input.auth_token.as_deref(), now_ms)?
    } else {
        let mut auth = first.auth.clone();
        auth.change(input.auth_token.as_deref(), strategy, now_ms)?;
        auth
    };
    for member in &mut whole.members {
        member.cluster.value.auth = auth.clone();
        member.cluster.value.changed(Changing::Modify);
    }
    whole.group.value.generation += 1;
    whole.group.value.auth_generation = whole.group.value.generation;
    Ok(())
}

/// Refuses what is not built, rather than ignoring it.
fn check_built(input: &ModifyReplicationGroup) -> Result<(), Refusal> {
    no_cache_security_groups(&input.cache_security_group_names)?;
    not_available("ClusterMode", input.cluster_mode.as_deref().is_some_and(|word| word != "disabled"))?;
    not_available(
        "Durability",
        input.durability.as_deref().is_some_and(|word| !matches!(word, "default" | "disabled")),
    )?;
    check_at_once(!input.log_delivery_configurations.is_empty(), input.apply_immediately)?;
    only_ipv4("IpDiscovery", input.ip_discovery.as_deref())
}
