//! DeleteReplicationGroup.

use serde::Deserialize;

use super::replication_group::{self, answer, update_group};
use super::{App, Caller, Input};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::group::{ONLY_SHARD, Status, change};

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteReplicationGroup {
    replication_group_id: String,
    retain_primary_cluster: Option<bool>,
    final_snapshot_identifier: Option<String>,
}

impl Input for DeleteReplicationGroup {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(Some(caller.arn(replication_group::SORT, &self.replication_group_id)))
    }
}

/// Wants a group gone, with its members or without its primary. Answers it, deleting.
pub(super) fn run(app: &App, caller: &Caller, input: DeleteReplicationGroup) -> Result<Xml, ApiError> {
    if input.final_snapshot_identifier.is_some() {
        return Err(ApiError::new(
            "SnapshotFeatureNotSupportedFault",
            "A final snapshot is not available in this version of the service.",
        ));
    }
    let retain = input.retain_primary_cluster == Some(true);
    let whole = update_group(app, &input.replication_group_id, |whole| {
        let (group, observed) = (&mut whole.group.value, whole.observed.as_ref());
        if retain || group.status(observed) == Status::Deleting {
            change::check_available(group, observed)?;
        }
        let kept =
            observed.and_then(|observed| observed.primary(ONLY_SHARD)).filter(|_| retain).map(str::to_owned);
        for member in &mut whole.members {
            let cluster = &mut member.cluster.value;
            if Some(&cluster.id) == kept.as_ref() {
                cluster.group = None;
            } else {
                cluster.delete();
            }
        }
        if let Some(kept) = &kept {
            for shard in group.shards.values_mut() {
                shard.members.retain(|id| id != kept);
            }
        }
        group.deleting = true;
        group.generation += 1;
        Ok(vec![])
    })?;
    answer(app, caller, &whole.group.value.id)
}
