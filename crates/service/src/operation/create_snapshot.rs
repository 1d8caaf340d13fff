//! CreateSnapshot.

use serde::Deserialize;

use super::cache_cluster;
use super::replication_group::update_group;
use super::snapshot::{Asked, Extras, answer, check_cluster_available, of_cluster, of_group};
use super::{App, Caller, Input};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::group::change;
use crate::resource::kms;
use crate::resource::snapshot::{SORT, Snapshot};
use crate::resource::tag::Tag;

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateSnapshot {
    snapshot_name: String,
    cache_cluster_id: Option<String>,
    replication_group_id: Option<String>,
    kms_key_id: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

impl Input for CreateSnapshot {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(Some(caller.arn(SORT, &self.snapshot_name)))
    }
}

/// Wants a snapshot of a cluster or of a group. Answers it, creating.
pub(super) fn run(app: &App, caller: &Caller, input: CreateSnapshot) -> Result<Xml, ApiError> {
    let kms_key = input.kms_key_id.as_deref().map(kms::key).transpose()?;
    let (name, extras) = (&input.snapshot_name, &Extras { tags: input.tags, kms_key });
    let snapshot = match (&input.cache_cluster_id, &input.replication_group_id) {
        (Some(cluster), None) => of_named_cluster(app, name, cluster, extras)?,
        (None, Some(group)) => of_named_group(app, name, group, None, extras)?,
        (None, None) => {
            return Err(ApiError::invalid_value(
                "One of CacheClusterId and ReplicationGroupId must be specified.",
            ));
        }
        (Some(_), Some(_)) => {
            return Err(ApiError::invalid_combination(
                "CacheClusterId and ReplicationGroupId cannot both be specified.",
            ));
        }
    };
    Ok(answer(caller, snapshot, None))
}

/// The snapshot of a cluster that is a member is one of its group, with the data of that member.
fn of_named_cluster(app: &App, name: &str, cluster: &str, extras: &Extras) -> Result<Snapshot, ApiError> {
    let found = cache_cluster::find_whole(app, cluster)?.desired.value;
    if let Some(group) = &found.group {
        return of_named_group(app, name, group, Some(&found.id), extras);
    }
    let mut made = None;
    cache_cluster::update(app, cluster, |cluster, observed| {
        check_cluster_available(cluster, observed)?;
        let Asked { snapshot, changes } = of_cluster(app, "SnapshotName", name, cluster, extras.clone())?;
        made = Some(snapshot);
        Ok(changes)
    })?;
    made.ok_or_else(|| ApiError::internal(&"a snapshot that nobody asked for"))
}

fn of_named_group(
    app: &App,
    name: &str,
    group: &str,
    member: Option<&str>,
    extras: &Extras,
) -> Result<Snapshot, ApiError> {
    let mut made = None;
    update_group(app, group, |whole| {
        change::check_available(&whole.group.value, whole.observed.as_ref())?;
        for member in &whole.members {
            check_cluster_available(&member.cluster.value, member.observed.as_ref())?;
        }
        let Asked { snapshot, changes } = of_group(app, "SnapshotName", name, whole, member, extras.clone())?;
        made = Some(snapshot);
        Ok(changes)
    })?;
    made.ok_or_else(|| ApiError::internal(&"a snapshot that nobody asked for"))
}
