//! `larder connect`: talk to a cache. `link` is the way to it, `redis` and `memcached` are the two languages, `prompt` the
//! line editor that they share, `catalogue` the server's own command table (completion and hints), `words` the quoting
//! rules, `show` how values look.

mod advise;
mod catalogue;
mod link;
mod memcached;
mod prompt;
mod redis;
mod show;
mod why;
mod words;

pub(crate) use advise::advise;
pub(crate) use why::why;

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use link::Way;

use crate::api::{Api, data_dir, service_info};
use crate::arguments::{Connect, Engine, Output, Where};
use crate::cache::{self, Cache};
use crate::failure::{Code, Failure};

/// Variable with the password, which other Redis clients know, too.
const PASSWORD_VARIABLE: &str = "REDISCLI_AUTH";

/// How replies are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// With quotes, kinds and numbering.
    People,
    /// Values as they are.
    Raw,
    Json,
}

/// A server to talk to.
#[derive(Debug, PartialEq, Eq)]
struct Server {
    /// What the prompt shows.
    label: String,
    /// `address:port`
    address: String,
    memcached: bool,
    way: Way,
    /// The node's own socket, where this user may reach it: no password and no TLS stands before it.
    socket: Option<PathBuf>,
}

/// What the user wants of the server.
struct Talk {
    server: Server,
    command: Vec<Vec<u8>>,
    style: Style,
    resp3: bool,
    history: Option<PathBuf>,
}

pub(crate) fn connect(arguments: &Connect) -> Result<(), Failure> {
    let server = match arguments.name.contains(':') {
        true => {
            let mut server = by_address(&arguments.name, arguments.engine);
            server.way.authority = arguments.cacert.clone();
            if arguments.iam {
                return Err(Failure::new(Code::WrongUse, "a token of IAM is for a cache by its name"));
            }
            server.way.login = login(arguments.user.as_deref());
            server
        }
        false => by_name(arguments)?,
    };
    if server.memcached && arguments.user.is_some() {
        return Err(Failure::new(Code::WrongUse, "caches of Memcached have no users"));
    }
    let talk = Talk {
        server,
        command: arguments.command.iter().cloned().map(OsString::into_vec).collect(),
        style: style(arguments),
        resp3: arguments.resp3,
        history: data_dir(&arguments.asking.place).ok().map(|folder| folder.join("history")),
    };
    if talk.server.memcached { memcached::talk(&talk) } else { redis::talk(&talk) }
}

fn style(arguments: &Connect) -> Style {
    if arguments.asking.format.output == Output::Json {
        return Style::Json;
    }
    if arguments.raw || !io::stdout().is_terminal() { Style::Raw } else { Style::People }
}

fn by_address(address: &str, engine: Option<Engine>) -> Server {
    let memcached = match engine {
        Some(engine) => engine == Engine::Memcached,
        None => address.ends_with(":11211"),
    };
    Server {
        label: address.to_owned(),
        address: address.to_owned(),
        memcached,
        way: Way::default(),
        socket: None,
    }
}

/// Servers of a cache, and what they are.
struct Found {
    servers: Vec<Server>,
    node_type: Option<String>,
    engine: String,
}

/// One node of a cache or group, or all of them; or the server at an address.
fn servers(name: &str, engine: Option<Engine>, node: Option<&str>, place: &Where) -> Result<Found, Failure> {
    if name.contains(':') {
        let mut server = by_address(name, engine);
        server.way.login = login(None);
        let engine = advise::engine_of(Some(&server), engine);
        return Ok(Found { servers: vec![server], node_type: None, engine });
    }
    let caches = cache::members(&Api::find(place)?, name)?;
    let is_group = caches.iter().all(|cache| cache.name != name.to_lowercase());
    let folder = data_dir(place).ok().map(|folder| folder.join("nodes"));
    let mut servers = Vec::new();
    for cache in &caches {
        let nodes = match node {
            // A member of a group is called as it is in the answers of the API.
            Some(wanted) if is_group && wanted != cache.name => continue,
            Some(_) if !is_group => vec![chosen_node(cache, node)?],
            _ => cache.nodes.iter().filter(|node| !node.address.is_empty()).collect(),
        };
        for node in nodes {
            // The node's own socket needs neither.
            let authority = authority(cache, place, None).unwrap_or_default();
            let way = Way { authority, login: login(None) };
            let mut server = server(cache, node, way);
            let file = if server.memcached { "memcached.sock" } else { "node.sock" };
            server.socket =
                folder.as_ref().map(|nodes| nodes.join(format!("{}-{}", cache.name, node.id)).join(file));
            servers.push(server);
        }
    }
    match (servers.is_empty(), caches.first(), node) {
        (true, Some(_), Some(wanted)) => {
            Err(Failure::new(Code::NotFound, format!("{name} has no node {wanted}"))
                .hint(format!("See its nodes: larder show {name}")))
        }
        (true, Some(cache), None) => Err(not_ready(cache)),
        _ => Ok(Found {
            node_type: caches.first().map(|cache| cache.node_type.clone()),
            engine: caches.first().map(|cache| cache.engine.clone()).unwrap_or_default(),
            servers,
        }),
    }
}

fn by_name(arguments: &Connect) -> Result<Server, Failure> {
    let api = Api::find(&arguments.asking.place)?;
    let cache = cache::one_or_primary(&api, &arguments.name)?;
    let node = chosen_node(&cache, arguments.node.as_deref())?;
    let login = match &arguments.user {
        Some(user) if arguments.iam => {
            let name = if cache.group.is_empty() { &cache.name } else { &cache.group };
            words_of(["AUTH", user, &api.token(name, user)])
        }
        user => login(user.as_deref()),
    };
    let authority = authority(&cache, &arguments.asking.place, arguments.cacert.as_ref())?;
    Ok(server(&cache, node, Way { authority, login }))
}

/// The command that logs in with the password of the environment; none where there is nothing to log in with.
fn login(user: Option<&str>) -> Vec<Vec<u8>> {
    let password = std::env::var(PASSWORD_VARIABLE).ok().filter(|password| !password.is_empty());
    match (user, password) {
        (None, None) => Vec::new(),
        (None, Some(token)) => words_of(["AUTH", &token]),
        (Some(user), password) => words_of(["AUTH", user, &password.unwrap_or_default()]),
    }
}

fn words_of<const N: usize>(words: [&str; N]) -> Vec<Vec<u8>> {
    words.map(|word| word.as_bytes().to_vec()).to_vec()
}

/// Whose certificates to trust, where the cache speaks TLS.
fn authority(cache: &Cache, place: &Where, asked: Option<&PathBuf>) -> Result<Option<PathBuf>, Failure> {
    if !cache.encrypted {
        return match asked {
            Some(_) => Err(Failure::new(Code::WrongUse, format!("{} speaks no TLS", cache.name))),
            None => Ok(None),
        };
    }
    let known = || service_info(&data_dir(place).ok()?).ok()?.authority;
    match asked.cloned().or_else(known) {
        Some(file) => Ok(Some(file)),
        None => Err(Failure::new(
            Code::WrongUse,
            format!("{} speaks TLS, and whom to trust is not known", cache.name),
        )
        .hint("Give --cacert FILE: larder up says where it is.")),
    }
}

fn server(cache: &Cache, node: &cache::CacheNode, way: Way) -> Server {
    let several = cache.nodes.len() > 1;
    let label = if several { format!("{} {}", cache.name, node.id) } else { cache.name.clone() };
    let memcached = cache.engine == "memcached";
    Server { label, address: node.endpoint(), memcached, way, socket: None }
}

fn chosen_node<'a>(cache: &'a Cache, wanted: Option<&str>) -> Result<&'a cache::CacheNode, Failure> {
    let node = match wanted {
        Some(id) => cache.nodes.iter().find(|node| node.id == id),
        None => cache.nodes.first(),
    };
    let node = node.ok_or_else(|| match wanted {
        Some(id) => Failure::new(Code::NotFound, format!("{} has no node {id}", cache.name))
            .hint(format!("See its nodes: larder show {}", cache.name)),
        None => not_ready(cache),
    })?;
    if node.address.is_empty() { Err(not_ready(cache)) } else { Ok(node) }
}

fn not_ready(cache: &Cache) -> Failure {
    Failure::failed(format!("{} has no address yet: it is {}", cache.name, cache.status)).hint(format!(
        "Wait for it: aws elasticache wait cache-cluster-available --cache-cluster-id {}",
        cache.name
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::CacheNode;

    fn cache(addresses: &[&str]) -> Cache {
        let node = |(index, address): (usize, &&str)| CacheNode {
            id: format!("{:04}", index + 1),
            status: "available".into(),
            address: (*address).into(),
            port: 11211,
            zone: "us-east-1a".into(),
        };
        Cache {
            name: "pages".into(),
            engine: "memcached".into(),
            engine_version: String::new(),
            status: "creating".into(),
            node_type: String::new(),
            pending_node_type: None,
            stages: None,
            node_count: 0,
            configuration_endpoint: None,
            nodes: addresses.iter().enumerate().map(node).collect(),
            parameter_group: String::new(),
            subnet_group: String::new(),
            created: String::new(),
            arn: String::new(),
            group: String::new(),
            encrypted: false,
        }
    }

    #[test]
    fn a_node_is_chosen_by_id_or_the_first() {
        let pages = cache(&["127.1.0.1", "127.1.0.2"]);
        assert_eq!(chosen_node(&pages, None).unwrap().endpoint(), "127.1.0.1:11211");
        assert_eq!(chosen_node(&pages, Some("0002")).unwrap().endpoint(), "127.1.0.2:11211");
        assert_eq!(chosen_node(&pages, Some("0003")).unwrap_err().code, Code::NotFound);
    }

    #[test]
    fn a_cache_that_is_still_made_says_so() {
        for early in [cache(&[]), cache(&[""])] {
            assert!(chosen_node(&early, None).unwrap_err().to_string().contains("it is creating"));
        }
    }
}
