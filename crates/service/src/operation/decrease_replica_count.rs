//! DecreaseReplicaCount.

use serde::Deserialize;

use super::increase_replica_count::{ConfigureShard, check_immediately, count_of};
use super::replication_group::{self, answer, update_group};
use super::{App, Caller, Input};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::group::ONLY_SHARD;
use crate::resource::group::change::{self, fewer_replicas, remove_members};

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DecreaseReplicaCount {
    replication_group_id: String,
    new_replica_count: Option<i64>,
    #[serde(default)]
    replica_configuration: Vec<ConfigureShard>,
    #[serde(default)]
    replicas_to_remove: Vec<String>,
    apply_immediately: bool,
}

impl Input for DecreaseReplicaCount {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(Some(caller.arn(replication_group::SORT, &self.replication_group_id)))
    }
}

/// Wants fewer replicas. Answers the group, modifying.
pub(super) fn run(app: &App, caller: &Caller, input: DecreaseReplicaCount) -> Result<Xml, ApiError> {
    check_immediately(input.apply_immediately)?;
    let whole = update_group(app, &input.replication_group_id, |whole| {
        change::check_available(&whole.group.value, whole.observed.as_ref())?;
        let is_named_only = input.new_replica_count.is_none() && input.replica_configuration.is_empty();
        let asked = match is_named_only && !input.replicas_to_remove.is_empty() {
            true => None,
            false => {
                let shards = &input.replica_configuration;
                Some(count_of(&whole.group.value, input.new_replica_count, shards)?.0)
            }
        };
        let shard = change::only_shard(&whole.group.value, None)?;
        let primary = whole.observed.as_ref().and_then(|observed| observed.primary(ONLY_SHARD));
        let going = fewer_replicas(&whole.group.value, shard, primary, asked, &input.replicas_to_remove)?;
        for member in whole.members.iter_mut().filter(|member| going.contains(&member.cluster.value.id)) {
            member.cluster.value.delete();
        }
        remove_members(&mut whole.group.value, &going);
        Ok(vec![])
    })?;
    Ok(answer(app, caller, &whole))
}
