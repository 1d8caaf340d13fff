//! DeleteCacheCluster.

use serde::Deserialize;

use super::cache_cluster::{self, answer, update};
use super::replication_group::{WholeGroup, find_group};
use super::snapshot::{Extras, check_cluster_available, of_cluster};
use super::{App, Caller, Input};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::cluster::modify::delete;
use crate::resource::group::change;
use crate::resource::snapshot::check_supported;
use crate::state::replace;

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteCacheCluster {
    cache_cluster_id: String,
    final_snapshot_identifier: Option<String>,
}

impl Input for DeleteCacheCluster {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(Some(caller.arn(cache_cluster::SORT, &self.cache_cluster_id)))
    }
}

/// Wants a cluster gone. Answers it, deleting.
pub(super) fn run(app: &App, caller: &Caller, input: DeleteCacheCluster) -> Result<Xml, ApiError> {
    let whole = update(app, &input.cache_cluster_id, |cluster, seen| {
        let mut changes = vec![];
        if let Some(group) = cluster.group.as_deref().filter(|_| !cluster.deleting) {
            let WholeGroup { group: mut stored, observed, .. } = find_group(app, group)?;
            change::check_available(&stored.value, observed.as_ref())?;
            change::leave(&mut stored.value, observed.as_ref(), &cluster.id)?;
            changes.push(replace(&stored.value, stored.revision)?);
            if input.final_snapshot_identifier.is_some() {
                return Err(ApiError::invalid_combination(
                    "A member of a replication group has no final snapshot; use CreateSnapshot for the group.",
                ));
            }
        }
        if input.final_snapshot_identifier.is_some() {
            check_supported(cluster)?;
            check_cluster_available(cluster, seen)?;
        }
        delete(cluster, seen)?;
        if let Some(name) = &input.final_snapshot_identifier {
            cluster.final_snapshot = Some(name.to_ascii_lowercase());
            let asked = of_cluster(app, "FinalSnapshotIdentifier", name, cluster, Extras::default())?;
            changes.extend(asked.changes);
        }
        Ok(changes)
    })?;
    Ok(answer(app, caller, &whole))
}
