//! DeleteSnapshot.

use serde::Deserialize;

use super::retry::retrying;
use super::snapshot::{Uses, answer, find_snapshot};
use super::{App, Caller, Input};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::snapshot::{SORT, Snapshot};
use crate::state::replace;

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteSnapshot {
    snapshot_name: String,
}

impl Input for DeleteSnapshot {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(Some(caller.arn(SORT, &self.snapshot_name)))
    }
}

/// Wants a snapshot gone. Answers it, deleting.
pub(super) fn run(app: &App, caller: &Caller, input: DeleteSnapshot) -> Result<Xml, ApiError> {
    retrying(|| {
        let whole = find_snapshot(app, &input.snapshot_name)?;
        whole.check(&Uses::now(app)?, &["available", "failed"])?;
        let deleting = Snapshot { deleting: true, ..whole.snapshot.value };
        app.records.apply(&[replace(&deleting, whole.snapshot.revision)?])?;
        Ok(answer(caller, deleting, whole.observed))
    })
}
