//! Certificates, keys and authorities, from files to what handshakes use.

use super::cache::SessionCache;
use super::shown::ShownAll;
use super::suites::{provider, versions};
use crate::config::tls::{ClientCertificates, TlsMode, TlsSettings};
use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Files of a folder of authorities that are read: more would hold up who asked for it.
const AUTHORITY_FILES_MAX: usize = 10_000;

/// Why the directives of TLS make no sense together, or with their files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No certificate or key.
    #[error("tls-cert-file and tls-key-file must both be given")]
    NoCertificate,
    /// Clients are to be checked, and nobody says against what.
    #[error("tls-auth-clients needs tls-ca-cert-file or tls-ca-cert-dir")]
    NoAuthorities,
    /// A file cannot be read.
    #[error("{0}: {1}")]
    Read(PathBuf, io::Error),
    /// A file holds something else.
    #[error("{0}: {1}")]
    Pem(PathBuf, pem::Error),
    /// A file holds none.
    #[error("{0}: no certificate in it")]
    Empty(PathBuf),
    /// The key has a password.
    #[error("{0}: keys with a password are not supported; remove it with `openssl pkey`")]
    Encrypted(PathBuf),
    /// The lists of names.
    #[error("{0}")]
    Names(String),
    /// What the library says.
    #[error("{0}")]
    Rustls(#[from] rustls::Error),
    /// What the library says about authorities.
    #[error("{0}")]
    Authorities(#[from] VerifierBuilderError),
}

/// What handshakes use now.
#[derive(Debug, Default)]
pub struct Identity {
    server: ArcSwapOption<ServerConfig>,
    client: ArcSwapOption<ClientConfig>,
    shown: ArcSwap<ShownAll>,
}

impl Identity {
    /// Reads all files, and puts them in force if all is well; else, nothing has changed. Handshakes that have begun
    /// end with what they began with.
    ///
    /// # Errors
    /// What is wrong with the settings or the files.
    pub fn apply(&self, settings: &TlsSettings) -> Result<(), TlsError> {
        // While nobody speaks TLS, the files may be told one by one.
        if !settings.is_on() && (settings.certificate.is_none() || settings.key.is_none()) {
            let client = if settings.replication { client(settings)? } else { None };
            self.server.store(None);
            self.client.store(client.map(Arc::new));
            self.shown.store(Arc::new(ShownAll::read(settings)));
            return Ok(());
        }
        let (server, client) = (server(settings)?, client(settings)?);
        self.server.store(Some(Arc::new(server)));
        self.client.store(client.map(Arc::new));
        self.shown.store(Arc::new(ShownAll::read(settings)));
        Ok(())
    }

    /// What INFO shows of the certificates in force.
    pub fn shown(&self) -> Arc<ShownAll> {
        self.shown.load_full()
    }

    /// What sessions are accepted with.
    pub fn server(&self) -> Option<Arc<ServerConfig>> {
        self.server.load_full()
    }

    /// What other nodes are connected with; none without authorities to check them against.
    pub fn client(&self) -> Option<Arc<ClientConfig>> {
        self.client.load_full()
    }

    /// How a connection begins; none if it is plain.
    ///
    /// # Errors
    /// It must not be plain, and there is no certificate (any more).
    pub fn begin(&self, mode: TlsMode) -> Result<Option<super::Session>, NoIdentity> {
        if mode == TlsMode::No {
            return Ok(None);
        }
        let config = self.server().ok_or(NoIdentity)?;
        Ok(Some(super::Session::new(config, mode == TlsMode::Preferred)))
    }
}

/// There is no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoIdentity;

pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = std::fs::read(path).map_err(|error| TlsError::Read(path.into(), error))?;
    let found = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| TlsError::Pem(path.into(), error))?;
    if found.is_empty() { Err(TlsError::Empty(path.into())) } else { Ok(found) }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = std::fs::read(path).map_err(|error| TlsError::Read(path.into(), error))?;
    let marks: [&[u8]; 2] = [b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED"];
    if marks.iter().any(|mark| memchr::memmem::find(&bytes, mark).is_some()) {
        return Err(TlsError::Encrypted(path.into()));
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| TlsError::Pem(path.into(), error))
}

/// The authorities of the file and of the files of the folder.
fn authorities(settings: &TlsSettings) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &settings.authorities {
        for certificate in certificates(path)? {
            roots.add(certificate)?;
        }
    }
    if let Some(dir) = &settings.authorities_dir {
        let files = std::fs::read_dir(dir).map_err(|error| TlsError::Read(dir.into(), error))?;
        for file in files.flatten().take(AUTHORITY_FILES_MAX) {
            // Such folders hold other things too.
            if file.path().is_file()
                && let Ok(found) = certificates(&file.path())
            {
                roots.add_parsable_certificates(found);
            }
        }
    }
    Ok(roots)
}

fn server(settings: &TlsSettings) -> Result<ServerConfig, TlsError> {
    let (Some(certificate), Some(key_file)) = (&settings.certificate, &settings.key) else {
        return Err(TlsError::NoCertificate);
    };
    let provider = Arc::new(provider(settings).map_err(TlsError::Names)?);
    let versions = versions(&settings.protocols).map_err(TlsError::Names)?;
    let verifier = match settings.client_certificates {
        ClientCertificates::No => WebPkiClientVerifier::no_client_auth(),
        wanted => {
            let roots = authorities(settings)?;
            if roots.is_empty() {
                return Err(TlsError::NoAuthorities);
            }
            let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
            let optional = wanted == ClientCertificates::Optional;
            if optional { builder.allow_unauthenticated().build()? } else { builder.build()? }
        }
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(certificate)?, key(key_file)?)?;
    config.ignore_client_order = settings.prefer_own_order;
    if settings.caching {
        let size =
            if settings.cache_size == 0 { TlsSettings::default().cache_size } else { settings.cache_size };
        let lifetime = Duration::from_secs(settings.cache_timeout);
        config.session_storage = Arc::new(SessionCache::new(size, lifetime));
    } else {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}

fn client(settings: &TlsSettings) -> Result<Option<ClientConfig>, TlsError> {
    let roots = authorities(settings)?;
    if roots.is_empty() {
        return Ok(None);
    }
    let provider = Arc::new(provider(settings).map_err(TlsError::Names)?);
    let versions = versions(&settings.protocols).map_err(TlsError::Names)?;
    let verifier = Arc::new(ChainVerifier { roots, provider: provider.clone() });
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let certificate = settings.client_certificate.as_ref().or(settings.certificate.as_ref());
    let key_file = settings.client_key.as_ref().or(settings.key.as_ref());
    Ok(Some(match (certificate, key_file) {
        (Some(certificate), Some(key_file)) => {
            builder.with_client_auth_cert(certificates(certificate)?, key(key_file)?)?
        }
        _ => builder.with_no_client_auth(),
    }))
}

/// Checks that one of our authorities signed the other node's certificate, and not for which name: nodes know each
/// other by addresses, which change, and Redis and Valkey check no more between nodes.
#[derive(Debug)]
struct ChainVerifier {
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ChainVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
