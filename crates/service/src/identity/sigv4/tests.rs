//! Signatures against AWS's published examples, AWS's own signer, and forgers.

use std::time::{Duration, UNIX_EPOCH};

use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings};
use aws_sigv4::sign::v4;

use super::{Credentials, Scope, SignedRequest, Unsigned, Verified, presign, sign, verify};
use crate::front::query::decode_pairs;
use crate::identity::AccessKey;
use crate::resource::refusal::Refusal;

const ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// 2015-08-30T12:36:00Z, the time of the published examples.
const THEN_MS: u64 = 1_440_938_160_000;
const MINUTE_MS: u64 = 60_000;

#[derive(Clone, Debug)]
struct Request {
    method: &'static str,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.retain(|(n, _)| n != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn without(mut self, name: &str) -> Request {
        self.headers.retain(|(n, _)| n != name);
        self
    }

    fn authorization(&self) -> String {
        self.headers.iter().find(|(name, _)| name == "authorization").unwrap().1.clone()
    }

    fn reauthorized(self, from: &str, to: &str) -> Request {
        let text = self.authorization();
        assert!(text.contains(from), "{text}");
        self.header("authorization", &text.replace(from, to))
    }

    fn verify_at(&self, now_ms: u64) -> Result<Verified, Refusal> {
        let query = decode_pairs(self.query.as_bytes()).unwrap();
        let Request { method, path, headers, body, .. } = self;
        let request = SignedRequest { method, path, query: &query, headers, body };
        verify(request, "us-east-1", now_ms, |id| Ok::<_, Refusal>((id == ID).then(key)))
    }

    #[track_caller]
    fn refused(&self, code: &str, words: &str) {
        let refusal = self.verify_at(THEN_MS).unwrap_err();
        assert_eq!(refusal.code, code, "{refusal}");
        assert!(refusal.message.contains(words), "{refusal}");
    }
}

fn key() -> AccessKey {
    AccessKey {
        id: ID.to_owned(),
        secret: SECRET.to_owned(),
        account: "000000000000".to_owned(),
        user: "root".to_owned(),
        inactive: false,
        created_ms: 0,
        session: None,
    }
}

fn request(method: &'static str, query: &str, headers: &[(&str, &str)], body: &str) -> Request {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Request {
        method,
        path: "/".to_owned(),
        query: query.to_owned(),
        headers: headers.iter().map(own).collect(),
        body: body.as_bytes().to_vec(),
    }
}

fn published(service: &str, signed: &str, signature: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={ID}/20150830/us-east-1/{service}/aws4_request, SignedHeaders={signed}, \
         Signature={signature}"
    )
}

#[test]
fn published_examples() {
    let date = ("x-amz-date", "20150830T123600Z");
    let host = ("host", "example.amazonaws.com");
    let form = ("content-type", "application/x-www-form-urlencoded");
    for (request, service, signed, signature) in [
        (
            request("GET", "", &[host, date], ""),
            "service",
            "host;x-amz-date",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            request("GET", "Param2=value2&Param1=value1", &[host, date], ""),
            "service",
            "host;x-amz-date",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            request("POST", "", &[form, host, date], "Param1=value1"),
            "service",
            "content-type;host;x-amz-date",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
        (
            request(
                "GET",
                "Action=ListUsers&Version=2010-05-08",
                &[
                    ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
                    ("host", "iam.amazonaws.com"),
                    date,
                ],
                "",
            ),
            "iam",
            "content-type;host;x-amz-date",
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
        ),
    ] {
        let request = request.header("authorization", &published(service, signed, signature));
        let verified = request.verify_at(THEN_MS).unwrap();
        assert_eq!((verified.service.as_str(), verified.key.id.as_str()), (service, ID));
    }
}

/// A request signed by AWS's own signer.
fn signed_by_aws(request: Request, location: SignatureLocation) -> Request {
    let keys = aws_credential_types::Credentials::builder()
        .access_key_id(ID)
        .secret_access_key(SECRET)
        .provider_name("tests")
        .build();
    let identity = keys.into();
    let mut settings = SigningSettings::default();
    settings.signature_location = location;
    if location == SignatureLocation::QueryParams {
        settings.expires_in = Some(Duration::from_secs(3600));
    }
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("elasticache")
        .time(UNIX_EPOCH + Duration::from_millis(THEN_MS))
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let url = format!("http://127.0.0.1:9400{}?{}", request.path, request.query);
    let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let signable =
        SignableRequest::new(request.method, &url, headers, SignableBody::Bytes(&request.body)).unwrap();
    let (instructions, _) = aws_sigv4::http_request::sign(signable, &params).unwrap().into_parts();
    let (headers, query) = instructions.into_parts();
    let mut signed = request;
    signed.headers.extend(headers.iter().map(|h| (h.name().to_owned(), h.value().to_owned())));
    for (name, value) in query {
        let pair = form_urlencoded::Serializer::new(String::new()).append_pair(name, &value).finish();
        signed.query = [signed.query, pair].join("&").trim_start_matches('&').to_owned();
    }
    signed
}

fn plain() -> Request {
    let headers = [("host", "127.0.0.1:9400"), ("content-type", "application/x-www-form-urlencoded")];
    request("POST", "", &headers, "Action=DescribeEvents&Version=2015-02-02&X=a+b%2F%C3%A9")
}

fn in_header() -> Request {
    signed_by_aws(plain(), SignatureLocation::Headers)
}

fn presigned() -> Request {
    let request = request(
        "GET",
        "Action=DescribeEvents&X=a%20b%2F~%C3%A9%2B%3D&Empty=",
        &[("host", "127.0.0.1:9400")],
        "",
    );
    signed_by_aws(request, SignatureLocation::QueryParams)
}

#[test]
fn aws_signer_in_both_forms() {
    for request in [in_header(), presigned()] {
        let verified = request.verify_at(THEN_MS).unwrap();
        assert_eq!((verified.service.as_str(), verified.region.as_str()), ("elasticache", "us-east-1"));
    }
    let mut odd = plain();
    odd.path = "/a%20b/../c//d/".to_owned();
    signed_by_aws(odd, SignatureLocation::Headers).verify_at(THEN_MS).unwrap();
}

#[test]
fn our_signer_is_understood() {
    let request = plain();
    let query = [("b".to_owned(), "x y+é".to_owned()), ("a".to_owned(), "1".to_owned())];
    let unsigned = Unsigned {
        method: "POST",
        host: "localhost:9400",
        path: "/",
        query: &query,
        content_type: Some("application/x-www-form-urlencoded; charset=utf-8"),
        body: &request.body,
    };
    let credentials = Credentials { access_key_id: ID.to_owned(), secret_access_key: SECRET.to_owned() };
    let scope = Scope { region: "us-east-1", service: "elasticache" };
    let headers = sign(&credentials, scope, unsigned, THEN_MS + 999);
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&query).finish();
    let request = Request { headers, query, ..request };
    request.verify_at(THEN_MS).unwrap();
    request.header("x-amz-date", "20150830T123601Z").refused("SignatureDoesNotMatch", "does not match");
}

#[test]
fn whatever_is_changed_is_noticed() {
    let changed = |change: fn(&mut Request)| {
        let mut request = in_header();
        change(&mut request);
        request.refused("SignatureDoesNotMatch", "The request signature we calculated does not match");
    };
    changed(|r| r.method = "GET");
    changed(|r| r.path = "/x".to_owned());
    changed(|r| r.query = "Action=DeleteCacheCluster".to_owned());
    changed(|r| r.body.push(b' '));
    changed(|r| *r = r.clone().header("host", "127.0.0.1:9401"));
    changed(|r| *r = r.clone().header("x-amz-date", "20150830T123601Z"));
    let mut request = presigned();
    request.query = request.query.replace("DescribeEvents", "DescribeEvent");
    request.refused(
        "SignatureDoesNotMatch",
        "The Canonical String for this request should have been\n'GET\n/\n",
    );
    let request = presigned();
    let longer = Request { query: request.query.replace("Expires=3600", "Expires=3601"), ..request };
    longer.refused("SignatureDoesNotMatch", "does not match");
    let text = in_header().authorization();
    let signature = text.rsplit('=').next().unwrap().to_owned();
    for forged in ["", "0", "zz", &signature[..62], &signature.replace(|c: char| c.is_ascii_digit(), "0")] {
        in_header().reauthorized(&signature, forged).refused("SignatureDoesNotMatch", "does not match");
    }
}

#[test]
fn time_is_checked() {
    let request = in_header();
    for (now_ms, words) in [
        (
            THEN_MS + 16 * MINUTE_MS,
            "Signature expired: 20150830T123600Z is now earlier than 20150830T123700Z",
        ),
        (THEN_MS - 16 * MINUTE_MS, "Signature not yet current: 20150830T123600Z is still later than"),
    ] {
        let refusal = request.verify_at(now_ms).unwrap_err();
        assert_eq!(refusal.code, "RequestExpired");
        assert!(refusal.message.starts_with(words), "{refusal}");
    }
    request.verify_at(THEN_MS + 15 * MINUTE_MS).unwrap();
    request.verify_at(THEN_MS - 15 * MINUTE_MS).unwrap();
    presigned().verify_at(THEN_MS + 60 * MINUTE_MS).unwrap();
    let refusal = presigned().verify_at(THEN_MS + 60 * MINUTE_MS + 1).unwrap_err();
    assert_eq!(refusal.code, "RequestExpired");
    assert_eq!(presigned().verify_at(THEN_MS - 16 * MINUTE_MS).unwrap_err().code, "RequestExpired");
}

#[test]
fn scope_is_checked() {
    let scope = "AKIDEXAMPLE/20150830/us-east-1/elasticache/aws4_request";
    for (to, code, words) in [
        ("AKIDOTHER/20150830/us-east-1/elasticache/aws4_request", "InvalidClientTokenId", "security token"),
        (
            "AKIDEXAMPLE/20150831/us-east-1/elasticache/aws4_request",
            "SignatureDoesNotMatch",
            "Date in Credential",
        ),
        (
            "AKIDEXAMPLE/20150830/eu-west-1/elasticache/aws4_request",
            "SignatureDoesNotMatch",
            "valid region, not 'eu-west-1'",
        ),
        ("AKIDEXAMPLE/20150830/us-east-1/rds/aws4_request", "SignatureDoesNotMatch", "does not match"),
        ("AKIDEXAMPLE/20150830/us-east-1/elasticache/aws3", "SignatureDoesNotMatch", "valid terminator"),
        ("AKIDEXAMPLE/20150830/us-east-1", "IncompleteSignature", "exactly 5 slash-delimited elements"),
        ("/20150830/us-east-1/elasticache/aws4_request", "IncompleteSignature", "exactly 5"),
    ] {
        in_header().reauthorized(scope, to).refused(code, words);
    }
}

#[test]
fn incomplete_signatures() {
    plain().refused("MissingAuthenticationToken", "Request is missing Authentication Token");
    let request = in_header();
    for (authorization, words) in [
        ("", "Unsupported AWS 'algorithm'"),
        ("Basic dXNlcjpwYXNz", "Unsupported AWS 'algorithm': 'Basic'"),
        ("AWS4-HMAC-SHA256", "requires 'Credential' parameter. Authorization header requires 'Signature'"),
        ("AWS4-HMAC-SHA256 Credential", "'Credential' not a valid key=value pair"),
        ("AWS4-HMAC-SHA256 Credential=a, Credential=b", "'Credential' is not a valid key"),
        ("AWS4-HMAC-SHA256 What=a", "'What' is not a valid key"),
        ("AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request", "requires 'Signature' parameter"),
    ] {
        request.clone().header("authorization", authorization).refused("IncompleteSignature", words);
    }
    request.clone().without("x-amz-date").refused("IncompleteSignature", "either a 'X-Amz-Date' or a 'Date'");
    for date in
        ["yesterday", "2015-08-30T12:36:00Z", "20150830T126000Z", "20151330T123600Z", "20150830T123600", "é"]
    {
        request.clone().header("x-amz-date", date).refused("IncompleteSignature", "'basic format'");
    }
    let mut twice = request.clone();
    twice.headers.push(("authorization".to_owned(), request.authorization()));
    twice.refused("IncompleteSignature", "more than one signature");
    let mut both = request.clone();
    both.query = presigned().query;
    both.refused("IncompleteSignature", "more than one signature");
    let presigned = presigned();
    for name in ["Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature"] {
        let query = presigned.query.replace(&format!("X-Amz-{name}="), "Other=");
        Request { query, ..presigned.clone() }
            .refused("IncompleteSignature", &format!("must include 'X-Amz-{name}'"));
        let query = format!("{}&X-Amz-{name}=1", presigned.query);
        Request { query, ..presigned.clone() }.refused("IncompleteSignature", "must include");
    }
    for expires in ["0", "604801", "-1", "x", "99999999999999999999"] {
        let query = presigned.query.replace("Expires=3600", &format!("Expires={expires}"));
        Request { query, ..presigned.clone() }
            .refused("IncompleteSignature", "X-Amz-Expires must be between");
    }
}

#[test]
fn the_right_headers_must_be_signed() {
    let request = in_header();
    let signed = "SignedHeaders=content-type;host;x-amz-date";
    for (to, words) in [
        ("SignedHeaders=content-type;x-amz-date", "'Host' or ':authority' must be"),
        ("SignedHeaders=content-type;host", "'x-amz-date' must be a 'SignedHeader'"),
        ("SignedHeaders=host;content-type;x-amz-date", "canonical form"),
        ("SignedHeaders=host;host;x-amz-date", "canonical form"),
        ("SignedHeaders=", "'Host' or"),
        ("SignedHeaders=host;x-amz-date;x-none", "'x-none' is not in the request"),
    ] {
        request.clone().reauthorized(signed, to).refused("SignatureDoesNotMatch", words);
    }
    request.clone().header("x-amz-target", "x").refused("SignatureDoesNotMatch", "'x-amz-target' must be");
    request.header("x-amzn-trace-id", "x").verify_at(THEN_MS).unwrap();
}

#[test]
fn the_payload_must_be_signed() {
    for claimed in ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", ""] {
        let request = plain().header("x-amz-content-sha256", claimed);
        let request = signed_by_aws(request, SignatureLocation::Headers);
        request.refused("SignatureDoesNotMatch", "The payload must be signed");
    }
    let right = super::sha256_hex(&plain().body);
    let request = plain().header("x-amz-content-sha256", &right);
    signed_by_aws(request, SignatureLocation::Headers).verify_at(THEN_MS).unwrap();
}

#[test]
fn session_tokens_are_of_no_key_of_ours() {
    let request = plain().header("x-amz-security-token", "token");
    signed_by_aws(request, SignatureLocation::Headers).refused("InvalidClientTokenId", "security token");
}

#[test]
fn huge_claims_are_answered_in_few_words() {
    let long = "x".repeat(1 << 20);
    for authorization in [
        long.clone(),
        format!("AWS4-HMAC-SHA256 {long}"),
        format!("AWS4-HMAC-SHA256 {long}={long}"),
        format!("AWS4-HMAC-SHA256 Credential={long}/a/b/c/aws4_request, SignedHeaders=host, Signature=0"),
        format!("AWS4-HMAC-SHA256 Credential={long}, SignedHeaders={long}, Signature={long}"),
    ] {
        let refusal = in_header().header("authorization", &authorization).verify_at(THEN_MS).unwrap_err();
        assert!(refusal.message.len() < 1000, "{}", refusal.message.len());
    }
}

proptest::proptest! {
    #[test]
    fn any_authorization_gets_an_answer(text in "(AWS4-HMAC-SHA256|Credential|SignedHeaders|Signature|=|,| |/|;|\\PC){0,30}") {
        let refused = in_header().header("authorization", &text).verify_at(THEN_MS).is_err();
        proptest::prop_assert!(refused);
    }
}

#[test]
fn what_we_presign_is_verified() {
    let credentials = Credentials { access_key_id: ID.to_owned(), secret_access_key: SECRET.to_owned() };
    let scope = Scope { region: "us-east-1", service: "elasticache" };
    let asked =
        [("Action", "connect"), ("User", "a name/with +signs")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    let query = presign(&credentials, scope, "shop", &asked, 900, THEN_MS);
    let mut request = request("GET", &query, &[("host", "shop")], "");
    request.verify_at(THEN_MS).unwrap();
    request.verify_at(THEN_MS + 15 * MINUTE_MS + 1000).unwrap_err();
    request.query = query.replace("Action=connect", "Action=other");
    request.refused("SignatureDoesNotMatch", "");
}
