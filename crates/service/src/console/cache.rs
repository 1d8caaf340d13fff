//! A cache as pages show it: a replication group or a cluster, read from answers of operations.

use super::parameters::Parameters;
use super::show::{Tone, tone_of};
use super::visit::Visit;
use crate::front::{ApiError, Element};
use crate::resource::arn::Arn;

/// What a cache is to the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// A replication group.
    Group,
    /// A cluster that is in no group.
    Cluster,
}

impl Sort {
    /// The sort of a part of a path.
    pub(super) fn of(path: &str) -> Option<Sort> {
        match path {
            "groups" => Some(Sort::Group),
            "clusters" => Some(Sort::Cluster),
            _ => None,
        }
    }

    pub(super) fn path(self) -> &'static str {
        match self {
            Sort::Group => "groups",
            Sort::Cluster => "clusters",
        }
    }

    /// What DescribeEvents calls it.
    pub(super) fn event_source(self) -> &'static str {
        match self {
            Sort::Group => "replication-group",
            Sort::Cluster => "cache-cluster",
        }
    }

    pub(super) fn arn(self, visit: &Visit<'_>, id: &str) -> Arn {
        let sort = match self {
            Sort::Group => "replicationgroup",
            Sort::Cluster => "cluster",
        };
        visit.caller.arn(sort, id)
    }
}

/// Where clients connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) label: &'static str,
    pub(super) host: String,
    pub(super) port: String,
}

impl Endpoint {
    /// The endpoint in that element, if there is one.
    fn of(label: &'static str, element: Option<&Element>) -> Option<Endpoint> {
        let element = element?;
        let host = element.text_at(&["Address"]);
        let port = element.text_at(&["Port"]);
        (!host.is_empty()).then(|| Endpoint { label, host: host.to_owned(), port: port.to_owned() })
    }

    pub(super) fn joined(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) cluster: String,
    pub(super) id: String,
    /// `primary`, `replica`, or nothing where there are no roles.
    pub(super) role: String,
    pub(super) status: String,
    pub(super) zone: String,
    pub(super) endpoint: Option<Endpoint>,
}

impl Node {
    pub(super) fn tone(&self) -> Tone {
        tone_of(&self.status)
    }

    /// Its name among the nodes of the cache.
    pub(super) fn name(&self) -> String {
        if self.role.is_empty() { self.id.clone() } else { self.cluster.clone() }
    }
}

/// A cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cache {
    pub(super) sort: Sort,
    pub(super) id: String,
    pub(super) description: String,
    pub(super) engine: String,
    pub(super) version: String,
    pub(super) status: String,
    pub(super) node_type: String,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) nodes: Vec<Node>,
    /// How many nodes there should be.
    pub(super) node_count: usize,
    pub(super) automatic_failover: String,
    pub(super) multi_az: String,
    pub(super) tls: bool,
    pub(super) user_groups: Vec<String>,
    pub(super) auth_token: bool,
    pub(super) parameter_group: String,
    pub(super) parameters_applied: String,
    pub(super) subnet_group: String,
    pub(super) security_groups: Vec<String>,
    pub(super) maintenance_window: String,
    pub(super) retention_days: String,
    pub(super) snapshot_window: String,
    pub(super) created: String,
    pub(super) arn: String,
    pub(super) pending: Vec<(String, String)>,
}

impl Cache {
    /// Path of its page below the console's root.
    pub(super) fn path(&self) -> String {
        format!("/{}/{}", self.sort.path(), self.id)
    }

    pub(super) fn tone(&self) -> Tone {
        tone_of(&self.status)
    }

    pub(super) fn is_memcached(&self) -> bool {
        self.engine == "memcached"
    }

    pub(super) fn is_group(&self) -> bool {
        self.sort == Sort::Group
    }

    /// The engine as people call it, with its version.
    pub(super) fn engine_text(&self) -> String {
        format!("{} {}", super::show::engine_name(&self.engine), self.version)
    }

    pub(super) fn nodes_ready(&self) -> usize {
        self.nodes.iter().filter(|node| node.status == "available").count()
    }

    /// The tabs of its pages: the last part of their path, and their name.
    pub(super) fn tabs(&self) -> Vec<(&'static str, &'static str)> {
        let mut tabs = vec![
            ("", "Overview"),
            ("/metrics", "Metrics"),
            ("/advice", "Advice"),
            ("/prompt", "Prompt"),
            ("/parameters", "Parameters"),
        ];
        if !self.is_memcached() {
            tabs.push(("/slow-log", "Slow log"));
        }
        tabs
    }

    /// What a month of it costs on demand, in AWS.
    pub(super) fn monthly_price(&self) -> Option<String> {
        let price = crate::resource::node_type::find(&self.node_type)?.price_micro_usd(&self.engine)?;
        Some(super::show::monthly(price, self.node_count as u64))
    }
}

/// All caches that the caller may see: groups, and clusters in no group.
///
/// # Errors
/// If the caller may not list them.
pub(super) fn all(visit: &Visit<'_>) -> Result<Vec<Cache>, ApiError> {
    let groups = visit.all(Parameters::of("DescribeReplicationGroups"), "ReplicationGroups")?;
    let clusters = Parameters::of("DescribeCacheClusters").flag("ShowCacheNodeInfo", true);
    let clusters = visit.all(clusters, "CacheClusters")?;
    let mut found: Vec<Cache> = groups.iter().map(|group| of_group(group, &clusters)).collect();
    let alone = |cluster: &&Element| cluster.text_at(&["ReplicationGroupId"]).is_empty();
    found.extend(clusters.iter().filter(alone).map(of_cluster));
    found.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(found)
}

/// One cache.
///
/// # Errors
/// If it is not there, or the caller may not see it.
pub(super) fn find(visit: &Visit<'_>, sort: Sort, id: &str) -> Result<Cache, ApiError> {
    let describe = |id: &str| {
        let call = Parameters::of("DescribeCacheClusters");
        let answer = visit.call(&call.text("CacheClusterId", id).flag("ShowCacheNodeInfo", true))?;
        let first = answer.children.into_iter().find(|child| child.name == "CacheClusters");
        let first = first.and_then(|list| list.children.into_iter().next());
        first.ok_or_else(|| ApiError::internal(&format!("cluster {id} has no description")))
    };
    match sort {
        Sort::Cluster => Ok(of_cluster(&describe(id)?)),
        Sort::Group => {
            let call = Parameters::of("DescribeReplicationGroups").text("ReplicationGroupId", id);
            let answer = visit.call(&call)?;
            let [group, ..] = answer.list("ReplicationGroups") else {
                return Err(ApiError::internal(&format!("group {id} has no description")));
            };
            let members = group.list("MemberClusters").iter();
            let members =
                members.map(|member| describe(member.text.trim())).collect::<Result<Vec<_>, _>>()?;
            Ok(of_group(group, &members))
        }
    }
}

fn texts(list: &[Element]) -> Vec<String> {
    list.iter().map(|element| element.text.trim().to_owned()).collect()
}

fn of_cluster(cluster: &Element) -> Cache {
    let text = |name: &str| cluster.text_at(&[name]).to_owned();
    let id = text("CacheClusterId");
    let endpoint = Endpoint::of("Configuration endpoint", cluster.child("ConfigurationEndpoint"));
    let nodes: Vec<Node> = cluster.list("CacheNodes").iter().map(|node| node_of(&id, node)).collect();
    let mut endpoints: Vec<Endpoint> = endpoint.into_iter().collect();
    if endpoints.is_empty() {
        endpoints.extend(nodes.first().and_then(|node| node.endpoint.clone()));
    }
    Cache {
        sort: Sort::Cluster,
        description: String::new(),
        engine: text("Engine"),
        version: text("EngineVersion"),
        status: text("CacheClusterStatus"),
        node_type: text("CacheNodeType"),
        endpoints,
        nodes,
        node_count: text("NumCacheNodes").parse().unwrap_or(0),
        automatic_failover: String::new(),
        multi_az: String::new(),
        tls: text("TransitEncryptionEnabled") == "true",
        user_groups: Vec::new(),
        auth_token: text("AuthTokenEnabled") == "true",
        parameter_group: cluster.text_at(&["CacheParameterGroup", "CacheParameterGroupName"]).to_owned(),
        parameters_applied: cluster.text_at(&["CacheParameterGroup", "ParameterApplyStatus"]).to_owned(),
        subnet_group: text("CacheSubnetGroupName"),
        security_groups: cluster
            .list("SecurityGroups")
            .iter()
            .map(|group| group.text_at(&["SecurityGroupId"]).to_owned())
            .collect(),
        maintenance_window: text("PreferredMaintenanceWindow"),
        retention_days: text("SnapshotRetentionLimit"),
        snapshot_window: text("SnapshotWindow"),
        created: text("CacheClusterCreateTime"),
        arn: text("ARN"),
        pending: pending(cluster),
        id,
    }
}

fn node_of(cluster: &str, node: &Element) -> Node {
    Node {
        cluster: cluster.to_owned(),
        id: node.text_at(&["CacheNodeId"]).to_owned(),
        role: String::new(),
        status: node.text_at(&["CacheNodeStatus"]).to_owned(),
        zone: node.text_at(&["CustomerAvailabilityZone"]).to_owned(),
        endpoint: Endpoint::of("Endpoint", node.child("Endpoint")),
    }
}

/// A group, with what is known of its members from their own descriptions.
fn of_group(group: &Element, clusters: &[Element]) -> Cache {
    let text = |name: &str| group.text_at(&[name]).to_owned();
    let id = text("ReplicationGroupId");
    let members = texts(group.list("MemberClusters"));
    let own = |name: &String| clusters.iter().find(|c| c.text_at(&["CacheClusterId"]) == name.as_str());
    let shards = group.list("NodeGroups");
    let roles: Vec<&Element> = shards.iter().flat_map(|shard| shard.list("NodeGroupMembers")).collect();
    let nodes = members.iter().map(|member| {
        let role = roles.iter().find(|role| role.text_at(&["CacheClusterId"]) == member.as_str());
        let cluster = own(member);
        Node {
            cluster: member.clone(),
            id: "0001".to_owned(),
            role: role.map_or("", |role| role.text_at(&["CurrentRole"])).to_owned(),
            status: cluster.map_or("", |cluster| cluster.text_at(&["CacheClusterStatus"])).to_owned(),
            zone: role.map_or("", |role| role.text_at(&["PreferredAvailabilityZone"])).to_owned(),
            endpoint: role.and_then(|role| Endpoint::of("Endpoint", role.child("ReadEndpoint"))),
        }
    });
    let nodes: Vec<Node> = nodes.collect();
    let shard = shards.first();
    let endpoint = |label, name: &str| Endpoint::of(label, shard.and_then(|shard| shard.child(name)));
    let template = members.first().and_then(own).map(of_cluster);
    let template = template.unwrap_or_else(|| of_cluster(&Element::default()));
    Cache {
        sort: Sort::Group,
        description: text("Description"),
        status: text("Status"),
        endpoints: [
            endpoint("Primary endpoint", "PrimaryEndpoint"),
            endpoint("Reader endpoint", "ReaderEndpoint"),
        ]
        .into_iter()
        .flatten()
        .collect(),
        node_count: members.len(),
        nodes,
        automatic_failover: text("AutomaticFailover"),
        multi_az: text("MultiAZ"),
        tls: text("TransitEncryptionEnabled") == "true",
        user_groups: texts(group.list("UserGroupIds")),
        auth_token: text("AuthTokenEnabled") == "true",
        retention_days: text("SnapshotRetentionLimit"),
        snapshot_window: text("SnapshotWindow"),
        created: text("ReplicationGroupCreateTime"),
        arn: text("ARN"),
        pending: pending(group),
        id,
        ..template
    }
}

/// What was asked for and is not so yet, in the API's words.
fn pending(element: &Element) -> Vec<(String, String)> {
    let values = element.child("PendingModifiedValues").map_or(&[][..], |values| &values.children);
    let shown = |value: &Element| {
        if value.name == "ScaleConfig" {
            let (share, minutes) =
                (value.text_at(&["ScalePercentage"]), value.text_at(&["ScaleIntervalMinutes"]));
            return (value.name.clone(), format!("{share} % of the nodes every {minutes} minutes"));
        }
        let below = texts(&value.children).join(", ");
        (value.name.clone(), if below.is_empty() { value.text.trim().to_owned() } else { below })
    };
    values.iter().map(shown).filter(|(_, value)| !value.is_empty()).collect()
}
