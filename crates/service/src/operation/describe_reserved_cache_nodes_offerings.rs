//! DescribeReservedCacheNodesOfferings.

use serde::Deserialize;

use super::reserved_cache_node::{filter, write_terms};
use super::{App, Caller, Input, Paging};
use crate::front::{ApiError, Xml};
use crate::resource::reserved::offerings;

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeReservedCacheNodesOfferings {
    reserved_cache_nodes_offering_id: Option<String>,
    cache_node_type: Option<String>,
    duration: Option<String>,
    product_description: Option<String>,
    offering_type: Option<String>,
    marker: Option<String>,
    max_records: Option<i64>,
}

impl Input for DescribeReservedCacheNodesOfferings {}

/// Answers a page of what can be bought.
pub(super) fn run(
    _app: &App,
    _caller: &Caller,
    input: DescribeReservedCacheNodesOfferings,
) -> Result<Xml, ApiError> {
    let paging = Paging::new(input.marker.as_deref(), input.max_records)?;
    let filter = filter(
        input.reserved_cache_nodes_offering_id.as_deref(),
        input.cache_node_type.as_deref(),
        input.duration.as_deref(),
        input.product_description.as_deref(),
        input.offering_type.as_deref(),
    )?;
    let mut found = offerings();
    if let Some(id) = &filter.offering_id
        && !found.iter().any(|offering| offering.id == *id)
    {
        return Err(super::purchase_reserved_cache_nodes_offering::not_found(id));
    }
    found.retain(|offering| filter.passes(offering));
    found.sort_by(|a, b| a.id.cmp(&b.id));
    let page = paging.cut(found, |offering| offering.id.clone());
    let mut xml = Xml::new();
    page.write_marker(&mut xml);
    xml.list("ReservedCacheNodesOfferings", "ReservedCacheNodesOffering", &page.items, write_terms);
    Ok(xml)
}
