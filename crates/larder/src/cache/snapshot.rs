//! Snapshots on the command line: `larder backup`, `larder snapshots`, `larder restore`.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::create::is_available;
use super::{Cache, POLL_INTERVAL, group, number, one};
use crate::api::{Api, Element};
use crate::arguments::{Backup, Output, Restore, Snapshots};
use crate::failure::{Code, Failure};
use crate::terminal::{Paint, Table, print, print_json};

/// A snapshot as people and scripts see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Snapshot {
    pub(crate) name: String,
    /// The cache, or the replication group, that it was taken of.
    pub(crate) cache: String,
    pub(crate) status: String,
    /// `manual` or `automated`.
    pub(crate) source: String,
    pub(crate) engine: String,
    pub(crate) engine_version: String,
    pub(crate) node_type: String,
    pub(crate) size: String,
    /// When its data were complete; empty before that.
    pub(crate) taken: String,
    pub(crate) port: u16,
    pub(crate) arn: String,
}

impl Snapshot {
    fn read(element: &Element) -> Self {
        let text = |name: &str| element.text_at(&[name]).to_owned();
        let node = element.list("NodeSnapshots").first();
        let of_node = |name: &str| node.map_or("", |node| node.text_at(&[name])).to_owned();
        let group = text("ReplicationGroupId");
        Self {
            name: text("SnapshotName"),
            cache: if group.is_empty() { text("CacheClusterId") } else { group },
            status: text("SnapshotStatus"),
            source: text("SnapshotSource"),
            engine: text("Engine"),
            engine_version: text("EngineVersion"),
            node_type: text("CacheNodeType"),
            size: of_node("CacheSize"),
            taken: of_node("SnapshotCreateTime"),
            port: number(&text("Port")),
            arn: text("ARN"),
        }
    }
}

fn all(api: &Api) -> Result<Vec<Snapshot>, Failure> {
    Ok(api.all("DescribeSnapshots", "Snapshots", &[])?.iter().map(Snapshot::read).collect())
}

/// `larder snapshots`.
pub(crate) fn snapshots(arguments: &Snapshots) -> Result<(), Failure> {
    let mut found = all(&Api::find(&arguments.asking.place)?)?;
    if let Some(name) = &arguments.name {
        found.retain(|snapshot| snapshot.cache.eq_ignore_ascii_case(name));
    }
    match arguments.asking.format.output {
        Output::Json => print_json(&found),
        Output::Table if found.is_empty() => {
            print("There are no snapshots. Take one: larder backup NAME --wait\n");
        }
        Output::Table => {
            let mut table =
                Table::new(&["SNAPSHOT", "CACHE", "STATUS", "SOURCE", "ENGINE", "SIZE", "TAKEN (UTC)"]);
            for snapshot in &found {
                let engine = format!("{} {}", snapshot.engine, snapshot.engine_version);
                let taken = snapshot.taken.replacen('T', " ", 1);
                let taken = taken.get(..19).unwrap_or("-");
                let Snapshot { name, cache, status, source, size, .. } = snapshot;
                table.row(&[name, cache, status, source, &engine, size, taken]);
            }
            print(&table.render(Paint::for_stdout()));
        }
    }
    Ok(())
}

/// `larder backup NAME`.
pub(crate) fn backup(arguments: &Backup) -> Result<(), Failure> {
    let api = Api::find(&arguments.asking.place)?;
    let cache = arguments.name.as_str();
    let name = match &arguments.snapshot {
        Some(name) => name.clone(),
        None => free_name(&all(&api)?, &cache.to_ascii_lowercase()),
    };
    let parameter = match group::find(&api, cache)? {
        Some(_) => "ReplicationGroupId",
        None => "CacheClusterId",
    };
    let answer = api.call("CreateSnapshot", &[("SnapshotName", &name), (parameter, cache)])?;
    let made = answer.child("Snapshot").map(Snapshot::read);
    let mut snapshot = made.ok_or_else(|| Failure::failed("empty answer"))?;
    if arguments.wait.asked {
        snapshot = wait_for(&api, &snapshot.name, arguments.wait.longest.timeout)?;
    }
    match arguments.asking.format.output {
        Output::Json => print_json(&snapshot),
        Output::Table if snapshot.status == "available" => {
            let Snapshot { name, size, .. } = &snapshot;
            print(&format!("{name} is there, {size}\n  larder restore {name} NEW\n"));
        }
        Output::Table => {
            let Snapshot { name, status, .. } = &snapshot;
            print(&format!("{name} is {status}\n  larder snapshots {}\n", snapshot.cache));
        }
    }
    Ok(())
}

/// `CACHE-1`, `CACHE-2` and so on: the first that is free.
fn free_name(taken: &[Snapshot], cache: &str) -> String {
    let names = (1..).map(|number: u64| format!("{cache}-{number}"));
    let mut free = names.filter(|name| !taken.iter().any(|snapshot| snapshot.name == *name));
    free.next().unwrap_or_default()
}

fn wait_for(api: &Api, name: &str, timeout_s: u64) -> Result<Snapshot, Failure> {
    let began = Instant::now();
    loop {
        let found = api.call("DescribeSnapshots", &[("SnapshotName", name)])?;
        let found = found.list("Snapshots").first().map(Snapshot::read);
        let snapshot =
            found.ok_or_else(|| Failure::new(Code::NotFound, format!("there is no snapshot {name}")))?;
        match snapshot.status.as_str() {
            "available" => return Ok(snapshot),
            "failed" => {
                return Err(Failure::failed(format!("the snapshot {name} failed"))
                    .hint(format!("See what happened: larder events {}", snapshot.cache)));
            }
            _ if began.elapsed() >= Duration::from_secs(timeout_s) => {
                return Err(Failure::failed(format!(
                    "{name} is still {} after {timeout_s} s",
                    snapshot.status
                )));
            }
            _ => std::thread::sleep(POLL_INTERVAL),
        }
    }
}

/// `larder restore SNAPSHOT NEW`.
pub(crate) fn restore(arguments: &Restore) -> Result<(), Failure> {
    let api = Api::find(&arguments.asking.place)?;
    let mut parameters = vec![("SnapshotName", arguments.snapshot.as_str())];
    if let Some(node_type) = &arguments.node_type {
        parameters.push(("CacheNodeType", node_type));
    }
    let json = arguments.asking.format.output == Output::Json;
    if let Some(replicas) = arguments.replicas {
        let members = replicas.saturating_add(1).to_string();
        parameters.extend([
            ("ReplicationGroupId", arguments.name.as_str()),
            ("ReplicationGroupDescription", arguments.snapshot.as_str()),
            ("NumCacheClusters", members.as_str()),
            ("AutomaticFailoverEnabled", if replicas > 0 { "true" } else { "false" }),
        ]);
        api.call("CreateReplicationGroup", &parameters)?;
        let is_done = |group: &group::Group| !arguments.wait.asked || group.status == "available";
        let group = group::wait_for(&api, &arguments.name, arguments.wait.longest.timeout, is_done)?;
        if json {
            print_json(&group);
        } else {
            print(&restored(&group.name, &group.status));
        }
        return Ok(());
    }
    parameters.push(("CacheClusterId", &arguments.name));
    api.call("CreateCacheCluster", &parameters)?;
    let cache: Option<Cache> = if arguments.wait.asked {
        super::wait_for(&api, &arguments.name, arguments.wait.longest.timeout, is_available)?
    } else {
        Some(one(&api, &arguments.name)?)
    };
    let cache = cache.ok_or_else(|| Failure::failed("the cache was deleted meanwhile"))?;
    if json {
        print_json(&cache);
    } else {
        print(&restored(&cache.name, &cache.status));
    }
    Ok(())
}

fn restored(name: &str, status: &str) -> String {
    format!("{name} is {status}\n  larder show {name}\n")
}
