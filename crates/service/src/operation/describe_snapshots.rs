//! DescribeSnapshots.

use serde::Deserialize;

use super::snapshot::{Uses, WholeSnapshot, find_snapshot, write};
use super::{App, Caller, Input, Paging};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::snapshot::{ObservedSnapshot, SORT, Snapshot};
use crate::state::{find, list_all};

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
    let mut found = match &input.snapshot_name {
        Some(name) => vec![find_snapshot(app, name)?],
        None => all(app)?,
    };
    found.retain(|whole| {
        let snapshot = &whole.snapshot.value;
        let of_cluster = |id: &String| snapshot.cluster.id.eq_ignore_ascii_case(id);
        let of_group = |id: &String| snapshot.group.as_ref().is_some_and(|g| g.id.eq_ignore_ascii_case(id));
        automatic.is_none_or(|automatic| automatic == snapshot.automatic)
            && input.cache_cluster_id.as_ref().is_none_or(of_cluster)
            && input.replication_group_id.as_ref().is_none_or(of_group)
    });
    let uses = Uses::now(app)?;
    let page = paging.cut(found, |whole| whole.snapshot.value.name.clone());
    let mut xml = Xml::new();
    page.write_marker(&mut xml);
    let with_shards = input.show_node_group_config == Some(true);
    xml.list("Snapshots", "Snapshot", &page.items, |xml, whole| {
        write(xml, caller, whole, &uses, with_shards);
    });
    Ok(xml)
}

fn all(app: &App) -> Result<Vec<WholeSnapshot>, ApiError> {
    let records = app.records.as_ref();
    let mut found = vec![];
    for snapshot in list_all::<Snapshot>(records)? {
        let observed = find::<ObservedSnapshot>(records, &snapshot.value.name)?.map(|stored| stored.value);
        found.push(WholeSnapshot { snapshot, observed });
    }
    Ok(found)
}
