//! How many failovers were tested lately: an account may test fifteen shards in 24 hours.

use serde::{Deserialize, Serialize};

use crate::resource::refusal::Refusal;
use crate::state::Resource;

/// Most tests within `WITHIN_MS`.
const TESTS_MAX: usize = 15;
/// The time in which they are counted: a day.
const WITHIN_MS: u64 = 24 * 3600 * 1000;

/// The tests of the last day; there is one record of this sort.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailoverTests {
    /// When they were asked for, Unix milliseconds.
    times_ms: Vec<u64>,
}

impl FailoverTests {
    /// The id of the record.
    pub const ID: &'static str = "all";

    /// Counts one more.
    ///
    /// # Errors
    /// `APICallRateForCustomerExceeded`.
    pub fn add(&mut self, now_ms: u64) -> Result<(), Refusal> {
        self.times_ms.retain(|time_ms| now_ms.saturating_sub(*time_ms) < WITHIN_MS);
        if self.times_ms.len() >= TESTS_MAX {
            return Err(Refusal::new(
                "APICallRateForCustomerExceeded",
                format!("TestFailover can be called for at most {TESTS_MAX} node groups within 24 hours."),
            ));
        }
        self.times_ms.push(now_ms);
        Ok(())
    }
}

impl Resource for FailoverTests {
    const KIND: &'static str = "failover-tests";

    fn id(&self) -> String {
        FailoverTests::ID.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifteen_a_day_and_not_more() {
        let mut tests = FailoverTests::default();
        for time_ms in 0..15 {
            tests.add(time_ms).unwrap();
        }
        assert_eq!(tests.add(16).unwrap_err().code, "APICallRateForCustomerExceeded");
        tests.add(WITHIN_MS).unwrap();
        assert_eq!(tests.times_ms.len(), 15);
        assert!(tests.add(WITHIN_MS).is_err());
    }
}
