//! RebootCacheCluster.

use serde::Deserialize;

use super::cache_cluster::{self, answer, update};
use super::{App, Caller, Input};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::cluster::modify::reboot;

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RebootCacheCluster {
    cache_cluster_id: String,
    cache_node_ids_to_reboot: Vec<String>,
}

impl Input for RebootCacheCluster {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(Some(caller.arn(cache_cluster::SORT, &self.cache_cluster_id)))
    }
}

/// Wants nodes started anew, empty. Answers the cluster, rebooting.
pub(super) fn run(app: &App, caller: &Caller, input: RebootCacheCluster) -> Result<Xml, ApiError> {
    let whole = update(app, &input.cache_cluster_id, |cluster, observed| {
        reboot(cluster, observed, &input.cache_node_ids_to_reboot)?;
        Ok(vec![])
    })?;
    Ok(answer(app, caller, &whole))
}
