//! DescribeUpdateActions.

use serde::Deserialize;

use super::service_update::{
    CACHES_MAX, Cache, ESTIMATED_TIME, SORT, actions, arns, caches, check_statuses, check_words, updates,
};
use super::{App, Caller, Input, Paging};
use crate::front::query::Time;
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::group::ONLY_SHARD;
use crate::resource::service_update::{NodeUpdate, ServiceUpdate, UpdateAction};

/// Words for the status of an update action.
const STATUSES: [&str; 9] = [
    "not-applied",
    "waiting-to-start",
    "in-progress",
    "stopping",
    "stopped",
    "complete",
    "scheduling",
    "scheduled",
    "not-applicable",
];

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeUpdateActions {
    service_update_name: Option<String>,
    #[serde(default)]
    replication_group_ids: Vec<String>,
    #[serde(default)]
    cache_cluster_ids: Vec<String>,
    engine: Option<String>,
    #[serde(default)]
    service_update_status: Vec<String>,
    service_update_time_range: Option<TimeRange>,
    #[serde(default)]
    update_action_status: Vec<String>,
    show_node_level_update_status: Option<bool>,
    max_records: Option<i64>,
    marker: Option<String>,
}

/// When service updates came out.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TimeRange {
    start_time: Option<Time>,
    end_time: Option<Time>,
}

impl Input for DescribeUpdateActions {
    fn resources(&self, caller: &Caller) -> Result<Vec<Arn>, ApiError> {
        Ok(arns(caller, &self.replication_group_ids, &self.cache_cluster_ids))
    }
}

/// An update of a cache.
struct Found<'a> {
    update: &'a ServiceUpdate,
    cache: &'a Cache,
    action: Option<&'a UpdateAction>,
    status: &'static str,
}

/// Answers a page of updates of caches, those of the newest release first.
pub(super) fn run(app: &App, _caller: &Caller, input: DescribeUpdateActions) -> Result<Xml, ApiError> {
    let paging = Paging::new(input.marker.as_deref(), input.max_records)?;
    check_statuses(&input.service_update_status)?;
    check_words("UpdateActionStatus", &input.update_action_status, &STATUSES)?;
    if input.replication_group_ids.len() > CACHES_MAX || input.cache_cluster_ids.len() > CACHES_MAX {
        return Err(ApiError::invalid_value(format!("At most {CACHES_MAX} caches can be named.")));
    }
    let updates = updates(app)?;
    // As a rule there are none, and then no cache has to be looked at.
    let (caches, actions) =
        if updates.is_empty() { Default::default() } else { (caches(app)?, actions(app)?) };
    let updates = updates.iter().filter(|update| is_wanted(app, &input, update));
    let mut found = Vec::new();
    for (number, update) in updates.enumerate() {
        for cache in caches.iter().filter(|cache| is_named(&input, cache)) {
            let action = cache.action(&actions, &update.name());
            let Some(status) = cache.status(action, update, app.now_ms()) else { continue };
            let wanted = &input.update_action_status;
            if wanted.is_empty() || wanted.iter().any(|wanted| wanted == status) {
                let key = format!("{number:08}/{}/{}", u8::from(cache.is_group), cache.id);
                found.push((key, Found { update, cache, action, status }));
            }
        }
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    let page = paging.cut(found, |(key, _)| key.clone());
    let show_nodes = input.show_node_level_update_status == Some(true);
    let mut xml = Xml::new();
    page.write_marker(&mut xml);
    xml.list("UpdateActions", "UpdateAction", &page.items, |xml, (_, found)| {
        write(xml, app, found, show_nodes);
    });
    Ok(xml)
}

fn is_wanted(app: &App, input: &DescribeUpdateActions, update: &ServiceUpdate) -> bool {
    let named = input.service_update_name.as_ref();
    let status = update.status(app.release.as_ref());
    let in_range = input.service_update_time_range.as_ref().is_none_or(|range| {
        range.start_time.is_none_or(|start| start.unix_ms <= update.released_ms)
            && range.end_time.is_none_or(|end| update.released_ms <= end.unix_ms)
    });
    let statuses = &input.service_update_status;
    named.is_none_or(|name| name.eq_ignore_ascii_case(&update.name()))
        && (statuses.is_empty() || statuses.iter().any(|wanted| wanted == status))
        && in_range
}

fn is_named(input: &DescribeUpdateActions, cache: &Cache) -> bool {
    let ids = if cache.is_group { &input.replication_group_ids } else { &input.cache_cluster_ids };
    let all = input.replication_group_ids.is_empty() && input.cache_cluster_ids.is_empty();
    let is_engine = input.engine.as_ref().is_none_or(|engine| engine.eq_ignore_ascii_case(cache.engine));
    is_engine && (all || ids.iter().any(|id| id.eq_ignore_ascii_case(&cache.id)))
}

fn write(xml: &mut Xml, app: &App, found: &Found<'_>, show_nodes: bool) {
    let Found { update, cache, action, status } = found;
    let nodes = cache.nodes(&update.release);
    let complete = nodes.iter().filter(|(_, _, update)| *update == NodeUpdate::Complete).count();
    let last_start = cache.members.iter().filter_map(|(_, observed)| observed.as_ref());
    let last_start =
        last_start.flat_map(|observed| observed.nodes.values().map(|node| node.started_ms)).max();
    let asked_ms = action.map(|action| action.stopped_ms.unwrap_or(action.asked_ms));
    let modified_ms = match *status {
        "complete" => last_start.max(asked_ms),
        _ => asked_ms,
    };
    let completed_ms = modified_ms.filter(|_| *status == "complete");
    xml.text(if cache.is_group { "ReplicationGroupId" } else { "CacheClusterId" }, &cache.id)
        .text("ServiceUpdateName", &update.name())
        .time("ServiceUpdateReleaseDate", update.released_ms)
        .text("ServiceUpdateSeverity", update.severity.as_str())
        .text("ServiceUpdateStatus", update.status(app.release.as_ref()))
        .time("ServiceUpdateRecommendedApplyByDate", update.apply_by_ms())
        .text("ServiceUpdateType", SORT)
        .time("UpdateActionAvailableDate", update.released_ms.max(cache.created_ms))
        .text("UpdateActionStatus", status)
        .text("NodesUpdated", &format!("{complete}/{}", nodes.len()))
        .time("UpdateActionStatusModifiedDate", modified_ms.unwrap_or(update.released_ms))
        .text("SlaMet", update.sla_met(cache.created_ms, completed_ms, app.now_ms()))
        .text("EstimatedUpdateTime", ESTIMATED_TIME)
        .text("Engine", cache.engine);
    if !show_nodes {
        return;
    }
    if !cache.is_group {
        xml.list("CacheNodeUpdateStatus", "CacheNodeUpdateStatus", &nodes, |xml, (cluster, node, update)| {
            xml.text("CacheNodeId", node);
            write_node(xml, found, &cluster.id, node, *update);
        });
        return;
    }
    xml.list("NodeGroupUpdateStatus", "NodeGroupUpdateStatus", [ONLY_SHARD], |xml, shard| {
        xml.text("NodeGroupId", shard);
        let sort = "NodeGroupMemberUpdateStatus";
        xml.list(sort, sort, &nodes, |xml, (cluster, node, update)| {
            xml.text("CacheClusterId", &cluster.id).text("CacheNodeId", node);
            write_node(xml, found, &cluster.id, node, *update);
        });
    });
}

/// How far a node is, who wished it, and when. It is updated in the moment in which its new process starts.
fn write_node(xml: &mut Xml, found: &Found<'_>, cluster: &str, node: &str, update: NodeUpdate) {
    let Found { cache, action, update: service_update, .. } = found;
    let member = cache.members.iter().find(|(member, _)| member.id == cluster);
    let observed = member.and_then(|(_, observed)| observed.as_ref());
    let started_ms = observed.and_then(|observed| observed.nodes.get(node)).map(|node| node.started_ms);
    let updated_ms = started_ms.filter(|_| update == NodeUpdate::Complete && action.is_some());
    let asked_ms = action.map(|action| action.asked_ms);
    let stopped_ms = action.and_then(|action| action.stopped_ms).filter(|_| update == NodeUpdate::Waiting);
    xml.text("NodeUpdateStatus", update.as_str(*action))
        .optional_time("NodeUpdateStartDate", updated_ms)
        .optional_time("NodeUpdateEndDate", updated_ms);
    if let Some(action) = action {
        xml.text("NodeUpdateInitiatedBy", if action.by_system { "system" } else { "customer" });
    }
    let modified_ms = updated_ms.or(stopped_ms).or(asked_ms).unwrap_or(service_update.released_ms);
    xml.optional_time("NodeUpdateInitiatedDate", asked_ms).time("NodeUpdateStatusModifiedDate", modified_ms);
}
