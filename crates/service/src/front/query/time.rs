//! Times in requests: ISO 8601, with a fraction or an offset if the caller likes.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Unix milliseconds; nothing before 1970 exists here.
    pub unix_ms: u64,
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        deserializer.deserialize_any(TimeVisitor)
    }
}

/// Texts in forms; Unix seconds in JSON and CBOR.
struct TimeVisitor;

impl Visitor<'_> for TimeVisitor {
    type Value = Time;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Time, E> {
        let time: Option<jiff::Timestamp> = text.parse().ok();
        let unix_ms = time.and_then(|time| u64::try_from(time.as_millisecond()).ok());
        unix_ms.map(|unix_ms| Time { unix_ms }).ok_or_else(|| E::custom("it is not an ISO 8601 time"))
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<Time, E> {
        if !(0.0..=253_402_300_799.0).contains(&seconds) {
            return Err(E::custom("it is not a time"));
        }
        Ok(Time { unix_ms: (seconds * 1000.0) as u64 })
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Time, E> {
        self.visit_f64(seconds as f64)
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Time, E> {
        self.visit_f64(seconds as f64)
    }
}
