//! Scaling a memcached cluster to another node type in stages: how many nodes at a time, and how long from one stage to
//! the next.

use serde::{Deserialize, Serialize};

use super::Cluster;
use crate::resource::node::Observed;
use crate::resource::refusal::Refusal;

/// Share of the nodes that is replaced at a time, in percent.
const PERCENTAGE: std::ops::RangeInclusive<u8> = 10..=100;
const PERCENTAGE_DEFAULT: u8 = 20;
/// Minutes from one stage to the next.
const INTERVAL_MINUTES: std::ops::RangeInclusive<u8> = 2..=30;
const INTERVAL_MINUTES_DEFAULT: u8 = 5;

/// `ScaleConfig`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scale {
    /// Share of the nodes that is replaced at a time, in percent.
    pub percentage: u8,
    /// Minutes from the beginning of one stage to that of the next.
    pub interval_minutes: u8,
}

impl Default for Scale {
    fn default() -> Scale {
        Scale { percentage: PERCENTAGE_DEFAULT, interval_minutes: INTERVAL_MINUTES_DEFAULT }
    }
}

impl Scale {
    /// What was asked for, with ElastiCache's values for what was left out.
    ///
    /// # Errors
    /// `InvalidParameterValue`.
    pub fn of(percentage: Option<i64>, interval_minutes: Option<i64>) -> Result<Scale, Refusal> {
        let within = |name: &str, value: Option<i64>, range: std::ops::RangeInclusive<u8>, default: u8| {
            let Some(value) = value else { return Ok(default) };
            u8::try_from(value).ok().filter(|value| range.contains(value)).ok_or_else(|| {
                Refusal::value(format!("{name} must be between {} and {}.", range.start(), range.end()))
            })
        };
        Ok(Scale {
            percentage: within("ScalePercentage", percentage, PERCENTAGE, PERCENTAGE_DEFAULT)?,
            interval_minutes: within(
                "ScaleIntervalMinutes",
                interval_minutes,
                INTERVAL_MINUTES,
                INTERVAL_MINUTES_DEFAULT,
            )?,
        })
    }

    /// How many nodes of so many are replaced at a time; a part of a node counts as one.
    pub fn nodes_at_once(self, count: usize) -> usize {
        (count * usize::from(self.percentage)).div_ceil(100).max(1)
    }

    /// Milliseconds from the beginning of one stage to that of the next.
    pub fn interval_ms(self) -> u64 {
        u64::from(self.interval_minutes) * 60_000
    }
}

impl Cluster {
    /// The node type that is in force and the stages to the desired one, while a memcached cluster is on its way there.
    pub fn scaling<'a>(&self, observed: Option<&'a Observed>) -> Option<(&'a str, Scale)> {
        let (observed, scale) = (observed?, self.scale?);
        let is_under_way = observed.applied_generation > 0 && observed.node_type != self.node_type;
        is_under_way.then_some((observed.node_type.as_str(), scale))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_defaults_are_those_of_elasticache() {
        assert_eq!(Scale::of(None, None).unwrap(), Scale { percentage: 20, interval_minutes: 5 });
        assert_eq!(Scale::of(Some(100), Some(30)).unwrap(), Scale { percentage: 100, interval_minutes: 30 });
        for (percentage, minutes) in [(9, 5), (101, 5), (-1, 5), (20, 1), (20, 31), (i64::MAX, 5)] {
            assert!(Scale::of(Some(percentage), Some(minutes)).is_err(), "{percentage} {minutes}");
        }
    }

    #[test]
    fn a_part_of_a_node_is_a_node() {
        let at = |percentage, count| Scale { percentage, interval_minutes: 5 }.nodes_at_once(count);
        assert_eq!(
            (at(10, 1), at(20, 3), at(33, 3), at(34, 3), at(50, 60), at(100, 60)),
            (1, 1, 1, 2, 30, 60)
        );
    }
}
