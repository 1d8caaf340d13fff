//! DeleteCacheCluster.

use serde::Deserialize;

use super::cache_cluster::{self, answer, update};
use super::{App, Caller, Input};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::cluster::Engine;
use crate::resource::cluster::modify::delete;
use crate::resource::refusal::Refusal;

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
    let (cluster, observed) = update(app, &input.cache_cluster_id, |cluster, _| {
        if input.final_snapshot_identifier.is_some() {
            return Err(no_final_snapshot(cluster.engine).into());
        }
        delete(cluster)?;
        Ok(vec![])
    })?;
    Ok(answer(app, caller, &cluster, observed.as_ref()))
}

fn no_final_snapshot(engine: Engine) -> Refusal {
    let message = match engine {
        Engine::Memcached => "Snapshots are not supported for memcached clusters.",
        Engine::Redis | Engine::Valkey => "A final snapshot is not available in this version of the service.",
    };
    Refusal::new("SnapshotFeatureNotSupportedFault", message)
}
