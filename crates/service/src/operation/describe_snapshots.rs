//! DescribeSnapshots.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::snapshot::{Uses, find_snapshot, write};
use super::{App, Caller, Input, Paging};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::snapshot::{ObservedSnapshot, SORT, Snapshot};
use crate::state::{Page, find_shared, list_shared};

/// Most snapshots on a page.
const RECORDS_MAX: i64 = 50;

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeSnapshots {
    snapshot_name: Option<String>,
    cache_cluster_id: Option<String>,
    replication_group_id: Option<String>,
    snapshot_source: Option<String>,
    marker: Option<String>,
    max_records: Option<i64>,
    show_node_group_config: Option<bool>,
}

impl Input for DescribeSnapshots {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(self.snapshot_name.as_deref().map(|name| caller.arn(SORT, name)))
    }
}

/// Answers one snapshot, or a page of those that fit.
pub(super) fn run(app: &App, caller: &Caller, input: DescribeSnapshots) -> Result<Xml, ApiError> {
    let max_records = input.max_records.unwrap_or(RECORDS_MAX);
    if max_records > RECORDS_MAX {
        return Err(ApiError::invalid_value(format!(
            "Invalid value {max_records} for MaxRecords: must be between 20 and {RECORDS_MAX}."
        )));
    }
    let paging = Paging::new(input.marker.as_deref(), Some(max_records))?;
    let automatic = match input.snapshot_source.as_deref() {
        None => None,
        Some("system") => Some(true),
        Some("user") => Some(false),
        Some(other) => {
            let shown: String = other.chars().take(64).collect();
            return Err(ApiError::invalid_value(format!(
                "Invalid SnapshotSource: {shown}. Valid values are system and user."
            )));
        }
    };
    let records = app.records.as_ref();
    let mut found: Vec<Arc<Snapshot>> = match &input.snapshot_name {
        Some(name) => vec![Arc::new(find_snapshot(app, name)?.snapshot.value)],
        None => list_shared(records, Page::default())?.into_iter().map(|stored| stored.value).collect(),
    };
    found.retain(|snapshot| {
        let of_cluster = |id: &String| snapshot.cluster.id.eq_ignore_ascii_case(id);
        let of_group = |id: &String| snapshot.group.as_ref().is_some_and(|g| g.id.eq_ignore_ascii_case(id));
        automatic.is_none_or(|automatic| automatic == snapshot.automatic)
            && input.cache_cluster_id.as_ref().is_none_or(of_cluster)
            && input.replication_group_id.as_ref().is_none_or(of_group)
    });
    let uses = Uses::now(app)?;
    let page = paging.cut(found, |snapshot| snapshot.name.clone());
    let mut xml = Xml::new();
    page.write_marker(&mut xml);
    let with_shards = input.show_node_group_config == Some(true);
    let mut observed: BTreeMap<&str, Arc<ObservedSnapshot>> = BTreeMap::new();
    for snapshot in &page.items {
        let seen = find_shared::<ObservedSnapshot>(records, &snapshot.name)?;
        observed.extend(seen.map(|seen| (snapshot.name.as_str(), seen.value)));
    }
    xml.list("Snapshots", "Snapshot", &page.items, |xml, snapshot| {
        let observed = observed.get(snapshot.name.as_str()).map(AsRef::as_ref);
        write(xml, caller, snapshot, observed, uses.of(&snapshot.name), with_shards);
    });
    Ok(xml)
}
