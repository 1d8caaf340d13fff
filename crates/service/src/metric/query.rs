//! Queries for the values of metrics, and expressions over them: what GetMetricData asks, and what alarms look at.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::math::{self, Math, MathError, Names, Series};
use super::values::{Statistic, values};
use super::{MetricStore, NAMESPACE};
use crate::state::{Records, StateError};

/// Expressions that refer to each other, one behind the other, at most.
const CHAIN_MAX: usize = 16;
/// Values that all expressions of one call may make, with those that they make on the way.
const VALUES_MAX: usize = 5_000_000;
/// Period of series that nobody gave one.
const PERIOD_S: u64 = 60;

/// One query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// What others call it: begins with a small letter.
    pub id: String,
    /// What people call it.
    pub label: Option<String>,
    /// Whether somebody wants its values, or only others refer to it.
    pub returned: bool,
    /// What it asks.
    pub asked: Asked,
}

/// What a query asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Asked {
    /// A statistic of a metric.
    Metric(Metric),
    /// An expression.
    Expression {
        /// Its text.
        text: String,
        /// Period of series that it makes of nothing.
        period: Option<u64>,
    },
}

/// A statistic of a metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its dimensions.
    pub dimensions: Vec<(String, String)>,
    /// Seconds that one value is of.
    pub period: u64,
    /// The statistic, by CloudWatch's name.
    pub statistic: String,
    /// The unit that it must have.
    pub unit: Option<String>,
}

/// Why queries have no values.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// A disk.
    #[error(transparent)]
    State(#[from] StateError),
    /// An expression.
    #[error("The expression of {id} has no value: {why}.")]
    Math {
        /// Id of the query.
        id: String,
        /// Why.
        why: String,
    },
}

/// Whether a text can be the id of a query.
pub fn is_id(text: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= 255 && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.bytes().all(is_inner)
}

/// The period of the results of queries: the longest that one of them has.
pub fn period(queries: &[Query]) -> u64 {
    let of = |query: &Query| match &query.asked {
        Asked::Metric(metric) => Some(metric.period),
        Asked::Expression { period, .. } => *period,
    };
    queries.iter().filter_map(of).max().unwrap_or(PERIOD_S)
}

/// Series of the queries that are wanted, with the number of each query, in their order.
///
/// # Errors
/// If a disk fails, or an expression has no value.
pub fn evaluate(
    records: &dyn Records,
    store: &MetricStore,
    queries: &[Query],
    range: Range<u64>,
) -> Result<Vec<(usize, Vec<Series>)>, QueryError> {
    let mut metrics = BTreeMap::new();
    for query in queries {
        if let Asked::Metric(metric) = &query.asked {
            metrics.insert(query.id.as_str(), series(records, store, query, metric, range.clone())?);
        }
    }
    let world = World {
        queries,
        metrics,
        range,
        period: PERIOD_S.max(period(queries)),
        chain: RefCell::default(),
        found: RefCell::default(),
        budget: Cell::new(VALUES_MAX),
    };
    let mut results = Vec::new();
    for (number, query) in queries.iter().enumerate().filter(|(_, query)| query.returned) {
        let failed = |MathError(why)| QueryError::Math { id: query.id.clone(), why };
        let found = match world.value(query).map_err(failed)? {
            Math::Number(_) => return Err(failed(MathError("it is a number, and not a series".to_owned()))),
            Math::Series(series) => vec![series],
            Math::Several(several) => several,
        };
        results.push((number, found));
    }
    Ok(results)
}

fn series(
    records: &dyn Records,
    store: &MetricStore,
    query: &Query,
    metric: &Metric,
    range: Range<u64>,
) -> Result<Series, StateError> {
    let label = query.label.clone().unwrap_or_else(|| metric.name.clone());
    let mut series = Series { label, period: metric.period, values: BTreeMap::new() };
    let unit = super::catalogue::find(&metric.name).map(|(_, unit)| unit);
    let has_unit = metric.unit.as_deref().is_none_or(|wanted| Some(wanted) == unit);
    let Some(statistic) = Statistic::parse(&metric.statistic) else { return Ok(series) };
    if metric.namespace == NAMESPACE && has_unit {
        let from = range.start / metric.period * metric.period;
        let found = values(records, store, &metric.name, &metric.dimensions, from..range.end, metric.period)?;
        let of = |(at, bucket): (u64, super::values::Bucket)| Some((at, bucket.statistic(statistic)?));
        series.values = found.into_iter().filter_map(of).collect();
    }
    Ok(series)
}

/// What expressions may refer to.
struct World<'a> {
    queries: &'a [Query],
    metrics: BTreeMap<&'a str, Series>,
    range: Range<u64>,
    period: u64,
    /// Ids of the expressions whose values are being found now.
    chain: RefCell<Vec<&'a str>>,
    /// Expressions whose values were found.
    found: RefCell<BTreeMap<&'a str, Math>>,
    /// Values that may still be made.
    budget: Cell<usize>,
}

impl<'a> World<'a> {
    fn value(&self, query: &'a Query) -> Result<Math, MathError> {
        let (text, label) = match &query.asked {
            Asked::Metric(_) => {
                return Ok(Math::Series(self.metrics.get(query.id.as_str()).cloned().unwrap_or_default()));
            }
            Asked::Expression { text, .. } => (text, query.label.as_deref().unwrap_or(&query.id)),
        };
        if let Some(found) = self.found.borrow().get(query.id.as_str()) {
            return Ok(found.clone());
        }
        {
            let mut chain = self.chain.borrow_mut();
            if chain.contains(&query.id.as_str()) || chain.len() >= CHAIN_MAX {
                return Err(MathError(
                    "expressions refer to each other in a circle, or in a chain too long".to_owned(),
                ));
            }
            chain.push(&query.id);
        }
        let found = math::evaluate(text, self);
        self.chain.borrow_mut().pop();
        let found = match found? {
            Math::Series(series) => Math::Series(Series { label: label.to_owned(), ..series }),
            Math::Several(all) => {
                let named = |series: Series| Series { label: format!("{label} {}", series.label), ..series };
                Math::Several(if query.label.is_some() { all.into_iter().map(named).collect() } else { all })
            }
            number @ Math::Number(_) => number,
        };
        self.found.borrow_mut().insert(&query.id, found.clone());
        Ok(found)
    }
}

impl Names for World<'_> {
    fn get(&self, id: &str) -> Result<Math, MathError> {
        let query = self.queries.iter().find(|query| query.id == id);
        let shown = || MathError(format!("there is no query {}", id.chars().take(64).collect::<String>()));
        self.value(query.ok_or_else(shown)?)
    }

    fn metrics(&self) -> Result<Vec<(String, Series)>, MathError> {
        Ok(self.metrics.iter().map(|(id, series)| ((*id).to_owned(), series.clone())).collect())
    }

    fn spend(&self, values: usize) -> Result<(), MathError> {
        match self.budget.get().checked_sub(values) {
            Some(rest) => {
                self.budget.set(rest);
                Ok(())
            }
            None => Err(MathError(
                "it would take too long: ask for less time, or for fewer expressions".to_owned(),
            )),
        }
    }

    fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    fn period(&self) -> u64 {
        self.period
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::FileRecords;

    fn metric(id: &str, name: &str) -> Query {
        let asked = Asked::Metric(Metric {
            namespace: NAMESPACE.into(),
            name: name.into(),
            dimensions: vec![("CacheClusterId".into(), "a".into()), ("CacheNodeId".into(), "0001".into())],
            period: 60,
            statistic: "Sum".into(),
            unit: None,
        });
        Query { id: id.into(), label: None, returned: false, asked }
    }

    fn expression(id: &str, text: &str) -> Query {
        Query {
            id: id.into(),
            label: Some("rate".into()),
            returned: true,
            asked: Asked::Expression { text: text.into(), period: None },
        }
    }

    fn asked(queries: &[Query]) -> Result<Vec<(usize, Vec<Series>)>, QueryError> {
        let records = FileRecords::with_backend(redb::backends::InMemoryBackend::new()).unwrap();
        let store = MetricStore::in_memory().unwrap();
        let number = |name: &str| super::super::catalogue::find(name).unwrap().0;
        for (minute, hits) in [(10, 3.0), (11, 1.0)] {
            let row = vec![(number("CacheHits"), hits), (number("CacheMisses"), 1.0)];
            store.add(minute, &[("a/0001".to_owned(), row)]).unwrap();
        }
        evaluate(&records, &store, queries, 600..720)
    }

    #[test]
    fn expressions_refer_to_metrics_and_to_each_other() {
        let (hits, misses) = (metric("hits", "CacheHits"), metric("misses", "CacheMisses"));
        let found = asked(&[
            expression("per_cent", "100*share"),
            expression("share", "hits/(hits+misses)"),
            hits.clone(),
            misses.clone(),
        ])
        .unwrap();
        assert_eq!(found.len(), 2);
        let (number, series) = &found[0];
        assert_eq!((*number, series[0].label.as_str()), (0, "rate"));
        assert_eq!(series[0].values.clone().into_iter().collect::<Vec<_>>(), [(600, 75.0), (660, 50.0)]);
        let several = asked(&[expression("all", "METRICS()"), hits, misses]).unwrap();
        let labels: Vec<&str> = several[0].1.iter().map(|series| series.label.as_str()).collect();
        assert_eq!(labels, ["rate CacheHits", "rate CacheMisses"]);
    }

    #[test]
    fn circles_and_numbers_are_refused() {
        for queries in [
            vec![expression("a", "b+1"), expression("b", "a+1")],
            vec![expression("a", "a")],
            vec![expression("a", "1+1")],
            vec![expression("a", "nothing")],
            (0..50).map(|n| expression(&format!("e{n}"), &format!("e{}", n + 1))).collect(),
        ] {
            assert!(matches!(asked(&queries), Err(QueryError::Math { .. })), "{queries:?}");
        }
        // What is asked for twice is found once: else these would be two to the fifteenth.
        let mut queries: Vec<Query> =
            (0..15).map(|n| expression(&format!("e{n}"), &format!("e{0}+e{0}", n + 1))).collect();
        queries.push(metric("e15", "CacheHits"));
        assert_eq!(asked(&queries).unwrap()[0].1[0].values[&600], 3.0 * 32_768.0);
    }
}
