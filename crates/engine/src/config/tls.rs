//! The directives of TLS.

use super::directive::{Directive, When, integer, one_of, path, quoted_path, switch, yes_no};
use crate::tls::suites;
use std::path::PathBuf;

/// What `port` and `memcached-port` take (`tls-mode`); `tls-port` takes nothing but TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// Plain sessions only.
    #[default]
    No,
    /// Both: the first byte says which.
    Preferred,
    /// TLS only.
    Required,
}

impl TlsMode {
    /// The words of the directive.
    pub const NAMES: [(&'static str, TlsMode); 3] =
        [("no", TlsMode::No), ("preferred", TlsMode::Preferred), ("required", TlsMode::Required)];
}

/// Whether clients show a certificate (`tls-auth-clients`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not asked.
    No,
    /// They must.
    #[default]
    Yes,
    /// One that is shown must be good.
    Optional,
}

impl ClientCertificates {
    /// The words of the directive.
    pub const NAMES: [(&'static str, ClientCertificates); 3] = [
        ("no", ClientCertificates::No),
        ("yes", ClientCertificates::Yes),
        ("optional", ClientCertificates::Optional),
    ];
}

/// Settings of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// `tls-port`; 0 = none.
    pub port: u16,
    /// `tls-mode`.
    pub mode: TlsMode,
    /// `tls-replication`: the link to the primary is TLS.
    pub replication: bool,
    /// `tls-cert-file`: the node's certificate and those between it and the authority.
    pub certificate: Option<PathBuf>,
    /// `tls-key-file`.
    pub key: Option<PathBuf>,
    /// `tls-client-cert-file`: what the node shows where it is the client, if not `tls-cert-file`.
    pub client_certificate: Option<PathBuf>,
    /// `tls-client-key-file`.
    pub client_key: Option<PathBuf>,
    /// `tls-ca-cert-file`.
    pub authorities: Option<PathBuf>,
    /// `tls-ca-cert-dir`.
    pub authorities_dir: Option<PathBuf>,
    /// `tls-auth-clients`.
    pub client_certificates: ClientCertificates,
    /// `tls-protocols`; empty = 1.2 and 1.3.
    pub protocols: String,
    /// `tls-ciphers`, of TLS 1.2; empty = all.
    pub ciphers: String,
    /// `tls-ciphersuites`, of TLS 1.3; empty = all.
    pub cipher_suites: String,
    /// `tls-prefer-server-ciphers`.
    pub prefer_own_order: bool,
    /// `tls-session-caching`.
    pub caching: bool,
    /// `tls-session-cache-size`; 0 = the default.
    pub cache_size: usize,
    /// `tls-session-cache-timeout`, seconds.
    pub cache_timeout: u64,
}

impl Default for TlsSettings {
    fn default() -> TlsSettings {
        TlsSettings {
            port: 0,
            mode: TlsMode::No,
            replication: false,
            certificate: None,
            key: None,
            client_certificate: None,
            client_key: None,
            authorities: None,
            authorities_dir: None,
            client_certificates: ClientCertificates::Yes,
            protocols: String::new(),
            ciphers: String::new(),
            cipher_suites: String::new(),
            prefer_own_order: false,
            caching: true,
            cache_size: 20 * 1024,
            cache_timeout: 300,
        }
    }
}

impl TlsSettings {
    /// True if some door takes TLS.
    pub fn is_on(&self) -> bool {
        self.port > 0 || self.mode != TlsMode::No
    }
}

/// A file or folder.
macro_rules! file {
    ($name:literal, $field:ident) => {
        Directive {
            name: $name,
            aliases: &[],
            when: When::Always,
            get: |config| quoted_path(&config.settings.tls.$field),
            set: |config, text| {
                config.settings.tls.$field = path(text);
                Ok(())
            },
        }
    };
}

/// A list of names, which is checked.
macro_rules! names {
    ($name:literal, $field:ident, $check:path) => {
        Directive {
            name: $name,
            aliases: &[],
            when: When::Always,
            get: |config| config.settings.tls.$field.clone(),
            set: |config, text| {
                $check(text)?;
                config.settings.tls.$field = text.to_owned();
                Ok(())
            },
        }
    };
}

/// One of several words.
macro_rules! word {
    ($name:literal, $field:ident, $names:expr) => {
        Directive {
            name: $name,
            aliases: &[],
            when: When::Always,
            get: |config| {
                let now = config.settings.tls.$field;
                $names.iter().find(|(_, one)| *one == now).map_or("", |(name, _)| name).to_owned()
            },
            set: |config, text| {
                config.settings.tls.$field = one_of(&$names, text)?;
                Ok(())
            },
        }
    };
}

/// A number.
macro_rules! count {
    ($name:literal, $when:ident, $field:ident, $high:expr) => {
        Directive {
            name: $name,
            aliases: &[],
            when: When::$when,
            get: |config| config.settings.tls.$field.to_string(),
            set: |config, text| {
                config.settings.tls.$field = integer(text, 0, $high)?;
                Ok(())
            },
        }
    };
}

/// Most sessions that are remembered: memory is bounded whatever is asked for.
const CACHE_SIZE_MAX: i64 = 1 << 20;

/// The rows.
pub const TABLE: &[Directive] = &[
    count!("tls-port", Always, port, 65535),
    word!("tls-mode", mode, TlsMode::NAMES),
    switch!("tls-replication", Always, settings.tls.replication),
    file!("tls-cert-file", certificate),
    file!("tls-key-file", key),
    file!("tls-client-cert-file", client_certificate),
    file!("tls-client-key-file", client_key),
    file!("tls-ca-cert-file", authorities),
    file!("tls-ca-cert-dir", authorities_dir),
    word!("tls-auth-clients", client_certificates, ClientCertificates::NAMES),
    names!("tls-protocols", protocols, suites::check_versions),
    names!("tls-ciphers", ciphers, suites::check_ciphers),
    names!("tls-ciphersuites", cipher_suites, suites::check_cipher_suites),
    switch!("tls-prefer-server-ciphers", Always, settings.tls.prefer_own_order),
    switch!("tls-session-caching", Always, settings.tls.caching),
    count!("tls-session-cache-size", Always, cache_size, CACHE_SIZE_MAX),
    count!("tls-session-cache-timeout", Always, cache_timeout, i32::MAX as i64),
];
