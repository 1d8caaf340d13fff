//! The rules of ModifyCacheCluster and RebootCacheCluster: what may change, at once or in the maintenance window.

use super::create::{
    check_zones, cross_zone, no_memcached_snapshots, node_count, retention, wanted_node, zone_names,
};
use super::scale::Scale;
use super::{Changing, Cluster, Engine, EngineChange, Pending, Status, WantedNode};
use crate::resource::network::Subnet;
use crate::resource::node::Observed;
use crate::resource::refusal::Refusal;
use crate::resource::window::{Daily, Weekly, check_apart};

/// The first version of memcached whose node type can be changed.
const SCALABLE_MEMCACHED: [u32; 2] = [1, 5];

/// A request as it came, with names already looked up.
#[derive(Debug, Clone, Default)]
pub struct ModifyRequest {
    /// NumCacheNodes.
    pub node_count: Option<i64>,
    /// CacheNodeIdsToRemove.
    pub remove: Vec<String>,
    /// AZMode.
    pub az_mode: Option<String>,
    /// NewAvailabilityZones.
    pub new_zones: Vec<String>,
    /// SecurityGroupIds; none leaves them as they are.
    pub security_group_ids: Option<Vec<String>>,
    /// PreferredMaintenanceWindow.
    pub maintenance_window: Option<String>,
    /// SnapshotWindow.
    pub snapshot_window: Option<String>,
    /// SnapshotRetentionLimit.
    pub snapshot_retention_days: Option<i64>,
    /// CacheParameterGroupName, known and of the right family.
    pub parameter_group: Option<String>,
    /// Engine, EngineVersion and the parameter group for it, known and fitting together.
    pub engine: Option<EngineChange>,
    /// CacheNodeType, known.
    pub node_type: Option<String>,
    /// ScaleConfig.
    pub scale: Option<Scale>,
    /// AutoMinorVersionUpgrade.
    pub auto_minor_version_upgrade: Option<bool>,
    /// ApplyImmediately.
    pub apply_immediately: bool,
}

/// Changes the cluster as asked, or says why not (the cluster may then be half changed: throw it away).
pub fn modify(
    cluster: &mut Cluster,
    observed: Option<&Observed>,
    request: ModifyRequest,
    subnets: &[Subnet],
) -> Result<(), Refusal> {
    check_available(cluster, observed)?;
    settings(cluster, &request)?;
    parameter_group(cluster, &request);
    let mut pending = std::mem::take(&mut cluster.pending);
    nodes(cluster, &mut pending, &request, subnets)?;
    node_type(cluster, &mut pending, &request)?;
    engine(cluster, &mut pending, &request)?;
    cluster.pending = pending;
    if request.apply_immediately {
        cluster.apply_pending();
    }
    Ok(())
}

/// Wants nodes started anew, as RebootCacheCluster asks.
pub fn reboot(cluster: &mut Cluster, observed: Option<&Observed>, ids: &[String]) -> Result<(), Refusal> {
    check_available(cluster, observed)?;
    if ids.is_empty() {
        return Err(Refusal::new(
            "MissingParameter",
            "The request must contain the parameter CacheNodeIdsToReboot.",
        ));
    }
    if let Some(unknown) = ids.iter().find(|id| !cluster.nodes.contains_key(*id)) {
        return Err(Refusal::value(format!(
            "Cache node {unknown} is not part of cache cluster {}.",
            cluster.id
        )));
    }
    let mut ids = ids.to_vec();
    ids.sort();
    ids.dedup();
    cluster.reboot(&ids);
    Ok(())
}

/// Wants the cluster gone, as DeleteCacheCluster asks.
pub fn delete(cluster: &mut Cluster, observed: Option<&Observed>) -> Result<(), Refusal> {
    if cluster.deleting || cluster.status(observed) == Status::Snapshotting {
        return Err(not_available(cluster));
    }
    cluster.delete();
    Ok(())
}

fn check_available(cluster: &Cluster, observed: Option<&Observed>) -> Result<(), Refusal> {
    if cluster.status(observed) == Status::Available {
        return Ok(());
    }
    Err(not_available(cluster))
}

fn not_available(cluster: &Cluster) -> Refusal {
    Refusal::cluster_state(format!("Cache cluster {} is not in available state.", cluster.id))
}

/// What applies at once, whatever ApplyImmediately says, and no node needs to know.
fn settings(cluster: &mut Cluster, request: &ModifyRequest) -> Result<(), Refusal> {
    if let Some(text) = &request.maintenance_window {
        cluster.maintenance_window = Weekly::parse(text)?.text();
    }
    if let Some(text) = &request.snapshot_window {
        if cluster.engine == Engine::Memcached {
            return Err(no_memcached_snapshots());
        }
        cluster.snapshot_window = Some(Daily::parse(text)?.text());
    }
    if let Some(daily) = &cluster.snapshot_window {
        check_apart(Weekly::parse(&cluster.maintenance_window)?, Daily::parse(daily)?)?;
    }
    if request.snapshot_retention_days.is_some() {
        cluster.snapshot_retention_days = retention(request.snapshot_retention_days, cluster.engine)?;
    }
    if let Some(groups) = &request.security_group_ids {
        cluster.security_group_ids.clone_from(groups);
    }
    if let Some(auto) = request.auto_minor_version_upgrade {
        cluster.auto_minor_version_upgrade = auto;
    }
    Ok(())
}

fn parameter_group(cluster: &mut Cluster, request: &ModifyRequest) {
    if let Some(name) = &request.parameter_group
        && *name != cluster.parameter_group
    {
        cluster.parameter_group.clone_from(name);
        cluster.changed(Changing::Modify);
    }
}

fn nodes(
    cluster: &Cluster,
    pending: &mut Pending,
    request: &ModifyRequest,
    subnets: &[Subnet],
) -> Result<(), Refusal> {
    let Some(asked) = request.node_count else {
        if request.remove.is_empty() && request.new_zones.is_empty() && request.az_mode.is_none() {
            return Ok(());
        }
        return Err(Refusal::combination(
            "AZMode, CacheNodeIdsToRemove and NewAvailabilityZones need NumCacheNodes.",
        ));
    };
    let (count, now) = (node_count(Some(asked), cluster.engine)?, cluster.nodes.len());
    if count <= now && !request.new_zones.is_empty() {
        return Err(Refusal::combination(
            "NewAvailabilityZones can only be specified when adding cache nodes.",
        ));
    }
    if count >= now && !request.remove.is_empty() {
        return Err(Refusal::combination(
            "CacheNodeIdsToRemove can only be specified when NumCacheNodes is less than the number of cache nodes.",
        ));
    }
    if count > now && !request.apply_immediately && count - now < pending.add.len() {
        return Err(Refusal::combination(
            "A pending request to add cache nodes cannot be replaced by one that adds fewer.",
        ));
    }
    // What waited before is replaced; the same number as now cancels it.
    pending.add = added(cluster, count.saturating_sub(now), request, subnets)?;
    pending.remove = removed(cluster, now.saturating_sub(count), &request.remove)?;
    Ok(())
}

fn removed(cluster: &Cluster, count: usize, asked: &[String]) -> Result<Vec<String>, Refusal> {
    if asked.is_empty() {
        return Ok(cluster.nodes.keys().rev().take(count).cloned().collect());
    }
    if let Some(unknown) = asked.iter().find(|id| !cluster.nodes.contains_key(*id)) {
        return Err(Refusal::value(format!(
            "Cache node {unknown} is not part of cache cluster {}.",
            cluster.id
        )));
    }
    let mut ids = asked.to_vec();
    ids.sort();
    ids.dedup();
    if ids.len() != count {
        return Err(Refusal::combination(
            "The number of CacheNodeIdsToRemove must be the difference between the present number of cache nodes \
             and NumCacheNodes.",
        ));
    }
    Ok(ids)
}

fn added(
    cluster: &Cluster,
    count: usize,
    request: &ModifyRequest,
    subnets: &[Subnet],
) -> Result<Vec<WantedNode>, Refusal> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let known = zone_names(subnets);
    let zones = if request.new_zones.is_empty() {
        let is_spread = cluster.preferred_zone() == "Multiple";
        let cross = cross_zone(request.az_mode.as_deref(), cluster.nodes.len() + count)?.unwrap_or(is_spread);
        default_new_zones(cluster, &known, cross, count)
    } else {
        request.new_zones.clone()
    };
    if zones.len() != count {
        return Err(Refusal::combination(
            "The number of NewAvailabilityZones must be equal to the number of cache nodes to add.",
        ));
    }
    check_zones(&zones, &known)?;
    let first_turn = cluster.nodes.len();
    zones.iter().enumerate().map(|(n, zone)| wanted_node(zone, subnets, first_turn + n)).collect()
}

/// Zones for more nodes: the one zone there is, or always the one with the fewest nodes.
fn default_new_zones(cluster: &Cluster, known: &[&str], cross: bool, count: usize) -> Vec<String> {
    let mut zones: Vec<String> = cluster.nodes.values().map(|node| node.zone.clone()).collect();
    let present = zones.len();
    for _ in 0..count {
        let fewest = known.iter().min_by_key(|zone| zones.iter().filter(|z| z == *zone).count());
        let next = if cross { fewest.map(|zone| (*zone).to_owned()) } else { zones.first().cloned() };
        zones.extend(next);
    }
    zones.split_off(present)
}

fn node_type(cluster: &Cluster, pending: &mut Pending, request: &ModifyRequest) -> Result<(), Refusal> {
    let is_memcached = cluster.engine == Engine::Memcached;
    if request.scale.is_some() {
        if !is_memcached {
            return Err(Refusal::combination("ScaleConfig can only be specified for a memcached cluster."));
        }
        if request.node_type.is_none() {
            return Err(Refusal::combination(
                "ScaleConfig can only be specified together with CacheNodeType.",
            ));
        }
        if !request.apply_immediately {
            return Err(Refusal::combination("ApplyImmediately must be true: ScaleConfig cannot wait."));
        }
    }
    let Some(node_type) = &request.node_type else { return Ok(()) };
    let is_other = *node_type != cluster.node_type;
    if is_memcached && is_other && numbers(&cluster.engine_version).as_slice() < SCALABLE_MEMCACHED.as_slice()
    {
        return Err(Refusal::combination(
            "The node type of a memcached cluster can be changed from engine version 1.5 on.",
        ));
    }
    pending.node_type = is_other.then(|| node_type.clone());
    pending.scale = (is_memcached && is_other).then(|| request.scale.unwrap_or_default());
    Ok(())
}

fn engine(cluster: &Cluster, pending: &mut Pending, request: &ModifyRequest) -> Result<(), Refusal> {
    let Some(change) = &request.engine else { return Ok(()) };
    let redis_to_valkey = cluster.engine == Engine::Redis && change.engine == Engine::Valkey;
    if change.engine != cluster.engine && !redis_to_valkey {
        return Err(Refusal::combination(format!(
            "The engine cannot be changed from {} to {}.",
            cluster.engine.as_str(),
            change.engine.as_str()
        )));
    }
    if cluster.engine == change.engine && numbers(&change.version) < numbers(&cluster.engine_version) {
        return Err(Refusal::combination(format!(
            "The engine version cannot be downgraded from {} to {}.",
            cluster.engine_version, change.version
        )));
    }
    let is_other = change.engine != cluster.engine || change.version != cluster.engine_version;
    pending.engine = is_other.then(|| change.clone());
    Ok(())
}

/// The numbers of a version, for comparing.
fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}
