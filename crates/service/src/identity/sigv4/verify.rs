//! The service's side: whose signature is it, and does it fit the request. Header form and presigned form.

use aws_lc_rs::hmac;

use super::canonical::{ALGORITHM, SignedRequest, TERMINATOR, sha256_hex, signing_key, string_to_sign};
use super::sign::date_text;
use crate::hex;
use crate::identity::AccessKey;
use crate::resource::refusal::Refusal;

/// How far the caller's clock may be from ours.
const SKEW_MS: u64 = 15 * 60 * 1000;
/// Longest life of a presigned URL: seven days.
const EXPIRES_SECONDS_MAX: u64 = 7 * 24 * 3600;
/// Region that calls of services without one are signed for.
const GLOBAL_REGION: &str = "us-east-1";
/// How much of the canonical forms an error tells at most, in characters.
const HINT_CHARS_MAX: usize = 8 * 1024;

/// A request that was proven to come from the holder of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The key.
    pub key: AccessKey,
    /// Region of the signature's scope.
    pub region: String,
    /// Service of the signature's scope, which says what API the request is meant for.
    pub service: String,
}

/// What a request says about its signature.
struct Claim {
    credential: String,
    signed_headers: String,
    signature: String,
    date: String,
    /// Life of a presigned URL.
    expires_seconds: Option<u64>,
}

/// The scope of a credential, taken apart.
struct Credential<'a> {
    key_id: &'a str,
    day: &'a str,
    region: &'a str,
    service: &'a str,
}

/// Verifies the signature of a request against the key that `find_key` knows under the id in the request.
///
/// # Errors
/// `MissingAuthenticationToken`, `IncompleteSignature`, `InvalidClientTokenId`, `RequestExpired`,
/// `SignatureDoesNotMatch`, or whatever `find_key` fails with.
pub fn verify<E: From<Refusal>>(
    request: SignedRequest<'_>,
    region: &str,
    now_ms: u64,
    find_key: impl FnOnce(&str) -> Result<Option<AccessKey>, E>,
) -> Result<Verified, E> {
    let claim = claim(request)?;
    let credential = Credential::parse(&claim.credential)?;
    let signed: Vec<&str> = claim.signed_headers.split(';').collect();
    check_signed_headers(request, &signed)?;
    check_scope(&credential, &claim.date, region)?;
    check_time(&claim, now_ms)?;
    let key = find_key(credential.key_id)?.filter(|key| !key.inactive).ok_or_else(unknown_key)?;
    check_session(request, &key, now_ms)?;
    let payload = payload_sha256(request)?;
    check_signature(&claim, &credential, &key, &request.canonical(&signed, &payload))?;
    Ok(Verified { key, region: credential.region.to_owned(), service: credential.service.to_owned() })
}

fn check_signature(
    claim: &Claim,
    scope: &Credential<'_>,
    key: &AccessKey,
    canonical: &str,
) -> Result<(), Refusal> {
    let scope_text = format!("{}/{}/{}/{TERMINATOR}", scope.day, scope.region, scope.service);
    let to_sign = string_to_sign(&claim.date, &scope_text, canonical);
    let signing_key = signing_key(&key.secret, scope.day, scope.region, scope.service);
    let given = hex::decode(&claim.signature).unwrap_or_default();
    // Compares in constant time.
    hmac::verify(&signing_key, to_sign.as_bytes(), &given).map_err(|_| {
        let hint: String = canonical.chars().take(HINT_CHARS_MAX).collect();
        mismatch(format!(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
             Access Key and signing method. Consult the service documentation for details.\n\nThe Canonical String \
             for this request should have been\n'{hint}'\n\nThe String-to-Sign should have been\n'{to_sign}'\n"
        ))
    })
}

fn claim(request: SignedRequest<'_>) -> Result<Claim, Refusal> {
    let mut authorizations = request.headers.iter().filter(|(name, _)| name == "authorization");
    let presigned =
        request.query.iter().any(|(name, _)| name == "X-Amz-Algorithm" || name == "X-Amz-Signature");
    match (authorizations.next(), authorizations.next(), presigned) {
        (Some((_, text)), None, false) => claim_in_header(request, text),
        (None, _, true) => claim_in_query(request),
        (None, _, false) => {
            Err(Refusal::new("MissingAuthenticationToken", "Request is missing Authentication Token"))
        }
        _ => Err(incomplete("The request carries more than one signature.")),
    }
}

fn claim_in_header(request: SignedRequest<'_>, text: &str) -> Result<Claim, Refusal> {
    let (algorithm, fields) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    if algorithm != ALGORITHM {
        return Err(incomplete(format!("Unsupported AWS 'algorithm': '{}'.", shown(algorithm))));
    }
    let mut found: [Option<&str>; 3] = [None; 3];
    const NAMES: [&str; 3] = ["Credential", "Signature", "SignedHeaders"];
    for field in fields.split(',').map(str::trim).filter(|field| !field.is_empty()) {
        let Some((name, value)) = field.split_once('=') else {
            return Err(incomplete(format!(
                "'{}' not a valid key=value pair (missing equal-sign) in Authorization header.",
                shown(field)
            )));
        };
        let slot = NAMES.iter().position(|known| *known == name).and_then(|at| found.get_mut(at));
        if slot.is_none_or(|slot| slot.replace(value).is_some()) {
            return Err(incomplete(format!("'{}' is not a valid key in Authorization header.", shown(name))));
        }
    }
    let date = request.header("x-amz-date").or_else(|| request.header("date"));
    let (Some(credential), Some(signature), Some(signed_headers), Some(date)) =
        (found[0], found[1], found[2], date)
    else {
        return Err(incomplete(missing_fields(&NAMES, &found)));
    };
    Ok(Claim {
        credential: credential.to_owned(),
        signed_headers: signed_headers.to_owned(),
        signature: signature.to_owned(),
        date,
        expires_seconds: None,
    })
}

fn missing_fields(names: &[&str], found: &[Option<&str>]) -> String {
    let missing = names.iter().zip(found).filter(|(_, value)| value.is_none());
    let fields: String =
        missing.map(|(name, _)| format!("Authorization header requires '{name}' parameter. ")).collect();
    if fields.is_empty() {
        return "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
            .to_owned();
    }
    fields.trim_end().to_owned()
}

fn claim_in_query(request: SignedRequest<'_>) -> Result<Claim, Refusal> {
    let field = |name: &str| {
        let mut values = request.query.iter().filter(|(n, _)| n == name).map(|(_, value)| value.clone());
        match (values.next(), values.next()) {
            (Some(value), None) => Ok(value),
            _ => Err(incomplete(format!(
                "AWS query-string parameters must include '{name}'. Re-examine the query-string parameters."
            ))),
        }
    };
    let algorithm = field("X-Amz-Algorithm")?;
    if algorithm != ALGORITHM {
        return Err(incomplete(format!("Unsupported AWS 'algorithm': '{}'.", shown(&algorithm))));
    }
    let expires =
        field("X-Amz-Expires")?.parse().ok().filter(|seconds| (1..=EXPIRES_SECONDS_MAX).contains(seconds));
    let range = || incomplete(format!("X-Amz-Expires must be between 1 and {EXPIRES_SECONDS_MAX} seconds."));
    Ok(Claim {
        credential: field("X-Amz-Credential")?,
        signed_headers: field("X-Amz-SignedHeaders")?,
        signature: field("X-Amz-Signature")?,
        date: field("X-Amz-Date")?,
        expires_seconds: Some(expires.ok_or_else(range)?),
    })
}

impl<'a> Credential<'a> {
    fn parse(text: &'a str) -> Result<Credential<'a>, Refusal> {
        match text.split('/').collect::<Vec<_>>().as_slice() {
            [key_id, day, region, service, terminator] if !key_id.is_empty() => {
                if *terminator != TERMINATOR {
                    return Err(mismatch(format!(
                        "Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{}'.",
                        shown(terminator)
                    )));
                }
                Ok(Credential { key_id, day, region, service })
            }
            _ => Err(incomplete(format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{}'",
                shown(text)
            ))),
        }
    }
}

/// The host must be covered, and whatever AWS itself gives a meaning to; each name once and in order.
fn check_signed_headers(request: SignedRequest<'_>, signed: &[&str]) -> Result<(), Refusal> {
    if !signed.is_sorted_by(|a, b| a < b) {
        return Err(mismatch("The SignedHeaders are not in canonical form: lower case, sorted, each once."));
    }
    if !signed.contains(&"host") {
        return Err(mismatch("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."));
    }
    if let Some(absent) = signed.iter().find(|name| request.header(name).is_none()) {
        return Err(mismatch(format!("The signed header '{}' is not in the request.", shown(absent))));
    }
    let meaningful =
        request.headers.iter().map(|(name, _)| name.as_str()).filter(|n| n.starts_with("x-amz-"));
    for name in meaningful {
        if !signed.contains(&name) {
            return Err(mismatch(format!(
                "'{}' must be a 'SignedHeader' in the AWS Authorization.",
                shown(name)
            )));
        }
    }
    Ok(())
}

fn check_scope(credential: &Credential<'_>, date: &str, region: &str) -> Result<(), Refusal> {
    if parse_date(date).is_none() {
        return Err(incomplete(format!(
            "Date must be in ISO-8601 'basic format'. Got '{}'. See http://en.wikipedia.org/wiki/ISO_8601",
            shown(date)
        )));
    }
    let day = date.get(..8).unwrap_or_default();
    if credential.day != day {
        return Err(mismatch(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{}' != '{day}', \
             from '{date}'.",
            shown(credential.day)
        )));
    }
    // IAM and the old endpoint of STS are of no region, and are signed for the first one.
    let is_global = matches!(credential.service, "iam" | "sts") && credential.region == GLOBAL_REGION;
    if credential.region != region && !is_global {
        let given = shown(credential.region);
        return Err(mismatch(format!("Credential should be scoped to a valid region, not '{given}'.")));
    }
    Ok(())
}

fn check_time(claim: &Claim, now_ms: u64) -> Result<(), Refusal> {
    let Some(date_ms) = parse_date(&claim.date) else { return Ok(()) }; // refused before
    let date = &claim.date;
    let now = date_text(now_ms);
    let expired = |message: String| Err(Refusal::new("RequestExpired", message));
    if date_ms > now_ms + SKEW_MS {
        let latest = date_text(now_ms + SKEW_MS);
        return expired(format!(
            "Signature not yet current: {date} is still later than {latest} ({now} + 15 min.)"
        ));
    }
    match claim.expires_seconds {
        Some(seconds) if date_ms + seconds * 1000 < now_ms => {
            expired(format!("Request has expired: {date} and {seconds} seconds is earlier than {now}."))
        }
        None if date_ms + SKEW_MS < now_ms => {
            let earliest = date_text(now_ms.saturating_sub(SKEW_MS));
            expired(format!("Signature expired: {date} is now earlier than {earliest} ({now} - 15 min.)"))
        }
        _ => Ok(()),
    }
}

/// `20261123T140500Z` as Unix milliseconds.
fn parse_date(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let digits =
        |range: std::ops::Range<usize>| bytes.get(range).is_some_and(|b| b.iter().all(u8::is_ascii_digit));
    let shape = bytes.len() == 16 && digits(0..8) && bytes[8] == b'T' && digits(9..15) && bytes[15] == b'Z';
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok().filter(|_| shape)?;
    u64::try_from(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond()).ok()
}

/// The hash of the body, which must be the one that the caller claims, if they claim one.
fn payload_sha256(request: SignedRequest<'_>) -> Result<String, Refusal> {
    let payload = sha256_hex(request.body);
    match request.header("x-amz-content-sha256") {
        Some(claimed) if claimed != payload => Err(mismatch(format!(
            "The payload must be signed: X-Amz-Content-Sha256 is '{}', the SHA-256 of the payload is '{payload}'.",
            shown(&claimed)
        ))),
        _ => Ok(payload),
    }
}

/// A temporary key comes with its token, and not after its end; another key comes with none.
fn check_session(request: SignedRequest<'_>, key: &AccessKey, now_ms: u64) -> Result<(), Refusal> {
    let in_query = || request.query.iter().find(|(name, _)| name == "X-Amz-Security-Token");
    let given = request.header("x-amz-security-token").or_else(|| in_query().map(|(_, token)| token.clone()));
    match (&key.session, given) {
        (None, None) => Ok(()),
        (Some(session), Some(token)) if is_same(&session.token, &token) => {
            if session.expires_ms <= now_ms {
                let message = "The security token included in the request is expired";
                return Err(Refusal::new("ExpiredToken", message));
            }
            Ok(())
        }
        _ => Err(unknown_key()),
    }
}

/// Compares in constant time.
fn is_same(one: &str, other: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}

fn shown(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 128;
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

fn unknown_key() -> Refusal {
    Refusal::new("InvalidClientTokenId", "The security token included in the request is invalid.")
}

fn incomplete(message: impl Into<String>) -> Refusal {
    Refusal::new("IncompleteSignature", message)
}

fn mismatch(message: impl Into<String>) -> Refusal {
    Refusal::new("SignatureDoesNotMatch", message)
}
