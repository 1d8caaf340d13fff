//! Signature V4 of a call, by the same code that verifies it in the service.

use std::time::{SystemTime, UNIX_EPOCH};

use larder_service::identity::{Credentials, Scope, Unsigned, presign, sign};

use super::Target;

/// The content type of every call.
const CONTENT_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// How long a token for logging in to a cache may be used, in seconds: as long as nodes take it.
const TOKEN_SECONDS: u64 = 15 * 60;

/// What a user of the type `iam` shows a cache in the place of a password: a presigned URL without its scheme.
pub(super) fn token(target: &Target, cache: &str, user: &str) -> String {
    let asked =
        [("Action", "connect"), ("User", user)].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let scope = Scope { region: &target.region, service: "elasticache" };
    format!("{cache}/?{}", presign(&credentials(target), scope, cache, &asked, TOKEN_SECONDS, now_ms()))
}

fn credentials(target: &Target) -> Credentials {
    Credentials {
        access_key_id: target.access_key_id.clone(),
        secret_access_key: target.secret_access_key.clone(),
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    u64::try_from(since).unwrap_or(u64::MAX)
}

/// All headers of a POST of `body` to `/` on `host`.
pub(super) fn headers(target: &Target, service: &str, host: &str, body: &[u8]) -> Vec<(String, String)> {
    // IAM is of no region, and is signed for the first one.
    let region = if service == "iam" { "us-east-1" } else { &target.region };
    let scope = Scope { region, service };
    let request =
        Unsigned { method: "POST", host, path: "/", query: &[], content_type: Some(CONTENT_TYPE), body };
    sign(&credentials(target), scope, request, now_ms())
}
