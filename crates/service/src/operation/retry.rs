//! Trying again after a lost race: between reading a record and writing it, somebody else wrote it.

use crate::front::ApiError;

/// How often a change is tried before the caller is asked to.
const ATTEMPTS_MAX: usize = 10;

/// Repeats an attempt that reads, decides and writes, as long as its write loses the race.
///
/// # Errors
/// Those of the last attempt.
pub fn retrying<T>(mut attempt: impl FnMut() -> Result<T, ApiError>) -> Result<T, ApiError> {
    for _ in 1..ATTEMPTS_MAX {
        match attempt() {
            Err(error) if error.is_conflict() => {}
            done => return done,
        }
    }
    attempt()
}
