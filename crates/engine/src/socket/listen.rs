//! Listening sockets and the options of connections.

use rustix::fs::{Mode, chmod};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, ipproto, listen, socket_with, sockopt,
};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

/// Listens on a TCP address.
pub fn tcp(address: SocketAddr, backlog: i32) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(
        family,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        Some(ipproto::TCP),
    )?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &address)?;
    listen(&socket, backlog)?;
    Ok(socket)
}

/// Listens on a Unix socket, in the place of a stale one; the path has the permissions `mode`.
pub fn unix(path: &Path, mode: Option<u32>, backlog: i32) -> io::Result<OwnedFd> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody answers on the socket"));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    if let Some(mode) = mode {
        chmod(path, Mode::from_raw_mode(mode))?;
    }
    listen(&socket, backlog)?;
    Ok(socket)
}

/// Where a connection comes from; none if it is gone already, or of no address.
pub fn peer(connection: impl AsFd) -> Option<IpAddr> {
    let peer = rustix::net::getpeername(connection).ok()??;
    SocketAddr::try_from(peer).ok().map(|peer| peer.ip())
}

/// Prepares a TCP connection: no delay, and probes after `keepalive` idle time if that is not zero.
pub fn prepare(connection: impl AsFd, keepalive: Duration) -> io::Result<()> {
    let connection = connection.as_fd();
    sockopt::set_tcp_nodelay(connection, true)?;
    if !keepalive.is_zero() {
        sockopt::set_socket_keepalive(connection, true)?;
        sockopt::set_tcp_keepidle(connection, keepalive)?;
        sockopt::set_tcp_keepintvl(connection, (keepalive / 3).max(Duration::from_secs(1)))?;
        sockopt::set_tcp_keepcnt(connection, 3)?;
    }
    Ok(())
}
