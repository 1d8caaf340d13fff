//! Who comes in: connections that a listener has accepted become sessions of a worker, or are turned away.
//!
//! Addresses that no rule admits, `maxclients`, protected mode and the beginning of TLS are decided here, before a byte is
//! read.

use super::Worker;
use super::sessions::Protocol;
use crate::config::tls::TlsMode;
use crate::listeners::Listener;
use crate::mailbox::Mail;
use crate::memcache;
use crate::session::Client;
use crate::session::registry::Origin;
use crate::socket::listen;
use crate::tls;
use larder_protocol::resp::request::Parser;
use larder_store::Now;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Connections of a worker that wait until there is room; those beyond are turned away.
const PATIENT_MAX: usize = 1024;

/// What a session from elsewhere is told while nobody has set a password.
const PROTECTED: &[u8] = b"-DENIED Larder is running in protected mode because protected mode is enabled and no \
    password is set for the default user. In this mode connections are only accepted from the loopback interface. \
    To connect from other machines, set a password (CONFIG SET requirepass), or switch protected mode off (CONFIG \
    SET protected-mode no, or --protected-mode no at the start) if nobody else can reach this machine.\r\n";

/// What a listener's connections speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Redis over TCP, with TLS as `tls-mode` says.
    Redis,
    /// Redis over TCP with TLS.
    RedisTls,
    /// Redis over a Unix socket.
    RedisUnix,
    /// Memcached over TCP.
    Memcached,
    /// Memcached over a Unix socket.
    MemcachedUnix,
}

impl Door {
    fn is_unix(self) -> bool {
        matches!(self, Door::RedisUnix | Door::MemcachedUnix)
    }

    fn is_memcached(self) -> bool {
        matches!(self, Door::Memcached | Door::MemcachedUnix)
    }
}

impl Worker {
    /// Accepts connections here and hands them to all workers in turn: one acceptor deals evenly, which the kernel's
    /// choice by hash (SO_REUSEPORT) does not.
    pub fn listen(&mut self, listener: Listener) -> io::Result<()> {
        let Listener { number, door, socket } = listener;
        if number >= self.doors.len() {
            self.doors.resize(number + 1, None);
        }
        self.doors[number] = Some(door);
        self.driver.listen(number, socket)
    }

    /// Accepts no more connections of a listener. One that was accepted already is served.
    pub(super) fn end_listener(&mut self, number: usize) {
        self.driver.end_listener(number);
    }

    /// Gives the connections that were accepted to the workers in turn.
    pub(super) fn welcome(&mut self, now: Now) {
        for (listener, fd) in std::mem::take(&mut self.sessions.accepted) {
            let Some(&Some(door)) = self.doors.get(listener) else { continue };
            let to = self.next % self.node.mailboxes.len();
            self.next = self.next.wrapping_add(1);
            if to == self.id {
                self.adopt(door, fd, now.ms);
            } else {
                self.node.mailboxes[to].send(Mail::Adopt { door, fd });
            }
        }
    }

    /// Lets those in who wait, as far as there is room.
    #[cold]
    pub(super) fn admit_patient(&mut self, now: Now) {
        while self.node.sessions.count() < self.node.settings().maxclients {
            let Some((door, fd)) = self.patient.pop_front() else { return };
            self.adopt(door, fd, now.ms);
        }
    }

    pub(super) fn adopt(&mut self, door: Door, fd: OwnedFd, now_ms: u64) {
        let settings = self.node.settings();
        if let Some(ranges) = settings.allowed_sources.as_ref().filter(|_| !door.is_unix())
            && !listen::peer(&fd).is_some_and(|peer| ranges.admit(peer))
        {
            // As a firewall does it: without a word.
            self.node.stats.refused_sources.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if door.is_memcached()
            && self.node.sessions.count() >= settings.maxclients
            && self.node.memcached.is_patient()
            && self.patient.len() < PATIENT_MAX
        {
            self.node.memcached.count_waiting(self.id);
            self.patient.push_back((door, fd));
            return;
        }
        self.node.stats.connections.fetch_add(1, Ordering::Relaxed);
        let mode = match door {
            Door::RedisTls => TlsMode::Required,
            Door::Redis | Door::Memcached => settings.tls.mode,
            Door::RedisUnix | Door::MemcachedUnix => TlsMode::No,
        };
        let Ok(tls) = self.node.tls.begin(mode) else { return };
        if self.node.sessions.count() >= settings.maxclients {
            self.node.stats.rejected_connections.fetch_add(1, Ordering::Relaxed);
            let text: &[u8] = if door.is_memcached() {
                b"ERROR Too many open connections\r\n"
            } else {
                b"-ERR max number of clients reached\r\n"
            };
            if tls.as_ref().is_none_or(tls::Session::may_be_plain) {
                let _ = rustix::io::write(&fd, text); // whoever does not read it is turned away all the same
            }
            return;
        }
        if !door.is_unix() && listen::prepare(&fd, Duration::from_secs(settings.tcp_keepalive)).is_err() {
            return; // gone already
        }
        let mut origin = origin(&fd, door, self.id);
        let redis = matches!(door, Door::Redis | Door::RedisTls);
        let open = settings.protected_mode && settings.requirepass.is_empty() && redis;
        let refused = open && !origin.is_loopback();
        if refused {
            self.node.stats.rejected_connections.fetch_add(1, Ordering::Relaxed);
        }
        if refused && tls.is_none() {
            let _ = rustix::io::write(&fd, PROTECTED); // whoever does not read it is turned away all the same
            return;
        }
        let Ok(token) = self.driver.add(fd) else { return };
        origin.index = token.index;
        let shared = self.node.sessions.add(origin, now_ms);
        memcache::watch::came(&self.node, &shared);
        let mut client =
            Client::new(shared.clone(), self.node.users.is_open() || door.is_unix(), door.is_unix());
        client.sealed = door.is_unix() || tls.is_some();
        let protocol = if door.is_memcached() {
            Protocol::Memcached(Box::new(memcache::Session::new(door.is_unix(), Some(shared.place))))
        } else {
            Protocol::Resp(Parser::new())
        };
        self.sessions.insert(token, client, protocol, tls.map(Box::new));
        if refused && let Some(session) = self.sessions.get(token.index) {
            session.out.raw(PROTECTED);
            if let Some(tls) = &mut session.tls {
                tls.hurry();
            }
            session.client.closing = true;
        }
    }
}

/// Where a connection comes from, as CLIENT LIST shows it.
fn origin(fd: &OwnedFd, door: Door, worker: usize) -> Origin {
    let text = |address: Option<rustix::net::SocketAddrAny>| {
        address.and_then(|any| std::net::SocketAddr::try_from(any).ok()).map(|a| a.to_string())
    };
    let unix = || "unix:0".to_owned();
    Origin {
        address: text(rustix::net::getpeername(fd).ok().flatten()).unwrap_or_else(unix),
        local_address: text(rustix::net::getsockname(fd).ok()).unwrap_or_else(unix),
        worker,
        index: 0,
        memcached: door.is_memcached(),
        unix: door.is_unix(),
    }
}
