//! `larder connect`: talk to a cache. `redis` and `memcached` are the two languages, `prompt` the line editor that
//! they share, `catalogue` the server's own command table (completion and hints), `words` the quoting rules,
//! `show` how values look.

mod catalogue;
mod memcached;
mod prompt;
mod redis;
mod show;
mod why;
mod words;

pub(crate) use why::why;

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
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
    Server { label: address.to_owned(), address: address.to_owned(), memcached }
}

/// One node of a cache, or all of them; or the server at an address.
fn servers(
    name: &str,
    engine: Option<Engine>,
    node: Option<&str>,
    place: &Where,
) -> Result<Vec<Server>, Failure> {
    if name.contains(':') {
        return Ok(vec![by_address(name, engine)]);
    }
    let cache = cache::one(&Api::find(place)?, name)?;
    let nodes = match node {
        Some(_) => vec![chosen_node(&cache, node)?],
        None if cache.nodes.iter().all(|node| node.address.is_empty()) => return Err(not_ready(&cache)),
        None => cache.nodes.iter().filter(|node| !node.address.is_empty()).collect(),
    };
    Ok(nodes.into_iter().map(|node| server(&cache, node)).collect())
}

fn by_name(arguments: &Connect) -> Result<Server, Failure> {
    let cache = cache::one(&Api::find(&arguments.asking.place)?, &arguments.name)?;
    Ok(server(&cache, chosen_node(&cache, arguments.node.as_deref())?))
}

fn server(cache: &Cache, node: &cache::CacheNode) -> Server {
    let several = cache.nodes.len() > 1;
    let label = if several { format!("{} {}", cache.name, node.id) } else { cache.name.clone() };
    Server { label, address: node.endpoint(), memcached: cache.engine == "memcached" }
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
