//! Times in requests: ISO 8601, with a fraction or an offset if the caller likes.

use serde::de::{Deserialize, Deserializer, Error};

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Unix milliseconds; nothing before 1970 exists here.
    pub unix_ms: u64,
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time: Option<jiff::Timestamp> = text.parse().ok();
        let unix_ms = time.and_then(|time| u64::try_from(time.as_millisecond()).ok());
        unix_ms.map(|unix_ms| Time { unix_ms }).ok_or_else(|| D::Error::custom("it is not an ISO 8601 time"))
    }
}
