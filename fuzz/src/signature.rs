//! Signatures: whatever stands in the headers and the query of a request, nobody without the secret is let in.

use larder_service::front::query::decode_pairs;
use larder_service::identity::{AccessKey, SignedRequest, verify};
use larder_service::resource::refusal::Refusal;

/// 2026-11-23T14:00:00Z.
const NOW_MS: u64 = 1_795_442_400_000;

/// Reads the input and asserts what must hold of it.
pub fn run(input: (&str, &str, &str, &[u8])) {
    let (authorization, date, query, body) = input;
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut headers = vec![header("host", "localhost"), header("x-amz-date", date)];
    if !authorization.is_empty() {
        headers.push(header("authorization", authorization));
    }
    let Ok(query) = decode_pairs(query.as_bytes()) else { return };
    let request = SignedRequest { method: "POST", path: "/", query: &query, headers: &headers, body };
    let key = || AccessKey {
        id: "AKIAEXAMPLE".to_owned(),
        secret: "a secret that the fuzzer does not know".to_owned(),
        account: "000000000000".to_owned(),
        user: "root".to_owned(),
        inactive: false,
        created_ms: 0,
        session: None,
    };
    let verified = verify(request, "us-east-1", NOW_MS, |_| Ok::<_, Refusal>(Some(key())));
    assert!(verified.is_err());
}
