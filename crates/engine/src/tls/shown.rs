//! What INFO shows of the certificates in force: their serial numbers and how long they are valid.

use super::certificates::certificates;
use crate::config::tls::TlsSettings;
use data_encoding::HEXUPPER;
use rustls::pki_types::CertificateDer;
use std::path::Path;
use x509_parser::parse_x509_certificate;

/// What is shown of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Hexadecimal digits in pairs, without leading zeros.
    pub serial: String,
    /// Unix seconds of the last instant at which it is valid.
    pub expires_s: i64,
}

/// The certificates that a node has; the first of each file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShownAll {
    /// `tls-cert-file`.
    pub server: Option<Shown>,
    /// `tls-client-cert-file`.
    pub client: Option<Shown>,
    /// `tls-ca-cert-file`.
    pub authority: Option<Shown>,
}

impl ShownAll {
    /// Reads them. What cannot be read is not shown: whether it can be used is told elsewhere.
    pub(super) fn read(settings: &TlsSettings) -> ShownAll {
        let first = |path: &Option<std::path::PathBuf>| path.as_deref().and_then(first_of);
        ShownAll {
            server: first(&settings.certificate),
            client: first(&settings.client_certificate),
            authority: first(&settings.authorities),
        }
    }
}

fn first_of(path: &Path) -> Option<Shown> {
    shown(certificates(path).ok()?.first()?)
}

fn shown(certificate: &CertificateDer<'_>) -> Option<Shown> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    let serial = parsed.raw_serial();
    let zeros = serial.iter().take_while(|byte| **byte == 0).count().min(serial.len().saturating_sub(1));
    Some(Shown {
        serial: HEXUPPER.encode(&serial[zeros..]),
        expires_s: parsed.validity().not_after.timestamp(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SerialNumber, date_time_ymd};

    #[test]
    fn a_certificate_is_shown_by_its_serial_and_its_end() {
        let mut params = CertificateParams::new(vec!["node".into()]).unwrap();
        params.serial_number = Some(SerialNumber::from_slice(&[0, 0x8a, 1]));
        params.not_after = date_time_ymd(2030, 1, 1);
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let expected = Shown { serial: "8A01".into(), expires_s: 1_893_456_000 };
        assert_eq!(shown(made.der()), Some(expected));
        assert_eq!(shown(&CertificateDer::from(vec![1, 2, 3])), None);
    }
}
