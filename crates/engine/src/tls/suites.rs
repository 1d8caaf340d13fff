//! Versions and cipher suites by the names that configurations use: those of OpenSSL.

use crate::config::tls::TlsSettings;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{ALL_CIPHER_SUITES, cipher_suite as suite, default_provider};
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

/// Suites of TLS 1.2.
const OF_1_2: [(&str, SupportedCipherSuite); 6] = [
    ("ECDHE-ECDSA-AES256-GCM-SHA384", suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("ECDHE-RSA-AES256-GCM-SHA384", suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-AES128-GCM-SHA256", suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-RSA-CHACHA20-POLY1305", suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];

/// Suites of TLS 1.3.
const OF_1_3: [(&str, SupportedCipherSuite); 3] = [
    ("TLS_AES_256_GCM_SHA384", suite::TLS13_AES_256_GCM_SHA384),
    ("TLS_AES_128_GCM_SHA256", suite::TLS13_AES_128_GCM_SHA256),
    ("TLS_CHACHA20_POLY1305_SHA256", suite::TLS13_CHACHA20_POLY1305_SHA256),
];

/// Names that are separated by colons, in the order of preference; nothing for an empty list.
fn named(known: &[(&str, SupportedCipherSuite)], text: &str) -> Result<Vec<SupportedCipherSuite>, String> {
    let find = |name: &str| {
        let found = known.iter().find(|(one, _)| one.eq_ignore_ascii_case(name));
        let all: Vec<&str> = known.iter().map(|(one, _)| *one).collect();
        found.map(|(_, suite)| *suite).ok_or_else(|| format!("'{name}' is none of {}", all.join(", ")))
    };
    text.split(':').filter(|name| !name.is_empty()).map(find).collect()
}

/// The versions of `tls-protocols`.
pub(super) fn versions(text: &str) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    let mut found = Vec::new();
    for word in text.split_whitespace() {
        let version = match word.to_ascii_lowercase().as_str() {
            "tlsv1.2" => &TLS12,
            "tlsv1.3" => &TLS13,
            "tlsv1" | "tlsv1.1" => return Err(format!("{word} is not spoken: it is broken")),
            _ => return Err(format!("'{word}' is neither TLSv1.2 nor TLSv1.3")),
        };
        if !found.contains(&version) {
            found.push(version);
        }
    }
    Ok(if found.is_empty() { vec![&TLS13, &TLS12] } else { found })
}

/// Checks `tls-protocols`.
///
/// # Errors
/// What is wrong with it.
pub fn check_versions(text: &str) -> Result<(), String> {
    versions(text).map(drop)
}

/// Checks `tls-ciphers`.
///
/// # Errors
/// What is wrong with it.
pub fn check_ciphers(text: &str) -> Result<(), String> {
    named(&OF_1_2, text).map(drop)
}

/// Checks `tls-ciphersuites`.
///
/// # Errors
/// What is wrong with it.
pub fn check_cipher_suites(text: &str) -> Result<(), String> {
    named(&OF_1_3, text).map(drop)
}

/// The cryptography with the suites that the settings admit.
pub(super) fn provider(settings: &TlsSettings) -> Result<CryptoProvider, String> {
    let of_version = |tls13: bool| {
        let all = ALL_CIPHER_SUITES.iter().copied();
        all.filter(move |suite| suite.tls13().is_some() == tls13)
    };
    let mut suites = named(&OF_1_3, &settings.cipher_suites)?;
    if suites.is_empty() {
        suites.extend(of_version(true));
    }
    let older = named(&OF_1_2, &settings.ciphers)?;
    if older.is_empty() {
        suites.extend(of_version(false));
    }
    suites.extend(older);
    Ok(CryptoProvider { cipher_suites: suites, ..default_provider() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_choose_suites_in_their_order() {
        let settings = TlsSettings {
            ciphers: "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384".into(),
            cipher_suites: "tls_aes_128_gcm_sha256".into(),
            ..TlsSettings::default()
        };
        let suites: Vec<_> = provider(&settings).unwrap().cipher_suites;
        let expected = [
            suite::TLS13_AES_128_GCM_SHA256,
            suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        ];
        assert_eq!(suites, expected);
        let all = provider(&TlsSettings::default()).unwrap().cipher_suites;
        assert_eq!(all.len(), ALL_CIPHER_SUITES.len());
        assert!(check_ciphers("DEFAULT:!MEDIUM").is_err() && check_cipher_suites("RC4").is_err());
    }

    #[test]
    fn old_versions_are_refused_by_name() {
        assert_eq!(versions("TLSv1.2 tlsv1.2").unwrap(), [&TLS12]);
        assert_eq!(versions("").unwrap(), [&TLS13, &TLS12]);
        assert!(check_versions("TLSv1.1").unwrap_err().contains("TLSv1.1"));
        assert!(check_versions("SSLv3").is_err());
    }
}
