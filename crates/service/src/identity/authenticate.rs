//! Who is it? The key that a request names, and whether its signature fits.

use super::{AccessKey, SignedRequest, Verified, verify};
use crate::front::ApiError;
use crate::state::{self, Records};

/// Verifies a request with the access keys that are on record. `region` is the one that the service plays, `now_ms`
/// the time in Unix milliseconds.
///
/// # Errors
/// Those of [`verify`], and of the record store.
pub fn authenticate(
    records: &dyn Records,
    request: SignedRequest<'_>,
    region: &str,
    now_ms: u64,
) -> Result<Verified, ApiError> {
    verify(request, region, now_ms, |id| {
        let found = state::find::<AccessKey>(records, id)?;
        Ok(found.map(|stored| stored.value))
    })
}
