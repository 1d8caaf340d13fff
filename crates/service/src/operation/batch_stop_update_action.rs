//! BatchStopUpdateAction.

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
pub(super) struct BatchStopUpdateAction {
    #[serde(default)]
    replication_group_ids: Vec<String>,
    #[serde(default)]
    cache_cluster_ids: Vec<String>,
    service_update_name: String,
}

impl Input for BatchStopUpdateAction {
    fn resources(&self, caller: &Caller) -> Result<Vec<Arn>, ApiError> {
        Ok(arns(caller, &self.replication_group_ids, &self.cache_cluster_ids))
    }
}

/// Wants no further nodes of caches started anew. Answers for each cache what comes of it.
pub(super) fn run(app: &App, _caller: &Caller, input: BatchStopUpdateAction) -> Result<Xml, ApiError> {
    let update = find_update(app, &input.service_update_name)?;
    batch(app, &update, &input.replication_group_ids, &input.cache_cluster_ids, |cache, action| {
        let status = cache.status(action, &update, app.now_ms());
        let Some((action, "waiting-to-start" | "in-progress")) = action.zip(status) else {
            let status = status.unwrap_or("not-applicable");
            let message = format!("The update action of {} cannot be stopped: it is {status}.", cache.id);
            return Ok(Err(("InvalidParameterValue", message)));
        };
        let stopped = UpdateAction { stopped_ms: Some(app.now_ms()), ..action.clone() };
        app.records.apply(&[put_any(&stopped)?])?;
        Ok(Ok(cache.status(Some(&stopped), &update, app.now_ms()).unwrap_or("stopped")))
    })
}
