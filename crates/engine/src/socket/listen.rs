//! Listening sockets and the options of connections.

use rustix::fs::{Mode, chmod};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, ipproto, listen, socket_with, sockopt,
};
use std::fmt::Display;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long an address may be taken by what a killed process left in the kernel.
const ADDRESS_PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait between two tries.
const ADDRESS_PAUSE: Duration = Duration::from_millis(50);

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

/// Listens as soon as a process that was just killed has let go of the address: the kernel ends what was in flight on an
/// io_uring first, and so closes its sockets a moment after the process is gone.
pub fn patiently(
    address: &dyn Display,
    mut listen: impl FnMut() -> io::Result<OwnedFd>,
) -> io::Result<OwnedFd> {
    let end = Instant::now() + ADDRESS_PATIENCE;
    let mut told = false;
    loop {
        match listen() {
            Err(error) if is_taken(&error) && Instant::now() < end => {
                if !told {
                    tracing::warn!("{address} is in use; trying again for {} s", ADDRESS_PATIENCE.as_secs());
                    told = true;
                }
                std::thread::sleep(ADDRESS_PAUSE);
            }
            listening => return listening,
        }
    }
}

fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_let_go_of_is_taken() {
        let before = tcp("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let address = SocketAddr::try_from(rustix::net::getsockname(&before).unwrap()).unwrap();
        assert!(is_taken(&tcp(address, 1).unwrap_err()));
        let mut tries = 0;
        let mut before = Some(before);
        let after = patiently(&address, || {
            tries += 1;
            if tries == 3 {
                before = None;
            }
            tcp(address, 1)
        });
        after.unwrap();
        assert_eq!((tries, before.is_none()), (3, true));
    }
}
