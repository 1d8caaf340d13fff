//! The form of a request that both sides agree on, the string to sign, and the key that signs it.

use aws_lc_rs::{digest, hmac};

use crate::hex;

/// The one algorithm.
pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// Last part of every scope.
pub(super) const TERMINATOR: &str = "aws4_request";

/// What of a request a signature covers.
#[derive(Debug, Clone, Copy)]
pub struct SignedRequest<'a> {
    /// Method, such as `POST`.
    pub method: &'a str,
    /// Path as it stands in the request line.
    pub path: &'a str,
    /// Query without the question mark, decoded.
    pub query: &'a [(String, String)],
    /// Headers with names in lower case.
    pub headers: &'a [(String, String)],
    /// Body.
    pub body: &'a [u8],
}

impl SignedRequest<'_> {
    /// The value of a header; several of one name are joined by commas. Runs of spaces count as one.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        let mut values = self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| folded(value));
        let first = values.next()?;
        Some(values.fold(first, |joined, value| format!("{joined},{value}")))
    }

    /// The canonical request. `signed` are names of headers in lower case, in the order of the signature.
    pub(super) fn canonical(&self, signed: &[&str], payload_sha256: &str) -> String {
        let header = |name: &&str| format!("{name}:{}\n", self.header(name).unwrap_or_default());
        let headers: String = signed.iter().map(header).collect();
        format!(
            "{}\n{}\n{}\n{headers}\n{}\n{payload_sha256}",
            self.method,
            canonical_path(self.path),
            canonical_query(self.query),
            signed.join(";"),
        )
    }
}

fn folded(value: &str) -> String {
    value.split(' ').filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Encodes once more what is already encoded, after dots were resolved: the rule of all services but S3.
fn canonical_path(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    let joined: String = parts.iter().map(|part| format!("/{}", encoded(part))).collect();
    match (joined.is_empty(), path.ends_with('/')) {
        (true, _) => "/".to_owned(),
        (false, true) => joined + "/",
        (false, false) => joined,
    }
}

/// The query in the order and the encoding in which it is signed.
pub(super) fn canonical_query(query: &[(String, String)]) -> String {
    let mut pairs: Vec<(String, String)> = query
        .iter()
        .filter(|(name, _)| name != "X-Amz-Signature")
        .map(|(name, value)| (encoded(name), encoded(value)))
        .collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn encoded(text: &str) -> String {
    const KEPT: percent_encoding::AsciiSet =
        percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    percent_encoding::utf8_percent_encode(text, &KEPT).to_string()
}

/// The text that is signed.
pub(super) fn string_to_sign(date: &str, scope: &str, canonical: &str) -> String {
    format!("{ALGORITHM}\n{date}\n{scope}\n{}", sha256_hex(canonical.as_bytes()))
}

/// The key of a day, region and service, derived from the secret.
pub(super) fn signing_key(secret: &str, day: &str, region: &str, service: &str) -> hmac::Key {
    let step = |key: &[u8], text: &str| hmac_sha256(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
    let day_key = step(format!("AWS4{secret}").as_bytes(), day);
    let service_key = step(step(day_key.as_ref(), region).as_ref(), service);
    hmac::Key::new(hmac::HMAC_SHA256, step(service_key.as_ref(), TERMINATOR).as_ref())
}

pub(super) fn hmac_sha256(key: &hmac::Key, text: &str) -> hmac::Tag {
    hmac::sign(key, text.as_bytes())
}

/// SHA-256 as 64 hexadecimal digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes).as_ref())
}
