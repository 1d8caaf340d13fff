//! The rules of CreateCacheCluster: from a request and what was looked up for it to a cluster that should be.

use std::collections::BTreeMap;

use super::{Changing, Cluster, Engine, MEMCACHED_NODES_MAX, Pending, WantedNode, node_id};
use crate::resource::auth_token::AuthTokens;
use crate::resource::network::Subnet;
use crate::resource::refusal::Refusal;
use crate::resource::transit;
use crate::resource::window::{Daily, Weekly, check_apart, default_daily, default_weekly};

/// Most days that automatic snapshots can be kept.
const RETENTION_DAYS_MAX: i64 = 35;
/// Longest cluster id.
const ID_BYTES_MAX: usize = 50;

/// A request as it came, before anything is looked up.
#[derive(Debug, Clone, Default)]
pub struct CreateRequest {
    /// CacheClusterId.
    pub id: String,
    /// AZMode.
    pub az_mode: Option<String>,
    /// PreferredAvailabilityZone.
    pub zone: Option<String>,
    /// PreferredAvailabilityZones.
    pub zones: Vec<String>,
    /// NumCacheNodes.
    pub node_count: Option<i64>,
    /// Port.
    pub port: Option<i64>,
    /// SecurityGroupIds.
    pub security_group_ids: Vec<String>,
    /// PreferredMaintenanceWindow.
    pub maintenance_window: Option<String>,
    /// SnapshotWindow.
    pub snapshot_window: Option<String>,
    /// SnapshotRetentionLimit.
    pub snapshot_retention_days: Option<i64>,
    /// AutoMinorVersionUpgrade.
    pub auto_minor_version_upgrade: Option<bool>,
    /// TransitEncryptionEnabled.
    pub transit_enabled: Option<bool>,
    /// TransitEncryptionMode.
    pub transit_mode: Option<String>,
}

/// What was looked up for a request.
#[derive(Debug, Clone)]
pub struct Chosen<'a> {
    /// Region of the service.
    pub region: &'a str,
    /// Engine.
    pub engine: Engine,
    /// Full version of the engine.
    pub engine_version: &'a str,
    /// Node type.
    pub node_type: &'a str,
    /// Parameter group of the engine's family.
    pub parameter_group: &'a str,
    /// Subnet group.
    pub subnet_group: &'a str,
    /// Subnets of the group.
    pub subnets: &'a [Subnet],
    /// Security group for requests without one.
    pub default_security_group_id: &'a str,
    /// Unix milliseconds.
    pub now_ms: u64,
}

/// The cluster that is asked for, or why there cannot be one. `random(n)` answers a number below n.
pub fn create(
    request: &CreateRequest,
    chosen: &Chosen<'_>,
    random: &mut dyn FnMut(u32) -> u32,
) -> Result<Cluster, Refusal> {
    let count = node_count(request.node_count, chosen.engine)?;
    let zones = zones(request, chosen, count)?;
    let (weekly, daily) = windows(request, chosen, random)?;
    Ok(Cluster {
        id: identifier(&request.id)?,
        generation: 1,
        changing: Changing::Create,
        deleting: false,
        created_ms: chosen.now_ms,
        engine: chosen.engine,
        engine_version: chosen.engine_version.to_owned(),
        node_type: chosen.node_type.to_owned(),
        port: port(request.port, chosen.engine)?,
        nodes: wanted_nodes(&zones, chosen.subnets)?,
        parameter_group: chosen.parameter_group.to_owned(),
        subnet_group: chosen.subnet_group.to_owned(),
        security_group_ids: security_groups(request, chosen),
        maintenance_window: weekly.text(),
        snapshot_window: daily.map(Daily::text),
        snapshot_retention_days: retention(request.snapshot_retention_days, chosen.engine)?,
        auto_minor_version_upgrade: request.auto_minor_version_upgrade.unwrap_or(true),
        pending: Pending::default(),
        group: None,
        seed: None,
        snapshots: 0,
        final_snapshot: None,
        transit: transit::of_new(
            chosen.engine,
            chosen.engine_version,
            request.transit_enabled,
            request.transit_mode.as_deref(),
        )?,
        auth: AuthTokens::default(),
        auth_generation: 0,
        log_delivery: Default::default(),
        scale: None,
        topic: None,
    })
}

/// A cluster identifier in its stored form (lower case).
pub fn identifier(text: &str) -> Result<String, Refusal> {
    let bytes = text.as_bytes();
    let fits = (1..=ID_BYTES_MAX).contains(&bytes.len())
        && bytes[0].is_ascii_alphabetic()
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
        && !text.contains("--")
        && !text.ends_with('-');
    if fits {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Refusal::value(
        "The parameter CacheClusterIdentifier is not a valid identifier. Identifiers must begin with a letter; \
         must contain only ASCII letters, digits, and hyphens; and must not end with a hyphen or contain two \
         consecutive hyphens.",
    ))
}

/// The number of nodes, which redis and valkey do not let one choose.
pub(super) fn node_count(asked: Option<i64>, engine: Engine) -> Result<usize, Refusal> {
    let count = asked.unwrap_or(1);
    if engine != Engine::Memcached {
        if count == 1 {
            return Ok(1);
        }
        let name = if engine == Engine::Redis { "Redis" } else { "Valkey" };
        return Err(Refusal::value(format!(
            "Cannot create a {name} cluster with a NumCacheNodes parameter other than 1."
        )));
    }
    match usize::try_from(count) {
        Ok(count @ 1..=MEMCACHED_NODES_MAX) => Ok(count),
        Ok(0) | Err(_) => {
            Err(Refusal::value(format!("Invalid value for NumCacheNodes: {count}. It must be at least 1.")))
        }
        Ok(_) => Err(Refusal::new(
            "NodeQuotaForClusterExceeded",
            format!("Request would exceed the limit of {MEMCACHED_NODES_MAX} cache nodes for one cluster."),
        )),
    }
}

fn port(asked: Option<i64>, engine: Engine) -> Result<u16, Refusal> {
    let Some(asked) = asked else { return Ok(engine.default_port()) };
    match u16::try_from(asked) {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(Refusal::value(format!("Invalid port: {asked}. Valid ports are 1 to 65535."))),
    }
}

pub(super) fn retention(asked: Option<i64>, engine: Engine) -> Result<u8, Refusal> {
    let days = asked.unwrap_or(0);
    if !(0..=RETENTION_DAYS_MAX).contains(&days) {
        return Err(Refusal::value(format!(
            "Invalid SnapshotRetentionLimit: {days}. It must be between 0 and {RETENTION_DAYS_MAX}."
        )));
    }
    if days > 0 && engine == Engine::Memcached {
        return Err(no_memcached_snapshots());
    }
    u8::try_from(days).map_err(|_| Refusal::value("Invalid SnapshotRetentionLimit."))
}

pub(super) fn no_memcached_snapshots() -> Refusal {
    Refusal::combination("Snapshots are not supported for memcached clusters.")
}

fn windows(
    request: &CreateRequest,
    chosen: &Chosen<'_>,
    random: &mut dyn FnMut(u32) -> u32,
) -> Result<(Weekly, Option<Daily>), Refusal> {
    let daily = request.snapshot_window.as_deref().map(Daily::parse).transpose()?;
    if chosen.engine == Engine::Memcached && daily.is_some() {
        return Err(no_memcached_snapshots());
    }
    let weekly = match request.maintenance_window.as_deref() {
        Some(text) => Weekly::parse(text)?,
        None => default_weekly_apart(chosen.region, daily, random),
    };
    if let Some(daily) = daily {
        check_apart(weekly, daily)?;
    }
    let default = || default_daily(chosen.region, weekly, random);
    let daily = (chosen.engine != Engine::Memcached).then(|| daily.unwrap_or_else(default));
    Ok((weekly, daily))
}

fn default_weekly_apart(region: &str, daily: Option<Daily>, random: &mut dyn FnMut(u32) -> u32) -> Weekly {
    let mut weekly = default_weekly(region, random);
    // A snapshot window of nearly a whole day may leave no room; the check after this then says so.
    for _ in 0..100 {
        if daily.is_none_or(|daily| check_apart(weekly, daily).is_ok()) {
            break;
        }
        weekly = default_weekly(region, random);
    }
    weekly
}

fn security_groups(request: &CreateRequest, chosen: &Chosen<'_>) -> Vec<String> {
    if request.security_group_ids.is_empty() {
        return vec![chosen.default_security_group_id.to_owned()];
    }
    request.security_group_ids.clone()
}

fn zones(request: &CreateRequest, chosen: &Chosen<'_>, count: usize) -> Result<Vec<String>, Refusal> {
    let cross = cross_zone(request.az_mode.as_deref(), count)?;
    let known = zone_names(chosen.subnets);
    if request.zone.is_some() && !request.zones.is_empty() {
        return Err(Refusal::combination(
            "PreferredAvailabilityZone and PreferredAvailabilityZones cannot both be specified.",
        ));
    }
    let zones = if !request.zones.is_empty() {
        if request.zones.len() != count {
            return Err(Refusal::combination(
                "The number of PreferredAvailabilityZones must be equal to the number of cache nodes.",
            ));
        }
        request.zones.clone()
    } else {
        default_zones(request.zone.as_deref(), &known, cross == Some(true), count)
    };
    check_zones(&zones, &known)?;
    let spread = zones.iter().any(|zone| *zone != zones[0]);
    match cross {
        Some(false) if spread => {
            Err(Refusal::combination("Multiple availability zones were specified with AZMode single-az."))
        }
        Some(true) if !spread => {
            Err(Refusal::combination("AZMode cross-az needs nodes in at least two availability zones."))
        }
        _ => Ok(zones),
    }
}

/// Without zones in the request: all nodes in one zone, or turn by turn in all of them.
fn default_zones(first: Option<&str>, known: &[&str], cross: bool, count: usize) -> Vec<String> {
    let first = first.or(known.first().copied()).unwrap_or_default();
    if !cross {
        return vec![first.to_owned(); count];
    }
    let at = known.iter().position(|zone| *zone == first).unwrap_or(0);
    (0..count).filter_map(|n| known.get((at + n) % known.len()).map(|zone| (*zone).to_owned())).collect()
}

/// Names of the zones that subnets lie in, each once, in the order of the subnets.
pub(crate) fn zone_names(subnets: &[Subnet]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for subnet in subnets {
        if !names.contains(&subnet.zone.as_str()) {
            names.push(&subnet.zone);
        }
    }
    names
}

/// Whether nodes shall be spread over zones; none if the request leaves it open.
pub(super) fn cross_zone(az_mode: Option<&str>, count: usize) -> Result<Option<bool>, Refusal> {
    match az_mode {
        None => Ok(None),
        Some("single-az") => Ok(Some(false)),
        Some("cross-az") if count > 1 => Ok(Some(true)),
        Some("cross-az") => Err(Refusal::combination(
            "AZMode cross-az is only supported for Memcached clusters with more than one cache node.",
        )),
        Some(other) => {
            Err(Refusal::value(format!("Invalid AZMode: {other}. Valid values are single-az and cross-az.")))
        }
    }
}

pub(crate) fn check_zones(zones: &[String], known: &[&str]) -> Result<(), Refusal> {
    match zones.iter().find(|zone| !known.contains(&zone.as_str())) {
        None => Ok(()),
        Some(zone) => Err(Refusal::value(format!(
            "{zone} is not a valid availability zone for the subnet group; it has subnets in: {}.",
            known.join(", ")
        ))),
    }
}

fn wanted_nodes(zones: &[String], subnets: &[Subnet]) -> Result<BTreeMap<String, WantedNode>, Refusal> {
    let nodes = zones.iter().enumerate();
    nodes.map(|(index, zone)| Ok((node_id(index + 1), wanted_node(zone, subnets, index)?))).collect()
}

impl Cluster {
    /// Another member for this one's group: the same but for its name and its zone. `turn` picks among several subnets
    /// of the zone.
    ///
    /// # Errors
    /// If the subnet group has no subnet in the zone.
    pub fn sibling(
        &self,
        id: &str,
        zone: &str,
        subnets: &[Subnet],
        turn: usize,
        now_ms: u64,
    ) -> Result<Cluster, Refusal> {
        let node = wanted_node(zone, subnets, turn)?;
        Ok(Cluster {
            id: id.to_owned(),
            generation: 1,
            changing: Changing::Create,
            deleting: false,
            created_ms: now_ms,
            nodes: BTreeMap::from([(node_id(1), node)]),
            seed: None,
            snapshots: 0,
            final_snapshot: None,
            auth_generation: 0,
            ..self.clone()
        })
    }
}

/// A node in a zone; several subnets of one zone take turns.
pub(crate) fn wanted_node(zone: &str, subnets: &[Subnet], turn: usize) -> Result<WantedNode, Refusal> {
    let there: Vec<&Subnet> = subnets.iter().filter(|subnet| subnet.zone == zone).collect();
    if there.is_empty() {
        return Err(Refusal::value(format!("The subnet group has no subnet in {zone}.")));
    }
    let subnet_id = there[turn % there.len()].id.clone();
    Ok(WantedNode { zone: zone.to_owned(), subnet_id, reboots: 0 })
}
