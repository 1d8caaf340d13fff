//! What the operations on replication groups share: looking one up with its members, changing all of them in one
//! transaction, and their form in answers.

use std::sync::Arc;

use super::retry::retrying;
use super::{App, Caller, cache_cluster, log_delivery};
use crate::front::{ApiError, Xml};
use crate::resource::auth_token::AuthTokens;
use crate::resource::cluster::Cluster;
use crate::resource::group::{Group, ONLY_NODE, ObservedGroup, Shard, Status};
use crate::resource::log_delivery::ObservedDeliveries;
use crate::resource::node::Observed;
use crate::state::{self, Change, Stored, find, replace};

/// Sort of resource in ARNs.
pub(super) const SORT: &str = "replicationgroup";

/// Revision of what is written only with the change that is being made.
const UNWRITTEN: u64 = 0;

/// A member cluster with what is observed of it.
pub(super) struct MemberRecord {
    pub(super) cluster: Stored<Cluster>,
    pub(super) observed: Option<Observed>,
}

/// A group with all that belongs to it.
pub(super) struct WholeGroup {
    pub(super) group: Stored<Group>,
    pub(super) observed: Option<ObservedGroup>,
    /// Members in the order of the group.
    pub(super) members: Vec<MemberRecord>,
    /// Deliveries of logs that are in force: those of the first member.
    pub(super) logs: Arc<ObservedDeliveries>,
}

impl WholeGroup {
    /// A group that is being made, of which nothing is observed.
    pub(super) fn new(group: Group, members: Vec<Cluster>) -> WholeGroup {
        let members = members.into_iter().map(MemberRecord::new).collect();
        let group = Stored { value: group, revision: UNWRITTEN };
        WholeGroup { group, observed: None, members, logs: Arc::default() }
    }
}

impl MemberRecord {
    /// A member that is being made.
    pub(super) fn new(cluster: Cluster) -> MemberRecord {
        MemberRecord { cluster: Stored { value: cluster, revision: UNWRITTEN }, observed: None }
    }
}

/// The group of that name, in any case of letters.
///
/// # Errors
/// `ReplicationGroupNotFoundFault`.
pub(super) fn find_group(app: &App, name: &str) -> Result<WholeGroup, ApiError> {
    let group = find::<Group>(app.records.as_ref(), &name.to_ascii_lowercase())?;
    let group = group.ok_or_else(|| {
        let shown: String = name.chars().take(64).collect();
        ApiError::new("ReplicationGroupNotFoundFault", format!("ReplicationGroup {shown} not found."))
    })?;
    with_members(app, group)
}

/// What belongs to a group that was read.
pub(super) fn with_members(app: &App, group: Stored<Group>) -> Result<WholeGroup, ApiError> {
    let records = app.records.as_ref();
    let observed = find::<ObservedGroup>(records, &group.value.id)?.map(|stored| stored.value);
    let mut members = Vec::new();
    for id in group.value.members() {
        if let Some(cluster) = find::<Cluster>(records, id)? {
            let observed = find::<Observed>(records, id)?.map(|stored| stored.value);
            members.push(MemberRecord { cluster, observed });
        }
    }
    let first = members.first().map(|member| member.cluster.value.id.as_str());
    let logs = first.map(|first| log_delivery::in_force(app, first)).unwrap_or_default();
    Ok(WholeGroup { group, observed, members, logs })
}

/// Changes a group, its members, or both, in one transaction; tries again when somebody else was faster. `change` may
/// be called more than once, and answers changes of other records that belong to the same moment; members that it makes it
/// adds behind the others. What is observed is what was before: an answer tells of the change, not of what may have come of
/// it since.
pub(super) fn update_group(
    app: &App,
    name: &str,
    mut change: impl FnMut(&mut WholeGroup) -> Result<Vec<Change>, ApiError>,
) -> Result<WholeGroup, ApiError> {
    retrying(|| {
        let mut whole = find_group(app, name)?;
        let before: Vec<Cluster> = whole.members.iter().map(|m| m.cluster.value.clone()).collect();
        let mut changes = change(&mut whole)?;
        changes.push(replace(&whole.group.value, whole.group.revision)?);
        for (member, before) in whole.members.iter().zip(&before) {
            if member.cluster.value != *before {
                changes.push(replace(&member.cluster.value, member.cluster.revision)?);
            }
        }
        app.records.apply(&changes)?;
        Ok(whole)
    })
}

/// Makes the records of a new group.
pub(super) fn store_new_group(app: &App, group: &Group, changes: Vec<Change>) -> Result<(), ApiError> {
    let mut changes = changes;
    changes.insert(0, state::create(group)?);
    match app.records.apply(&changes) {
        Err(state::StateError::Conflict { kind, .. }) if kind == <Group as state::Resource>::KIND => {
            let message = format!("Replication group {} already exists.", group.id);
            Err(ApiError::new("ReplicationGroupAlreadyExists", message))
        }
        other => Ok(other.map(drop)?),
    }
}

/// A user group that a cache of the version can have; comes with changes that keep it from being deleted at the same
/// moment. Passwords must not travel in the clear, so it needs encryption in transit, in either mode.
///
/// # Errors
/// `UserGroupNotFound`, `InvalidParameterCombination`.
pub(super) fn attachable(app: &App, id: &str, cluster: &Cluster) -> Result<(String, Vec<Change>), ApiError> {
    let version = cache_cluster::version_of(cluster)?;
    let stored = super::user::find_user_group(app, id)?;
    if !cluster.stays_encrypted() {
        return Err(ApiError::invalid_combination(
            "A user group can only be associated with a cache whose TransitEncryptionEnabled is true.",
        ));
    }
    let is_old = version.engine == "redis" && version.full.split('.').next().is_some_and(|major| major < "6");
    if is_old {
        return Err(ApiError::invalid_combination(format!(
            "User groups need redis 6.0 or later; the cache has {}.",
            version.version
        )));
    }
    if stored.value.engine == "valkey" && version.engine != "valkey" {
        return Err(ApiError::invalid_combination(format!(
            "User group {} has the engine valkey, the cache has {}.",
            stored.value.id, version.engine
        )));
    }
    let hold = replace(&stored.value, stored.revision)?;
    Ok((stored.value.id, vec![hold]))
}

/// The answer with one group, as all operations that change one give it.
pub(super) fn answer(app: &App, caller: &Caller, whole: &WholeGroup) -> Xml {
    let mut xml = Xml::new();
    xml.element("ReplicationGroup", |xml| write(xml, app, caller, whole));
    xml
}

/// Writes the members of a group.
pub(super) fn write(xml: &mut Xml, app: &App, caller: &Caller, whole: &WholeGroup) {
    let (group, observed) = (&whole.group.value, whole.observed.as_ref());
    let status = group.status(observed);
    let template = whole.members.first().map(|member| &member.cluster.value);
    let transit = template.map(|template| template.transit).unwrap_or_default();
    let auth = template.map(|template| template.auth.clone()).unwrap_or_default();
    xml.text("ReplicationGroupId", &group.id)
        .text("Description", &group.description)
        .text("Status", status.as_str())
        .element("PendingModifiedValues", |xml| {
            pending(xml, group, &auth, observed);
            if let Some(template) = template {
                cache_cluster::pending_transit(xml, template.pending.transit);
                log_delivery::write_pending(xml, template, &whole.logs);
            }
        });
    xml.texts("MemberClusters", "ClusterId", group.members().map(String::as_str));
    xml.list("NodeGroups", "NodeGroup", &group.shards, |xml, (id, shard)| {
        node_group(xml, app, whole, status, id, shard);
    });
    xml.optional("SnapshottingClusterId", group.snapshotting_cluster.as_deref())
        .text("AutomaticFailover", group.automatic_failover_status(observed))
        .text("MultiAZ", if group.multi_az { "enabled" } else { "disabled" });
    if let Some(template) = template {
        xml.number("SnapshotRetentionLimit", template.snapshot_retention_days)
            .optional("SnapshotWindow", template.snapshot_window.as_deref());
    }
    xml.boolean("ClusterEnabled", false);
    xml.optional("CacheNodeType", template.map(|template| template.node_type.as_str()))
        .boolean("AuthTokenEnabled", auth.is_enabled())
        .optional_time("AuthTokenLastModifiedDate", auth.changed_ms())
        .boolean("TransitEncryptionEnabled", transit.is_enabled())
        .boolean("AtRestEncryptionEnabled", group.at_rest_encryption)
        .empty("MemberClustersOutpostArns")
        .optional("KmsKeyId", group.kms_key.as_deref())
        .text("StorageEncryptionType", group.storage_encryption_type())
        .text("ARN", &caller.arn(SORT, &group.id).to_string())
        .texts("UserGroupIds", "member", group.user_group.as_deref());
    log_delivery::write_of_group(xml, template, &whole.logs);
    xml.time("ReplicationGroupCreateTime", group.created_ms)
        .text("DataTiering", "disabled")
        .boolean(
            "AutoMinorVersionUpgrade",
            template.is_none_or(|template| template.auto_minor_version_upgrade),
        )
        .text("NetworkType", "ipv4")
        .text("IpDiscovery", "ipv4")
        .text("ClusterMode", "disabled");
    xml.optional("Engine", template.map(|template| template.engine.as_str()));
    xml.optional("TransitEncryptionMode", transit.mode());
}

fn pending(xml: &mut Xml, group: &Group, auth: &AuthTokens, observed: Option<&ObservedGroup>) {
    for (id, shard) in &group.shards {
        let taken_up =
            observed.and_then(|observed| observed.shards.get(id)).map_or(0, |shard| shard.promotions);
        if shard.promotions > taken_up {
            xml.optional("PrimaryClusterId", shard.promote.as_deref());
        }
    }
    let Some(observed) = observed.filter(|observed| observed.applied_generation > 0) else { return };
    if observed.automatic_failover != group.automatic_failover {
        xml.text("AutomaticFailoverStatus", if group.automatic_failover { "enabled" } else { "disabled" });
    }
    if observed.applied_generation < group.auth_generation {
        xml.optional("AuthTokenStatus", auth.status());
    }
    if observed.user_group != group.user_group {
        xml.element("UserGroups", |xml| {
            xml.texts("UserGroupIdsToAdd", "member", group.user_group.as_deref());
            xml.texts("UserGroupIdsToRemove", "member", observed.user_group.as_deref());
        });
    }
}

fn node_group(xml: &mut Xml, app: &App, whole: &WholeGroup, status: Status, id: &str, shard: &Shard) {
    let (group, observed) = (&whole.group.value, whole.observed.as_ref());
    let primary = observed.and_then(|observed| observed.primary(id));
    let port = whole.members.first().map_or(0, |member| member.cluster.value.port);
    xml.text("NodeGroupId", id).text("Status", status.as_str());
    let address = |cluster: &str| {
        let member = whole.members.iter().find(|member| member.cluster.value.id == cluster)?;
        app.names.node_address(member.observed.as_ref()?, ONLY_NODE)
    };
    if let Some(primary) = primary.and_then(address) {
        let named = app.names.resolves().then(|| app.names.zone().primary(&group.id, id));
        cache_cluster::endpoint(xml, "PrimaryEndpoint", &named.unwrap_or(primary), port);
    }
    let reader =
        observed.and_then(|observed| observed.read_targets(id).first().and_then(|cluster| address(cluster)));
    if let Some(reader) = reader {
        let named = app.names.resolves().then(|| app.names.zone().reader(&group.id, id));
        cache_cluster::endpoint(xml, "ReaderEndpoint", &named.unwrap_or(reader), port);
    }
    let members = whole.members.iter().filter(|member| shard.members.contains(&member.cluster.value.id));
    xml.list("NodeGroupMembers", "NodeGroupMember", members, |xml, member| {
        let cluster = &member.cluster.value;
        xml.text("CacheClusterId", &cluster.id).text("CacheNodeId", ONLY_NODE);
        if let Some(address) = address(&cluster.id) {
            cache_cluster::endpoint(xml, "ReadEndpoint", &address, cluster.port);
        }
        xml.text("PreferredAvailabilityZone", cluster.preferred_zone());
        if let Some(primary) = primary {
            xml.text("CurrentRole", if cluster.id == primary { "primary" } else { "replica" });
        }
    });
}
