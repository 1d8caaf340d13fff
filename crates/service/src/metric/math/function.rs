//! The functions of metric math.

use std::collections::BTreeMap;

use super::parse::Expression;
use super::{Math, MathError, Names, POINTS_MAX, Series, each, several, value};

/// Functions of CloudWatch that are not built: they ask other services, or search for metrics.
const ABSENT: &[&str] = &[
    "ANOMALY_DETECTION_BAND",
    "DB_PERF_INSIGHTS",
    "INSIGHT_RULE_METRIC",
    "LAMBDA",
    "SEARCH",
    "SELECT",
    "SERVICE_QUOTA",
];

/// The value of a call.
pub(super) fn call(name: &str, arguments: &[Expression], names: &dyn Names) -> Result<Math, MathError> {
    let wrong = |what: &str| MathError(format!("{name} {what}"));
    match (name, arguments) {
        ("METRICS", []) => metrics("", names),
        ("METRICS", [Expression::Text(part)]) => metrics(part, names),
        ("TIME_SERIES", [of]) => match value(of, names)? {
            Math::Number(number) => Ok(Math::Series(constant(number, names)?)),
            _ => Err(wrong("makes a series of a number")),
        },
        ("FILL", [of, how]) => fill(value(of, names)?, how, names),
        ("IF", [condition, then]) => choose(value(condition, names)?, value(then, names)?, None),
        ("IF", [condition, then, other]) => {
            choose(value(condition, names)?, value(then, names)?, Some(value(other, names)?))
        }
        ("SLICE", [of, range @ ..]) if matches!(range.len(), 1 | 2) => {
            let mut all = list(name, value(of, names)?)?;
            let mut bounds = Vec::new();
            for bound in range {
                match value(bound, names)? {
                    Math::Number(number) if number >= 0.0 => bounds.push((number as usize).min(all.len())),
                    _ => return Err(wrong("counts from zero")),
                }
            }
            let end = bounds.get(1).copied().unwrap_or(all.len());
            all.truncate(end);
            all.drain(..bounds.first().copied().unwrap_or(0).min(all.len()));
            Ok(Math::Several(all))
        }
        ("SORT", [of, Expression::Word(by), Expression::Word(order), most @ ..]) if most.len() <= 1 => {
            let most = match most.first() {
                None => usize::MAX,
                Some(most) => match value(most, names)? {
                    Math::Number(number) if number >= 0.0 => number as usize,
                    _ => return Err(wrong("takes a number of series")),
                },
            };
            sort(list(name, value(of, names)?)?, by, order, most)
        }
        (_, [of]) => of_one(name, value(of, names)?),
        _ if ABSENT.contains(&name) => Err(wrong("is not available in this version of the service")),
        _ => Err(wrong("is not a function, or has other arguments")),
    }
}

/// Functions of one argument.
fn of_one(name: &str, of: Math) -> Result<Math, MathError> {
    Ok(match name {
        "ABS" => each(of, f64::abs),
        "CEIL" => each(of, f64::ceil),
        "FLOOR" => each(of, f64::floor),
        "LOG" => each(of, f64::ln),
        "LOG10" => each(of, f64::log10),
        "AVG" | "SUM" | "MIN" | "MAX" | "STDDEV" | "DATAPOINT_COUNT" => return reduce(name, of),
        "DIFF" => along(name, of, |(_, before), (at, now)| (at, now - before))?,
        "DIFF_TIME" => along(name, of, |(then, _), (at, _)| (at, (at - then) as f64))?,
        "RATE" => along(name, of, |(then, before), (at, now)| (at, (now - before) / (at - then) as f64))?,
        "RUNNING_SUM" => of_series(name, of, |series| {
            let mut sum = 0.0;
            series.with(series.values.iter().map(|(at, value)| {
                sum += value;
                (*at, sum)
            }))
        })?,
        "FIRST" => list(name, of)?.into_iter().next().map_or(Math::Several(vec![]), Math::Series),
        "LAST" => list(name, of)?.into_iter().next_back().map_or(Math::Several(vec![]), Math::Series),
        "METRIC_COUNT" => Math::Number(list(name, of)?.len() as f64),
        "REMOVE_EMPTY" => {
            Math::Several(list(name, of)?.into_iter().filter(|series| !series.values.is_empty()).collect())
        }
        "PERIOD" => match of {
            Math::Series(series) => Math::Number(series.period as f64),
            _ => return Err(MathError("PERIOD is of a series".to_owned())),
        },
        "EPOCH" | "MINUTE" | "HOUR" | "DAY" | "DATE" | "MONTH" | "YEAR" => of_series(name, of, |series| {
            series.with(series.values.keys().map(|at| (*at, calendar(name, *at))))
        })?,
        _ if ABSENT.contains(&name) => {
            return Err(MathError(format!("{name} is not available in this version of the service")));
        }
        _ => {
            let shown: String = name.chars().take(40).collect();
            return Err(MathError(format!("{shown} is not a function, or has other arguments")));
        }
    })
}

/// Metrics whose id or label has that part.
fn metrics(part: &str, names: &dyn Names) -> Result<Math, MathError> {
    let found = names.metrics()?.into_iter();
    let fits = |id: &str, series: &Series| id.contains(part) || series.label.contains(part);
    several(found.filter(|(id, series)| fits(id, series)).map(|(_, series)| series).collect())
}

fn list(name: &str, of: Math) -> Result<Vec<Series>, MathError> {
    match of {
        Math::Several(all) => Ok(all),
        Math::Series(series) => Ok(vec![series]),
        Math::Number(_) => Err(MathError(format!("{name} is of series"))),
    }
}

/// The same of every series.
fn of_series(name: &str, of: Math, change: impl Fn(&Series) -> Series) -> Result<Math, MathError> {
    match of {
        Math::Number(_) => Err(MathError(format!("{name} is of series"))),
        Math::Series(series) => Ok(Math::Series(change(&series))),
        Math::Several(all) => Ok(Math::Several(all.iter().map(change).collect())),
    }
}

/// A value of each two that follow each other.
fn along(
    name: &str,
    of: Math,
    change: impl Fn((u64, f64), (u64, f64)) -> (u64, f64),
) -> Result<Math, MathError> {
    of_series(name, of, |series| {
        let values: Vec<(u64, f64)> = series.values.iter().map(|(at, value)| (*at, *value)).collect();
        series.with(values.windows(2).map(|pair| change(pair[0], pair[1])))
    })
}

/// Of a series its number; of several the series of what they have at each time.
fn reduce(name: &str, of: Math) -> Result<Math, MathError> {
    match of {
        Math::Number(number) => Ok(Math::Number(number)),
        Math::Series(series) => {
            let values: Vec<f64> = series.values.values().copied().collect();
            Ok(Math::Number(statistic(name, &values)))
        }
        Math::Several(all) => {
            let mut by_time: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
            for (at, value) in all.iter().flat_map(|series| &series.values) {
                by_time.entry(*at).or_default().push(*value);
            }
            let period = all.iter().map(|series| series.period).max().unwrap_or(60);
            let joined = Series { label: name.to_owned(), period, values: BTreeMap::new() };
            let values = by_time.iter().map(|(at, values)| (*at, statistic(name, values)));
            Ok(Math::Series(joined.with(values)))
        }
    }
}

fn statistic(name: &str, values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let sum: f64 = values.iter().sum();
    match name {
        "SUM" => sum,
        "MIN" => values.iter().copied().fold(f64::NAN, f64::min),
        "MAX" => values.iter().copied().fold(f64::NAN, f64::max),
        "DATAPOINT_COUNT" => count,
        "STDDEV" => {
            let mean = sum / count;
            (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt()
        }
        _ => sum / count,
    }
}

/// The times of a series of this period.
fn times(period: u64, names: &dyn Names) -> Result<impl Iterator<Item = u64> + use<>, MathError> {
    let range = names.range();
    let period = period.max(1);
    if range.end.saturating_sub(range.start) / period > POINTS_MAX {
        return Err(MathError(format!("a series would have more than {POINTS_MAX} values")));
    }
    Ok((range.start.div_ceil(period) * period..range.end)
        .step_by(usize::try_from(period).unwrap_or(usize::MAX)))
}

fn constant(number: f64, names: &dyn Names) -> Result<Series, MathError> {
    let period = names.period();
    let empty = Series { label: String::new(), period, values: BTreeMap::new() };
    Ok(empty.with(times(period, names)?.map(|at| (at, number))))
}

/// Values where a series has none: a number, the one before, or between the two beside it.
fn fill(of: Math, how: &Expression, names: &dyn Names) -> Result<Math, MathError> {
    let filled = |series: &Series| -> Result<Series, MathError> {
        let with = match how {
            Expression::Word(word) if word == "REPEAT" || word == "LINEAR" => None,
            other => Some(value(other, names)?),
        };
        let is_linear = matches!(how, Expression::Word(word) if word == "LINEAR");
        let mut values = Vec::new();
        for at in times(series.period, names)? {
            let present = series.values.get(&at).copied();
            let found = present.or_else(|| match &with {
                Some(Math::Number(number)) => Some(*number),
                Some(Math::Series(other)) => other.values.get(&at).copied(),
                Some(Math::Several(_)) => None,
                None => {
                    let (then, before) = series.values.range(..at).next_back()?;
                    let after = series.values.range(at..).next().filter(|_| is_linear);
                    Some(after.map_or(*before, |(next, after)| {
                        before + (after - before) * (at - then) as f64 / (next - then) as f64
                    }))
                }
            });
            values.extend(found.map(|found| (at, found)));
        }
        Ok(series.with(values))
    };
    match of {
        Math::Number(_) => Err(MathError("FILL is of series".to_owned())),
        Math::Series(series) => Ok(Math::Series(filled(&series)?)),
        Math::Several(all) => Ok(Math::Several(all.iter().map(filled).collect::<Result<_, _>>()?)),
    }
}

/// At each time the one value or the other.
fn choose(condition: Math, then: Math, other: Option<Math>) -> Result<Math, MathError> {
    let at = |of: &Math, time: u64| match of {
        Math::Number(number) => Some(*number),
        Math::Series(series) => series.values.get(&time).copied(),
        Math::Several(_) => None,
    };
    if [Some(&condition), Some(&then), other.as_ref()]
        .iter()
        .flatten()
        .any(|of| matches!(of, Math::Several(_)))
    {
        return Err(MathError("IF is of numbers and single series".to_owned()));
    }
    match condition {
        Math::Number(number) if number != 0.0 => Ok(then),
        Math::Number(_) => {
            other.ok_or_else(|| MathError("IF has no value for a condition that is false".to_owned()))
        }
        Math::Several(_) => Err(MathError("IF is of numbers and single series".to_owned())),
        Math::Series(condition) => {
            let chosen = condition.values.iter().filter_map(|(time, truth)| {
                let of = if *truth != 0.0 { Some(&then) } else { other.as_ref() };
                Some((*time, at(of?, *time)?))
            });
            Ok(Math::Series(condition.with(chosen)))
        }
    }
}

fn sort(mut all: Vec<Series>, by: &str, order: &str, most: usize) -> Result<Math, MathError> {
    if !matches!(by, "AVG" | "SUM" | "MIN" | "MAX" | "STDDEV") || !matches!(order, "ASC" | "DESC") {
        return Err(MathError("SORT takes AVG, SUM, MIN, MAX or STDDEV, and ASC or DESC".to_owned()));
    }
    let key = |series: &Series| {
        let values: Vec<f64> = series.values.values().copied().collect();
        statistic(by, &values)
    };
    all.sort_by(|a, b| {
        let ascending = key(a).total_cmp(&key(b));
        if order == "ASC" { ascending } else { ascending.reverse() }
    });
    all.truncate(most);
    Ok(Math::Several(all))
}

/// A part of the date, in UTC. `DAY` counts from Monday, which is 1.
fn calendar(part: &str, at: u64) -> f64 {
    let moment = i64::try_from(at).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let date = moment.unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC);
    match part {
        "MINUTE" => f64::from(date.minute()),
        "HOUR" => f64::from(date.hour()),
        "DAY" => f64::from(date.weekday().to_monday_one_offset()),
        "DATE" => f64::from(date.day()),
        "MONTH" => f64::from(date.month()),
        "YEAR" => f64::from(date.year()),
        _ => at as f64,
    }
}
