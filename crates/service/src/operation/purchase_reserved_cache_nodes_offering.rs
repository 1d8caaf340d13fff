//! PurchaseReservedCacheNodesOffering.

use serde::Deserialize;

use super::reserved_cache_node::write;
use super::{App, Caller, Input};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::reserved::{NODES_MAX, Reservation, SORT, identifier, offerings};
use crate::resource::tag::{Tag, TagSet};
use crate::state::{self, StateError, list_all};

/// Names of a moment that are tried: as many as there can be reservations, of which each may have taken one.
const NAMES_TRIED: u64 = NODES_MAX;

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PurchaseReservedCacheNodesOffering {
    reserved_cache_nodes_offering_id: String,
    reserved_cache_node_id: Option<String>,
    cache_node_count: Option<i64>,
    #[serde(default)]
    tags: Vec<Tag>,
}

impl Input for PurchaseReservedCacheNodesOffering {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(Some(caller.arn(SORT, self.reserved_cache_node_id.as_deref().unwrap_or("*"))))
    }
}

/// Buys a reservation. Answers it, its payment pending.
pub(super) fn run(
    app: &App,
    caller: &Caller,
    input: PurchaseReservedCacheNodesOffering,
) -> Result<Xml, ApiError> {
    let asked = &input.reserved_cache_nodes_offering_id;
    let offering = offerings().into_iter().find(|offering| offering.id == *asked);
    let offering = offering.ok_or_else(|| not_found(asked))?;
    let count = input.cache_node_count.unwrap_or(1);
    let count =
        u64::try_from(count).ok().filter(|count| (1..=NODES_MAX).contains(count)).ok_or_else(|| {
            ApiError::invalid_value(format!(
                "CacheNodeCount must be between 1 and {NODES_MAX}, but is {count}."
            ))
        })?;
    let now_ms = app.now_ms();
    let bought = list_all::<Reservation>(app.records.as_ref())?.into_iter().map(|stored| stored.value);
    let present: u64 = bought.filter(|other| other.state(now_ms) != "retired").map(|other| other.count).sum();
    if present + count > NODES_MAX {
        let message = format!("Request would exceed the limit of {NODES_MAX} reserved cache nodes.");
        return Err(ApiError::new("ReservedCacheNodeQuotaExceeded", message));
    }
    // Of a reservation that is given no name, the moment is the name; another call may have taken it.
    let named = input.reserved_cache_node_id.as_deref();
    for moment_ms in now_ms..=now_ms + NAMES_TRIED {
        let id = identifier(named, moment_ms)?;
        let mut tags = TagSet::none(SORT, &id);
        tags.add(input.tags.clone())?;
        let reservation = Reservation { id, offering: offering.clone(), count, start_ms: now_ms };
        match app.records.apply(&[state::create(&reservation)?, state::put_any(&tags)?]) {
            Err(StateError::Conflict { .. }) if named.is_none() => {}
            Err(StateError::Conflict { .. }) => {
                let message = format!("Reserved cache node {} already exists.", reservation.id);
                return Err(ApiError::new("ReservedCacheNodeAlreadyExists", message));
            }
            other => {
                other.map(drop)?;
                let mut xml = Xml::new();
                xml.element("ReservedCacheNode", |xml| write(xml, app, caller, &reservation));
                return Ok(xml);
            }
        }
    }
    Err(ApiError::internal(&"no name is left for a reservation"))
}

/// There is no such offering.
pub(super) fn not_found(id: &str) -> ApiError {
    let shown: String = id.chars().take(64).collect();
    let message = format!("Reserved cache nodes offering {shown} not found.");
    ApiError::new("ReservedCacheNodesOfferingNotFound", message)
}
