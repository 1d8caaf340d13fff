//! DescribeReplicationGroups.

use serde::Deserialize;

use super::replication_group::{self, WholeGroup, find_group, with_members};
use super::{App, Caller, Input, Paging};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::group::Group;
use crate::state::list;

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeReplicationGroups {
    replication_group_id: Option<String>,
    max_records: Option<i64>,
    marker: Option<String>,
}

impl Input for DescribeReplicationGroups {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(self.replication_group_id.as_deref().map(|id| caller.arn(replication_group::SORT, id)))
    }
}

/// Answers one group, or a page of all.
pub(super) fn run(app: &App, caller: &Caller, input: DescribeReplicationGroups) -> Result<Xml, ApiError> {
    let paging = Paging::new(input.marker.as_deref(), input.max_records)?;
    let (groups, marker): (Vec<WholeGroup>, Xml) = match &input.replication_group_id {
        Some(name) => (vec![find_group(app, name)?], Xml::new()),
        None => {
            let page = paging.cut(list::<Group>(app.records.as_ref(), paging.of_records())?, |group| {
                group.value.id.clone()
            });
            let mut marker = Xml::new();
            page.write_marker(&mut marker);
            let whole: Result<Vec<_>, ApiError> =
                page.items.into_iter().map(|group| with_members(app, group)).collect();
            (whole?, marker)
        }
    };
    let mut xml = marker;
    xml.list("ReplicationGroups", "ReplicationGroup", &groups, |xml, whole| {
        replication_group::write(xml, app, caller, whole);
    });
    Ok(xml)
}
