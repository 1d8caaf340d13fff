//! What every node of a cluster is told: its parameter group, its node type, its version, and what it must hide.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};

use super::ActError;
use crate::api::ec2::security_groups_of;
use crate::certificate::{AUTHORITY, Authority, FOLDER, Files};
use crate::login;
use crate::name::endpoint::Zone;
use crate::plan::{Applies, CLOSED, NODE_MEMORY, SOURCE_ADDRESS, Setting, WantedSettings};
use crate::resource::cluster::{Cluster, Engine};
use crate::resource::ec2::{self, Peer, SecurityGroup, SubnetOfVpc, Vpc};
use crate::resource::group::{Group, ONLY_SHARD};
use crate::resource::network::Address;
use crate::resource::node::Observed;
use crate::resource::node_type;
use crate::resource::parameter_group::{ParameterGroup, changes_at_once, node_directives};
use crate::resource::transit::Transit;
use crate::resource::user::{Authentication, User, UserGroup};
use crate::state::{Records, Resource, find, list_all};

/// Commands that ElastiCache hides from users of redis and valkey nodes (elasticache-facts d.2).
const RESTRICTED: &str = "acl|load acl|save acl|setuser acl|deluser bgrewriteaof bgsave cluster|addslots \
    cluster|addslotsrange cluster|bumpepoch cluster|delslots cluster|delslotsrange cluster|failover \
    cluster|flushslots cluster|forget cluster|links cluster|meet cluster|setslot cluster|replicate \
    cluster|saveconfig cluster|set-config-epoch cluster|reset config debug migrate psync replicaof slaveof save \
    shutdown sync";

/// Directive with the ranges of addresses that may connect.
const ALLOWED_SOURCES: &str = "allowed-sources";

/// Directive with the addresses from which other members of a group may follow, although clients may not.
const REPLICATION_SOURCES: &str = "replication-sources";

/// The settings for a cluster's nodes. What follows from all clusters is looked up in `members`.
pub fn wanted(
    records: &dyn Records,
    cluster: &Cluster,
    members: &Members,
) -> Result<WantedSettings, ActError> {
    let group = group(records, &cluster.parameter_group)?;
    let missing = |what: &str| ActError::Missing(format!("there is no {what}"));
    let node_type = node_type::find(&cluster.node_type);
    let node_type = node_type.ok_or_else(|| missing(&format!("node type {}", cluster.node_type)))?;
    let family = group.family().map_err(|refusal| ActError::Missing(refusal.message))?;
    let mut wanted = WantedSettings::new();
    let defaults = ParameterGroup { values: BTreeMap::new(), ..group.clone() };
    let defaults: BTreeMap<String, String> =
        node_directives(&defaults, node_type, &cluster.engine_version).into_iter().collect();
    for (name, value) in node_directives(&group, node_type, &cluster.engine_version) {
        let is_default = defaults.get(&name) == Some(&value);
        let value = if value.is_empty() { "\"\"".to_owned() } else { value };
        let applies = if changes_at_once(family, &name) { Applies::Live } else { Applies::Reboot };
        wanted.insert(name, Setting { value, applies, is_default });
    }
    let mut own = |name: &str, value: String, applies| {
        wanted.insert(name.to_owned(), Setting { value, applies, is_default: false })
    };
    own(NODE_MEMORY, node_type.memory_bytes.to_string(), Applies::Own);
    let is_memcached = cluster.engine == Engine::Memcached;
    // A new version empties a memcached node, as it does in ElastiCache; the others keep their data.
    let version_applies = if is_memcached { Applies::Restart } else { Applies::Own };
    own("engine-version", cluster.engine_version.clone(), version_applies);
    if !is_memcached {
        own("engine", cluster.engine.as_str().to_owned(), Applies::Own);
        // A node that starts is empty, as in ElastiCache: data come from a primary or a snapshot.
        own("save", "\"\"".to_owned(), Applies::Own);
        own("restricted-commands", RESTRICTED.to_owned(), Applies::Own);
        // A replica that waits for others that might come is not in sync, and no failover counts on it.
        own("repl-diskless-sync-delay", "0".to_owned(), Applies::Own);
        // Also of a cluster in no group: it may have been in one, and must let go of the others then.
        let others: Vec<String> = companions(records, cluster)?.iter().map(ToString::to_string).collect();
        let value = if others.is_empty() { "none".to_owned() } else { others.join(" ") };
        own(REPLICATION_SOURCES, value, Applies::Own);
    }
    let (name, value) = (ALLOWED_SOURCES.to_owned(), allowed_sources(records, cluster, members)?);
    wanted.insert(name, Setting { value, applies: Applies::Own, is_default: false });
    users(records, cluster, &mut wanted)?;
    if let Some(group) = &cluster.group
        && let Some(address) = own_address(records, cluster, group)?
    {
        let setting = Setting { value: address.to_string(), applies: Applies::Own, is_default: false };
        wanted.insert(SOURCE_ADDRESS.to_owned(), setting);
    }
    Ok(wanted)
}

/// The settings for a cluster's nodes, with the certificates of those that speak TLS.
pub fn source(
    authority: Arc<Authority>,
    zone: Zone,
    clock: fn() -> u64,
) -> impl Fn(&dyn Records, &Cluster) -> Result<WantedSettings, ActError> {
    let members = Members::default();
    move |records, cluster| {
        let mut settings = wanted(records, cluster, &members)?;
        if cluster.transit != Transit::Never {
            let names = names(records, &zone, cluster)?;
            let issued = authority.issue(&cluster.id, &names, clock());
            let files = issued.map_err(|error| ActError::Missing(format!("no certificate: {error}")))?;
            encrypt(cluster.transit, &files, &mut settings);
        }
        Ok(settings)
    }
}

/// All names and addresses by which nodes of the cluster are reached. A replica may become the primary any time.
fn names(records: &dyn Records, zone: &Zone, cluster: &Cluster) -> Result<BTreeSet<String>, ActError> {
    let mut names = BTreeSet::from([zone.configuration(&cluster.id)]);
    for node in cluster.nodes.keys() {
        names.insert(zone.node(&cluster.id, node));
    }
    if let Some(group) = &cluster.group {
        names.extend([zone.primary(group, ONLY_SHARD), zone.reader(group, ONLY_SHARD)]);
    }
    if let Some(observed) = find::<Observed>(records, &cluster.id)? {
        names.extend(observed.value.nodes.values().map(|node| node.address.to_string()));
    }
    Ok(names)
}

/// The settings of TLS. Files are named from the node's folder.
fn encrypt(transit: Transit, files: &Files, wanted: &mut WantedSettings) {
    let mut own = |name: &str, value: String| {
        wanted.insert(name.to_owned(), Setting { value, applies: Applies::Own, is_default: false })
    };
    own("tls-auth-clients", "no".to_owned());
    own("tls-ca-cert-file", format!("../../{FOLDER}/{AUTHORITY}"));
    own("tls-cert-file", format!("../../{FOLDER}/{}", files.certificate.display()));
    own("tls-key-file", format!("../../{FOLDER}/{}", files.key.display()));
    own("tls-mode", transit.directive().to_owned());
    own("tls-replication", if transit.is_enabled() { "yes" } else { "no" }.to_owned());
}

/// Who may connect, by the security groups of the cluster: ranges of addresses, or `none`. Nodes of one group of
/// caches must reach each other whatever its rules say.
fn allowed_sources(records: &dyn Records, cluster: &Cluster, members: &Members) -> Result<String, ActError> {
    let vpcs: Vec<Vpc> = list_all::<Vpc>(records)?.into_iter().map(|stored| stored.value).collect();
    if vpcs.is_empty() {
        return Ok("0.0.0.0/0".to_owned()); // no networks were made: nothing to hold anybody against
    }
    let mut groups = Vec::new();
    for id in security_groups_of(records, cluster)? {
        groups.extend(find::<SecurityGroup>(records, &id)?.map(|stored| stored.value));
    }
    let refers = groups.iter().flat_map(|group| &group.rules).any(|rule| matches!(rule.peer, Peer::Group(_)));
    let members = if refers { members.by_group(records)? } else { Arc::default() };
    let of = |id: &str| members.get(id).cloned().unwrap_or_default();
    let mut sources: Vec<String> =
        ec2::sources(&groups, &vpcs, cluster.port, of).iter().map(ToString::to_string).collect();
    for address in companions(records, cluster)? {
        let companion = format!("{address}/32");
        // A rule may admit it already, by the group that all of them are in.
        if !sources.contains(&companion) {
            sources.push(companion);
        }
    }
    Ok(if sources.is_empty() { "none".to_owned() } else { sources.join(" ") })
}

/// The address from which a member of a group with replicas must come to its primary, which admits no other.
fn own_address(records: &dyn Records, cluster: &Cluster, group: &str) -> Result<Option<Ipv4Addr>, ActError> {
    let group = find::<Group>(records, group)?;
    if !group.is_some_and(|group| group.value.starts_as_replica(&cluster.id)) {
        return Ok(None);
    }
    let addresses = list_all::<Address>(records)?.into_iter().map(|stored| stored.value);
    let mut own = addresses.filter(|address| address.cluster_id == cluster.id);
    Ok(own.next().map(|address| address.address))
}

/// Addresses of the other nodes of the same replication group.
fn companions(records: &dyn Records, cluster: &Cluster) -> Result<Vec<Ipv4Addr>, ActError> {
    if cluster.group.is_none() {
        return Ok(Vec::new());
    }
    let members: Vec<String> = list_all::<Cluster>(records)?
        .into_iter()
        .filter(|stored| stored.value.group == cluster.group && stored.value.id != cluster.id)
        .map(|stored| stored.value.id)
        .collect();
    let addresses = list_all::<Address>(records)?.into_iter().map(|stored| stored.value);
    Ok(addresses.filter(|a| members.contains(&a.cluster_id)).map(|a| a.address).collect())
}

/// Addresses of nodes by the security groups that they are in.
type ByGroup = BTreeMap<String, Vec<Ipv4Addr>>;

/// Who is in which security group. It follows from all clusters and is asked for by each, so it is found anew only when
/// something changed that it follows from.
#[derive(Default)]
pub struct Members {
    found: Mutex<Option<([u64; 4], Arc<ByGroup>)>>,
}

impl Members {
    fn by_group(&self, records: &dyn Records) -> Result<Arc<ByGroup>, ActError> {
        // Read before the records: what changes meanwhile makes the next look another one.
        let kinds = [Cluster::KIND, Address::KIND, SubnetOfVpc::KIND, Vpc::KIND];
        let revisions = kinds.map(|kind| *records.watch(kind).borrow());
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, members)) = found.as_ref()
            && *of == revisions
        {
            return Ok(Arc::clone(members));
        }
        let members = Arc::new(members_by_group(records)?);
        *found = Some((revisions, Arc::clone(&members)));
        Ok(members)
    }
}

fn members_by_group(records: &dyn Records) -> Result<ByGroup, ActError> {
    let mut groups_of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for cluster in list_all::<Cluster>(records)? {
        groups_of.insert(cluster.value.id.clone(), security_groups_of(records, &cluster.value)?);
    }
    let mut members = ByGroup::new();
    for address in list_all::<Address>(records)? {
        for group in groups_of.get(&address.value.cluster_id).into_iter().flatten() {
            members.entry(group.clone()).or_default().push(address.value.address);
        }
    }
    Ok(members)
}

/// Name of the user as which replicas come to their primary.
const REPLICATION_USER: &str = "larder-replication";

/// The users of a cache that has AUTH tokens or a user group. The node starts closed and is given them right after: what
/// one node refuses then concerns that user only, and does not keep the node from starting.
fn users(records: &dyn Records, cluster: &Cluster, wanted: &mut WantedSettings) -> Result<(), ActError> {
    let group = match &cluster.group {
        Some(id) => find::<Group>(records, id)?.map(|stored| stored.value),
        None => None,
    };
    let user_group = group.as_ref().and_then(|group| group.user_group.clone());
    if user_group.is_none() && !cluster.auth.is_enabled() {
        return Ok(());
    }
    let mut own = |name: &str, value: String, applies| {
        drop(wanted.insert(name.to_owned(), Setting { value, applies, is_default: false }))
    };
    own(CLOSED, "default off".to_owned(), Applies::Start);
    if let Some(group) = &group {
        if group.members().count() > 1 {
            own("masteruser", REPLICATION_USER.to_owned(), Applies::Own);
            own("masterauth", group.replication_password.clone(), Applies::Own);
        }
        let hash = digest(&SHA256, group.replication_password.as_bytes());
        let rules = format!("on #{} -@all +psync +replconf +ping", crate::hex::encode(hash.as_ref()));
        own(&format!("user {REPLICATION_USER}"), rules, Applies::Own);
    }
    match (group, user_group) {
        (Some(group), Some(id)) => {
            own("user default", "off resetkeys resetchannels -@all".to_owned(), Applies::Own);
            user_group_users(records, &group, &id, own)
        }
        _ => {
            own("user default", cluster.auth.node_rules(), Applies::Own);
            Ok(())
        }
    }
}

/// The users of a user group.
fn user_group_users(
    records: &dyn Records,
    group: &Group,
    id: &str,
    mut own: impl FnMut(&str, String, Applies),
) -> Result<(), ActError> {
    let user_group = find::<UserGroup>(records, id)?;
    let user_group =
        user_group.ok_or_else(|| ActError::Missing(format!("there is no user group {id}")))?.value;
    let mut by_token = false;
    for id in &user_group.users {
        let user = match find::<User>(records, id)? {
            Some(stored) => stored.value,
            None => User::default_user(),
        };
        by_token |= user.authentication == Authentication::Iam;
        own(&format!("user {}", user.name), user.node_rules(), Applies::Own);
    }
    if by_token {
        own("iam-authenticator", format!("../../{}", login::SOCKET), Applies::Own);
        own("iam-cache", group.id.clone(), Applies::Own);
    }
    Ok(())
}

fn group(records: &dyn Records, name: &str) -> Result<ParameterGroup, ActError> {
    if let Some(group) = ParameterGroup::defaults().into_iter().find(|group| group.name == name) {
        return Ok(group);
    }
    let found = find::<ParameterGroup>(records, name)?;
    Ok(found.ok_or_else(|| ActError::Missing(format!("there is no parameter group {name}")))?.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::cluster::tests::{memcached, redis};
    use crate::state::{FileRecords, create};

    #[test]
    fn settings_come_from_type_version_and_group() {
        let records = FileRecords::with_backend(redb::backends::InMemoryBackend::new()).unwrap();
        let mut cluster = redis();
        cluster.node_type = "cache.t2.micro".into();
        let wanted_now = wanted(&records, &cluster, &Members::default()).unwrap();
        assert_eq!(wanted_now["maxmemory"].value, "436469760", "three quarters of 581959680");
        let says = (wanted_now["engine"].value.as_str(), wanted_now["engine-version"].value.as_str());
        assert_eq!(says, ("redis", "7.1.0"));
        assert_eq!(
            wanted_now["maxmemory-policy"],
            Setting { value: "volatile-lru".into(), applies: Applies::Live, is_default: true }
        );
        assert_eq!(wanted_now["databases"].applies, Applies::Reboot);
        assert!(wanted_now.contains_key("client-output-buffer-limit"));
        assert!(wanted_now["restricted-commands"].value.contains("config"));
        assert!(wanted_now["databases"].is_default);

        let mut group = ParameterGroup::defaults().into_iter().find(|g| g.name == "default.redis7").unwrap();
        group.name = "mine".into();
        group.values.insert("maxmemory-policy".into(), "allkeys-lru".into());
        records.apply(&[create(&group).unwrap()]).unwrap();
        cluster.parameter_group = "mine".into();
        assert_eq!(
            wanted(&records, &cluster, &Members::default()).unwrap()["maxmemory-policy"],
            Setting { value: "allkeys-lru".into(), applies: Applies::Live, is_default: false }
        );
        cluster.parameter_group = "gone".into();
        assert!(wanted(&records, &cluster, &Members::default()).is_err());
    }

    #[test]
    fn a_cluster_that_left_its_group_differs_in_nothing_that_needs_a_reboot() {
        let records = FileRecords::with_backend(redb::backends::InMemoryBackend::new()).unwrap();
        let alone = redis();
        let member = Cluster { group: Some("g".into()), ..alone.clone() };
        let of = |cluster: &Cluster| wanted(&records, cluster, &Members::default()).unwrap();
        let names = |settings: WantedSettings| settings.into_keys().collect::<Vec<_>>();
        assert_eq!(names(of(&member)), names(of(&alone)));
    }

    #[test]
    fn memcached_is_told_what_it_knows() {
        let records = FileRecords::with_backend(redb::backends::InMemoryBackend::new()).unwrap();
        let mut cluster = memcached(1);
        cluster.parameter_group = "default.memcached1.6".into();
        let wanted = wanted(&records, &cluster, &Members::default()).unwrap();
        assert_eq!(
            wanted["engine-version"],
            Setting { value: "1.6.22".into(), applies: Applies::Restart, is_default: false }
        );
        assert!(!wanted.contains_key("restricted-commands"));
    }
}
