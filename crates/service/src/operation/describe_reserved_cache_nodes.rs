//! DescribeReservedCacheNodes.

use serde::Deserialize;

use super::reserved_cache_node::{filter, write};
use super::{App, Caller, Input, Paging};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::reserved::{Reservation, SORT};
use crate::state::list_all;

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeReservedCacheNodes {
    reserved_cache_node_id: Option<String>,
    reserved_cache_nodes_offering_id: Option<String>,
    cache_node_type: Option<String>,
    duration: Option<String>,
    product_description: Option<String>,
    offering_type: Option<String>,
    marker: Option<String>,
    max_records: Option<i64>,
}

impl Input for DescribeReservedCacheNodes {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(self.reserved_cache_node_id.as_deref().map(|id| caller.arn(SORT, id)))
    }
}

/// Answers one reservation, or a page of those that fit.
pub(super) fn run(app: &App, caller: &Caller, input: DescribeReservedCacheNodes) -> Result<Xml, ApiError> {
    let paging = Paging::new(input.marker.as_deref(), input.max_records)?;
    let filter = filter(
        input.reserved_cache_nodes_offering_id.as_deref(),
        input.cache_node_type.as_deref(),
        input.duration.as_deref(),
        input.product_description.as_deref(),
        input.offering_type.as_deref(),
    )?;
    let all = list_all::<Reservation>(app.records.as_ref())?.into_iter().map(|stored| stored.value);
    let mut found: Vec<Reservation> = all.collect();
    if let Some(id) = &input.reserved_cache_node_id {
        found.retain(|reservation| reservation.id.eq_ignore_ascii_case(id));
        if found.is_empty() {
            let shown: String = id.chars().take(255).collect();
            let message = format!("Reserved cache node {shown} not found.");
            return Err(ApiError::new("ReservedCacheNodeNotFound", message));
        }
    }
    found.retain(|reservation| filter.passes(&reservation.offering));
    let page = paging.cut(found, |reservation| reservation.id.clone());
    let mut xml = Xml::new();
    page.write_marker(&mut xml);
    xml.list("ReservedCacheNodes", "ReservedCacheNode", &page.items, |xml, reservation| {
        write(xml, app, caller, reservation);
    });
    Ok(xml)
}
