//! TestFailover.

use serde::Deserialize;

use super::replication_group::{self, answer, update_group};
use super::{App, Caller, Input};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::group::change;
use crate::resource::group::tests_of_failover::FailoverTests;
use crate::state::{Change, create, find, replace};

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
        Ok(vec![counted(app)?])
    })?;
    Ok(answer(app, caller, &whole))
}

/// Counts one more test of the day.
fn counted(app: &App) -> Result<Change, ApiError> {
    let stored = find::<FailoverTests>(app.records.as_ref(), FailoverTests::ID)?;
    let revision = stored.as_ref().map(|stored| stored.revision);
    let mut tests = stored.map(|stored| stored.value).unwrap_or_default();
    tests.add(app.now_ms())?;
    Ok(match revision {
        Some(revision) => replace(&tests, revision)?,
        None => create(&tests)?,
    })
}
