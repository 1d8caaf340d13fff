//! What the operations on service updates share: which caches have to do with an update, and how far they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{App, Caller};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::cluster::Cluster;
use crate::resource::engine_version::VERSIONS;
use crate::resource::group::Group;
use crate::resource::node::Observed;
use crate::resource::service_update::{NodeUpdate, Release, ServiceUpdate, UpdateAction, nodes, status};
use crate::state::{Page, Resource, find, find_shared, list_all, list_shared};

/// Most caches of one call.
pub(super) const CACHES_MAX: usize = 20;
/// The only `ServiceUpdateType` that there is.
pub(super) const SORT: &str = "security-update";
/// `EstimatedUpdateTime`, in the form that ElastiCache gives it: nodes are started anew one after the other.
pub(super) const ESTIMATED_TIME: &str = "1 minute per node";
/// All engines.
const ENGINES: [&str; 3] = ["redis", "valkey", "memcached"];
/// Words for the status of a service update.
const STATUSES: [&str; 3] = ["available", "cancelled", "expired"];

/// Service updates, the newest first. The first release of a folder is none.
pub(super) fn updates(app: &App) -> Result<Vec<ServiceUpdate>, ApiError> {
    let all = list_all::<ServiceUpdate>(app.records.as_ref())?.into_iter().map(|stored| stored.value);
    let mut updates: Vec<ServiceUpdate> = all.filter(|update| !update.is_first).collect();
    updates.sort_by(|a, b| b.release.cmp(&a.release));
    Ok(updates)
}

/// Engines that a service update applies to, which are all, as ElastiCache lists them.
pub(super) fn engines() -> String {
    ENGINES.join(", ")
}

/// The same with the oldest version of each.
pub(super) fn versions() -> String {
    let oldest = |engine: &str| VERSIONS.iter().find(|version| version.engine == engine);
    let all = ENGINES.iter().filter_map(|engine| {
        let version = oldest(engine)?.full;
        Some(format!("{engine} {version} and onwards"))
    });
    all.collect::<Vec<_>>().join(", ")
}

/// When an update stopped being available, Unix milliseconds: the next release took its place.
pub(super) fn end_ms(updates: &[ServiceUpdate], update: &ServiceUpdate) -> Option<u64> {
    let later = updates.iter().filter(|other| other.release > update.release);
    later.map(|other| other.released_ms).min()
}

/// The service update of that name.
///
/// # Errors
/// `ServiceUpdateNotFoundFault`.
pub(super) fn find_update(app: &App, name: &str) -> Result<ServiceUpdate, ApiError> {
    let found = find::<ServiceUpdate>(app.records.as_ref(), &name.to_ascii_lowercase())?;
    found.map(|stored| stored.value).filter(|update| !update.is_first).ok_or_else(|| {
        let shown: String = name.chars().take(255).collect();
        ApiError::new("ServiceUpdateNotFoundFault", format!("Service update {shown} not found."))
    })
}

/// Refuses words that are none for the status of a service update.
///
/// # Errors
/// `InvalidParameterValue`.
pub(super) fn check_statuses(words: &[String]) -> Result<(), ApiError> {
    check_words("ServiceUpdateStatus", words, &STATUSES)
}

/// Refuses words that are not among those allowed.
///
/// # Errors
/// `InvalidParameterValue`.
pub(super) fn check_words(parameter: &str, words: &[String], allowed: &[&str]) -> Result<(), ApiError> {
    match words.iter().find(|word| !allowed.contains(&word.as_str())) {
        None => Ok(()),
        Some(other) => {
            let shown: String = other.chars().take(64).collect();
            Err(ApiError::invalid_value(format!("Invalid value {shown} for {parameter}.")))
        }
    }
}

/// A cluster with what is observed of it.
pub(super) type Member = (Arc<Cluster>, Option<Arc<Observed>>);

/// A cache as service updates see it: a group with its members, or a cluster that is in none.
pub(super) struct Cache {
    pub(super) id: String,
    pub(super) is_group: bool,
    pub(super) created_ms: u64,
    pub(super) engine: &'static str,
    /// Clusters with what is observed of them, in the order of the group.
    pub(super) members: Vec<Member>,
}

impl Cache {
    /// How far its nodes are.
    pub(super) fn nodes(&self, release: &Release) -> Vec<(&Cluster, String, NodeUpdate)> {
        let mut all = Vec::new();
        for (cluster, observed) in &self.members {
            let far = nodes(cluster, observed.as_deref(), release);
            all.extend(far.into_iter().map(|(node, update)| (cluster.as_ref(), node, update)));
        }
        all
    }

    /// The word for how far it is; none if the update has nothing to do with it.
    pub(super) fn status(
        &self,
        action: Option<&UpdateAction>,
        update: &ServiceUpdate,
        now_ms: u64,
    ) -> Option<&'static str> {
        let far: Vec<NodeUpdate> =
            self.nodes(&update.release).into_iter().map(|(_, _, update)| update).collect();
        status(action, &far, update.is_due(now_ms))
    }

    /// The wish for it, if there is one.
    pub(super) fn action<'a>(
        &self,
        actions: &'a BTreeMap<String, UpdateAction>,
        update: &str,
    ) -> Option<&'a UpdateAction> {
        let action = actions.get(&UpdateAction::id_of(update, &self.id, self.is_group))?;
        self.is_of(action).then_some(action)
    }

    /// Whether a wish is for this cache, and not for an earlier one of its name.
    fn is_of(&self, action: &UpdateAction) -> bool {
        action.cache_created_ms == self.created_ms
    }
}

/// All caches that are not being deleted.
pub(super) fn caches(app: &App) -> Result<Vec<Cache>, ApiError> {
    let records = app.records.as_ref();
    let observed = list_shared::<Observed>(records, Page::default())?.into_iter();
    let mut observed: BTreeMap<String, Arc<Observed>> =
        observed.map(|stored| (stored.value.id.clone(), stored.value)).collect();
    let clusters = list_shared::<Cluster>(records, Page::default())?.into_iter();
    let mut clusters: BTreeMap<String, Arc<Cluster>> =
        clusters.map(|stored| (stored.value.id.clone(), stored.value)).collect();
    let mut caches = Vec::new();
    let groups = list_shared::<Group>(records, Page::default())?.into_iter().map(|stored| stored.value);
    for group in groups.filter(|group| !group.deleting) {
        let members: Vec<Member> =
            group.members().filter_map(|id| Some((clusters.remove(id)?, observed.remove(id)))).collect();
        let engine = members.first().map_or("redis", |(cluster, _)| cluster.engine.as_str());
        caches.push(Cache {
            id: group.id.clone(),
            is_group: true,
            created_ms: group.created_ms,
            engine,
            members,
        });
    }
    let alone = clusters.into_values().filter(|cluster| cluster.group.is_none() && !cluster.deleting);
    caches.extend(alone.map(|cluster| Cache {
        id: cluster.id.clone(),
        is_group: false,
        created_ms: cluster.created_ms,
        engine: cluster.engine.as_str(),
        members: vec![(Arc::clone(&cluster), observed.remove(&cluster.id))],
    }));
    Ok(caches)
}

/// The cache of that name, unless it is being deleted.
fn cache(app: &App, id: &str, is_group: bool) -> Result<Option<Cache>, ApiError> {
    let records = app.records.as_ref();
    let member = |id: &str| -> Result<Option<Member>, ApiError> {
        let Some(cluster) = find_shared::<Cluster>(records, id)? else { return Ok(None) };
        Ok(Some((cluster.value, find_shared::<Observed>(records, id)?.map(|stored| stored.value))))
    };
    if is_group {
        let group = find_shared::<Group>(records, id)?.map(|stored| stored.value);
        let Some(group) = group.filter(|group| !group.deleting) else { return Ok(None) };
        let members = group.members().map(|id| member(id)).collect::<Result<Vec<_>, _>>()?;
        let members: Vec<_> = members.into_iter().flatten().collect();
        let engine = members.first().map_or("redis", |(cluster, _)| cluster.engine.as_str());
        return Ok(Some(Cache {
            id: id.to_owned(),
            is_group,
            created_ms: group.created_ms,
            engine,
            members,
        }));
    }
    let alone = member(id)?.filter(|(cluster, _)| cluster.group.is_none() && !cluster.deleting);
    Ok(alone.map(|(cluster, observed)| Cache {
        id: id.to_owned(),
        is_group,
        created_ms: cluster.created_ms,
        engine: cluster.engine.as_str(),
        members: vec![(cluster, observed)],
    }))
}

/// All wishes by id.
pub(super) fn actions(app: &App) -> Result<BTreeMap<String, UpdateAction>, ApiError> {
    let all = list_all::<UpdateAction>(app.records.as_ref())?.into_iter().map(|stored| stored.value);
    Ok(all.map(|action| (action.id(), action)).collect())
}

/// ARNs of the caches that a call names.
pub(super) fn arns(caller: &Caller, groups: &[String], clusters: &[String]) -> Vec<Arn> {
    let groups = groups.iter().map(|id| caller.arn("replicationgroup", id));
    groups.chain(clusters.iter().map(|id| caller.arn("cluster", id))).collect()
}

/// Refuses a call that names no cache, or too many.
///
/// # Errors
/// `InvalidParameterValue`.
pub(super) fn check_count(groups: &[String], clusters: &[String]) -> Result<(), ApiError> {
    if groups.is_empty() && clusters.is_empty() {
        return Err(ApiError::invalid_value("ReplicationGroupIds or CacheClusterIds must name a cache."));
    }
    if groups.len() > CACHES_MAX || clusters.len() > CACHES_MAX {
        return Err(ApiError::invalid_value(format!("At most {CACHES_MAX} caches can be named.")));
    }
    Ok(())
}

/// What became of one cache of a batch.
pub(super) struct Processed {
    pub(super) id: String,
    pub(super) is_group: bool,
    /// The word for its status, or why not.
    pub(super) outcome: Result<&'static str, (&'static str, String)>,
}

/// Does the same with each cache of a batch, and writes what became of it.
pub(super) fn batch(
    app: &App,
    update: &ServiceUpdate,
    groups: &[String],
    clusters: &[String],
    each: impl Fn(&Cache, Option<&UpdateAction>) -> Result<Result<&'static str, (&'static str, String)>, ApiError>,
) -> Result<Xml, ApiError> {
    check_count(groups, clusters)?;
    let named = groups.iter().map(|id| (id, true)).chain(clusters.iter().map(|id| (id, false)));
    let mut processed = Vec::new();
    for (id, is_group) in named {
        let id = id.to_ascii_lowercase();
        let outcome = match cache(app, &id, is_group)? {
            Some(cache) => {
                let action = find::<UpdateAction>(
                    app.records.as_ref(),
                    &UpdateAction::id_of(&update.name(), &id, is_group),
                )?;
                let action = action.map(|stored| stored.value);
                each(&cache, action.as_ref().filter(|action| cache.is_of(action)))?
            }
            None => Err(missing(app, &id, is_group)?),
        };
        processed.push(Processed { id, is_group, outcome });
    }
    let mut xml = Xml::new();
    let name = update.name();
    let cache = |xml: &mut Xml, one: &Processed| {
        let parameter = if one.is_group { "ReplicationGroupId" } else { "CacheClusterId" };
        xml.text(parameter, &one.id).text("ServiceUpdateName", &name);
    };
    let done = processed.iter().filter_map(|one| Some((one, one.outcome.as_ref().ok()?)));
    xml.list("ProcessedUpdateActions", "ProcessedUpdateAction", done, |xml, (one, status)| {
        cache(xml, one);
        xml.text("UpdateActionStatus", status);
    });
    let failed = processed.iter().filter_map(|one| Some((one, one.outcome.as_ref().err()?)));
    xml.list("UnprocessedUpdateActions", "UnprocessedUpdateAction", failed, |xml, (one, (sort, message))| {
        cache(xml, one);
        xml.text("ErrorType", sort).text("ErrorMessage", message);
    });
    Ok(xml)
}

/// Why a cache of that name cannot be updated.
fn missing(app: &App, id: &str, is_group: bool) -> Result<(&'static str, String), ApiError> {
    let shown: String = id.chars().take(64).collect();
    if is_group {
        return Ok(("ReplicationGroupNotFoundFault", format!("ReplicationGroup {shown} not found.")));
    }
    let cluster = find::<Cluster>(app.records.as_ref(), id)?.map(|stored| stored.value);
    Ok(match cluster.and_then(|cluster| cluster.group) {
        Some(group) => {
            let message =
                format!("CacheCluster {shown} is a member of replication group {group}: update that.");
            ("InvalidParameterValue", message)
        }
        None => ("CacheClusterNotFound", format!("CacheCluster not found: {shown}")),
    })
}
