//! Alarms: what is watched, and the state that it is in.

use serde::{Deserialize, Serialize};

use super::query::{Asked, Metric, Query};
use crate::state::Resource;

/// An alarm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// Name.
    pub name: String,
    /// Words of the user.
    pub description: Option<String>,
    /// Whether actions are wanted. There is nobody to act yet; the wish is kept.
    pub actions_enabled: bool,
    /// ARNs for each state: alarm, ok, insufficient data.
    pub actions: [Vec<String>; 3],
    /// Namespace of the metric.
    pub namespace: String,
    /// The metric.
    pub metric: String,
    /// Its dimensions.
    pub dimensions: Vec<(String, String)>,
    /// Statistic.
    pub statistic: String,
    /// Seconds that one value is of.
    pub period: u64,
    /// Unit, if one was asked for.
    pub unit: Option<String>,
    /// Values that are looked at.
    pub evaluation_periods: usize,
    /// How many of them must be beyond the threshold.
    pub datapoints_to_alarm: Option<usize>,
    /// Threshold.
    pub threshold: f64,
    /// `GreaterThanThreshold` and so on.
    pub comparison: String,
    /// What a missing value counts as.
    pub missing: Option<String>,
    /// Queries of an alarm on metric math, one of which is returned; then metric, statistic and so on do not count.
    #[serde(default)]
    pub math: Vec<Query>,
    /// When it was last set, Unix milliseconds.
    pub configured_ms: u64,
    /// `OK`, `ALARM` or `INSUFFICIENT_DATA`.
    pub state: String,
    /// Why.
    pub reason: String,
    /// When the state was last set, Unix milliseconds.
    pub state_ms: u64,
    /// When it last became another one, Unix milliseconds.
    pub changed_ms: u64,
}

impl Resource for Alarm {
    const KIND: &'static str = "alarm";

    fn id(&self) -> String {
        self.name.clone()
    }
}

impl Alarm {
    /// What it looks at.
    pub fn queries(&self) -> Vec<Query> {
        if !self.math.is_empty() {
            return self.math.clone();
        }
        let asked = Asked::Metric(Metric {
            namespace: self.namespace.clone(),
            name: self.metric.clone(),
            dimensions: self.dimensions.clone(),
            period: self.period,
            statistic: self.statistic.clone(),
            unit: self.unit.clone(),
        });
        vec![Query { id: "m".to_owned(), label: None, returned: true, asked }]
    }

    /// Whether a value is beyond the threshold.
    pub fn is_breached(&self, value: f64) -> bool {
        match self.comparison.as_str() {
            "GreaterThanOrEqualToThreshold" => value >= self.threshold,
            "GreaterThanThreshold" => value > self.threshold,
            "LessThanThreshold" => value < self.threshold,
            _ => value <= self.threshold,
        }
    }

    /// The state that follows from the latest values, the newest last; a period without data has none. The second
    /// text says why.
    pub fn judge(&self, values: &[Option<f64>]) -> (String, String) {
        let missing = self.missing.as_deref().unwrap_or("missing");
        let needed = self.datapoints_to_alarm.unwrap_or(self.evaluation_periods);
        let present = values.iter().flatten().count();
        let breaching = values.iter().flatten().filter(|value| self.is_breached(**value)).count();
        let filled = if missing == "breaching" { values.len() - present } else { 0 };
        let keeps = present == 0 && missing == "ignore";
        let state = if keeps {
            return (self.state.clone(), self.reason.clone());
        } else if present == 0 && missing == "missing" {
            "INSUFFICIENT_DATA"
        } else if breaching + filled >= needed {
            "ALARM"
        } else {
            "OK"
        };
        let shown: Vec<String> = values.iter().flatten().map(f64::to_string).collect();
        let reason = format!(
            "Threshold Crossed: {breaching} of {} datapoints [{}] were beyond the threshold ({}), {} were missing.",
            values.len(),
            shown.join(", "),
            self.threshold,
            values.len() - present
        );
        (state.to_owned(), reason)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn alarm() -> Alarm {
        Alarm {
            name: "a".into(),
            description: None,
            actions_enabled: true,
            actions: Default::default(),
            namespace: super::super::NAMESPACE.into(),
            metric: "CPUUtilization".into(),
            dimensions: vec![],
            statistic: "Average".into(),
            period: 60,
            unit: None,
            evaluation_periods: 3,
            datapoints_to_alarm: Some(2),
            threshold: 10.0,
            comparison: "GreaterThanThreshold".into(),
            missing: None,
            math: vec![],
            configured_ms: 0,
            state: "INSUFFICIENT_DATA".into(),
            reason: String::new(),
            state_ms: 0,
            changed_ms: 0,
        }
    }

    #[test]
    fn states_follow_from_values() {
        let mut alarm = alarm();
        for (values, state) in [
            ([None, None, None], "INSUFFICIENT_DATA"),
            ([Some(11.0), Some(1.0), Some(12.0)], "ALARM"),
            ([Some(11.0), Some(10.0), Some(9.0)], "OK"),
            ([None, None, Some(1.0)], "OK"),
        ] {
            assert_eq!(alarm.judge(&values).0, state, "{values:?}");
        }
        alarm.missing = Some("breaching".into());
        assert_eq!(alarm.judge(&[None, None, Some(1.0)]).0, "ALARM");
        alarm.missing = Some("notBreaching".into());
        assert_eq!(alarm.judge(&[None, None, None]).0, "OK");
        (alarm.missing, alarm.state) = (Some("ignore".into()), "ALARM".into());
        assert_eq!(alarm.judge(&[None, None, None]).0, "ALARM");
        alarm.comparison = "LessThanOrEqualToThreshold".into();
        assert_eq!(alarm.judge(&[Some(10.0), Some(9.0), Some(11.0)]).0, "ALARM");
    }
}
