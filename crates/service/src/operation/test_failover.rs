//! TestFailover.

use serde::Deserialize;

use super::replication_group::{self, answer, update_group};
use super::{App, Caller, Input};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::group::change;

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TestFailover {
    replication_group_id: String,
    node_group_id: String,
}

impl Input for TestFailover {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(Some(caller.arn(replication_group::SORT, &self.replication_group_id)))
    }
}

/// Wants the primary of a shard to fail: its process is ended, and a replica takes over. Answers the group, modifying.
pub(super) fn run(app: &App, caller: &Caller, input: TestFailover) -> Result<Xml, ApiError> {
    let whole = update_group(app, &input.replication_group_id, |whole| {
        change::test_failover(&mut whole.group.value, whole.observed.as_ref(), &input.node_group_id)?;
        Ok(vec![])
    })?;
    answer(app, caller, &whole.group.value.id)
}
