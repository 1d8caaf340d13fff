//! BatchApplyUpdateAction.

use serde::Deserialize;

use super::service_update::{arns, batch, find_update};
use super::{App, Caller, Input};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::service_update::UpdateAction;
use crate::state::put_any;

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct BatchApplyUpdateAction {
    #[serde(default)]
    replication_group_ids: Vec<String>,
    #[serde(default)]
    cache_cluster_ids: Vec<String>,
    service_update_name: String,
}

impl Input for BatchApplyUpdateAction {
    fn resources(&self, caller: &Caller) -> Result<Vec<Arn>, ApiError> {
        Ok(arns(caller, &self.replication_group_ids, &self.cache_cluster_ids))
    }
}

/// Wants the nodes of caches to run the release. Answers for each cache what comes of it.
pub(super) fn run(app: &App, _caller: &Caller, input: BatchApplyUpdateAction) -> Result<Xml, ApiError> {
    let update = find_update(app, &input.service_update_name)?;
    let refused = |message: String| Ok(Err(("InvalidParameterValue", message)));
    batch(app, &update, &input.replication_group_ids, &input.cache_cluster_ids, |cache, action| {
        if app.release.as_ref() != Some(&update.release) {
            return refused(format!("Service update {} is expired.", update.name()));
        }
        match cache.status(action, &update, app.now_ms()) {
            Some("not-applied" | "scheduled" | "stopped") => {}
            Some(other) => return refused(format!("The update action of {} is {other}.", cache.id)),
            None => return refused(format!("The update is not applicable to {}.", cache.id)),
        }
        let action = UpdateAction {
            update: update.name(),
            release: update.release.clone(),
            cache: cache.id.clone(),
            is_group: cache.is_group,
            cache_created_ms: cache.created_ms,
            asked_ms: app.now_ms(),
            stopped_ms: None,
            by_system: false,
        };
        app.records.apply(&[put_any(&action)?])?;
        Ok(Ok("waiting-to-start"))
    })
}
