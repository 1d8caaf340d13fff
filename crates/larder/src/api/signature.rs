//! Signature V4 of a call, by the same code that verifies it in the service.

use std::time::{SystemTime, UNIX_EPOCH};

use larder_service::identity::{Credentials, Scope, Unsigned, sign};

use super::Target;

/// The content type of every call.
const CONTENT_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// All headers of a POST of `body` to `/` on `host`.
pub(super) fn headers(target: &Target, service: &str, host: &str, body: &[u8]) -> Vec<(String, String)> {
    let credentials = Credentials {
        access_key_id: target.access_key_id.clone(),
        secret_access_key: target.secret_access_key.clone(),
    };
    // IAM is of no region, and is signed for the first one.
    let region = if service == "iam" { "us-east-1" } else { &target.region };
    let scope = Scope { region, service };
    let request =
        Unsigned { method: "POST", host, path: "/", query: &[], content_type: Some(CONTENT_TYPE), body };
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
    sign(&credentials, scope, request, u64::try_from(now_ms).unwrap_or(u64::MAX))
}
