//! The caller's side: headers that prove who sends a request. Used by our own command line.

use super::canonical::{
    ALGORITHM, SignedRequest, TERMINATOR, canonical_query, hmac_sha256, sha256_hex, signing_key,
    string_to_sign,
};
use crate::hex;

/// An access key as its holder has it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `AKIA...`.
    pub access_key_id: String,
    /// The secret.
    pub secret_access_key: String,
}

/// What a signature is good for, besides its day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope<'a> {
    /// Such as `us-east-1`.
    pub region: &'a str,
    /// Such as `elasticache`.
    pub service: &'a str,
}

/// A request that is about to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Unsigned<'a> {
    /// Method, such as `POST`.
    pub method: &'a str,
    /// Value of the Host header: the name, with the port unless it is the scheme's own.
    pub host: &'a str,
    /// Path of the URL.
    pub path: &'a str,
    /// Query, decoded.
    pub query: &'a [(String, String)],
    /// Value of the Content-Type header, if there is one.
    pub content_type: Option<&'a str>,
    /// Body.
    pub body: &'a [u8],
}

/// All headers to send with the request (Host and Content-Type among them), signed at `now_ms` of Unix time.
pub fn sign(
    credentials: &Credentials,
    scope: Scope<'_>,
    request: Unsigned<'_>,
    now_ms: u64,
) -> Vec<(String, String)> {
    let date = date_text(now_ms);
    let day = date.get(..8).unwrap_or_default();
    let payload = sha256_hex(request.body);
    let mut headers: Vec<(String, String)> = vec![("host".to_owned(), request.host.to_owned())];
    headers.extend(request.content_type.map(|value| ("content-type".to_owned(), value.to_owned())));
    headers.push(("x-amz-content-sha256".to_owned(), payload.clone()));
    headers.push(("x-amz-date".to_owned(), date.clone()));
    headers.sort();
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let Unsigned { method, path, query, body, .. } = request;
    let canonical =
        SignedRequest { method, path, query, headers: &headers, body }.canonical(&names, &payload);
    let scope_text = format!("{day}/{}/{}/{TERMINATOR}", scope.region, scope.service);
    let key = signing_key(&credentials.secret_access_key, day, scope.region, scope.service);
    let signature = hex::encode(hmac_sha256(&key, &string_to_sign(&date, &scope_text, &canonical)).as_ref());
    let authorization = format!(
        "{ALGORITHM} Credential={}/{scope_text}, SignedHeaders={}, Signature={signature}",
        credentials.access_key_id,
        names.join(";")
    );
    headers.push(("authorization".to_owned(), authorization));
    headers
}

/// The query of a GET of `/` on `host` with its signature in it, good for `life_s` seconds from `now_ms` of Unix time on:
/// what ElastiCache takes for a password, behind the name of the cache.
pub fn presign(
    credentials: &Credentials,
    scope: Scope<'_>,
    host: &str,
    query: &[(String, String)],
    life_s: u64,
    now_ms: u64,
) -> String {
    let date = date_text(now_ms);
    let day = date.get(..8).unwrap_or_default();
    let scope_text = format!("{day}/{}/{}/{TERMINATOR}", scope.region, scope.service);
    let own = [
        ("X-Amz-Algorithm", ALGORITHM.to_owned()),
        ("X-Amz-Credential", format!("{}/{scope_text}", credentials.access_key_id)),
        ("X-Amz-Date", date.clone()),
        ("X-Amz-Expires", life_s.to_string()),
        ("X-Amz-SignedHeaders", "host".to_owned()),
    ];
    let mut query = query.to_vec();
    query.extend(own.map(|(name, value)| (name.to_owned(), value)));
    let headers = [("host".to_owned(), host.to_owned())];
    let request = SignedRequest { method: "GET", path: "/", query: &query, headers: &headers, body: b"" };
    let canonical = request.canonical(&["host"], &sha256_hex(b""));
    let key = signing_key(&credentials.secret_access_key, day, scope.region, scope.service);
    let signature = hex::encode(hmac_sha256(&key, &string_to_sign(&date, &scope_text, &canonical)).as_ref());
    format!("{}&X-Amz-Signature={signature}", canonical_query(&query))
}

/// `20261123T140500Z`.
pub(super) fn date_text(unix_ms: u64) -> String {
    let time = i64::try_from(unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.unwrap_or(jiff::Timestamp::MAX).strftime("%Y%m%dT%H%M%SZ").to_string()
}
