//! ListAllowedNodeTypeModifications.

use serde::Deserialize;

use super::cache_cluster::{self, Load, find_whole};
use super::replication_group::{self, find_group};
use super::{App, Caller, Input};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::cluster::Cluster;
use crate::resource::node_type;

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListAllowedNodeTypeModifications {
    cache_cluster_id: Option<String>,
    replication_group_id: Option<String>,
}

impl Input for ListAllowedNodeTypeModifications {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        let cluster = self.cache_cluster_id.as_deref().map(|id| caller.arn(cache_cluster::SORT, id));
        let group = self.replication_group_id.as_deref().map(|id| caller.arn(replication_group::SORT, id));
        Ok(cluster.or(group))
    }
}

/// Answers the types that a cache can change to.
pub(super) fn run(
    app: &App,
    _caller: &Caller,
    input: ListAllowedNodeTypeModifications,
) -> Result<Xml, ApiError> {
    let cluster: Cluster = match (&input.cache_cluster_id, &input.replication_group_id) {
        (Some(cluster), None) => find_whole(app, cluster)?.desired.value,
        (None, Some(group)) => {
            let first = find_group(app, group)?.members.into_iter().next();
            first.ok_or_else(|| ApiError::internal(&"a group without members"))?.cluster.value
        }
        _ => {
            return Err(ApiError::invalid_combination(
                "Exactly one of CacheClusterId and ReplicationGroupId must be specified.",
            ));
        }
    };
    let present = node_type::find(&cluster.node_type);
    let present = present.ok_or_else(|| ApiError::internal(&"a cluster of an unknown node type"))?;
    let offered = || {
        let all = node_type::all().iter().filter(|other| other.name != present.name);
        all.filter(|other| other.offers(cluster.engine.as_str()) && other.ssd_bytes.is_none())
    };
    let up = offered().filter(|other| other.maxmemory_bytes >= present.maxmemory_bytes);
    let down = offered().filter(|other| other.maxmemory_bytes < present.maxmemory_bytes);
    let load = Load::of(app, &cluster)?;
    let down = down.filter(|other| load.fits(other));
    let mut xml = Xml::new();
    xml.texts("ScaleUpModifications", "member", up.map(|other| other.name));
    xml.texts("ScaleDownModifications", "member", down.map(|other| other.name));
    Ok(xml)
}
