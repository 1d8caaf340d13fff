//! `larder connect`: talk to a cache. `redis` and `memcached` are the two languages, `prompt` the line editor that
//! they share, `catalogue` the server's own command table (completion and hints), `words` the quoting rules,
//! `show` how values look.

mod advise;
mod catalogue;
mod memcached;
mod prompt;
mod redis;
mod show;
mod why;
mod words;

pub(crate) use advise::advise;
pub(crate) use why::why;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::api::{Api, data_dir};
use crate::arguments::{Connect, Engine, Output, Where};
use crate::cache::{self, Cache};
use crate::failure::{Code, Failure};

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// The node's own socket, where this user may reach it: no password and no TLS stands before it.
    socket: Option<PathBuf>,
}

/// A connection of either kind.
trait Stream: io::Read + io::Write {}

impl<T: io::Read + io::Write> Stream for T {}

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
        true => by_address(&arguments.name, arguments.engine),
        false => by_name(arguments)?,
    };
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
    Server { label: address.to_owned(), address: address.to_owned(), memcached, socket: None }
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
        let server = by_address(name, engine);
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
            let mut server = server(cache, node);
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
    let cache = cache::one(&Api::find(&arguments.asking.place)?, &arguments.name)?;
    Ok(server(&cache, chosen_node(&cache, arguments.node.as_deref())?))
}

fn server(cache: &Cache, node: &cache::CacheNode) -> Server {
    let several = cache.nodes.len() > 1;
    let label = if several { format!("{} {}", cache.name, node.id) } else { cache.name.clone() };
    Server { label, address: node.endpoint(), memcached: cache.engine == "memcached", socket: None }
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

/// Opens a connection to `address:port`, trying each address that the name has.
fn open(address: &str) -> Result<TcpStream, Failure> {
    let unreachable = |what: String| {
        Failure::new(Code::Unreachable, format!("cannot connect to {address}: {what}"))
            .hint("Is the cache available? larder caches      (names that do not resolve: larder dns)")
    };
    let addresses = address.to_socket_addrs().map_err(|error| unreachable(error.to_string()))?;
    let mut last = "the name has no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error.to_string(),
        }
    }
    Err(unreachable(last))
}

/// Opens the node's own socket if there is one and this user may, or else a connection to its address.
fn reach(server: &Server) -> Result<Box<dyn Stream>, Failure> {
    match server.socket.as_ref().and_then(|path| own_socket(path)) {
        Some(stream) => Ok(Box::new(stream)),
        None => Ok(Box::new(open(&server.address)?)),
    }
}

/// A connection to a socket however long its path is: addresses of sockets have 107 bytes.
fn own_socket(path: &Path) -> Option<UnixStream> {
    let folder = File::open(path.parent()?).ok()?;
    let name = path.file_name()?.to_str()?;
    UnixStream::connect(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd())).ok()
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
            node_count: 0,
            configuration_endpoint: None,
            nodes: addresses.iter().enumerate().map(node).collect(),
            parameter_group: String::new(),
            subnet_group: String::new(),
            created: String::new(),
            arn: String::new(),
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
