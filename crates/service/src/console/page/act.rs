//! What is done to a cache: each act says its consequences first, asks for what it needs, and calls one operation.

use crate::console::board::{self, Board, Field, Form};
use crate::console::cache::{self, Cache, Sort};
use crate::console::parameters::Parameters;
use crate::console::show::{gib, monthly};
use crate::console::visit::Visit;
use crate::front::{Answer, ApiError};
use crate::resource::node_type;

/// An act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::console) enum Act {
    Backup,
    Delete,
    FailOver,
    NodeType,
    Reboot,
    Replicas,
    Scale,
}

impl Act {
    /// The act of the last part of a path.
    pub(in crate::console) fn of(word: &str) -> Option<Act> {
        Some(match word {
            "backup" => Act::Backup,
            "delete" => Act::Delete,
            "failover" => Act::FailOver,
            "node-type" => Act::NodeType,
            "reboot" => Act::Reboot,
            "replicas" => Act::Replicas,
            "scale" => Act::Scale,
            _ => return None,
        })
    }

    fn heading(self, cache: &Cache) -> String {
        let id = &cache.id;
        match self {
            Act::Backup => format!("Back up {id}"),
            Act::Delete => format!("Delete {id}"),
            Act::FailOver => format!("Fail over {id}"),
            Act::Reboot => format!("Reboot {id}"),
            Act::Replicas => format!("Change the replicas of {id}"),
            Act::Scale if cache.is_memcached() => format!("Change the number of nodes of {id}"),
            Act::Scale | Act::NodeType => format!("Change the node type of {id}"),
        }
    }

    fn button(self) -> &'static str {
        match self {
            Act::Backup => "Back up",
            Act::Delete => "Delete",
            Act::FailOver => "Fail over",
            Act::Reboot => "Reboot",
            Act::NodeType | Act::Replicas | Act::Scale => "Change",
        }
    }

    fn consequences(self, cache: &Cache) -> Vec<String> {
        let texts: Vec<&str> = match self {
            Act::Backup => vec![
                "A snapshot of everything in the cache is taken while it serves, from a replica where there is one.",
                "It is kept until somebody deletes it, and new caches can be made of it.",
            ],
            Act::Delete => vec![
                "All nodes stop, and everything in them is gone for good.",
                "The endpoints stop answering; applications that use them get errors at once.",
                "Snapshots stay, but for those that were taken automatically.",
            ],
            Act::FailOver => vec![
                "A replica takes the place of the primary, and the primary becomes a replica.",
                "Writes fail for a moment, usually less than two seconds; clients connect anew.",
                "What replicas had not received by then is lost; a primary that is well waits for them first.",
            ],
            Act::NodeType => vec![
                "Some nodes at a time leave the list of members, and are replaced by empty ones of the new type.",
                "The next ones follow when the minutes are over, until all are replaced; everything that was in them is lost.",
                "Clients with Auto Discovery go on with the other nodes meanwhile.",
            ],
            Act::Reboot if cache.is_group() => vec![
                "The node stops and starts again; it answers nobody meanwhile.",
                "A replica gets its data from the primary again. If the primary is rebooted in a group without replicas, everything in it is lost.",
                "Changed parameters that wait for a reboot count afterwards.",
            ],
            Act::Reboot => vec![
                "The chosen nodes stop and start again, and everything in them is lost.",
                "Changed parameters that wait for a reboot count afterwards.",
            ],
            Act::Replicas => vec![
                "Replicas that are added get a copy of everything from the primary, which takes memory and time there.",
                "Replicas that are taken away stop at once; their clients must connect anew.",
            ],
            Act::Scale if cache.is_memcached() => vec![
                "With another number of nodes most clients look for keys in other places: many lookups miss for a while.",
                "Nodes that are taken away are the last ones; what is in them is lost.",
            ],
            Act::Scale => vec![
                "Each node is exchanged for one of the new type. The cache answers with short interruptions meanwhile.",
                "With less memory than the data need, keys are evicted or writes refused, as the parameters say.",
            ],
        };
        texts.into_iter().map(str::to_owned).collect()
    }
}

/// The page of an act, or what comes of it.
pub(in crate::console) fn page(
    visit: &Visit<'_>,
    sort: Sort,
    id: &str,
    act: Act,
) -> Result<Answer, ApiError> {
    let cache = cache::find(visit, sort, id)?;
    let done = if visit.is_post() {
        let path = if act == Act::Delete { "/caches".to_owned() } else { cache.path() };
        perform(visit, &cache, act).map(|said| Some((said, path)))
    } else {
        Ok(None)
    };
    board::answer(visit, done, || {
        let mut board = Board::of(visit, "caches", &act.heading(&cache), "");
        board.trail = vec![("Caches".to_owned(), "/caches".to_owned()), (cache.id.clone(), cache.path())];
        let mut form = Form::of("", "What will happen", act.button(), fields(visit, &cache, act)?);
        form.consequences = act.consequences(&cache);
        form.is_danger = act == Act::Delete;
        form.cancel = Some(cache.path());
        board.forms.push(form);
        Ok(board)
    })
}

fn node_options(cache: &Cache) -> Vec<(String, String)> {
    let text = |node: &cache::Node| {
        let role = if node.role.is_empty() { String::new() } else { format!(" ({})", node.role) };
        format!("{}{role}", node.name())
    };
    let key = |node: &cache::Node| if cache.is_group() { node.cluster.clone() } else { node.id.clone() };
    cache.nodes.iter().map(|node| (key(node), text(node))).collect()
}

fn fields(visit: &Visit<'_>, cache: &Cache, act: Act) -> Result<Vec<Field>, ApiError> {
    let typed = |name: &str| visit.fields.text(name).to_owned();
    let or = |name: &str, value: String| if visit.is_post() { typed(name) } else { value };
    Ok(match act {
        Act::Backup => vec![Field::needed(visit, "snapshot", "Name of the snapshot")],
        Act::Delete => {
            let mut fields = Vec::new();
            if !cache.is_memcached() {
                let hint = "Left empty, none is taken.";
                fields.push(Field::wanted(visit, "snapshot", "Name of a last snapshot", hint));
            }
            fields.push(Field::needed(visit, "name", &format!("Type {} to delete it", cache.id)));
            fields
        }
        Act::FailOver => Vec::new(),
        Act::NodeType => vec![
            Field::choice(visit, "node_type", "Node type", allowed_types(visit, cache)?),
            Field::Number {
                name: "percentage",
                label: "Nodes at a time, in percent of all (10 to 100)",
                value: or("percentage", "20".to_owned()),
            },
            Field::Number {
                name: "minutes",
                label: "Minutes from one stage to the next (2 to 30)",
                value: or("minutes", "5".to_owned()),
            },
        ],
        Act::Reboot if cache.is_group() => {
            let replica = cache.nodes.iter().find(|node| node.role == "replica").or(cache.nodes.first());
            let value = or("node", replica.map(|node| node.cluster.clone()).unwrap_or_default());
            vec![Field::Choice { name: "node", label: "Node", options: node_options(cache), value }]
        }
        Act::Reboot => vec![Field::checks(visit, "node", "Nodes", node_options(cache))],
        Act::Replicas => {
            let value = or("replicas", cache.nodes.len().saturating_sub(1).to_string());
            vec![Field::Number { name: "replicas", label: "Replicas", value }]
        }
        Act::Scale if cache.is_memcached() => {
            let value = or("nodes", cache.node_count.to_string());
            vec![Field::Number { name: "nodes", label: "Nodes", value }]
        }
        Act::Scale => {
            vec![Field::choice(visit, "node_type", "Node type", allowed_types(visit, cache)?)]
        }
    })
}

/// Node types that the operation would take, the smaller ones first.
fn allowed_types(visit: &Visit<'_>, cache: &Cache) -> Result<Vec<(String, String)>, ApiError> {
    let call = Parameters::of("ListAllowedNodeTypeModifications");
    let answer = visit.call(&match cache.sort {
        Sort::Group => call.text("ReplicationGroupId", &cache.id),
        Sort::Cluster => call.text("CacheClusterId", &cache.id),
    })?;
    let names = ["ScaleDownModifications", "ScaleUpModifications"].into_iter();
    let names = names.flat_map(|list| answer.list(list)).map(|element| element.text.trim());
    let mut known: Vec<_> = names.filter_map(node_type::find).collect();
    known.sort_by_key(|node_type| (node_type.memory_bytes, node_type.name));
    let text = |node_type: &node_type::NodeType| {
        let price =
            node_type.price_micro_usd(&cache.engine).map(|price| monthly(price, cache.node_count as u64));
        let price = price.map(|price| format!(", {price} a month in AWS")).unwrap_or_default();
        format!("{}: {}, {} vCPU{price}", node_type.name, gib(node_type.memory_bytes), node_type.vcpu_count)
    };
    Ok(known.into_iter().map(|node_type| (node_type.name.to_owned(), text(node_type))).collect())
}

fn perform(visit: &Visit<'_>, cache: &Cache, act: Act) -> Result<String, ApiError> {
    let typed = |name: &str| visit.fields.text(name);
    let id = cache.id.as_str();
    let of_cache = |call: Parameters| match cache.sort {
        Sort::Group => call.text("ReplicationGroupId", id),
        Sort::Cluster => call.text("CacheClusterId", id),
    };
    let (call, said) = match act {
        Act::Backup => (
            of_cache(Parameters::of("CreateSnapshot")).text("SnapshotName", typed("snapshot")),
            format!("A snapshot of {id} is being taken."),
        ),
        Act::Delete => {
            if typed("name") != id {
                let message = format!("To delete the cache, type its name: {id}.");
                return Err(ApiError::invalid_value(message));
            }
            let call = match cache.sort {
                Sort::Group => Parameters::of("DeleteReplicationGroup"),
                Sort::Cluster => Parameters::of("DeleteCacheCluster"),
            };
            let said = format!("{id} is being deleted.");
            (of_cache(call).text("FinalSnapshotIdentifier", typed("snapshot")), said)
        }
        Act::FailOver => (
            Parameters::of("TestFailover").text("ReplicationGroupId", id).text("NodeGroupId", "0001"),
            "The failover has begun. Watch the roles of the nodes.".to_owned(),
        ),
        Act::NodeType => (
            of_cache(Parameters::of("ModifyCacheCluster"))
                .text("CacheNodeType", typed("node_type"))
                .number("ScaleConfig.ScalePercentage", typed("percentage"))
                .number("ScaleConfig.ScaleIntervalMinutes", typed("minutes"))
                .flag("ApplyImmediately", true),
            format!("The node type of {id} is being changed, stage by stage."),
        ),
        Act::Reboot if cache.is_group() => (
            Parameters::of("RebootCacheCluster").text("CacheClusterId", typed("node")).list(
                "CacheNodeIdsToReboot",
                "CacheNodeId",
                &["0001"],
            ),
            format!("{} is being rebooted.", typed("node")),
        ),
        Act::Reboot => (
            Parameters::of("RebootCacheCluster").text("CacheClusterId", id).list(
                "CacheNodeIdsToReboot",
                "CacheNodeId",
                &visit.fields.texts("node"),
            ),
            format!("{id} is being rebooted."),
        ),
        Act::Replicas => {
            let now = cache.nodes.len().saturating_sub(1);
            let more = typed("replicas").parse().is_ok_and(|wanted: usize| wanted > now);
            let action = if more { "IncreaseReplicaCount" } else { "DecreaseReplicaCount" };
            let call = Parameters::of(action).text("ReplicationGroupId", id);
            (
                call.number("NewReplicaCount", typed("replicas")).flag("ApplyImmediately", true),
                format!("The replicas of {id} are being changed."),
            )
        }
        Act::Scale if cache.is_memcached() => {
            let ids: Vec<&str> = cache.nodes.iter().map(|node| node.id.as_str()).collect();
            let wanted: usize = typed("nodes").parse().unwrap_or(ids.len());
            let removed = ids.get(wanted..).unwrap_or_default();
            (
                Parameters::of("ModifyCacheCluster")
                    .text("CacheClusterId", id)
                    .number("NumCacheNodes", typed("nodes"))
                    .list("CacheNodeIdsToRemove", "CacheNodeId", removed)
                    .flag("ApplyImmediately", true),
                format!("The nodes of {id} are being changed."),
            )
        }
        Act::Scale => {
            let call = match cache.sort {
                Sort::Group => Parameters::of("ModifyReplicationGroup"),
                Sort::Cluster => Parameters::of("ModifyCacheCluster"),
            };
            let call = of_cache(call).text("CacheNodeType", typed("node_type"));
            (call.flag("ApplyImmediately", true), format!("The node type of {id} is being changed."))
        }
    };
    visit.call(&call)?;
    Ok(said)
}
