//! GetSessionToken.

use serde::Deserialize;

use super::{issue, write_credentials};
use crate::front::{ApiError, Xml};
use crate::identity::Principal;
use crate::operation::{App, Caller};

/// How long a token of a user may last, in seconds.
const SECONDS: std::ops::RangeInclusive<u64> = 900..=129_600;
/// How long one of the account lasts at most, in seconds.
const ROOT_SECONDS_MAX: u64 = 3_600;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetSessionToken {
    duration_seconds: Option<u64>,
    serial_number: Option<String>,
}

/// Makes a temporary key of the caller.
pub(super) fn run(app: &App, caller: &Caller, input: GetSessionToken) -> Result<Xml, ApiError> {
    if matches!(caller.principal, Principal::Role { .. }) || caller.access_key_id.starts_with("ASIA") {
        return Err(ApiError::new("AccessDenied", "Cannot call GetSessionToken with session credentials"));
    }
    if input.serial_number.is_some() {
        return Err(ApiError::new(
            "AccessDenied",
            "MultiFactorAuthentication failed, there are no devices here.",
        ));
    }
    let mut seconds = input.duration_seconds.unwrap_or(43_200);
    if !SECONDS.contains(&seconds) {
        return Err(ApiError::new("ValidationError", "DurationSeconds must be between 900 and 129600."));
    }
    if caller.principal == Principal::Root {
        seconds = seconds.min(ROOT_SECONDS_MAX);
    }
    let (key, session) = issue(app, caller, caller.principal.clone(), seconds)?;
    let mut xml = Xml::new();
    write_credentials(&mut xml, &key, &session);
    Ok(xml)
}
