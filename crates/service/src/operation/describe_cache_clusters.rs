//! DescribeCacheClusters.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;

use super::cache_cluster::{self, Seen, not_found};
use super::{App, Caller, Input, Paging, log_delivery};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::cluster::Cluster;
use crate::resource::node::Observed;
use crate::state::{Page, find_shared, list_shared};

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeCacheClusters {
    cache_cluster_id: Option<String>,
    max_records: Option<i64>,
    marker: Option<String>,
    show_cache_node_info: Option<bool>,
    #[serde(rename = "ShowCacheClustersNotInReplicationGroups")]
    not_in_groups: Option<bool>,
}

impl Input for DescribeCacheClusters {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(self.cache_cluster_id.as_deref().map(|id| caller.arn(cache_cluster::SORT, id)))
    }
}

/// Answers one cluster, or a page of all.
pub(super) fn run(app: &App, caller: &Caller, input: DescribeCacheClusters) -> Result<Xml, ApiError> {
    let paging = Paging::new(input.marker.as_deref(), input.max_records)?;
    let records = app.records.as_ref();
    let mut found: Vec<Arc<Cluster>> = Vec::new();
    if let Some(name) = &input.cache_cluster_id {
        let cluster = find_shared::<Cluster>(records, &name.to_ascii_lowercase())?;
        found.push(cluster.ok_or_else(|| not_found(name))?.value);
    } else {
        // Only a filter needs more than the page.
        let part = if input.not_in_groups == Some(true) { Page::default() } else { paging.of_records() };
        found.extend(list_shared::<Cluster>(records, part)?.into_iter().map(|stored| stored.value));
    }
    if input.not_in_groups == Some(true) {
        found.retain(|cluster| cluster.group.is_none());
    }
    let page = paging.cut(found, |cluster| cluster.id.clone());
    let mut observed: HashMap<&str, Arc<Observed>> = HashMap::new();
    for cluster in &page.items {
        let seen = find_shared::<Observed>(records, &cluster.id)?.map(|stored| stored.value);
        observed.extend(seen.map(|seen| (cluster.id.as_str(), seen)));
    }
    let show_nodes = input.show_cache_node_info == Some(true);
    let mut xml = Xml::new();
    page.write_marker(&mut xml);
    xml.list("CacheClusters", "CacheCluster", &page.items, |xml, cluster| {
        let observed = observed.get(cluster.id.as_str()).map(AsRef::as_ref);
        // What a member delivers stands in the answer about its group.
        let logs = match cluster.group {
            None => log_delivery::in_force(app, &cluster.id),
            Some(_) => Arc::default(),
        };
        cache_cluster::write(xml, app, caller, cluster, &Seen { observed, logs: &logs }, show_nodes);
    });
    Ok(xml)
}
