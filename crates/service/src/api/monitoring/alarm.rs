//! PutMetricAlarm, DescribeAlarms, DescribeAlarmsForMetric, DeleteAlarms, SetAlarmState, EnableAlarmActions,
//! DisableAlarmActions.

use serde::Deserialize;

use super::data::{
    DataQuery, Dimension, check_period, check_queries, check_statistic, pairs, written as query_written,
};
use super::wire::Value;
use super::{alarm_arn, invalid, tag};
use crate::api::query::page;
use crate::front::ApiError;
use crate::metric::alarm::Alarm;
use crate::metric::query;
use crate::metric::values::Statistic;
use crate::operation::{App, Caller, retrying};
use crate::resource::tag::{Tag, TagSet};
use crate::state::{Expect, Stored, create, find, list_all, remove, replace};

/// Most alarms.
const ALARMS_MAX: usize = 5_000;
/// Most alarms of one answer.
const PAGE_MAX: usize = 100;
const STATES: [&str; 3] = ["OK", "ALARM", "INSUFFICIENT_DATA"];
const COMPARISONS: [&str; 4] = [
    "GreaterThanOrEqualToThreshold",
    "GreaterThanThreshold",
    "LessThanThreshold",
    "LessThanOrEqualToThreshold",
];

/// The alarm of that name.
pub(super) fn find_alarm(app: &App, name: &str) -> Result<Stored<Alarm>, ApiError> {
    let found = find::<Alarm>(app.records.as_ref(), name)?;
    found.ok_or_else(|| {
        let shown: String = name.chars().take(255).collect();
        ApiError::new("ResourceNotFound", format!("Alarm {shown} does not exist."))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutMetricAlarm {
    alarm_name: String,
    alarm_description: Option<String>,
    actions_enabled: Option<bool>,
    #[serde(default, rename = "OKActions")]
    ok_actions: Vec<String>,
    #[serde(default)]
    alarm_actions: Vec<String>,
    #[serde(default)]
    insufficient_data_actions: Vec<String>,
    metric_name: Option<String>,
    namespace: Option<String>,
    statistic: Option<String>,
    extended_statistic: Option<String>,
    #[serde(default)]
    dimensions: Vec<Dimension>,
    period: Option<u64>,
    unit: Option<String>,
    evaluation_periods: Option<usize>,
    datapoints_to_alarm: Option<usize>,
    threshold: Option<f64>,
    comparison_operator: String,
    treat_missing_data: Option<String>,
    #[serde(default)]
    metrics: Vec<DataQuery>,
    threshold_metric_id: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

/// The metric of an alarm that has one.
#[derive(Default)]
struct Watched {
    statistic: String,
    period: u64,
    namespace: String,
    metric: String,
}

impl PutMetricAlarm {
    pub(super) fn arns(caller: &Caller, input: &PutMetricAlarm) -> Vec<String> {
        vec![alarm_arn(caller, &input.alarm_name)]
    }

    fn check(self, now_ms: u64) -> Result<(Alarm, Vec<Tag>), ApiError> {
        if self.threshold_metric_id.is_some() {
            return Err(invalid(
                "Alarms on anomalies (ThresholdMetricId) are not available in this version of the service.",
            ));
        }
        if self.alarm_name.is_empty()
            || self.alarm_name.chars().count() > 255
            || self.alarm_name.contains(char::is_control)
        {
            return Err(invalid("AlarmName must have 1 to 255 printable characters."));
        }
        let missing = |parameter: &'static str| move || ApiError::missing(parameter);
        let math = check_queries(self.metrics)?;
        let watched = if math.is_empty() {
            let statistic = match (self.statistic, self.extended_statistic) {
                (Some(_), Some(_)) => {
                    return Err(ApiError::invalid_combination(
                        "Statistic and ExtendedStatistic exclude each other.",
                    ));
                }
                (statistic, extended) => statistic.or(extended).ok_or_else(missing("Statistic"))?,
            };
            check_statistic(&statistic)?;
            Watched {
                statistic,
                period: check_period(self.period.ok_or_else(missing("Period"))?)?,
                namespace: self.namespace.ok_or_else(missing("Namespace"))?,
                metric: self.metric_name.ok_or_else(missing("MetricName"))?,
            }
        } else {
            let others = [
                ("MetricName", self.metric_name.is_some()),
                ("Namespace", self.namespace.is_some()),
                ("Statistic", self.statistic.is_some()),
                ("ExtendedStatistic", self.extended_statistic.is_some()),
                ("Period", self.period.is_some()),
                ("Dimensions", !self.dimensions.is_empty()),
            ];
            if let Some((name, _)) = others.iter().find(|(_, given)| *given) {
                return Err(ApiError::invalid_combination(format!("Metrics and {name} exclude each other.")));
            }
            if math.iter().filter(|query| query.returned).count() != 1 {
                return Err(invalid("Exactly one element of Metrics must have ReturnData true."));
            }
            Watched { period: query::period(&math), ..Watched::default() }
        };
        let Watched { statistic, period, namespace, metric } = watched;
        let evaluation_periods = self.evaluation_periods.ok_or_else(missing("EvaluationPeriods"))?;
        if evaluation_periods == 0 || (evaluation_periods as u64).saturating_mul(period) > 604_800 {
            return Err(invalid("EvaluationPeriods times Period must be at most a week."));
        }
        if self.datapoints_to_alarm.is_some_and(|needed| needed == 0 || needed > evaluation_periods) {
            return Err(invalid("DatapointsToAlarm must be between 1 and EvaluationPeriods."));
        }
        if !COMPARISONS.contains(&self.comparison_operator.as_str()) {
            return Err(invalid(format!("ComparisonOperator must be one of {}.", COMPARISONS.join(", "))));
        }
        let missings = ["breaching", "notBreaching", "ignore", "missing"];
        if self.treat_missing_data.as_deref().is_some_and(|value| !missings.contains(&value)) {
            return Err(invalid(format!("TreatMissingData must be one of {}.", missings.join(", "))));
        }
        let alarm = Alarm {
            name: self.alarm_name,
            description: self.alarm_description.filter(|text| !text.is_empty()),
            actions_enabled: self.actions_enabled.unwrap_or(true),
            actions: [self.alarm_actions, self.ok_actions, self.insufficient_data_actions],
            namespace,
            metric,
            dimensions: pairs(&self.dimensions),
            statistic,
            period,
            unit: self.unit,
            evaluation_periods,
            datapoints_to_alarm: self.datapoints_to_alarm,
            threshold: self.threshold.ok_or_else(missing("Threshold"))?,
            comparison: self.comparison_operator,
            missing: self.treat_missing_data,
            math,
            configured_ms: now_ms,
            state: "INSUFFICIENT_DATA".to_owned(),
            reason: "Unchecked: Initial alarm creation".to_owned(),
            state_ms: now_ms,
            changed_ms: now_ms,
        };
        Ok((alarm, self.tags))
    }
}

pub(super) fn put(app: &App, _caller: &Caller, input: PutMetricAlarm) -> Result<Value, ApiError> {
    let (alarm, tags) = input.check(app.now_ms())?;
    retrying(|| {
        let changes = match find::<Alarm>(app.records.as_ref(), &alarm.name)? {
            // An alarm that is there keeps its state until it is judged anew, and its tags.
            Some(Stored { value: Alarm { state, reason, state_ms, changed_ms, .. }, revision }) => {
                vec![replace(&Alarm { state, reason, state_ms, changed_ms, ..alarm.clone() }, revision)?]
            }
            None => {
                if list_all::<Alarm>(app.records.as_ref())?.len() >= ALARMS_MAX {
                    return Err(ApiError::new(
                        "LimitExceeded",
                        "The maximum limit for alarms has been exceeded.",
                    ));
                }
                let mut set = TagSet::none(tag::SORT, &alarm.name);
                set.add(tags.clone())?;
                vec![create(&alarm)?, create(&set)?]
            }
        };
        app.records.apply(&changes)?;
        Ok(())
    })?;
    Ok(Value::nothing())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeAlarms {
    #[serde(default)]
    alarm_names: Vec<String>,
    alarm_name_prefix: Option<String>,
    #[serde(default)]
    alarm_types: Vec<String>,
    state_value: Option<String>,
    action_prefix: Option<String>,
    max_records: Option<usize>,
    next_token: Option<String>,
}

pub(super) fn describe(app: &App, caller: &Caller, input: DescribeAlarms) -> Result<Value, ApiError> {
    let wants_metric = input.alarm_types.is_empty() || input.alarm_types.iter().any(|t| t == "MetricAlarm");
    let mut all: Vec<Alarm> = list_all::<Alarm>(app.records.as_ref())?.into_iter().map(|s| s.value).collect();
    all.retain(|alarm| {
        wants_metric
            && (input.alarm_names.is_empty() || input.alarm_names.contains(&alarm.name))
            && input.alarm_name_prefix.as_ref().is_none_or(|prefix| alarm.name.starts_with(prefix))
            && input.state_value.as_ref().is_none_or(|state| alarm.state == *state)
            && input
                .action_prefix
                .as_ref()
                .is_none_or(|prefix| alarm.actions.iter().flatten().any(|action| action.starts_with(prefix)))
    });
    let most = Some(input.max_records.unwrap_or(50).min(PAGE_MAX));
    let (alarms, next) = page(all, input.next_token.as_deref(), most, |alarm| alarm.name.clone());
    let mut members = vec![
        ("MetricAlarms", Value::List(alarms.iter().map(|alarm| written(caller, alarm)).collect())),
        ("CompositeAlarms", Value::List(Vec::new())),
    ];
    members.extend(next.map(|token| ("NextToken", Value::Text(token))));
    Ok(Value::Structure(members))
}

fn written(caller: &Caller, alarm: &Alarm) -> Value {
    let dimension = |(name, value): &(String, String)| {
        Value::Structure(vec![("Name", Value::Text(name.clone())), ("Value", Value::Text(value.clone()))])
    };
    let integer = |number: u64| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    let mut members = vec![
        ("AlarmName", Value::Text(alarm.name.clone())),
        ("AlarmArn", Value::Text(alarm_arn(caller, &alarm.name))),
        ("AlarmConfigurationUpdatedTimestamp", Value::Time(alarm.configured_ms)),
        ("ActionsEnabled", Value::Boolean(alarm.actions_enabled)),
        ("AlarmActions", Value::texts(&alarm.actions[0])),
        ("OKActions", Value::texts(&alarm.actions[1])),
        ("InsufficientDataActions", Value::texts(&alarm.actions[2])),
        ("StateValue", Value::Text(alarm.state.clone())),
        ("StateReason", Value::Text(alarm.reason.clone())),
        ("StateUpdatedTimestamp", Value::Time(alarm.state_ms)),
        ("StateTransitionedTimestamp", Value::Time(alarm.changed_ms)),
        ("EvaluationPeriods", integer(alarm.evaluation_periods as u64)),
        ("Threshold", Value::Number(alarm.threshold)),
        ("ComparisonOperator", Value::Text(alarm.comparison.clone())),
    ];
    if alarm.math.is_empty() {
        let is_percentile = matches!(Statistic::parse(&alarm.statistic), Some(Statistic::Percentile(_)));
        members.extend([
            ("MetricName", Value::Text(alarm.metric.clone())),
            ("Namespace", Value::Text(alarm.namespace.clone())),
            (
                if is_percentile { "ExtendedStatistic" } else { "Statistic" },
                Value::Text(alarm.statistic.clone()),
            ),
            ("Dimensions", Value::List(alarm.dimensions.iter().map(dimension).collect())),
            ("Period", integer(alarm.period)),
        ]);
    } else {
        members.push(("Metrics", Value::List(alarm.math.iter().map(query_written).collect())));
    }
    members.extend(alarm.description.as_deref().map(|text| ("AlarmDescription", Value::from(text))));
    members.extend(alarm.unit.as_deref().map(|unit| ("Unit", Value::from(unit))));
    members.extend(alarm.datapoints_to_alarm.map(|needed| ("DatapointsToAlarm", integer(needed as u64))));
    members.extend(alarm.missing.as_deref().map(|missing| ("TreatMissingData", Value::from(missing))));
    Value::Structure(members)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeAlarmsForMetric {
    metric_name: String,
    namespace: String,
    #[serde(default)]
    dimensions: Vec<Dimension>,
}

pub(super) fn for_metric(
    app: &App,
    caller: &Caller,
    input: DescribeAlarmsForMetric,
) -> Result<Value, ApiError> {
    let dimensions = pairs(&input.dimensions);
    let all = list_all::<Alarm>(app.records.as_ref())?.into_iter().map(|stored| stored.value);
    let of = all.filter(|alarm| {
        alarm.metric == input.metric_name
            && alarm.namespace == input.namespace
            && alarm.dimensions == dimensions
    });
    Ok(Value::Structure(vec![(
        "MetricAlarms",
        Value::List(of.map(|alarm| written(caller, &alarm)).collect()),
    )]))
}

/// Names of alarms.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Names {
    alarm_names: Vec<String>,
}

impl Names {
    pub(super) fn arns(caller: &Caller, input: &Names) -> Vec<String> {
        input.alarm_names.iter().map(|name| alarm_arn(caller, name)).collect()
    }
}

pub(super) fn delete(app: &App, _caller: &Caller, input: Names) -> Result<Value, ApiError> {
    if input.alarm_names.len() > PAGE_MAX {
        return Err(invalid(format!("At most {PAGE_MAX} alarms can be deleted at once.")));
    }
    retrying(|| {
        let mut changes = Vec::new();
        for name in &input.alarm_names {
            let stored = find_alarm(app, name)?;
            changes.push(remove::<Alarm>(name, Expect::Revision(stored.revision)));
            changes.push(remove::<TagSet>(&TagSet::id_of(tag::SORT, name), Expect::Anything));
        }
        app.records.apply(&changes)?;
        Ok(())
    })?;
    Ok(Value::nothing())
}

/// Changes an alarm as it is stored.
fn change_one(app: &App, mut stored: Stored<Alarm>, change: impl Fn(&mut Alarm)) -> Result<(), ApiError> {
    change(&mut stored.value);
    app.records.apply(&[replace(&stored.value, stored.revision)?])?;
    Ok(())
}

/// Changes all that are there; CloudWatch has no error for the others.
fn change_all(app: &App, names: &[String], change: impl Fn(&mut Alarm)) -> Result<Value, ApiError> {
    if names.len() > PAGE_MAX {
        return Err(invalid(format!("At most {PAGE_MAX} alarms can be named at once.")));
    }
    for name in names {
        retrying(|| match find::<Alarm>(app.records.as_ref(), name)? {
            Some(stored) => change_one(app, stored, &change),
            None => Ok(()),
        })?;
    }
    Ok(Value::nothing())
}

pub(super) fn enable(app: &App, _caller: &Caller, input: Names) -> Result<Value, ApiError> {
    change_all(app, &input.alarm_names, |alarm| alarm.actions_enabled = true)
}

pub(super) fn disable(app: &App, _caller: &Caller, input: Names) -> Result<Value, ApiError> {
    change_all(app, &input.alarm_names, |alarm| alarm.actions_enabled = false)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SetAlarmState {
    alarm_name: String,
    state_value: String,
    state_reason: String,
}

impl SetAlarmState {
    pub(super) fn arns(caller: &Caller, input: &SetAlarmState) -> Vec<String> {
        vec![alarm_arn(caller, &input.alarm_name)]
    }
}

/// Lasts until the alarm is judged the next time.
pub(super) fn set_state(app: &App, _caller: &Caller, input: SetAlarmState) -> Result<Value, ApiError> {
    if !STATES.contains(&input.state_value.as_str()) {
        return Err(invalid(format!("StateValue must be one of {}.", STATES.join(", "))));
    }
    let now_ms = app.now_ms();
    let change = |alarm: &mut Alarm| {
        if alarm.state != input.state_value {
            alarm.changed_ms = now_ms;
        }
        alarm.state.clone_from(&input.state_value);
        alarm.reason.clone_from(&input.state_reason);
        alarm.state_ms = now_ms;
    };
    retrying(|| change_one(app, find_alarm(app, &input.alarm_name)?, change))?;
    Ok(Value::nothing())
}
