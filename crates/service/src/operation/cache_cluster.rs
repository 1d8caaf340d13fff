//! What the operations on cache clusters share: looking one up, changing its desired record, its form in answers, and
//! the parameters of things that are not built yet.

use std::sync::Arc;

use super::retry::retrying;
use super::{App, Caller, log_delivery};
use crate::front::{ApiError, Xml};
use crate::metric::catalogue;
use crate::resource::cluster::scale::Scale;
use crate::resource::cluster::{Cluster, Engine, Pending, Status, node_status};
use crate::resource::ec2::{SecurityGroup, Vpc};
use crate::resource::engine_version::{self, EngineVersion};
use crate::resource::group::Group;
use crate::resource::log_delivery::{Deliveries, ObservedDeliveries};
use crate::resource::network::Subnet;
use crate::resource::node::Observed;
use crate::resource::node_type::{self, NodeType};
use crate::resource::notification::{self, Topic};
use crate::resource::parameter_group::{DEFAULT_PREFIX, ParameterGroup, maxmemory_bytes};
use crate::resource::refusal::Refusal;
use crate::resource::transit::Transit;
use crate::state::{self, Change, Page, Stored, create, find, find_shared, list_shared, replace};

/// Sort of resource in ARNs.
pub(super) const SORT: &str = "cluster";
/// ElastiCache's page with client libraries.
const LANDING_PAGE: &str = "https://console.aws.amazon.com/elasticache/home#client-download:";

/// The parameter that says what is evicted.
const MAXMEMORY_POLICY: &str = "maxmemory-policy";
/// A sample of a node that is older says nothing about its data.
const SAMPLE_MINUTES: u64 = 5;

/// A cluster with what is observed of it.
pub(super) struct Whole {
    pub(super) desired: Stored<Cluster>,
    pub(super) observed: Option<Observed>,
    /// Deliveries of logs that are in force.
    pub(super) logs: Arc<ObservedDeliveries>,
}

/// The cluster of that name, in any case of letters.
///
/// # Errors
/// `CacheClusterNotFound`.
pub(super) fn find_whole(app: &App, name: &str) -> Result<Whole, ApiError> {
    let id = name.to_ascii_lowercase();
    let desired = find::<Cluster>(app.records.as_ref(), &id)?;
    let desired = desired.ok_or_else(|| not_found(name))?;
    let observed = find::<Observed>(app.records.as_ref(), &id)?.map(|stored| stored.value);
    Ok(Whole { desired, observed, logs: log_delivery::in_force(app, &id) })
}

/// There is no cluster of that name.
pub(super) fn not_found(name: &str) -> ApiError {
    let shown: String = name.chars().take(64).collect();
    ApiError::new("CacheClusterNotFound", format!("CacheCluster not found: {shown}"))
}

/// Changes the desired record of a cluster; tries again when somebody else was faster. `change` may be called more
/// than once. It answers further changes that belong to the same moment. What is observed is what was before: an answer
/// tells of the change, not of what may have come of it since.
pub(super) fn update(
    app: &App,
    name: &str,
    mut change: impl FnMut(&mut Cluster, Option<&Observed>) -> Result<Vec<Change>, ApiError>,
) -> Result<Whole, ApiError> {
    retrying(|| {
        let mut whole = find_whole(app, name)?;
        let mut changes = change(&mut whole.desired.value, whole.observed.as_ref())?;
        changes.push(replace(&whole.desired.value, whole.desired.revision)?);
        app.records.apply(&changes)?;
        Ok(whole)
    })
}

/// Refuses more nodes than an account may have. `others` says which clusters to count.
pub(super) fn check_quota(
    app: &App,
    wanted: usize,
    others: impl Fn(&Cluster) -> bool,
) -> Result<(), ApiError> {
    let all = list_shared::<Cluster>(app.records.as_ref(), Page::default())?;
    let counted = |c: &Cluster| c.nodes.len() + c.pending.add.len();
    let present: usize = all.iter().map(|stored| &*stored.value).filter(|c| others(c)).map(counted).sum();
    let most = app.nodes_max;
    if present + wanted <= most {
        return Ok(());
    }
    let message = format!("Request would exceed the limit of {most} cache nodes for the account.");
    Err(ApiError::new("NodeQuotaForCustomerExceeded", message))
}

/// The engine of a version.
pub(super) fn engine_of(version: &EngineVersion) -> Result<Engine, ApiError> {
    Engine::parse(version.engine).ok_or_else(|| ApiError::internal(&format!("no engine {}", version.engine)))
}

/// The parameter group that a cache of a version uses: the one asked for, or the default of its family. Comes with a
/// change that keeps a group of a user from being deleted at the same moment.
///
/// # Errors
/// `CacheParameterGroupNotFound`, or `InvalidParameterCombination` if it does not fit.
pub(super) fn parameter_group(
    app: &App,
    asked: Option<&str>,
    version: &EngineVersion,
) -> Result<(String, Option<Change>), ApiError> {
    let Some(asked) = asked else { return Ok((version.default_group(), None)) };
    let name = asked.to_ascii_lowercase();
    let (group, hold) = if name.starts_with(DEFAULT_PREFIX) {
        (ParameterGroup::defaults().into_iter().find(|group| group.name == name), None)
    } else {
        match find::<ParameterGroup>(app.records.as_ref(), &name)? {
            Some(Stored { value, revision }) => {
                let hold = replace(&value, revision)?;
                (Some(value), Some(hold))
            }
            None => (None, None),
        }
    };
    let group = group.ok_or_else(|| {
        let shown: String = asked.chars().take(255).collect();
        ApiError::new("CacheParameterGroupNotFound", format!("CacheParameterGroup not found: {shown}"))
    })?;
    if group.family != version.family {
        return Err(ApiError::invalid_combination(format!(
            "Expected a parameter group of family {} but found one of family {}.",
            version.family, group.family
        )));
    }
    if group.is_cluster_mode() {
        return Err(ApiError::invalid_combination(format!(
            "Parameter group {name} has cluster mode on, which a cache of one shard cannot use."
        )));
    }
    Ok((name, hold))
}

/// The version of an engine that a cluster runs.
pub(super) fn version_of(cluster: &Cluster) -> Result<&'static EngineVersion, ApiError> {
    let mut all = engine_version::VERSIONS.iter();
    let found = all.find(|v| v.engine == cluster.engine.as_str() && v.full == cluster.engine_version);
    found.ok_or_else(|| ApiError::internal(&format!("version {} is not known", cluster.engine_version)))
}

/// Subnets of a subnet group, and a change that keeps a group of a user from being deleted at the same moment.
pub(super) fn subnets(app: &App, group_name: &str) -> Result<(Vec<Subnet>, Option<Change>), ApiError> {
    use crate::resource::subnet_group::{DEFAULT_NAME, SubnetGroup};
    let network = super::subnet_group::network(app)?;
    let group = super::subnet_group::find(app, group_name)?;
    let hold = match find::<SubnetGroup>(app.records.as_ref(), &group.name)? {
        Some(stored) if group.name != DEFAULT_NAME => Some(replace(&stored.value, stored.revision)?),
        _ => None,
    };
    Ok((group.subnets(&network).cloned().collect(), hold))
}

/// Security groups must be there, in the VPC of the subnet group.
pub(super) fn check_security_groups(app: &App, ids: &[String], subnet_group: &str) -> Result<(), ApiError> {
    if ids.is_empty() {
        return Ok(());
    }
    let network = super::subnet_group::network(app)?;
    let vpc_id = super::subnet_group::find(app, subnet_group)?.vpc_id;
    for id in ids {
        let shown: String = id.chars().take(64).collect();
        let Some(group) = find_shared::<SecurityGroup>(app.records.as_ref(), id)? else {
            // Its default VPC may have been deleted, and the caches that have it run on.
            if *id == network.default_security_group_id {
                continue;
            }
            return Err(ApiError::invalid_value(format!("The security group '{shown}' does not exist.")));
        };
        if group.value.vpc_id != vpc_id {
            return Err(ApiError::invalid_combination(format!(
                "The security group '{shown}' is not in {vpc_id}, the VPC of the cache subnet group {subnet_group}."
            )));
        }
    }
    Ok(())
}

/// The security group of a cache that names none: the default one of the VPC that its subnet group lies in.
pub(super) fn default_security_group(app: &App, subnet_group: &str) -> Result<String, ApiError> {
    let vpc_id = super::subnet_group::find(app, subnet_group)?.vpc_id;
    let vpc = find_shared::<Vpc>(app.records.as_ref(), &vpc_id)?;
    match vpc {
        Some(vpc) => Ok(vpc.value.default_group_id.clone()),
        None => Ok(super::subnet_group::network(app)?.default_security_group_id),
    }
}

/// The node type must be there and be offered for the engine.
pub(super) fn check_node_type(name: &str, engine: Engine) -> Result<(), ApiError> {
    let found = node_type::find(name);
    let shown: String = name.chars().take(64).collect();
    match found {
        None => Err(ApiError::invalid_value(format!("Invalid CacheNodeType: {shown}."))),
        Some(node_type) if !node_type.offers(engine.as_str()) => Err(ApiError::invalid_combination(format!(
            "CacheNodeType {shown} is not available for {}.",
            engine.as_str()
        ))),
        Some(node_type) if node_type.ssd_bytes.is_some() => Err(ApiError::invalid_combination(format!(
            "CacheNodeType {shown} needs DataTieringEnabled, which is not available in this version of the service."
        ))),
        Some(_) => Ok(()),
    }
}

/// The data of a cluster that must find room in whatever node type it changes to.
pub(super) struct Load {
    group: ParameterGroup,
    used_bytes: u64,
}

impl Load {
    /// By the newest samples of its nodes. A cache in which every key may be evicted fits everywhere: what is too much
    /// gives way.
    pub(super) fn of(app: &App, cluster: &Cluster) -> Result<Load, ApiError> {
        let group = super::parameter_group::find(app, &cluster.parameter_group)?;
        let policy = group.parameters().find(|parameter| parameter.name == MAXMEMORY_POLICY);
        let policy = policy.and_then(|policy| group.value(policy)).unwrap_or_default();
        // Nodes of memcached are replaced by empty ones.
        let moves_nothing = cluster.engine == Engine::Memcached || policy.starts_with("allkeys-");
        let used_bytes = if moves_nothing { 0 } else { used_bytes(app, cluster)? };
        Ok(Load { group, used_bytes })
    }

    /// Whether a node type has the room.
    pub(super) fn fits(&self, node_type: &NodeType) -> bool {
        self.used_bytes <= maxmemory_bytes(&self.group, node_type)
    }
}

/// Refuses a node type into which the data of a cluster do not fit.
pub(super) fn check_room(app: &App, cluster: &Cluster, name: &str) -> Result<(), ApiError> {
    let load = Load::of(app, cluster)?;
    if node_type::find(name).is_none_or(|node_type| load.fits(node_type)) {
        return Ok(());
    }
    Err(ApiError::invalid_combination(format!(
        "The data of cache cluster {} ({} bytes) do not fit into the node type {name}.",
        cluster.id, load.used_bytes
    )))
}

/// What the data of the fullest node took when it was last asked; nothing if that is long ago.
fn used_bytes(app: &App, cluster: &Cluster) -> Result<u64, ApiError> {
    let from = (app.now_ms() / 60_000).saturating_sub(SAMPLE_MINUTES);
    let number = catalogue::find("BytesUsedForCache").map(|(number, _)| number);
    let mut most = 0.0_f64;
    for node in cluster.nodes.keys() {
        let row = app.metrics.newest(&format!("{}/{node}", cluster.id), from)?;
        most = row
            .iter()
            .filter(|(metric, _)| Some(*metric) == number)
            .fold(most, |most, (_, value)| most.max(*value));
    }
    Ok(most as u64)
}

/// Refuses a parameter whose feature is not built, if the caller gave it.
pub(super) fn not_available(parameter: &str, given: bool) -> Result<(), Refusal> {
    if !given {
        return Ok(());
    }
    Err(Refusal::combination(format!(
        "The parameter {parameter} is not available in this version of the service."
    )))
}

/// Publishes the events of a cache elsewhere from now on, or no more, if the caller asked for that. Whether it did.
pub(super) fn change_topic(
    app: &App,
    caller: &Caller,
    topic: &mut Option<Topic>,
    arn: Option<&str>,
    status: Option<&str>,
) -> Result<bool, Refusal> {
    if arn.is_none() && status.is_none() {
        return Ok(false);
    }
    if app.notifications.is_none() {
        let parameter = if arn.is_some() { "NotificationTopicArn" } else { "NotificationTopicStatus" };
        return Err(Refusal::combination(format!(
            "The parameter {parameter} is not available: the service was started without --sns-endpoint."
        )));
    }
    notification::change(topic, arn, status, &app.region, &caller.account)?;
    Ok(true)
}

/// Refuses cache security groups as ElastiCache does in a VPC.
pub(super) fn no_cache_security_groups(names: &[String]) -> Result<(), Refusal> {
    if names.is_empty() {
        return Ok(());
    }
    Err(Refusal::combination(
        "Use of cache security groups is not permitted in this API version for your account.",
    ))
}

/// Only IPv4 is there.
pub(super) fn only_ipv4(parameter: &str, value: Option<&str>) -> Result<(), Refusal> {
    match value {
        None | Some("ipv4") => Ok(()),
        Some("ipv6" | "dual_stack") => {
            Err(Refusal::combination(format!("{parameter} other than ipv4 is not available in the subnets.")))
        }
        Some(other) => {
            let shown: String = other.chars().take(32).collect();
            Err(Refusal::value(format!("Invalid {parameter}: {shown}.")))
        }
    }
}

/// What is observed of a cluster, as an answer tells it.
pub(super) struct Seen<'a> {
    pub(super) observed: Option<&'a Observed>,
    pub(super) logs: &'a ObservedDeliveries,
}

/// Writes the members of a cluster.
pub(super) fn write(
    xml: &mut Xml,
    app: &App,
    caller: &Caller,
    cluster: &Cluster,
    seen: &Seen<'_>,
    show_nodes: bool,
) {
    let observed = seen.observed;
    let (status, is_member) = (cluster.status(observed), cluster.group.is_some());
    let node_type = cluster.scaling(observed).map_or(cluster.node_type.as_str(), |(now, _)| now);
    xml.text("CacheClusterId", &cluster.id);
    if cluster.engine == Engine::Memcached {
        let address = observed.and_then(|observed| app.names.configuration_address(observed));
        if let Some(address) = address {
            endpoint(xml, "ConfigurationEndpoint", &address, cluster.port);
        }
    }
    xml.text("ClientDownloadLandingPage", LANDING_PAGE)
        .text("CacheNodeType", node_type)
        .text("Engine", cluster.engine.as_str())
        .text("EngineVersion", &cluster.engine_version)
        .text("CacheClusterStatus", status.as_str())
        .number("NumCacheNodes", cluster.nodes.len())
        .text("PreferredAvailabilityZone", cluster.preferred_zone())
        .time("CacheClusterCreateTime", cluster.created_ms)
        .text("PreferredMaintenanceWindow", &cluster.maintenance_window)
        .element("PendingModifiedValues", |xml| {
            pending(xml, cluster, observed);
            if !is_member {
                log_delivery::write_pending(xml, cluster, seen.logs);
            }
        });
    if let Some(topic) = &cluster.topic {
        xml.element("NotificationConfiguration", |xml| {
            xml.text("TopicArn", &topic.arn).text("TopicStatus", topic.status());
        });
    }
    xml.empty("CacheSecurityGroups")
        .element("CacheParameterGroup", |xml| {
            xml.text("CacheParameterGroupName", &cluster.parameter_group)
                .text("ParameterApplyStatus", cluster.parameter_apply_status(observed));
            let ids = observed.map(|observed| cluster.nodes_to_reboot(observed)).unwrap_or_default();
            ids_list(xml, "CacheNodeIdsToReboot", &ids);
        })
        .text("CacheSubnetGroupName", &cluster.subnet_group);
    if show_nodes && !matches!(status, Status::Creating | Status::Deleting) {
        nodes(xml, app, cluster, observed);
    }
    xml.boolean("AutoMinorVersionUpgrade", cluster.auto_minor_version_upgrade).list(
        "SecurityGroups",
        "member",
        &cluster.security_group_ids,
        |xml, id| {
            xml.text("SecurityGroupId", id).text("Status", "active");
        },
    );
    if cluster.engine != Engine::Memcached {
        xml.number("SnapshotRetentionLimit", cluster.snapshot_retention_days);
        xml.optional("SnapshotWindow", cluster.snapshot_window.as_deref());
    }
    xml.boolean("AuthTokenEnabled", cluster.auth.is_enabled())
        .optional_time("AuthTokenLastModifiedDate", cluster.auth.changed_ms())
        .boolean("TransitEncryptionEnabled", cluster.transit.is_enabled())
        .boolean("AtRestEncryptionEnabled", is_encrypted_at_rest(app, cluster))
        .text("ARN", &caller.arn(SORT, &cluster.id).to_string())
        .boolean("ReplicationGroupLogDeliveryEnabled", is_member && !cluster.log_delivery.is_empty());
    // What the group has stands in the group's answer.
    let nothing = Deliveries::new();
    log_delivery::write(xml, cluster, if is_member { &nothing } else { &cluster.log_delivery }, seen.logs);
    xml.text("NetworkType", "ipv4").text("IpDiscovery", "ipv4");
    xml.optional("ReplicationGroupId", cluster.group.as_deref());
    xml.optional("TransitEncryptionMode", cluster.transit.mode());
}

/// A member reports what its group reports: Terraform reads it there. A cluster in no group never has it.
fn is_encrypted_at_rest(app: &App, cluster: &Cluster) -> bool {
    let group =
        cluster.group.as_deref().and_then(|id| find_shared::<Group>(app.records.as_ref(), id).ok().flatten());
    group.is_some_and(|group| group.value.at_rest_encryption)
}

/// The answer with one cluster, as all operations that change one give it.
pub(super) fn answer(app: &App, caller: &Caller, whole: &Whole) -> Xml {
    let seen = Seen { observed: whole.observed.as_ref(), logs: &whole.logs };
    let mut xml = Xml::new();
    xml.element("CacheCluster", |xml| write(xml, app, caller, &whole.desired.value, &seen, false));
    xml
}

/// The answer with a cluster that was made just now, of which nothing is observed.
pub(super) fn answer_new(app: &App, caller: &Caller, cluster: &Cluster) -> Xml {
    let logs = ObservedDeliveries::default();
    let mut xml = Xml::new();
    let seen = Seen { observed: None, logs: &logs };
    xml.element("CacheCluster", |xml| write(xml, app, caller, cluster, &seen, false));
    xml
}

pub(super) fn endpoint(xml: &mut Xml, name: &str, address: &str, port: u16) {
    xml.element(name, |xml| {
        xml.text("Address", address).number("Port", port);
    });
}

fn pending(xml: &mut Xml, cluster: &Cluster, observed: Option<&Observed>) {
    let Pending { add, remove, node_type, scale, engine, transit } = &cluster.pending;
    let under_way = cluster.scaling(observed).map(|(_, scale)| (&cluster.node_type, scale));
    let (node_type, scale) = match under_way {
        Some((node_type, scale)) => (Some(node_type), Some(scale)),
        None => (node_type.as_ref(), *scale),
    };
    if !add.is_empty() || !remove.is_empty() {
        xml.number("NumCacheNodes", cluster.nodes.len() + add.len() - remove.len());
        let ids: Vec<&str> = remove.iter().map(String::as_str).collect();
        ids_list(xml, "CacheNodeIdsToRemove", &ids);
    }
    xml.optional("EngineVersion", engine.as_ref().map(|change| change.version.as_str()));
    xml.optional("CacheNodeType", node_type.map(String::as_str));
    xml.optional("AuthTokenStatus", cluster.auth_status(observed));
    pending_transit(xml, *transit);
    if let Some(Scale { percentage, interval_minutes }) = scale {
        xml.element("ScaleConfig", |xml| {
            xml.number("ScalePercentage", percentage).number("ScaleIntervalMinutes", interval_minutes);
        });
    }
}

/// Writes a mode of encryption in transit that waits for the maintenance window.
pub(super) fn pending_transit(xml: &mut Xml, transit: Option<Transit>) {
    if let Some(transit) = transit {
        xml.boolean("TransitEncryptionEnabled", transit.is_enabled());
        xml.optional("TransitEncryptionMode", transit.mode());
    }
}

fn ids_list(xml: &mut Xml, name: &str, ids: &[&str]) {
    if ids.is_empty() {
        xml.empty(name);
        return;
    }
    xml.element(name, |xml| {
        for id in ids {
            xml.text("CacheNodeId", id);
        }
    });
}

fn nodes(xml: &mut Xml, app: &App, cluster: &Cluster, observed: Option<&Observed>) {
    let Some(observed) = observed else { return };
    xml.list("CacheNodes", "CacheNode", &observed.nodes, |xml, (id, node)| {
        xml.text("CacheNodeId", id)
            .text("CacheNodeStatus", node_status(node.phase))
            .time("CacheNodeCreateTime", node.created_ms);
        if let Some(address) = app.names.node_address(observed, id) {
            endpoint(xml, "Endpoint", &address, node.port);
        }
        let waits = node.pending_reboot;
        xml.text("ParameterGroupStatus", if waits { "pending-reboot" } else { "in-sync" })
            .text("CustomerAvailabilityZone", &node.zone);
    });
    debug_assert_eq!(cluster.id, observed.id);
}

/// Makes the record of a new cluster together with its tags.
pub(super) fn store_new(
    app: &App,
    cluster: &Cluster,
    tags: &crate::resource::tag::TagSet,
    holds: Vec<Change>,
) -> Result<(), ApiError> {
    let mut changes = holds;
    changes.push(create(cluster)?);
    changes.push(create(tags)?);
    match app.records.apply(&changes) {
        Err(state::StateError::Conflict { kind, .. }) if kind == <Cluster as state::Resource>::KIND => Err(
            ApiError::new("CacheClusterAlreadyExists", format!("CacheCluster {} already exists", cluster.id)),
        ),
        other => Ok(other.map(drop)?),
    }
}
