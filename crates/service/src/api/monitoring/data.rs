//! GetMetricData, GetMetricStatistics.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::invalid;
use super::wire::Value;
use crate::front::ApiError;
use crate::front::query::Time;
use crate::metric::query::{self, Asked, Metric, Query, QueryError, is_id};
use crate::metric::values::{Statistic, values};
use crate::metric::{NAMESPACE, catalogue, math};
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
    parsed(name).map(drop)
}

fn parsed(name: &str) -> Result<Statistic, ApiError> {
    Statistic::parse(name).ok_or_else(|| {
        let shown: String = name.chars().take(64).collect();
        invalid(format!(
            "The statistic {shown} is not available: Average, Sum, Minimum, Maximum, SampleCount, or a percentile such \
             as p99."
        ))
    })
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
    if input.statistics.is_empty() && input.extended_statistics.is_empty() {
        return Err(ApiError::missing("Statistics"));
    }
    let mut wanted = Vec::new();
    for name in &input.statistics {
        match parsed(name)? {
            Statistic::Percentile(_) => return Err(invalid("Percentiles are ExtendedStatistics.")),
            statistic => wanted.push((name.as_str(), statistic)),
        }
    }
    let mut percentiles = Vec::new();
    for name in &input.extended_statistics {
        match parsed(name)? {
            statistic @ Statistic::Percentile(_) => percentiles.push((name.clone(), statistic)),
            _ => return Err(invalid("ExtendedStatistics are percentiles, such as p99.")),
        }
    }
    let range = range(input.start_time, input.end_time, period)?;
    if (range.end - range.start) / period > STATISTICS_POINTS_MAX {
        return Err(ApiError::invalid_combination(format!(
            "You have requested more than {STATISTICS_POINTS_MAX} datapoints. You may reduce the datapoints requested \
             by increasing Period, or decreasing the time range."
        )));
    }
    let unit = catalogue::find(&input.metric_name).map_or("None", |(_, unit)| unit);
    let has_unit = input.unit.is_none_or(|wanted| wanted == unit);
    let mut points = BTreeMap::new();
    // Nobody ever put a metric into another namespace, which is no error.
    if input.namespace == NAMESPACE && has_unit {
        let dimensions = pairs(&input.dimensions);
        points = values(app.records.as_ref(), &app.metrics, &input.metric_name, &dimensions, range, period)?;
    }
    const NAMES: [&str; 5] = ["Average", "Sum", "Minimum", "Maximum", "SampleCount"];
    let written = points.iter().map(|(begin, point)| {
        let mut members = vec![("Timestamp", Value::Time(begin * 1000)), ("Unit", Value::from(unit))];
        for name in NAMES {
            let statistic =
                wanted.iter().find(|(wanted, _)| *wanted == name).map(|(_, statistic)| *statistic);
            let value = statistic.and_then(|statistic| point.statistic(statistic));
            members.extend(value.map(|value| (name, Value::Number(value))));
        }
        let of = |(name, statistic): &(String, Statistic)| Some((name.clone(), point.statistic(*statistic)?));
        let found: Vec<(String, f64)> = percentiles.iter().filter_map(of).collect();
        if !found.is_empty() {
            members.push(("ExtendedStatistics", Value::Map(found)));
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
    metric_data_queries: Vec<DataQuery>,
    start_time: Time,
    end_time: Time,
    scan_by: Option<String>,
    max_datapoints: Option<usize>,
}

/// A query, as it came.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DataQuery {
    id: String,
    metric_stat: Option<MetricStat>,
    expression: Option<String>,
    label: Option<String>,
    return_data: Option<bool>,
    period: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MetricStat {
    metric: AskedMetric,
    period: u64,
    stat: String,
    unit: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AskedMetric {
    #[serde(default)]
    namespace: String,
    metric_name: String,
    #[serde(default)]
    dimensions: Vec<Dimension>,
}

/// Checks queries: each has an id of its own, and a metric or an expression.
pub(super) fn check_queries(asked: Vec<DataQuery>) -> Result<Vec<Query>, ApiError> {
    if asked.len() > QUERIES_MAX {
        return Err(invalid(format!("At most {QUERIES_MAX} queries can be asked at once.")));
    }
    let mut queries: Vec<Query> = Vec::new();
    for query in asked {
        let shown: String = query.id.chars().take(64).collect();
        if !is_id(&query.id) {
            return Err(invalid(format!(
                "The id {shown} must begin with a small letter and have letters, digits and _."
            )));
        }
        if queries.iter().any(|other| other.id == query.id) {
            return Err(invalid(format!("The id {shown} is there twice.")));
        }
        let asked = match (query.metric_stat, query.expression) {
            (Some(stat), None) => {
                check_statistic(&stat.stat)?;
                Asked::Metric(Metric {
                    namespace: stat.metric.namespace,
                    name: stat.metric.metric_name,
                    dimensions: pairs(&stat.metric.dimensions),
                    period: check_period(stat.period)?,
                    statistic: stat.stat,
                    unit: stat.unit,
                })
            }
            (None, Some(text)) => {
                let wrong = |why: math::MathError| {
                    invalid(format!("The expression of {shown} is not valid: {}.", why.0))
                };
                math::check(&text).map_err(wrong)?;
                Asked::Expression { text, period: query.period.map(check_period).transpose()? }
            }
            _ => {
                return Err(invalid(format!(
                    "The query {shown} must have MetricStat or Expression, and one only."
                )));
            }
        };
        let returned = query.return_data.unwrap_or(true);
        queries.push(Query { id: query.id, label: query.label, returned, asked });
    }
    Ok(queries)
}

pub(super) fn get(app: &App, _caller: &Caller, input: GetMetricData) -> Result<Value, ApiError> {
    let queries = check_queries(input.metric_data_queries)?;
    let most = input.max_datapoints.unwrap_or(POINTS_MAX).min(POINTS_MAX);
    let range = range(input.start_time, input.end_time, 60)?;
    let found = query::evaluate(app.records.as_ref(), &app.metrics, &queries, range).map_err(refused)?;
    let (mut results, mut count) = (Vec::new(), 0);
    for (number, all) in found {
        for series in all {
            let mut values: Vec<(u64, f64)> = series.values.into_iter().collect();
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
                ("Id", Value::Text(queries[number].id.clone())),
                ("Label", Value::Text(series.label)),
                (
                    "Timestamps",
                    Value::List(values.iter().map(|(begin, _)| Value::Time(begin * 1000)).collect()),
                ),
                ("Values", Value::List(values.iter().map(|(_, value)| Value::Number(*value)).collect())),
                ("StatusCode", Value::from("Complete")),
            ]));
        }
    }
    Ok(Value::Structure(vec![
        ("MetricDataResults", Value::List(results)),
        ("Messages", Value::List(Vec::new())),
    ]))
}

fn refused(error: QueryError) -> ApiError {
    match error {
        QueryError::State(error) => error.into(),
        QueryError::Math { .. } => invalid(error.to_string()),
    }
}

/// A query as an answer has it.
pub(super) fn written(query: &Query) -> Value {
    let mut members = vec![("Id", Value::Text(query.id.clone()))];
    let integer = |number: u64| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    match &query.asked {
        Asked::Metric(metric) => {
            let dimension = |(name, value): &(String, String)| {
                Value::Structure(vec![
                    ("Name", Value::Text(name.clone())),
                    ("Value", Value::Text(value.clone())),
                ])
            };
            let of = Value::Structure(vec![
                ("Namespace", Value::Text(metric.namespace.clone())),
                ("MetricName", Value::Text(metric.name.clone())),
                ("Dimensions", Value::List(metric.dimensions.iter().map(dimension).collect())),
            ]);
            let mut stat = vec![
                ("Metric", of),
                ("Period", integer(metric.period)),
                ("Stat", Value::Text(metric.statistic.clone())),
            ];
            stat.extend(metric.unit.as_deref().map(|unit| ("Unit", Value::from(unit))));
            members.push(("MetricStat", Value::Structure(stat)));
        }
        Asked::Expression { text, period } => {
            members.push(("Expression", Value::Text(text.clone())));
            members.extend(period.map(|period| ("Period", integer(period))));
        }
    }
    members.extend(query.label.as_deref().map(|label| ("Label", Value::from(label))));
    members.push(("ReturnData", Value::Boolean(query.returned)));
    Value::Structure(members)
}
