//! TLS between a client of rustls and our side, in memory and over sockets.

use super::{Identity, Progress, Session, Stream, TlsError};
use crate::config::tls::{ClientCertificates, TlsMode, TlsSettings};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, HandshakeKind};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A folder with an authority and a certificate of it.
struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn new() -> Files {
        let files = Files { dir: tempfile::tempdir().unwrap() };
        files.make("ca.pem", "node");
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes an authority, and a certificate and key of that name.
    fn make(&self, authority: &str, name: &str) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        std::fs::write(self.path(authority), issuer.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    fn settings(&self) -> TlsSettings {
        TlsSettings {
            mode: TlsMode::Required,
            certificate: Some(self.path("node.pem")),
            key: Some(self.path("node.key")),
            authorities: Some(self.path("ca.pem")),
            client_certificates: ClientCertificates::No,
            ..TlsSettings::default()
        }
    }

    fn identity(&self) -> Identity {
        let identity = Identity::default();
        identity.apply(&self.settings()).unwrap();
        identity
    }
}

fn caller(identity: &Identity) -> ClientConnection {
    let name = ServerName::try_from("127.0.0.1").unwrap();
    ClientConnection::new(identity.client().unwrap(), name).unwrap()
}

fn said(client: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).unwrap();
    }
    bytes
}

fn hear(client: &mut ClientConnection, mut bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).unwrap();
        client.process_new_packets().unwrap();
        let mut part = [0; 4096];
        while let Ok(len @ 1..) = client.reader().read(&mut part) {
            plain.extend_from_slice(&part[..len]);
        }
    }
    plain
}

/// Shakes hands, `step` bytes at a time.
fn connect(client: &mut ClientConnection, session: &mut Session, step: usize) -> Vec<u8> {
    let mut input = Vec::new();
    for _ in 0..10 {
        for part in said(client).chunks(step) {
            if let Progress::Handshake = session.received(part, &mut input) {
                let progress = session.shake_hands(&mut input);
                assert!(!matches!(progress, Progress::Failed(_)), "{progress:?}");
            }
        }
        let mut out = Vec::new();
        session.seal(&mut Vec::new(), false, &mut out);
        hear(client, &out);
    }
    assert!(session.is_open() && !client.is_handshaking());
    input
}

#[test]
fn data_goes_both_ways_whatever_the_pieces() {
    let files = Files::new();
    let identity = files.identity();
    for step in [1, 7, 100_000] {
        let (mut client, mut session) =
            (caller(&identity), identity.begin(TlsMode::Required).unwrap().unwrap());
        client.writer().write_all(b"early").unwrap();
        let mut input = connect(&mut client, &mut session, step);
        assert_eq!(input, b"early", "data may come with the end of the handshake");
        let long = vec![b'x'; 300_000];
        for part in long.chunks(10_000) {
            client.writer().write_all(part).unwrap();
            for piece in said(&mut client).chunks(step.max(100)) {
                assert!(matches!(session.received(piece, &mut input), Progress::Data));
            }
        }
        assert!(input[5..] == long[..]);
        let (mut plain, mut out) = (long.clone(), Vec::new());
        session.seal(&mut plain, false, &mut out);
        assert!(plain.is_empty() && hear(&mut client, &out) == long);
        assert!(session.owes_goodbye());
        out.clear();
        session.seal(&mut plain, true, &mut out);
        assert!(!session.owes_goodbye() && !out.is_empty());
        client.send_close_notify();
        assert!(matches!(session.received(&said(&mut client), &mut input), Progress::Ended));
    }
}

#[test]
fn the_first_byte_says_what_a_connection_is() {
    let files = Files::new();
    let identity = files.identity();
    let mut input = Vec::new();
    let mut session = identity.begin(TlsMode::Preferred).unwrap().unwrap();
    assert!(session.may_be_plain());
    assert!(matches!(session.received(b"PING\r\n", &mut input), Progress::Plain));
    let mut session = identity.begin(TlsMode::Preferred).unwrap().unwrap();
    connect(&mut caller(&identity), &mut session, 1);
    let mut session = identity.begin(TlsMode::Required).unwrap().unwrap();
    assert!(matches!(session.received(b"PING\r\n", &mut input), Progress::Handshake));
    assert!(matches!(session.shake_hands(&mut input), Progress::Failed(_)));
    assert!(session.has_output(), "an alert");
    assert!(input.is_empty());
    assert!(identity.begin(TlsMode::No).unwrap().is_none());
    assert!(Identity::default().begin(TlsMode::Preferred).is_err());
}

#[test]
fn garbage_ends_a_connection_and_takes_no_memory() {
    let files = Files::new();
    let identity = files.identity();
    let mut input = Vec::new();
    // A record of a handshake that claims the longest message, over and over.
    let mut session = identity.begin(TlsMode::Required).unwrap().unwrap();
    let mut record = vec![0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff];
    record.resize(5 + 0x4000, 0);
    let failed = (0..1000).any(|_| matches!(session.received(&record, &mut input), Progress::Failed(_)));
    assert!(failed);
    // A broken record in the midst of a good session.
    let (mut client, mut session) = (caller(&identity), identity.begin(TlsMode::Required).unwrap().unwrap());
    connect(&mut client, &mut session, 1000);
    client.writer().write_all(b"PING\r\n").unwrap();
    let mut bytes = said(&mut client);
    *bytes.last_mut().unwrap() ^= 1;
    assert!(matches!(session.received(&bytes, &mut input), Progress::Failed(_)));
    assert!(input.is_empty() && session.has_output());
    let (mut plain, mut out) = (b"secret".to_vec(), Vec::new());
    session.seal(&mut plain, true, &mut out);
    assert!(plain.is_empty() && !session.has_output());
}

#[test]
fn sessions_are_resumed_unless_they_may_not() {
    let files = Files::new();
    for (settings, kind) in [
        (files.settings(), HandshakeKind::Resumed),
        (TlsSettings { caching: false, ..files.settings() }, HandshakeKind::Full),
    ] {
        let identity = Identity::default();
        identity.apply(&settings).unwrap();
        connect(&mut caller(&identity), &mut identity.begin(TlsMode::Required).unwrap().unwrap(), 1000);
        let mut client = caller(&identity);
        connect(&mut client, &mut identity.begin(TlsMode::Required).unwrap().unwrap(), 1000);
        assert_eq!(client.handshake_kind(), Some(kind));
    }
}

#[test]
fn mistakes_are_named_and_change_nothing() {
    let files = Files::new();
    files.make("other-ca.pem", "other");
    let identity = files.identity();
    let before = identity.server().unwrap();
    let check = |change: &dyn Fn(&mut TlsSettings)| {
        let mut settings = files.settings();
        change(&mut settings);
        let error = identity.apply(&settings).unwrap_err();
        assert!(Arc::ptr_eq(&before, &identity.server().unwrap()));
        error
    };
    assert!(matches!(check(&|tls| tls.key = None), TlsError::NoCertificate));
    let other = Some(files.path("other.key"));
    assert!(matches!(check(&|tls| tls.key = other.clone()), TlsError::Rustls(_)), "the key of another one");
    assert!(matches!(check(&|tls| tls.certificate = Some("/none".into())), TlsError::Read(..)));
    assert!(matches!(check(&|tls| tls.certificate = Some(files.path("node.key"))), TlsError::Empty(_)));
    let asks = |tls: &mut TlsSettings| {
        tls.client_certificates = ClientCertificates::Yes;
        tls.authorities = None;
    };
    assert!(matches!(check(&asks), TlsError::NoAuthorities));
    std::fs::write(files.path("locked.key"), "-----BEGIN ENCRYPTED PRIVATE KEY-----\n").unwrap();
    let locked = Some(files.path("locked.key"));
    assert!(matches!(check(&|tls| tls.key = locked.clone()), TlsError::Encrypted(_)));
    identity.apply(&TlsSettings::default()).unwrap();
    assert!(identity.server().is_none());
}

/// One connection, which says what it is told: whether that worked.
fn talk(server: Arc<rustls::ServerConfig>, client: &Identity) -> std::io::Result<Vec<u8>> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answering = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut socket, _) = listener.accept()?;
        let mut connection = rustls::ServerConnection::new(server).map_err(std::io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        let mut stream = Stream::adopt(connection, socket);
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes)?;
        stream.write_all(&bytes)?;
        stream.flush()
    });
    let calling = || {
        let mut stream = Stream::call(client.client().unwrap(), TcpStream::connect(address)?)?;
        stream.write_all(b"hello")?;
        let mut bytes = vec![0; 5];
        stream.read_exact(&mut bytes)?;
        assert_eq!(stream.socket().peer_addr()?, address);
        Ok(bytes)
    };
    let result = calling();
    let answered = answering.join().unwrap();
    assert_eq!(result.is_ok(), answered.is_ok());
    result
}

#[test]
fn nodes_check_each_other() {
    let files = Files::new();
    files.make("other-ca.pem", "other");
    let server = |wanted| {
        let identity = Identity::default();
        identity.apply(&TlsSettings { client_certificates: wanted, ..files.settings() }).unwrap();
        identity.server().unwrap()
    };
    let client = |authority: &str, name: &str| {
        let identity = Identity::default();
        let (authorities, name) =
            (files.path(authority), |ending: &str| files.path(&format!("{name}.{ending}")));
        let settings = TlsSettings {
            authorities: Some(authorities),
            client_certificate: Some(name("pem")),
            client_key: Some(name("key")),
            ..files.settings()
        };
        identity.apply(&settings).unwrap();
        identity
    };
    assert_eq!(talk(server(ClientCertificates::Yes), &client("ca.pem", "node")).unwrap(), b"hello");
    assert_eq!(talk(server(ClientCertificates::Optional), &client("ca.pem", "node")).unwrap(), b"hello");
    assert_eq!(talk(server(ClientCertificates::No), &client("ca.pem", "other")).unwrap(), b"hello");
    talk(server(ClientCertificates::Yes), &client("ca.pem", "other")).unwrap_err();
    talk(server(ClientCertificates::Optional), &client("ca.pem", "other")).unwrap_err();
    talk(server(ClientCertificates::No), &client("other-ca.pem", "node")).unwrap_err();
}

#[test]
fn folders_of_authorities_may_hold_other_things() {
    let files = Files::new();
    std::fs::write(files.path("README"), "nothing here").unwrap();
    let identity = Identity::default();
    let settings = TlsSettings {
        authorities: None,
        authorities_dir: Some(Path::new(files.dir.path()).into()),
        client_certificates: ClientCertificates::Yes,
        ..files.settings()
    };
    identity.apply(&settings).unwrap();
    let server = identity.server().unwrap();
    assert_eq!(talk(server, &identity).unwrap(), b"hello");
}
