//! DescribeServiceUpdates.

use serde::Deserialize;

use super::service_update::{
    ESTIMATED_TIME, SORT, check_statuses, end_ms, engines, find_update, updates, versions,
};
use super::{App, Caller, Input, Paging};
use crate::front::{ApiError, Xml};

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeServiceUpdates {
    service_update_name: Option<String>,
    #[serde(default)]
    service_update_status: Vec<String>,
    max_records: Option<i64>,
    marker: Option<String>,
}

impl Input for DescribeServiceUpdates {}

/// Answers one service update, or a page of those in some states, the newest first.
pub(super) fn run(app: &App, _caller: &Caller, input: DescribeServiceUpdates) -> Result<Xml, ApiError> {
    let paging = Paging::new(input.marker.as_deref(), input.max_records)?;
    check_statuses(&input.service_update_status)?;
    let mut found = match &input.service_update_name {
        Some(name) => vec![find_update(app, name)?],
        None => updates(app)?,
    };
    let (running, all) = (app.release.as_ref(), updates(app)?);
    let wanted = &input.service_update_status;
    found.retain(|update| wanted.is_empty() || wanted.iter().any(|status| status == update.status(running)));
    let page = paging.cut(found.into_iter().enumerate(), |(number, _)| format!("{number:08}"));
    let mut xml = Xml::new();
    page.write_marker(&mut xml);
    xml.list("ServiceUpdates", "ServiceUpdate", &page.items, |xml, (_, update)| {
        let (name, release) = (update.name(), &update.release);
        xml.text("ServiceUpdateName", &name)
            .time("ServiceUpdateReleaseDate", update.released_ms)
            .optional_time("ServiceUpdateEndDate", end_ms(&all, update))
            .text("ServiceUpdateSeverity", update.severity.as_str())
            .time("ServiceUpdateRecommendedApplyByDate", update.apply_by_ms())
            .text("ServiceUpdateStatus", update.status(running))
            .text(
                "ServiceUpdateDescription",
                &format!("Larder {release}: nodes that run an earlier release are started anew, one after the other"),
            )
            .text("ServiceUpdateType", SORT)
            .text("Engine", &engines())
            .text("EngineVersion", &versions())
            .boolean("AutoUpdateAfterRecommendedApplyByDate", update.is_automatic())
            .text("EstimatedUpdateTime", ESTIMATED_TIME);
    });
    Ok(xml)
}
