//! DeleteReplicationGroup.

use serde::Deserialize;

use super::replication_group::{self, answer, update_group};
use super::snapshot::{Asked, Extras, of_group};
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
    let retain = input.retain_primary_cluster == Some(true);
    if retain && input.final_snapshot_identifier.is_some() {
        return Err(ApiError::invalid_combination(
            "FinalSnapshotIdentifier cannot be specified together with RetainPrimaryCluster: the data stay in that \
             cluster.",
        ));
    }
    let whole = update_group(app, &input.replication_group_id, |whole| {
        let (group, observed) = (&mut whole.group.value, whole.observed.as_ref());
        let is_busy = matches!(group.status(observed), Status::Deleting | Status::Snapshotting);
        if retain || is_busy || input.final_snapshot_identifier.is_some() {
            change::check_available(group, observed)?;
        }
        if retain && group.user_group.is_some() {
            return Err(ApiError::invalid_combination(
                "RetainPrimaryCluster cannot be specified for a replication group with a user group: the cluster alone \
                 cannot have one, and would let everybody in. Remove the user group first.",
            ));
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
        let Some(name) = &input.final_snapshot_identifier else { return Ok(vec![]) };
        let Asked { changes, .. } =
            of_group(app, "FinalSnapshotIdentifier", name, whole, None, Extras::default())?;
        for member in whole.members.iter_mut().filter(|member| member.cluster.value.deleting) {
            member.cluster.value.final_snapshot = Some(name.to_ascii_lowercase());
        }
        Ok(changes)
    })?;
    Ok(answer(app, caller, &whole))
}
