//! Replication groups on the command line: made by `larder create --replicas`, shown by `larder show`, and
//! `larder failover`.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::create::engine_name;
use super::event::Event;
use super::show::recent;
use super::{Endpoint, POLL_INTERVAL, join};
use crate::api::{Api, Element};
use crate::arguments::{Create, Engine, Failover, Output};
use crate::failure::{Code, Failure};
use crate::terminal::{Paint, Table, clean, print, print_json};

/// The one shard of a group with cluster mode disabled.
const SHARD: &str = "0001";

/// A replication group as people and scripts see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) status: String,
    pub(crate) engine: String,
    pub(crate) node_type: String,
    pub(crate) automatic_failover: String,
    pub(crate) multi_az: String,
    /// Where to write.
    pub(crate) primary_endpoint: Option<Endpoint>,
    /// Where to read only.
    pub(crate) reader_endpoint: Option<Endpoint>,
    pub(crate) members: Vec<Member>,
    pub(crate) created: String,
    pub(crate) arn: String,
}

/// One member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) role: String,
    pub(crate) address: String,
    pub(crate) port: u16,
    pub(crate) zone: String,
}

impl Group {
    pub(super) fn read(element: &Element) -> Self {
        let text = |name: &str| element.text_at(&[name]).to_owned();
        let shard = element.list("NodeGroups").first();
        let endpoint = |name: &str| shard.and_then(|shard| shard.child(name)).and_then(Endpoint::read);
        let members = shard.map(|shard| shard.list("NodeGroupMembers")).unwrap_or_default();
        Self {
            name: text("ReplicationGroupId"),
            description: text("Description"),
            status: text("Status"),
            engine: text("Engine"),
            node_type: text("CacheNodeType"),
            automatic_failover: text("AutomaticFailover"),
            multi_az: text("MultiAZ"),
            primary_endpoint: endpoint("PrimaryEndpoint"),
            reader_endpoint: endpoint("ReaderEndpoint"),
            members: members.iter().map(Member::read).collect(),
            created: text("ReplicationGroupCreateTime"),
            arn: text("ARN"),
        }
    }

    pub(super) fn primary(&self) -> Option<&str> {
        self.members.iter().find(|member| member.role == "primary").map(|member| member.name.as_str())
    }
}

impl Member {
    fn read(element: &Element) -> Self {
        let endpoint = element.child("ReadEndpoint").and_then(Endpoint::read);
        let (address, port) = endpoint.map_or((String::new(), 0), |e| (e.address, e.port));
        Self {
            name: element.text_at(&["CacheClusterId"]).to_owned(),
            role: element.text_at(&["CurrentRole"]).to_owned(),
            address,
            port,
            zone: element.text_at(&["PreferredAvailabilityZone"]).to_owned(),
        }
    }
}

/// The group of that name, if there is one.
pub(super) fn find(api: &Api, name: &str) -> Result<Option<Group>, Failure> {
    match api.call("DescribeReplicationGroups", &[("ReplicationGroupId", name)]) {
        Ok(found) => Ok(found.list("ReplicationGroups").first().map(Group::read)),
        Err(failure) if failure.code == Code::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Looks at a group again and again until `done` is content with what it sees.
pub(super) fn wait_for(
    api: &Api,
    name: &str,
    timeout_s: u64,
    done: impl Fn(&Group) -> bool,
) -> Result<Group, Failure> {
    let began = Instant::now();
    loop {
        let Some(group) = find(api, name)? else {
            return Err(Failure::failed(format!("{name} was deleted meanwhile")));
        };
        if done(&group) {
            return Ok(group);
        }
        if began.elapsed() >= Duration::from_secs(timeout_s) {
            return Err(Failure::failed(format!("{name} is still {} after {timeout_s} s", group.status))
                .hint(format!("See what happened: larder events {name}")));
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// `larder create NAME --replicas N`.
pub(super) fn create(
    api: &Api,
    arguments: &Create,
    replicas: u32,
    tags: &[(String, String)],
) -> Result<(), Failure> {
    if arguments.engine == Engine::Memcached {
        return Err(Failure::new(Code::WrongUse, "a memcached cache has no replicas")
            .hint("Several nodes that share the keys: --nodes COUNT"));
    }
    let members = replicas.saturating_add(1).to_string();
    let port = arguments.port.map(|port| port.to_string());
    let mut parameters = vec![
        ("ReplicationGroupId", arguments.name.as_str()),
        ("ReplicationGroupDescription", arguments.name.as_str()),
        ("Engine", engine_name(arguments.engine)),
        ("CacheNodeType", arguments.node_type.as_str()),
        ("NumCacheClusters", members.as_str()),
        ("AutomaticFailoverEnabled", if replicas > 0 { "true" } else { "false" }),
    ];
    let optional = [
        ("EngineVersion", arguments.engine_version.as_deref()),
        ("Port", port.as_deref()),
        ("CacheParameterGroupName", arguments.parameter_group.as_deref()),
        ("CacheSubnetGroupName", arguments.subnet_group.as_deref()),
    ];
    parameters.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
    parameters.extend(tags.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let answer = api.call("CreateReplicationGroup", &parameters)?;
    let made = answer.child("ReplicationGroup").map(Group::read);
    let mut group = made.ok_or_else(|| Failure::failed("empty answer"))?;
    if arguments.wait.asked {
        group =
            wait_for(api, &group.name, arguments.wait.longest.timeout, |group| group.status == "available")?;
    }
    match arguments.asking.format.output {
        Output::Json => print_json(&group),
        Output::Table => print(&report(&group)),
    }
    Ok(())
}

fn report(group: &Group) -> String {
    let name = &group.name;
    match group.primary_endpoint.as_ref().filter(|_| group.status == "available") {
        Some(primary) => {
            let address = join(&primary.address, primary.port);
            format!("{name} is available at {address}\n  larder show {name}\n  larder connect {name}\n")
        }
        None => format!("{name} is {}\n  larder show {name}\n", group.status),
    }
}

/// `larder failover NAME`: the primary's process is ended, and a replica takes over.
pub(crate) fn failover(arguments: &Failover) -> Result<(), Failure> {
    let api = Api::find(&arguments.asking.place)?;
    let missing = || {
        Failure::new(Code::NotFound, format!("there is no replication group {}", arguments.name))
            .hint("Only caches with replicas can fail over: larder create NAME --replicas 1")
    };
    let before = find(&api, &arguments.name)?.ok_or_else(missing)?;
    api.call("TestFailover", &[("ReplicationGroupId", &before.name), ("NodeGroupId", SHARD)])?;
    let old = before.primary().map(str::to_owned);
    let after = wait_for(&api, &before.name, arguments.longest.timeout, |group| {
        group.status == "available" && group.primary().map(str::to_owned) != old
    })?;
    match arguments.asking.format.output {
        Output::Json => print_json(&after),
        Output::Table => {
            let (old, new) = (old.as_deref().unwrap_or("nobody"), after.primary().unwrap_or("nobody"));
            print(&format!("{new} is the primary of {}, in place of {old}\n", after.name));
        }
    }
    Ok(())
}

/// Everything about a group on one page.
pub(super) fn page(group: &Group, events: &[Event], paint: Paint) -> String {
    let mut text =
        format!("{}  {}\n\n", paint.bold(&clean(&group.name)), paint.status(&clean(&group.status)));
    let address = |endpoint: &Option<Endpoint>| {
        endpoint.as_ref().map(|endpoint| join(&endpoint.address, endpoint.port)).unwrap_or_default()
    };
    let facts = [
        ("Description", group.description.clone()),
        ("Engine", group.engine.clone()),
        ("Node type", group.node_type.clone()),
        ("Primary endpoint", address(&group.primary_endpoint)),
        ("Reader endpoint", address(&group.reader_endpoint)),
        ("Automatic failover", group.automatic_failover.clone()),
        ("Several zones", group.multi_az.clone()),
        ("Created", group.created.clone()),
        ("ARN", group.arn.clone()),
    ];
    for (name, value) in facts.into_iter().filter(|(_, value)| !value.is_empty()) {
        text.push_str(&format!("  {} {}\n", paint.dim(&format!("{name:<22}")), clean(&value)));
    }
    if !group.members.is_empty() {
        let mut table = Table::new(&["MEMBER", "ROLE", "ENDPOINT", "ZONE"]);
        for member in &group.members {
            table.row(&[&member.name, &member.role, &join(&member.address, member.port), &member.zone]);
        }
        text.push_str(&format!("\n{}", table.render(paint)));
    }
    text.push_str(&recent(events, paint));
    text
}
