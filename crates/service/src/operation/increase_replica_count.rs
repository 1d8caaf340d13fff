//! IncreaseReplicaCount.

use serde::Deserialize;

use super::cache_cluster::{self, check_quota, not_available, subnets};
use super::replication_group::{self, MemberRecord, WholeGroup, answer, update_group};
use super::{App, Caller, Input};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::cluster::Cluster;
use crate::resource::cluster::create::{check_zones, zone_names};
use crate::resource::group::change::{self, more_replicas};
use crate::resource::group::create::spread;
use crate::resource::group::{Group, ONLY_SHARD};
use crate::resource::tag::{Tag, TagSet};
use crate::state::{self, Change, find};

/// One shard in ReplicaConfiguration.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ConfigureShard {
    pub(super) node_group_id: String,
    pub(super) new_replica_count: i64,
    #[serde(default)]
    pub(super) preferred_availability_zones: Vec<String>,
    #[serde(default)]
    pub(super) preferred_outpost_arns: Vec<String>,
}

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct IncreaseReplicaCount {
    replication_group_id: String,
    new_replica_count: Option<i64>,
    #[serde(default)]
    replica_configuration: Vec<ConfigureShard>,
    apply_immediately: bool,
}

impl Input for IncreaseReplicaCount {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(Some(caller.arn(replication_group::SORT, &self.replication_group_id)))
    }
}

/// Wants more replicas. Answers the group, modifying.
pub(super) fn run(app: &App, caller: &Caller, input: IncreaseReplicaCount) -> Result<Xml, ApiError> {
    check_immediately(input.apply_immediately)?;
    let whole = update_group(app, &input.replication_group_id, |whole| {
        change::check_available(&whole.group.value, whole.observed.as_ref())?;
        let (asked, zones) =
            count_of(&whole.group.value, input.new_replica_count, &input.replica_configuration)?;
        let shard = change::only_shard(&whole.group.value, None)?;
        let count = more_replicas(shard, asked)? + 1 - shard.members.len();
        // The zones of a request are those of all members, the present ones first.
        let zones = zones.get(shard.members.len()..).unwrap_or_default().to_vec();
        add_members(app, whole, count, &zones, None, vec![])
    })?;
    Ok(answer(app, caller, &whole))
}

/// ApplyImmediately must be true: there is no other way.
pub(super) fn check_immediately(apply_immediately: bool) -> Result<(), ApiError> {
    if apply_immediately {
        return Ok(());
    }
    Err(ApiError::invalid_value(
        "ApplyImmediately must be true: a change of the number of replicas cannot wait.",
    ))
}

/// The number that was asked for, one way or the other, and the zones of all members if they were given.
pub(super) fn count_of(
    group: &Group,
    count: Option<i64>,
    shards: &[ConfigureShard],
) -> Result<(i64, Vec<String>), ApiError> {
    match (count, shards) {
        (Some(count), []) => Ok((count, vec![])),
        (None, [shard]) => {
            not_available("PreferredOutpostArns", !shard.preferred_outpost_arns.is_empty())?;
            change::only_shard(group, Some(&shard.node_group_id))?;
            let (zones, count) = (&shard.preferred_availability_zones, shard.new_replica_count);
            if !zones.is_empty() && i64::try_from(zones.len()).ok() != count.checked_add(1) {
                return Err(ApiError::invalid_combination(
                    "PreferredAvailabilityZones must hold one zone for the primary and one for each replica.",
                ));
            }
            Ok((count, zones.clone()))
        }
        (None, []) => {
            Err(ApiError::invalid_combination("NewReplicaCount or ReplicaConfiguration must be specified."))
        }
        _ => Err(ApiError::invalid_combination(
            "Only one of NewReplicaCount and a ReplicaConfiguration of one node group can be specified.",
        )),
    }
}

/// Adds members to the one shard: records of their own, with the tags of the group.
pub(super) fn add_members(
    app: &App,
    whole: &mut WholeGroup,
    count: usize,
    zones: &[String],
    name: Option<&str>,
    more_tags: Vec<Tag>,
) -> Result<Vec<Change>, ApiError> {
    let present: Vec<&Cluster> = whole.members.iter().map(|member| &member.cluster.value).collect();
    let template = present.first().ok_or_else(|| ApiError::internal(&"a group without members"))?;
    let (subnets, hold) = subnets(app, &template.subnet_group)?;
    check_quota(app, count, |_| true)?;
    let known = zone_names(&subnets);
    let used: Vec<String> = present.iter().map(|cluster| cluster.preferred_zone().to_owned()).collect();
    let zones = if zones.is_empty() { spread(&known, &used, count) } else { zones.to_vec() };
    check_zones(&zones, &known)?;
    let tags =
        find::<TagSet>(app.records.as_ref(), &TagSet::id_of(replication_group::SORT, &whole.group.value.id))?;
    let tags = tags.map(|stored| stored.value.tags).unwrap_or_default();
    let mut changes: Vec<Change> = hold.into_iter().collect();
    let mut made = Vec::new();
    for (turn, zone) in zones.iter().enumerate() {
        let group = &mut whole.group.value;
        let shard = group.shards.get(ONLY_SHARD).cloned().unwrap_or_default();
        let is_taken =
            |id: &str| find::<Cluster>(app.records.as_ref(), id).is_ok_and(|found| found.is_some());
        let id = name.map_or_else(|| group.free_member_id(&shard, is_taken), str::to_owned);
        let member = template.sibling(&id, zone, &subnets, present.len() + turn, app.now_ms())?;
        changes.push(state::create(&member)?);
        let mut own = TagSet::none(cache_cluster::SORT, &id);
        own.tags.clone_from(&tags);
        own.add(more_tags.clone())?;
        changes.push(state::put_any(&own)?);
        made.push(member);
        if let Some(shard) = group.shards.get_mut(ONLY_SHARD) {
            shard.members.push(id);
        }
    }
    whole.members.extend(made.into_iter().map(MemberRecord::new));
    whole.group.value.generation += 1;
    Ok(changes)
}
