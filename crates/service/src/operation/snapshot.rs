//! What the operations on snapshots share: looking one up, asking for one, using one for a new cache, and its form in
//! answers.

use std::collections::BTreeSet;

use super::replication_group::WholeGroup;
use super::{App, Caller};
use crate::front::{ApiError, Xml};
use crate::resource::cluster::{self, Cluster, Engine};
use crate::resource::group::{ONLY_NODE, ONLY_SHARD};
use crate::resource::node::Observed;
use crate::resource::node_type;
use crate::resource::refusal::Refusal;
use crate::resource::snapshot::{
    MANUAL_MAX, MANUAL_WITHIN_MS, Object, ObservedSnapshot, Origin, Phase, SORT, Seed, Snapshot, Use,
    check_supported, check_version, identifier, object,
};
use crate::resource::tag::{Tag, TagSet};
use crate::state::{self, Change, Page, Stored, find, find_shared, list_shared, replace};

/// Unit of sizes in answers.
const MB: u64 = 1_000_000;
/// Most that an answer says about a bucket that cannot be used.
const FAILURE_CHARS_MAX: usize = 300;

/// A snapshot with what is observed of it.
pub(super) struct WholeSnapshot {
    pub(super) snapshot: Stored<Snapshot>,
    pub(super) observed: Option<ObservedSnapshot>,
}

impl WholeSnapshot {
    /// The word for its status.
    pub(super) fn status(&self, uses: &Uses) -> &'static str {
        self.snapshot.value.status(self.observed.as_ref(), uses.of(&self.snapshot.value.name))
    }

    /// Refuses what can only be done with a snapshot that is there and not in use.
    ///
    /// # Errors
    /// `InvalidSnapshotState`.
    pub(super) fn check_available(&self, uses: &Uses) -> Result<(), ApiError> {
        self.check(uses, &["available"])
    }

    /// Refuses all states but these.
    ///
    /// # Errors
    /// `InvalidSnapshotState`.
    pub(super) fn check(&self, uses: &Uses, allowed: &[&str]) -> Result<(), ApiError> {
        let status = self.status(uses);
        if allowed.contains(&status) {
            return Ok(());
        }
        let name = &self.snapshot.value.name;
        Err(ApiError::new(
            "InvalidSnapshotState",
            format!("Snapshot {name} is {status}; that is not possible in this state."),
        ))
    }
}

/// Which snapshots are being copied or restored now.
#[derive(Default)]
pub(super) struct Uses {
    copied: BTreeSet<String>,
    restored: BTreeSet<String>,
}

impl Uses {
    /// Finds out.
    pub(super) fn now(app: &App) -> Result<Uses, ApiError> {
        let records = app.records.as_ref();
        let mut uses = Uses::default();
        let snapshots = list_shared::<Snapshot>(records, Page::default())?.into_iter();
        for snapshot in snapshots.map(|stored| stored.value) {
            if let Origin::Copy { of } = &snapshot.origin
                && snapshot.has_work(
                    find_shared::<ObservedSnapshot>(records, &snapshot.name)?.as_ref().map(|s| &*s.value),
                )
                && !snapshot.deleting
            {
                uses.copied.insert(of.clone());
            }
        }
        for cluster in
            list_shared::<Cluster>(records, Page::default())?.into_iter().map(|stored| stored.value)
        {
            let Some(Seed::Snapshot { name }) = &cluster.seed else { continue };
            let observed = find_shared::<Observed>(records, &cluster.id)?.map(|stored| stored.value);
            let is_new = observed.is_none_or(|observed| observed.applied_generation == 0);
            if is_new && !cluster.deleting {
                uses.restored.insert(name.clone());
            }
        }
        Ok(uses)
    }

    /// How one is used.
    pub(super) fn of(&self, name: &str) -> Use {
        Use { copying: self.copied.contains(name), restoring: self.restored.contains(name) }
    }
}

/// The snapshot of that name, in any case of letters.
///
/// # Errors
/// `SnapshotNotFoundFault`.
pub(super) fn find_snapshot(app: &App, name: &str) -> Result<WholeSnapshot, ApiError> {
    let id = name.to_ascii_lowercase();
    let snapshot = find::<Snapshot>(app.records.as_ref(), &id)?.ok_or_else(|| {
        let shown: String = name.chars().take(255).collect();
        ApiError::new("SnapshotNotFoundFault", format!("Snapshot {shown} not found."))
    })?;
    let observed = find::<ObservedSnapshot>(app.records.as_ref(), &id)?.map(|stored| stored.value);
    Ok(WholeSnapshot { snapshot, observed })
}

/// What a request says of a snapshot beside its name.
#[derive(Debug, Clone, Default)]
pub(super) struct Extras {
    pub(super) tags: Vec<Tag>,
    /// The key for encryption at rest; without it that of the cache.
    pub(super) kms_key: Option<String>,
}

/// A snapshot that is asked for, with the changes that make it.
pub(super) struct Asked {
    pub(super) snapshot: Snapshot,
    pub(super) changes: Vec<Change>,
}

/// Asks for a snapshot of a cluster that is in no group; the changes belong to that of the cluster. `parameter` is the
/// one that names the snapshot.
pub(super) fn of_cluster(
    app: &App,
    parameter: &str,
    name: &str,
    cluster: &mut Cluster,
    extras: Extras,
) -> Result<Asked, ApiError> {
    let name = identifier(parameter, name)?;
    check_supported(cluster)?;
    cluster.snapshots += 1;
    stored_with(app, Snapshot::of(&name, cluster, None, app.now_ms()), extras)
}

/// Asks for a snapshot of a group; the changes belong to those of the group and its members. The data come from the
/// member that somebody chose for it, from a replica, or from the primary.
pub(super) fn of_group(
    app: &App,
    parameter: &str,
    name: &str,
    whole: &mut WholeGroup,
    asked: Option<&str>,
    extras: Extras,
) -> Result<Asked, ApiError> {
    let name = identifier(parameter, name)?;
    let observed = whole.observed.as_ref();
    let chosen = asked.or(whole.group.value.snapshotting_cluster.as_deref());
    let reader = observed.and_then(|observed| observed.readers(ONLY_SHARD).next());
    let primary = observed.and_then(|observed| observed.primary(ONLY_SHARD));
    let giver = chosen.or(reader).or(primary).map(str::to_owned);
    let at = whole.members.iter().position(|member| Some(&member.cluster.value.id) == giver.as_ref());
    whole.group.value.snapshots += 1;
    let group = whole.group.value.clone();
    let member = whole.members.get_mut(at.unwrap_or(0));
    let member = member.ok_or_else(|| ApiError::internal(&"a group without members"))?;
    let cluster = &mut member.cluster.value;
    check_supported(cluster)?;
    cluster.snapshots += 1;
    stored_with(app, Snapshot::of(&name, cluster, Some(&group), app.now_ms()), extras)
}

fn stored_with(app: &App, mut snapshot: Snapshot, extras: Extras) -> Result<Asked, ApiError> {
    snapshot.kms_key = extras.kms_key.or(snapshot.kms_key);
    check_quota(app, &snapshot)?;
    let subnet_group = super::subnet_group::find(app, &snapshot.cluster.subnet_group);
    snapshot.vpc_id = subnet_group.ok().map(|group| group.vpc_id);
    if find::<Snapshot>(app.records.as_ref(), &snapshot.name)?.is_some() {
        return Err(exists(&snapshot.name));
    }
    let mut set = TagSet::none(SORT, &snapshot.name);
    set.add(extras.tags)?;
    let changes = vec![state::create(&snapshot)?, state::put_any(&set)?];
    Ok(Asked { snapshot, changes })
}

pub(super) fn exists(name: &str) -> ApiError {
    ApiError::new("SnapshotAlreadyExistsFault", format!("Snapshot {name} already exists."))
}

/// Twenty a day by hand of each node.
fn check_quota(app: &App, snapshot: &Snapshot) -> Result<(), ApiError> {
    let since = snapshot.created_ms.saturating_sub(MANUAL_WITHIN_MS);
    let all = list_shared::<Snapshot>(app.records.as_ref(), Page::default())?;
    let same = |other: &Snapshot| {
        !other.automatic && other.cluster.id == snapshot.cluster.id && other.created_ms > since
    };
    if all.iter().filter(|stored| same(&stored.value)).count() < MANUAL_MAX {
        return Ok(());
    }
    let message = format!("There can be at most {MANUAL_MAX} manual snapshots of a node within 24 hours.");
    Err(ApiError::new("SnapshotQuotaExceededFault", message))
}

/// What a new cache begins with.
pub(super) struct Begin {
    /// Where its data come from.
    pub(super) seed: Seed,
    /// The cache that the snapshot was taken of, whose settings are the defaults.
    pub(super) like: Option<Cluster>,
    /// The snapshot, if it is one.
    snapshot: Option<Snapshot>,
    bytes: u64,
    /// Keeps the snapshot from being deleted at the same moment.
    pub(super) hold: Option<Change>,
}

/// Reads SnapshotName and SnapshotArns of a request for a new cache.
///
/// # Errors
/// `SnapshotNotFoundFault`, `InvalidSnapshotState`, `InvalidParameterValue`, `InvalidParameterCombination`.
pub(super) fn begin(app: &App, name: Option<&str>, arns: &[String]) -> Result<Option<Begin>, ApiError> {
    match (name, arns) {
        (None, []) => Ok(None),
        (Some(name), []) => {
            let whole = find_snapshot(app, name)?;
            whole.check(&Uses::now(app)?, &["available", "restoring"])?;
            let snapshot = &whole.snapshot.value;
            Ok(Some(Begin {
                seed: Seed::Snapshot { name: snapshot.name.clone() },
                like: Some(snapshot.cluster.clone()),
                snapshot: Some(snapshot.clone()),
                bytes: whole.observed.as_ref().map_or(0, |observed| observed.bytes),
                hold: Some(replace(snapshot, whole.snapshot.revision)?),
            }))
        }
        (None, [arn]) => {
            let found = object(arn)?;
            let bytes = object_size(app, &found)?.ok_or_else(|| {
                let Object { bucket, key } = &found;
                ApiError::invalid_value(format!("The S3 bucket {bucket} has no object {key}."))
            })?;
            let seed = Seed::Object(found);
            Ok(Some(Begin { seed, like: None, snapshot: None, bytes, hold: None }))
        }
        (None, _) => Err(ApiError::invalid_value("There can be one SnapshotArn for each shard only.")),
        (Some(_), _) => {
            Err(ApiError::invalid_combination("SnapshotName and SnapshotArns cannot both be specified."))
        }
    }
}

/// Size of an object in a bucket; none if the bucket has none of that name.
///
/// # Errors
/// `InvalidParameterValue` if there is no such bucket, or it cannot be used.
pub(super) fn object_size(app: &App, object: &Object) -> Result<Option<u64>, ApiError> {
    let buckets = app.vault.buckets();
    if !buckets.has(&object.bucket).map_err(|error| unusable(object, &error))? {
        return Err(ApiError::invalid_value(format!("The S3 bucket {} was not found.", object.bucket)));
    }
    buckets.size(object).map_err(|error| unusable(object, &error))
}

fn unusable(object: &Object, error: &dyn std::fmt::Display) -> ApiError {
    let why: String = error.to_string().chars().take(FAILURE_CHARS_MAX).collect();
    ApiError::invalid_value(format!("The S3 bucket {} cannot be used: {why}", object.bucket))
}

impl Begin {
    /// Whether a new cache can have the data.
    ///
    /// # Errors
    /// `InvalidParameterCombination`.
    pub(super) fn check(&self, engine: Engine, version: &str, node_type: &str) -> Result<(), Refusal> {
        if engine == Engine::Memcached {
            return Err(Refusal::combination("Snapshots are not supported for memcached clusters."));
        }
        if let Some(snapshot) = &self.snapshot {
            check_version(snapshot, engine, version)?;
        }
        // A file is smaller than what it becomes in memory, so this refuses only what is hopeless.
        let room = node_type::find(node_type).map_or(u64::MAX, |node_type| node_type.maxmemory_bytes);
        if self.bytes > room {
            return Err(Refusal::combination(format!(
                "The data of the snapshot do not fit into the memory of the node type {node_type}."
            )));
        }
        Ok(())
    }
}

/// The engine and the version of the cache that a snapshot was taken of, where a request leaves them open.
pub(super) fn engine_like<'a>(
    engine: Option<&'a str>,
    version: Option<&'a str>,
    like: Option<&'a Cluster>,
    default: &'a str,
) -> Result<(&'a str, Option<&'a str>), ApiError> {
    let Some(like) = like else { return Ok((engine.unwrap_or(default), version)) };
    let name = engine.unwrap_or(like.engine.as_str());
    let is_same = name.eq_ignore_ascii_case(like.engine.as_str());
    let then = super::cache_cluster::version_of(like)?;
    // A version that new caches cannot have any more gives way to the newest one.
    Ok((name, version.or((is_same && then.creatable).then_some(then.version))))
}

/// The answer with one snapshot as it was written, and what was observed of it then: not what may have come of it since.
pub(super) fn answer(caller: &Caller, snapshot: Snapshot, observed: Option<ObservedSnapshot>) -> Xml {
    let mut xml = Xml::new();
    xml.element("Snapshot", |xml| {
        write(xml, caller, &snapshot, observed.as_ref(), Use::default(), false);
    });
    xml
}

/// Writes the members of a snapshot.
pub(super) fn write(
    xml: &mut Xml,
    caller: &Caller,
    snapshot: &Snapshot,
    observed: Option<&ObservedSnapshot>,
    in_use: Use,
    with_shards: bool,
) {
    let cluster = &snapshot.cluster;
    xml.text("SnapshotName", &snapshot.name);
    match &snapshot.group {
        Some(group) => {
            xml.text("ReplicationGroupId", &group.id).text("ReplicationGroupDescription", &group.description)
        }
        None => xml.text("CacheClusterId", &cluster.id),
    };
    xml.text("SnapshotStatus", snapshot.status(observed, in_use))
        .text("SnapshotSource", if snapshot.automatic { "automated" } else { "manual" })
        .text("CacheNodeType", &cluster.node_type)
        .text("Engine", cluster.engine.as_str())
        .text("EngineVersion", &cluster.engine_version)
        .number("NumCacheNodes", cluster.nodes.len())
        .text("PreferredAvailabilityZone", cluster.preferred_zone())
        .time("CacheClusterCreateTime", cluster.created_ms)
        .text("PreferredMaintenanceWindow", &cluster.maintenance_window)
        .number("Port", cluster.port)
        .text("CacheParameterGroupName", &cluster.parameter_group)
        .text("CacheSubnetGroupName", &cluster.subnet_group)
        .optional("VpcId", snapshot.vpc_id.as_deref())
        .boolean("AutoMinorVersionUpgrade", cluster.auto_minor_version_upgrade)
        .number("SnapshotRetentionLimit", cluster.snapshot_retention_days)
        .optional("SnapshotWindow", cluster.snapshot_window.as_deref());
    if let Some(group) = &snapshot.group {
        xml.number("NumNodeGroups", 1)
            .text("AutomaticFailover", if group.automatic_failover { "enabled" } else { "disabled" });
    }
    let done = observed.filter(|observed| observed.phase == Phase::Done);
    xml.list("NodeSnapshots", "NodeSnapshot", [cluster], |xml, cluster| {
        xml.text("CacheClusterId", &cluster.id);
        if snapshot.group.is_some() {
            xml.text("NodeGroupId", ONLY_SHARD);
        }
        xml.text("CacheNodeId", ONLY_NODE);
        if with_shards {
            xml.element("NodeGroupConfiguration", |xml| {
                xml.text("PrimaryAvailabilityZone", cluster.preferred_zone());
            });
        }
        xml.text("CacheSize", &done.map(|done| size(done.bytes)).unwrap_or_default())
            .time("CacheNodeCreateTime", cluster.created_ms);
        if let Some(done) = done {
            xml.time("SnapshotCreateTime", done.taken_ms);
        }
    });
    xml.optional("KmsKeyId", snapshot.kms_key.as_deref())
        .text("ARN", &caller.arn(SORT, &snapshot.name).to_string())
        .text("DataTiering", "disabled");
}

/// Whole megabytes, rounded up, as the API tells them.
fn size(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(MB))
}

/// Refuses a snapshot of a cache that is busy.
///
/// # Errors
/// `InvalidCacheClusterState`.
pub(super) fn check_cluster_available(cluster: &Cluster, observed: Option<&Observed>) -> Result<(), Refusal> {
    match cluster.status(observed) {
        cluster::Status::Available => Ok(()),
        status => Err(Refusal::cluster_state(format!(
            "Cache cluster {} is not in available state: it is {}.",
            cluster.id,
            status.as_str()
        ))),
    }
}
