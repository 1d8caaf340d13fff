//! `larder create`: one CreateCacheCluster, and the wait until the cache can be used.

use super::{Cache, policy, wait_for};
use crate::api::Api;
use crate::arguments::{Create, Engine, Output};
use crate::failure::{Code, Failure};
use crate::terminal::{print, print_json};

pub(crate) fn create(arguments: &Create) -> Result<(), Failure> {
    tags(arguments)?; // before anything is made
    let api = Api::find(&arguments.asking.place)?;
    let group = match &arguments.parameter_group {
        Some(_) => None,
        None => policy::group(&api, arguments.engine, arguments.engine_version.as_deref())?,
    };
    let arguments =
        &Create { parameter_group: arguments.parameter_group.clone().or(group), ..arguments.clone() };
    let parameters = parameters(arguments)?;
    if let Some(replicas) = arguments.replicas {
        return super::group::create(&api, arguments, replicas, &tags(arguments)?);
    }
    let borrowed: Vec<(&str, &str)> =
        parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = api.call("CreateCacheCluster", &borrowed)?;
    let mut cache =
        answer.child("CacheCluster").map(Cache::read).ok_or_else(|| Failure::failed("empty answer"))?;
    if arguments.wait.asked {
        let seen = wait_for(&api, &cache.name, arguments.wait.longest.timeout, is_available)?;
        cache = seen.unwrap_or(cache);
    }
    match arguments.asking.format.output {
        Output::Json => print_json(&cache),
        Output::Table => print(&report(&cache)),
    }
    Ok(())
}

/// The API's parameters for what was asked on the command line.
fn parameters(arguments: &Create) -> Result<Vec<(String, String)>, Failure> {
    let mut list: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: String| list.push((name.to_owned(), value));
    add("CacheClusterId", arguments.name.clone());
    add("Engine", engine_name(arguments.engine).to_owned());
    add("CacheNodeType", arguments.node_type.clone());
    add("NumCacheNodes", arguments.nodes.to_string());
    let optional = [
        ("EngineVersion", arguments.engine_version.clone()),
        ("Port", arguments.port.map(|port| port.to_string())),
        ("CacheParameterGroupName", arguments.parameter_group.clone()),
        ("CacheSubnetGroupName", arguments.subnet_group.clone()),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            add(name, value);
        }
    }
    list.extend(tags(arguments)?);
    Ok(list)
}

/// The API's parameters for the tags.
fn tags(arguments: &Create) -> Result<Vec<(String, String)>, Failure> {
    let mut list: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: String| list.push((name.to_owned(), value));
    for (index, tag) in arguments.tags.iter().enumerate() {
        let (key, value) = tag.split_once('=').ok_or_else(|| {
            Failure::new(Code::WrongUse, format!("--tag {tag}: expected KEY=VALUE"))
                .hint("Such as --tag team=search")
        })?;
        add(&format!("Tags.Tag.{}.Key", index + 1), key.to_owned());
        add(&format!("Tags.Tag.{}.Value", index + 1), value.to_owned());
    }
    Ok(list)
}

/// The engine's name in the API.
pub(super) fn engine_name(engine: Engine) -> &'static str {
    match engine {
        Engine::Redis => "redis",
        Engine::Valkey => "valkey",
        Engine::Memcached => "memcached",
    }
}

pub(super) fn is_available(seen: Option<&Cache>) -> Result<bool, Failure> {
    let Some(cache) = seen else {
        return Err(Failure::failed("the cache was deleted while it was being made"));
    };
    match cache.status.as_str() {
        "available" => Ok(true),
        "create-failed" | "incompatible-network" | "restore-failed" | "deleting" => {
            Err(Failure::failed(format!("{} is {}", cache.name, cache.status))
                .hint(format!("See what happened: larder events {}", cache.name)))
        }
        _ => Ok(false),
    }
}

fn report(cache: &Cache) -> String {
    let name = &cache.name;
    match (cache.status.as_str(), cache.first_address()) {
        ("available", Some(address)) => {
            format!("{name} is available at {address}\n  larder connect {name}\n")
        }
        ("available", None) => format!("{name} is available\n  larder show {name}\n"),
        _ => format!(
            "{name} is being made: {} {}, {}\n  larder show {name}\n",
            cache.engine, cache.engine_version, cache.node_type
        ),
    }
}
