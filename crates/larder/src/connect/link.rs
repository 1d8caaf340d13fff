//! A connection to a server, plain or over TLS, and how to get in: as nobody, with a password, or with a token of IAM.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::Server;
use crate::failure::{Code, Failure};

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection of any kind.
pub(super) trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

/// Opens the node's own socket if there is one and this user may, or else a connection to its address. Says whether it is
/// the socket, where nobody has to log in.
pub(super) fn reach(server: &Server) -> Result<(Box<dyn Stream>, bool), Failure> {
    if let Some(stream) = server.socket.as_ref().and_then(|path| own_socket(path)) {
        return Ok((Box::new(stream), true));
    }
    Ok((open(&server.address, server.way.authority.as_deref())?, false))
}

/// A connection to a socket however long its path is: addresses of sockets have 107 bytes.
fn own_socket(path: &Path) -> Option<UnixStream> {
    let folder = File::open(path.parent()?).ok()?;
    let name = path.file_name()?.to_str()?;
    UnixStream::connect(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd())).ok()
}

/// Opens a connection to `address:port`, trying each address that the name has; over TLS where `authority` names whom to
/// trust.
pub(super) fn open(address: &str, authority: Option<&Path>) -> Result<Box<dyn Stream>, Failure> {
    let unreachable = |what: String| {
        Failure::new(Code::Unreachable, format!("cannot connect to {address}: {what}"))
            .hint("Is the cache available? larder caches      (names that do not resolve: larder dns)")
    };
    let addresses = address.to_socket_addrs().map_err(|error| unreachable(error.to_string()))?;
    let mut last = "the name has no address".to_owned();
    for found in addresses {
        match TcpStream::connect_timeout(&found, CONNECT_TIMEOUT) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return match authority {
                    Some(authority) => encrypted(address, stream, authority),
                    None => Ok(Box::new(stream)),
                };
            }
            Err(error) => last = error.to_string(),
        }
    }
    Err(unreachable(last))
}

fn encrypted(address: &str, mut stream: TcpStream, authority: &Path) -> Result<Box<dyn Stream>, Failure> {
    let refused = |what: &dyn std::fmt::Display| {
        Failure::new(Code::Unreachable, format!("no TLS with {address}: {what}"))
    };
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned()).map_err(|error| refused(&error))?;
    let mut connection =
        ClientConnection::new(trusting(authority)?, name).map_err(|error| refused(&error))?;
    // A handshake that does not come must not hang.
    stream.set_read_timeout(Some(CONNECT_TIMEOUT))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).map_err(|error| refused(&error))?;
    }
    stream.set_read_timeout(None)?;
    Ok(Box::new(StreamOwned::new(connection, stream)))
}

fn trusting(authority: &Path) -> Result<Arc<ClientConfig>, Failure> {
    let unusable = |what: &dyn std::fmt::Display| {
        Failure::failed(format!("cannot use the certificates in {}: {what}", authority.display()))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authority).map_err(|error| unusable(&error))? {
        roots.add(certificate.map_err(|error| unusable(&error))?).map_err(|error| unusable(&error))?;
    }
    if roots.is_empty() {
        return Err(unusable(&"there are none"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| unusable(&error))?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// How to get to a server, and in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Way {
    /// Certificates to trust; none for a plain connection.
    pub(super) authority: Option<PathBuf>,
    /// User and password, as AUTH takes them.
    pub(super) login: Vec<Vec<u8>>,
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_server_that_speaks_no_tls_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let nothing = folder.path().join("none.pem");
        std::fs::write(&nothing, "no certificates").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert!(open(&address, None).is_ok());
        let failure = open(&address, Some(&nothing)).err().unwrap();
        assert!(failure.to_string().contains("none.pem"), "{failure}");
        assert!(open(&address, Some(&folder.path().join("missing.pem"))).is_err());
    }
}
