//! A connection, plain or TLS, for threads that may block.

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

/// See the module. Time limits are those of the socket.
#[derive(Debug)]
pub enum Stream {
    /// Without TLS.
    Plain(TcpStream),
    /// We called.
    Client(Box<StreamOwned<ClientConnection, TcpStream>>),
    /// The other side called.
    Server(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Stream {
    /// Speaks TLS on a connection that we opened, and waits for the end of the handshake.
    ///
    /// # Errors
    /// The socket's, and `InvalidData` for what is wrong with the handshake.
    pub fn call(config: Arc<ClientConfig>, mut socket: TcpStream) -> io::Result<Stream> {
        let name = ServerName::IpAddress(socket.peer_addr()?.ip().into());
        let mut connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        Ok(Stream::Client(Box::new(StreamOwned::new(connection, socket))))
    }

    /// Goes on with a session's connection.
    pub fn adopt(connection: ServerConnection, socket: TcpStream) -> Stream {
        Stream::Server(Box::new(StreamOwned::new(connection, socket)))
    }

    /// The socket, to set its time limits or to shut it down.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Client(stream) => stream.get_ref(),
            Stream::Server(stream) => stream.get_ref(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buffer),
            Stream::Client(stream) => stream.read(buffer),
            Stream::Server(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            Stream::Client(stream) => stream.write(bytes),
            Stream::Server(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.flush(),
            Stream::Client(stream) => stream.flush(),
            Stream::Server(stream) => stream.flush(),
        }
    }
}
