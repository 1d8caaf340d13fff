//! Caches on the command line: list, create, show, delete, events; groups with replicas; snapshots; users. Each reads the API's answer into the shapes here,
//! which are also what `--output json` prints.

mod create;
mod delete;
mod event;
mod group;
mod list;
mod policy;
mod show;
mod snapshot;
mod user;

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::api::{Api, Element};
use crate::failure::{Code, Failure};

pub(crate) use create::create;
pub(crate) use delete::delete;
pub(crate) use event::events;
pub(crate) use group::failover;
pub(crate) use list::caches;
pub(crate) use show::show;
pub(crate) use snapshot::{backup, restore, snapshots};
pub(crate) use user::users;

/// How long to wait between two looks at a cache that changes.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// A cache as people and scripts see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Cache {
    pub(crate) name: String,
    pub(crate) engine: String,
    pub(crate) engine_version: String,
    pub(crate) status: String,
    pub(crate) node_type: String,
    /// What that is being changed to, or will be in the maintenance window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pending_node_type: Option<String>,
    /// Memcached: share of the nodes and minutes of each stage of that.
    #[serde(skip)]
    pub(crate) stages: Option<(String, String)>,
    pub(crate) node_count: u32,
    /// Memcached: where Auto Discovery answers.
    pub(crate) configuration_endpoint: Option<Endpoint>,
    pub(crate) nodes: Vec<CacheNode>,
    pub(crate) parameter_group: String,
    pub(crate) subnet_group: String,
    pub(crate) created: String,
    pub(crate) arn: String,
    /// The replication group that it is a member of; empty if there is none.
    #[serde(skip)]
    pub(crate) group: String,
    /// Whether it speaks TLS.
    #[serde(skip)]
    pub(crate) encrypted: bool,
}

/// One node of a cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct CacheNode {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) address: String,
    pub(crate) port: u16,
    pub(crate) zone: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Endpoint {
    pub(crate) address: String,
    pub(crate) port: u16,
}

impl Endpoint {
    fn read(element: &Element) -> Option<Self> {
        let address = element.text_at(&["Address"]).to_owned();
        (!address.is_empty()).then(|| Self { address, port: number(element.text_at(&["Port"])) })
    }
}

impl Cache {
    fn read(element: &Element) -> Self {
        let text = |name: &str| element.text_at(&[name]).to_owned();
        let pending = |path: &[&str]| {
            let path: Vec<&str> =
                std::iter::once("PendingModifiedValues").chain(path.iter().copied()).collect();
            Some(element.text_at(&path).to_owned()).filter(|text| !text.is_empty())
        };
        Self {
            pending_node_type: pending(&["CacheNodeType"]),
            stages: pending(&["ScaleConfig", "ScalePercentage"])
                .zip(pending(&["ScaleConfig", "ScaleIntervalMinutes"])),
            name: text("CacheClusterId"),
            engine: text("Engine"),
            engine_version: text("EngineVersion"),
            status: text("CacheClusterStatus"),
            node_type: text("CacheNodeType"),
            node_count: number(&text("NumCacheNodes")),
            configuration_endpoint: element.child("ConfigurationEndpoint").and_then(Endpoint::read),
            nodes: element.list("CacheNodes").iter().map(CacheNode::read).collect(),
            parameter_group: element.text_at(&["CacheParameterGroup", "CacheParameterGroupName"]).to_owned(),
            subnet_group: text("CacheSubnetGroupName"),
            created: text("CacheClusterCreateTime"),
            arn: text("ARN"),
            group: text("ReplicationGroupId"),
            encrypted: text("TransitEncryptionEnabled") == "true",
        }
    }

    /// Where a client connects first, if the cache has an address yet.
    pub(crate) fn first_address(&self) -> Option<String> {
        let configuration = self.configuration_endpoint.as_ref().map(|e| join(&e.address, e.port));
        configuration
            .or_else(|| self.nodes.first().filter(|node| !node.address.is_empty()).map(CacheNode::endpoint))
    }
}

impl CacheNode {
    fn read(element: &Element) -> Self {
        let endpoint = element.child("Endpoint").and_then(Endpoint::read);
        let (address, port) = endpoint.map_or((String::new(), 0), |e| (e.address, e.port));
        Self {
            id: element.text_at(&["CacheNodeId"]).to_owned(),
            status: element.text_at(&["CacheNodeStatus"]).to_owned(),
            address,
            port,
            zone: element.text_at(&["CustomerAvailabilityZone"]).to_owned(),
        }
    }

    /// `address:port`
    pub(crate) fn endpoint(&self) -> String {
        join(&self.address, self.port)
    }
}

fn join(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

/// A number of the API; what is none counts as the default.
fn number<T: std::str::FromStr + Default>(text: &str) -> T {
    text.parse().unwrap_or_default()
}

/// All caches, with their nodes.
fn all(api: &Api) -> Result<Vec<Cache>, Failure> {
    let found = api.all("DescribeCacheClusters", "CacheClusters", &[("ShowCacheNodeInfo", "true")])?;
    Ok(found.iter().map(Cache::read).collect())
}

/// One cache, with its nodes.
pub(crate) fn one(api: &Api, name: &str) -> Result<Cache, Failure> {
    let parameters = [("CacheClusterId", name), ("ShowCacheNodeInfo", "true")];
    let found = api.call("DescribeCacheClusters", &parameters)?;
    let first = found.list("CacheClusters").first().map(Cache::read);
    first.ok_or_else(|| Failure::new(Code::NotFound, format!("there is no cache {name}")))
}

/// One cache, with its nodes; for a replication group its primary.
pub(crate) fn one_or_primary(api: &Api, name: &str) -> Result<Cache, Failure> {
    let failure = match one(api, name) {
        Err(failure) if failure.code == Code::NotFound => failure,
        found => return found,
    };
    match group::find(api, name)?.as_ref().and_then(group::Group::primary) {
        Some(primary) => one(api, primary),
        None => Err(failure),
    }
}

/// One cache, or the members of a group.
pub(crate) fn members(api: &Api, name: &str) -> Result<Vec<Cache>, Failure> {
    match one(api, name) {
        Ok(cache) => Ok(vec![cache]),
        Err(missing) if missing.code == Code::NotFound => {
            let group = group::find(api, name)?.ok_or(missing)?;
            group.members.iter().map(|member| one(api, &member.name)).collect()
        }
        Err(failure) => Err(failure),
    }
}

/// Looks again and again until `done` is content with what it sees (none: the cache is gone).
fn wait_for(
    api: &Api,
    name: &str,
    timeout_s: u64,
    done: impl Fn(Option<&Cache>) -> Result<bool, Failure>,
) -> Result<Option<Cache>, Failure> {
    let began = Instant::now();
    loop {
        let seen = match one(api, name) {
            Ok(cache) => Some(cache),
            Err(failure) if failure.code == Code::NotFound => None,
            Err(failure) => return Err(failure),
        };
        if done(seen.as_ref())? {
            return Ok(seen);
        }
        if began.elapsed() >= Duration::from_secs(timeout_s) {
            let status = seen.map_or_else(|| "gone".to_owned(), |cache| cache.status);
            return Err(Failure::failed(format!("{name} is still {status} after {timeout_s} s"))
                .hint(format!("See what happened: larder events {name}")));
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}
