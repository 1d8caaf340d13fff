//! The connection of a replica to its primary, as the link uses it: plain or TLS.

use crate::node::Node;
use crate::tls::Stream;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// See the module.
#[derive(Debug)]
pub struct Wire(Stream);

/// How a connection is made.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// How long an address may take to answer, and a write to be taken.
    pub patience: Duration,
    /// How long a read waits for anything.
    pub glance: Duration,
    /// Small packets go at once.
    pub at_once: bool,
    /// The address of this machine to come from.
    pub source: Option<IpAddr>,
    /// It is TLS.
    pub secret: bool,
}

impl Wire {
    /// Connects to the first address of the host that answers.
    ///
    /// # Errors
    /// As the system says, and what is wrong with the handshake of TLS.
    pub fn connect(node: &Node, host: &str, port: u16, manner: &Manner) -> io::Result<Wire> {
        let mut last = io::Error::other("the name has no address");
        for address in (host, port).to_socket_addrs()? {
            if manner.source.is_some_and(|source| source.is_ipv4() != address.is_ipv4()) {
                continue;
            }
            match Wire::open(node, address, manner) {
                Ok(wire) => return Ok(wire),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn open(node: &Node, address: SocketAddr, manner: &Manner) -> io::Result<Wire> {
        let socket = dial(address, manner.source, manner.patience)?;
        socket.set_nodelay(manner.at_once)?;
        socket.set_write_timeout(Some(manner.patience))?;
        socket.set_read_timeout(Some(manner.patience))?;
        let stream = match manner.secret {
            false => Stream::Plain(socket),
            true => {
                let missing = "tls-replication needs tls-ca-cert-file or tls-ca-cert-dir";
                Stream::call(node.tls.client().ok_or_else(|| io::Error::other(missing))?, socket)?
            }
        };
        stream.socket().set_read_timeout(Some(manner.glance))?;
        Ok(Wire(stream))
    }

    /// The address of the other end, and of this one.
    pub fn addresses(&self) -> (String, String) {
        let socket = self.0.socket();
        let text = |address: io::Result<SocketAddr>| address.map_or("?".into(), |a| a.to_string());
        (text(socket.peer_addr()), text(socket.local_addr()))
    }
}

/// A connection from an address of ours: what the standard library connects from is the system's choice.
fn dial(address: SocketAddr, source: Option<IpAddr>, patience: Duration) -> io::Result<TcpStream> {
    let Some(source) = source else { return TcpStream::connect_timeout(&address, patience) };
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket: OwnedFd = socket_with(family, SocketType::STREAM, flags, None)?;
    bind(&socket, &SocketAddr::new(source, 0))?;
    match connect(&socket, &address) {
        Ok(()) => {}
        Err(Errno::INPROGRESS) => await_connected(&socket, patience)?,
        Err(error) => return Err(error.into()),
    }
    let socket = TcpStream::from(socket);
    socket.set_nonblocking(false)?;
    Ok(socket)
}

fn await_connected(socket: &OwnedFd, patience: Duration) -> io::Result<()> {
    let mut fds = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::OUT)];
    let limit = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: patience.subsec_nanos().into() };
    if poll(&mut fds, Some(&limit))? == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    sockopt::socket_error(socket)?.map_err(io::Error::from)
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_connection_comes_from_the_address_that_is_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let source = "127.0.0.9".parse().unwrap();
        let called = dial(address, Some(source), Duration::from_secs(60)).unwrap();
        let (_, peer) = listener.accept().unwrap();
        assert_eq!((peer.ip(), peer), (source, called.local_addr().unwrap()));
        drop(listener);
        let refused = dial(address, Some(source), Duration::from_secs(60)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}
