//! GetMetricData, GetMetricStatistics.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::invalid;
use super::wire::Value;
use crate::front::ApiError;
use crate::front::query::Time;
use crate::metric::{NAMESPACE, Point, catalogue, values};
use crate::operation::{App, Caller};

/// Most queries of one call.
const QUERIES_MAX: usize = 500;
/// Most values of one answer.
const POINTS_MAX: usize = 100_800;
/// Most values that GetMetricStatistics answers.
const STATISTICS_POINTS_MAX: u64 = 1_440;

/// A dimension.
#[derive(Deserialize, Clone, PartialEq, Eq)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Dimension {
    pub(super) name: String,
    pub(super) value: String,
}

/// Dimensions as the rest of the service has them.
pub(super) fn pairs(dimensions: &[Dimension]) -> Vec<(String, String)> {
    dimensions.iter().map(|dimension| (dimension.name.clone(), dimension.value.clone())).collect()
}

/// Checks a period: a multiple of a minute, up to a day.
pub(super) fn check_period(seconds: u64) -> Result<u64, ApiError> {
    if (60..=86_400).contains(&seconds) && seconds.is_multiple_of(60) {
        return Ok(seconds);
    }
    Err(invalid(format!(
        "The period {seconds} is not valid: metrics are kept by the minute, so it must be a multiple of 60, up to 86400."
    )))
}

/// Checks the name of a statistic.
pub(super) fn check_statistic(name: &str) -> Result<(), ApiError> {
    if Point::of(0.0).statistic(name).is_some() {
        return Ok(());
    }
    let shown: String = name.chars().take(64).collect();
    Err(invalid(format!(
        "The statistic {shown} is not available: Average, Sum, Minimum, Maximum or SampleCount."
    )))
}

fn found(
    app: &App,
    namespace: &str,
    metric: &str,
    dimensions: &[Dimension],
    range: std::ops::Range<u64>,
    period: u64,
) -> Result<BTreeMap<u64, Point>, ApiError> {
    match catalogue::find(metric).filter(|_| namespace == NAMESPACE) {
        Some((at, _)) => {
            Ok(values(app.records.as_ref(), &app.metrics, at, &pairs(dimensions), range, period)?)
        }
        None => Ok(BTreeMap::new()), // nobody ever put such a metric, which is no error
    }
}

fn range(start: Time, end: Time, period: u64) -> Result<std::ops::Range<u64>, ApiError> {
    if start >= end {
        return Err(invalid("The parameter StartTime must be less than the parameter EndTime."));
    }
    Ok(start.unix_ms / 1000 / period * period..end.unix_ms.div_ceil(1000))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetMetricStatistics {
    namespace: String,
    metric_name: String,
    #[serde(default)]
    dimensions: Vec<Dimension>,
    start_time: Time,
    end_time: Time,
    period: u64,
    #[serde(default)]
    statistics: Vec<String>,
    #[serde(default)]
    extended_statistics: Vec<String>,
    unit: Option<String>,
}

pub(super) fn statistics(app: &App, _caller: &Caller, input: GetMetricStatistics) -> Result<Value, ApiError> {
    let period = check_period(input.period)?;
    if !input.extended_statistics.is_empty() {
        return Err(ApiError::invalid_combination("Percentiles are not available."));
    }
    if input.statistics.is_empty() {
        return Err(ApiError::missing("Statistics"));
    }
    input.statistics.iter().try_for_each(|name| check_statistic(name))?;
    let range = range(input.start_time, input.end_time, period)?;
    if (range.end - range.start) / period > STATISTICS_POINTS_MAX {
        return Err(ApiError::invalid_combination(format!(
            "You have requested more than {STATISTICS_POINTS_MAX} datapoints. You may reduce the datapoints requested \
             by increasing Period, or decreasing the time range."
        )));
    }
    let unit = catalogue::find(&input.metric_name).map_or("None", |(_, unit)| unit);
    let mut points = found(app, &input.namespace, &input.metric_name, &input.dimensions, range, period)?;
    if input.unit.is_some_and(|wanted| wanted != unit) {
        points.clear();
    }
    const NAMES: [&str; 5] = ["Average", "Sum", "Minimum", "Maximum", "SampleCount"];
    let written = points.iter().map(|(begin, point)| {
        let mut members = vec![("Timestamp", Value::Time(begin * 1000)), ("Unit", Value::from(unit))];
        for name in NAMES.into_iter().filter(|name| input.statistics.iter().any(|wanted| wanted == name)) {
            members.extend(point.statistic(name).map(|value| (name, Value::Number(value))));
        }
        Value::Structure(members)
    });
    Ok(Value::Structure(vec![
        ("Label", Value::Text(input.metric_name.clone())),
        ("Datapoints", Value::List(written.collect())),
    ]))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetMetricData {
    metric_data_queries: Vec<Query>,
    start_time: Time,
    end_time: Time,
    scan_by: Option<String>,
    max_datapoints: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Query {
    id: String,
    metric_stat: Option<MetricStat>,
    expression: Option<String>,
    label: Option<String>,
    return_data: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MetricStat {
    metric: Metric,
    period: u64,
    stat: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metric {
    #[serde(default)]
    namespace: String,
    metric_name: String,
    #[serde(default)]
    dimensions: Vec<Dimension>,
}

pub(super) fn get(app: &App, _caller: &Caller, input: GetMetricData) -> Result<Value, ApiError> {
    if input.metric_data_queries.len() > QUERIES_MAX {
        return Err(invalid(format!("At most {QUERIES_MAX} queries can be asked at once.")));
    }
    let most = input.max_datapoints.unwrap_or(POINTS_MAX).min(POINTS_MAX);
    let (mut results, mut count) = (Vec::new(), 0);
    for query in &input.metric_data_queries {
        if query.expression.is_some() {
            return Err(invalid(format!(
                "The query {} has an expression: metric math is not available in this version of the service.",
                query.id.chars().take(64).collect::<String>()
            )));
        }
        let stat = query.metric_stat.as_ref().ok_or_else(|| ApiError::missing("MetricStat"))?;
        let period = check_period(stat.period)?;
        check_statistic(&stat.stat)?;
        let range = range(input.start_time, input.end_time, period)?;
        let metric = &stat.metric;
        let points = found(app, &metric.namespace, &metric.metric_name, &metric.dimensions, range, period)?;
        if query.return_data == Some(false) {
            continue;
        }
        let mut values: Vec<(u64, f64)> =
            points.iter().filter_map(|(begin, point)| Some((*begin, point.statistic(&stat.stat)?))).collect();
        if input.scan_by.as_deref() != Some("TimestampAscending") {
            values.reverse();
        }
        count += values.len();
        if count > most {
            return Err(invalid(format!(
                "The answer has more than {most} values: ask for less time or longer periods."
            )));
        }
        results.push(Value::Structure(vec![
            ("Id", Value::Text(query.id.clone())),
            ("Label", Value::Text(query.label.clone().unwrap_or_else(|| metric.metric_name.clone()))),
            ("Timestamps", Value::List(values.iter().map(|(begin, _)| Value::Time(begin * 1000)).collect())),
            ("Values", Value::List(values.iter().map(|(_, value)| Value::Number(*value)).collect())),
            ("StatusCode", Value::from("Complete")),
        ]));
    }
    Ok(Value::Structure(vec![
        ("MetricDataResults", Value::List(results)),
        ("Messages", Value::List(Vec::new())),
    ]))
}
