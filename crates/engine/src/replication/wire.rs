//! The connection of a replica to its primary, as the link uses it. What else than plain TCP there will be is another
//! variant here.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// See the module.
#[derive(Debug)]
pub enum Wire {
    /// Plain TCP.
    Tcp(TcpStream),
}

impl Wire {
    /// Connects to the first address of the host that answers.
    ///
    /// # Errors
    /// As the system says.
    pub fn connect(host: &str, port: u16, patience: Duration, at_once: bool) -> io::Result<Wire> {
        let mut last = io::Error::other("the name has no address");
        for address in (host, port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, patience) {
                Ok(stream) => {
                    stream.set_nodelay(at_once)?;
                    stream.set_write_timeout(Some(patience))?;
                    return Ok(Wire::Tcp(stream));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Waits until there is something to read; false if there is not in time.
    ///
    /// # Errors
    /// As the system says.
    pub fn wait(&self, patience: Duration) -> io::Result<bool> {
        let Wire::Tcp(stream) = self;
        let mut fds = [PollFd::new(stream, PollFlags::IN)];
        let timeout = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: patience.subsec_nanos().into() };
        match poll(&mut fds, Some(&timeout)) {
            Ok(count) => Ok(count > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The address of the other end, and of this one.
    pub fn addresses(&self) -> (String, String) {
        let Wire::Tcp(stream) = self;
        let text = |address: io::Result<std::net::SocketAddr>| address.map_or("?".into(), |a| a.to_string());
        (text(stream.peer_addr()), text(stream.local_addr()))
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Wire::Tcp(stream) = self;
        stream.read(buffer)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Wire::Tcp(stream) = self;
        stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        let Wire::Tcp(stream) = self;
        stream.flush()
    }
}
