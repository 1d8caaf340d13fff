//! DescribeCacheClusters.

use std::collections::HashMap;

use serde::Deserialize;

use super::cache_cluster::{self, Whole, find_whole};
use super::{App, Caller, Input, Paging};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::cluster::Cluster;
use crate::resource::node::Observed;
use crate::state::{Page, find, list};

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
    let mut found: Vec<Cluster> = Vec::new();
    let mut observed: HashMap<String, Observed> = HashMap::new();
    if let Some(name) = &input.cache_cluster_id {
        let Whole { desired, observed: seen } = find_whole(app, name)?;
        observed.extend(seen.map(|seen| (seen.id.clone(), seen)));
        found.push(desired.value);
    } else {
        // Only a filter needs more than the page.
        let part = if input.not_in_groups == Some(true) { Page::default() } else { paging.of_records() };
        found.extend(list::<Cluster>(app.records.as_ref(), part)?.into_iter().map(|stored| stored.value));
    }
    if input.not_in_groups == Some(true) {
        found.retain(|cluster| cluster.group.is_none());
    }
    let page = paging.cut(found, |cluster| cluster.id.clone());
    for cluster in page.items.iter().filter(|_| input.cache_cluster_id.is_none()) {
        let seen = find::<Observed>(app.records.as_ref(), &cluster.id)?.map(|stored| stored.value);
        observed.extend(seen.map(|seen| (cluster.id.clone(), seen)));
    }
    let show_nodes = input.show_cache_node_info == Some(true);
    let mut xml = Xml::new();
    page.write_marker(&mut xml);
    xml.list("CacheClusters", "CacheCluster", &page.items, |xml, cluster| {
        cache_cluster::write(xml, app, caller, cluster, observed.get(&cluster.id), show_nodes);
    });
    Ok(xml)
}
