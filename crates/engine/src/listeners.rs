//! The doors of a node: the sockets that it listens on, opened when it starts, and others when CONFIG SET says so.
//!
//! One worker accepts for all of them. It has the sockets; a second handle of those of TCP is here, so that whoever changes
//! the configuration can end one at once, wherever that is carried out.

use crate::config::Settings;
use crate::mailbox::Mail;
use crate::node::Node;
use crate::run::{RunError, Startup};
use crate::socket::listen;
use crate::worker::Door;
use rustix::net::{Shutdown, shutdown};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The worker that accepts.
pub const ACCEPTOR: usize = 0;

/// A socket to accept connections of.
#[derive(Debug)]
pub struct Listener {
    /// Its number, which no other one of this node has.
    pub number: usize,
    /// What its connections speak.
    pub door: Door,
    /// The socket.
    pub socket: OwnedFd,
}

/// A TCP listener that is open.
#[derive(Debug)]
struct Open {
    number: usize,
    place: Place,
    socket: OwnedFd,
}

/// What is listened for where.
type Place = (Door, SocketAddr);

#[derive(Debug, Default)]
struct All {
    open: Vec<Open>,
    /// The number of the next one.
    next: usize,
}

/// The TCP listeners of a node.
#[derive(Debug, Default)]
pub struct Listeners(Mutex<All>);

impl Listeners {
    fn lock(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens all that the configuration names, before anybody accepts.
    ///
    /// # Errors
    /// One cannot be opened, or there is none.
    pub fn begin(&self, startup: &Startup, settings: &Settings) -> Result<Vec<Listener>, RunError> {
        let (mut all, mut listeners) = (self.lock(), Vec::new());
        for (door, bind, port) in wanted(settings) {
            let address = SocketAddr::new(address_of(bind)?, port);
            match listen::patiently(&address, || listen::tcp(address, startup.backlog)) {
                Ok(socket) => listeners.push(all.note((door, address), socket)?),
                Err(error) if may_be_missing(bind, &error) => {
                    tracing::warn!("{bind} is not an address of this machine; not listening there");
                }
                Err(source) => return Err(RunError::Listen { address: address.to_string(), source }),
            }
        }
        let sockets =
            [(Door::RedisUnix, &startup.unix_socket), (Door::MemcachedUnix, &startup.memcached_unix_socket)];
        for (door, path) in sockets {
            let Some(path) = path else { continue };
            let mode = match door {
                Door::MemcachedUnix => startup.memcached.socket_mode.or(startup.unix_socket_mode),
                _ => startup.unix_socket_mode,
            };
            let socket = open_unix(path, mode, startup.backlog)?;
            listeners.push(Listener { number: all.number(), door, socket });
        }
        if listeners.is_empty() { Err(RunError::NoDoor) } else { Ok(listeners) }
    }

    /// Listens where these settings say, and nowhere else. Who is connected stays. Where both say so it is gone on with; what
    /// is new is opened before the rest is closed, but for an address that only the closing makes free.
    ///
    /// # Errors
    /// One cannot be opened; then nothing has changed.
    pub fn change(&self, node: &Node, settings: &Settings) -> Result<(), RunError> {
        let mut all = self.lock();
        let mut places: Vec<Place> = Vec::new();
        let mut missing: Vec<(Place, &str)> = Vec::new();
        for (door, bind, port) in wanted(settings) {
            let place = (door, SocketAddr::new(address_of(bind)?, port));
            // What is named twice cannot be opened twice.
            match places.contains(&place) || !all.open.iter().any(|open| open.place == place) {
                true => missing.push((place, bind)),
                false => places.push(place),
            }
        }
        let backlog = node.startup.backlog;
        let (stay, go): (Vec<Open>, Vec<Open>) =
            std::mem::take(&mut all.open).into_iter().partition(|open| places.contains(&open.place));
        all.open = stay;
        let opened = match open_all(&missing, backlog) {
            Err(_) if !go.is_empty() => {
                end(node, &go);
                open_all(&missing, backlog).inspect_err(|_| {
                    // They were open a moment ago.
                    let again: Vec<(Place, &str)> = go.iter().map(|open| (open.place, "")).collect();
                    match open_all(&again, backlog) {
                        Ok(opened) => all.add(node, opened),
                        Err(error) => tracing::warn!("What was listened on cannot be opened again: {error}"),
                    }
                })?
            }
            Err(error) => return Err(error),
            Ok(opened) => {
                end(node, &go);
                opened
            }
        };
        all.add(node, opened);
        Ok(())
    }

    /// Nobody comes in any more.
    pub fn close(&self) {
        self.lock().open.clear();
    }
}

impl All {
    fn number(&mut self) -> usize {
        self.next += 1;
        self.next - 1
    }

    fn note(&mut self, place: Place, socket: OwnedFd) -> Result<Listener, RunError> {
        let failed = |source| RunError::Listen { address: place.1.to_string(), source };
        let (number, door) = (self.number(), place.0);
        self.open.push(Open { number, place, socket: socket.try_clone().map_err(failed)? });
        Ok(Listener { number, door, socket })
    }

    /// Has the worker accept there, too.
    fn add(&mut self, node: &Node, opened: Vec<(Place, OwnedFd)>) {
        for (place, socket) in opened {
            match self.note(place, socket) {
                Ok(listener) => node.mailboxes[ACCEPTOR].send(Mail::Listen(listener)),
                Err(error) => tracing::warn!("{error}"),
            }
        }
    }
}

/// Ends listeners: whoever comes from now on is refused.
fn end(node: &Node, all: &[Open]) {
    for open in all {
        let _ = shutdown(&open.socket, Shutdown::Both); // the worker closes it
        node.mailboxes[ACCEPTOR].send(Mail::EndListener(open.number));
    }
}

/// What is to be listened on: the door, a word of `bind`, the port.
fn wanted(settings: &Settings) -> impl Iterator<Item = (Door, &str, u16)> {
    let ports = [
        (Door::Redis, settings.port),
        (Door::RedisTls, settings.tls.port),
        (Door::Memcached, settings.memcached_port),
    ];
    let ports = ports.into_iter().filter(|(_, port)| *port > 0);
    ports.flat_map(|(door, port)| settings.bind.iter().map(move |bind| (door, bind.as_str(), port)))
}

/// Opens all of them or none.
fn open_all(places: &[(Place, &str)], backlog: i32) -> Result<Vec<(Place, OwnedFd)>, RunError> {
    let mut opened = Vec::new();
    for &(place, bind) in places {
        match listen::tcp(place.1, backlog) {
            Ok(socket) => opened.push((place, socket)),
            Err(error) if may_be_missing(bind, &error) => {
                tracing::warn!("{bind} is not an address of this machine; not listening there");
            }
            Err(source) => {
                let error = RunError::Listen { address: place.1.to_string(), source };
                tracing::warn!("{error}");
                return Err(error);
            }
        }
    }
    Ok(opened)
}

/// True for an address with a leading `-` (as in redis.conf) that the machine does not have.
fn may_be_missing(bind: &str, error: &io::Error) -> bool {
    bind.starts_with('-') && error.raw_os_error() != Some(libc::EADDRINUSE)
}

/// The address that a word of `bind` names.
///
/// # Errors
/// None.
pub fn address_of(bind: &str) -> Result<IpAddr, RunError> {
    Ok(match bind.trim_start_matches('-') {
        "*" => IpAddr::from([0, 0, 0, 0]),
        "::*" => IpAddr::from([0u16; 8]),
        "localhost" => IpAddr::from([127, 0, 0, 1]),
        text => text.parse().map_err(|_| RunError::BadAddress(bind.into()))?,
    })
}

fn open_unix(path: &Path, mode: Option<u32>, backlog: i32) -> Result<OwnedFd, RunError> {
    listen::patiently(&path.display(), || listen::unix(path, mode, backlog))
        .map_err(|source| RunError::Listen { address: path.display().to_string(), source })
}
