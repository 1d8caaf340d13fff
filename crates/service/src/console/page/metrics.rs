//! Graphs of a cache, from CloudWatch's GetMetricData as any client would ask for them.

use std::collections::BTreeMap;

use askama::Template;
use form_urlencoded::Serializer;

use crate::console::cache::{self, Cache, Sort};
use crate::console::graph::{Graph, Series, Span, Unit};
use crate::console::visit::{Frame, Visit, html};
use crate::front::{Answer, ApiError};

/// How many nodes have lines of their own; the rest count in sums only.
const NODES_MAX: usize = 6;
/// Spans that can be chosen: hours, their name, and seconds between two points.
const SPANS: &[(u64, &str, u64)] = &[
    (1, "1 hour", 60),
    (6, "6 hours", 60),
    (24, "1 day", 300),
    (168, "1 week", 1800),
    (360, "15 days", 3600),
];

/// How the metrics of several nodes become lines.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nodes {
    /// One line of all.
    Sum,
    /// A line each.
    Each,
}

/// A graph: its title, its unit, and its metrics with the names of their lines.
struct Plan {
    title: &'static str,
    unit: Unit,
    nodes: Nodes,
    statistic: &'static str,
    metrics: &'static [(&'static str, &'static str)],
}

const fn sum(title: &'static str, metrics: &'static [(&'static str, &'static str)]) -> Plan {
    Plan { title, unit: Unit::Count, nodes: Nodes::Sum, statistic: "Sum", metrics }
}

const fn each(title: &'static str, unit: Unit, metrics: &'static [(&'static str, &'static str)]) -> Plan {
    Plan { title, unit, nodes: Nodes::Each, statistic: "Average", metrics }
}

const REASONS: &[(&str, &str)] = &[
    ("CacheMissesUnknown", "never stored"),
    ("CacheMissesEvicted", "evicted"),
    ("CacheMissesExpired", "expired"),
    ("CacheMissesDeleted", "deleted"),
    ("CacheMissesFlushed", "flushed"),
];
const REPORTED: &[(&str, &str)] = &[("CacheHitsStale", "stale"), ("CacheHitsNegative", "negative")];

const REDIS: &[Plan] = &[
    sum("Hits and misses", &[("CacheHits", "hits"), ("CacheMisses", "misses")]),
    each("Hit rate", Unit::Percent, &[("CacheHitRate", "")]),
    sum("Misses by reason", REASONS),
    sum("Hits that were stale or negative, as clients report", REPORTED),
    each("Memory used", Unit::Bytes, &[("BytesUsedForCache", "")]),
    each("Memory used of what there is", Unit::Percent, &[("DatabaseMemoryUsagePercentage", "")]),
    each("CPU of the engine", Unit::Percent, &[("EngineCPUUtilization", "")]),
    each("Connections", Unit::Count, &[("CurrConnections", "")]),
    sum("Evictions and expiries", &[("Evictions", "evicted"), ("Reclaimed", "expired")]),
    each("Keys", Unit::Count, &[("CurrItems", "")]),
    each("Latency of reads", Unit::Microseconds, &[("GetTypeCmdsLatency", "")]),
    each("Latency of writes", Unit::Microseconds, &[("SetTypeCmdsLatency", "")]),
    each("Replication lag", Unit::Seconds, &[("ReplicationLag", "")]),
    Plan {
        title: "Network",
        unit: Unit::Bytes,
        nodes: Nodes::Sum,
        statistic: "Sum",
        metrics: &[("NetworkBytesIn", "in"), ("NetworkBytesOut", "out")],
    },
];

const MEMCACHED: &[Plan] = &[
    sum("Hits and misses", &[("GetHits", "hits"), ("GetMisses", "misses")]),
    sum("Misses by reason", REASONS),
    sum("Hits that were stale or negative, as clients report", REPORTED),
    each("Memory used by items", Unit::Bytes, &[("BytesUsedForCacheItems", "")]),
    each("CPU", Unit::Percent, &[("CPUUtilization", "")]),
    each("Connections", Unit::Count, &[("CurrConnections", "")]),
    sum("Evictions and expiries", &[("Evictions", "evicted"), ("Reclaimed", "expired")]),
    each("Items", Unit::Count, &[("CurrItems", "")]),
    sum("Requests", &[("CmdGets", "gets"), ("CmdSet", "sets")]),
    Plan {
        title: "Network",
        unit: Unit::Bytes,
        nodes: Nodes::Sum,
        statistic: "Sum",
        metrics: &[("NetworkBytesIn", "in"), ("NetworkBytesOut", "out")],
    },
];

#[derive(Template)]
#[template(path = "page/metrics.html")]
struct Page {
    frame: Frame,
    tab: &'static str,
    cache: Cache,
    hours: u64,
    live: String,
}

impl Page {
    fn spans(&self) -> &'static [(u64, &'static str, u64)] {
        SPANS
    }
}

#[derive(Template)]
#[template(path = "page/metrics_live.html")]
struct Live {
    graphs: Vec<Graph>,
}

/// The page.
pub(in crate::console) fn page(visit: &Visit<'_>, sort: Sort, id: &str) -> Result<Answer, ApiError> {
    let cache = cache::find(visit, sort, id)?;
    let (hours, _, _) = chosen(visit);
    let live = graphs(visit, &cache)?.render().map_err(|why| ApiError::internal(&why))?;
    let frame = visit.frame("caches", format!("Metrics of {}", cache.id));
    Ok(html(200, &Page { frame, tab: "/metrics", hours, live, cache }))
}

/// The graphs alone, as they are now.
pub(in crate::console) fn live(visit: &Visit<'_>, sort: Sort, id: &str) -> Result<Answer, ApiError> {
    Ok(html(200, &graphs(visit, &cache::find(visit, sort, id)?)?))
}

fn chosen(visit: &Visit<'_>) -> (u64, &'static str, u64) {
    let hours = visit.fields.text("hours");
    *SPANS.iter().find(|(known, _, _)| known.to_string() == hours).unwrap_or(&SPANS[0])
}

fn graphs(visit: &Visit<'_>, cache: &Cache) -> Result<Live, ApiError> {
    let (hours, _, period) = chosen(visit);
    let to = visit.console.app().now_ms() / 1000 / period * period + period;
    let span = Span { from: to.saturating_sub(hours * 3600), to, period };
    let plans = if cache.is_memcached() { MEMCACHED } else { REDIS };
    let mut graphs = Vec::new();
    for plan in plans {
        let series = series(visit, cache, plan, span)?;
        let graph = Graph::of(plan.title, plan.unit, span, series);
        // Such as the lag of a cache without replicas.
        if !graph.is_empty() {
            graphs.push(graph);
        }
    }
    Ok(Live { graphs })
}

/// The lines of a graph: one call for all its metrics and nodes.
fn series(visit: &Visit<'_>, cache: &Cache, plan: &Plan, span: Span) -> Result<Vec<Series>, ApiError> {
    let nodes = if plan.nodes == Nodes::Each {
        &cache.nodes[..cache.nodes.len().min(NODES_MAX)]
    } else {
        &cache.nodes
    };
    let mut call = Serializer::new(String::new());
    for (name, moment) in [("StartTime", span.from), ("EndTime", span.to)] {
        let moment = jiff::Timestamp::from_second(i64::try_from(moment).unwrap_or_default());
        call.append_pair(name, &moment.unwrap_or_default().to_string());
    }
    call.append_pair("ScanBy", "TimestampAscending");
    let mut asked = 0;
    for (metric, _) in plan.metrics {
        for node in nodes {
            asked += 1;
            let query = format!("MetricDataQueries.member.{asked}");
            let mut add = |name: &str, value: &str| {
                call.append_pair(&format!("{query}.{name}"), value);
            };
            add("Id", &format!("q{asked}"));
            add("MetricStat.Period", &span.period.to_string());
            add("MetricStat.Stat", plan.statistic);
            add("MetricStat.Metric.Namespace", crate::metric::NAMESPACE);
            add("MetricStat.Metric.MetricName", metric);
            let dimensions = [("CacheClusterId", &node.cluster), ("CacheNodeId", &node.id)];
            for (at, (name, value)) in dimensions.into_iter().enumerate() {
                let dimension = format!("MetricStat.Metric.Dimensions.member.{}", at + 1);
                add(&format!("{dimension}.Name"), name);
                add(&format!("{dimension}.Value"), value);
            }
        }
    }
    if asked == 0 {
        return Ok(Vec::new());
    }
    let answer = visit.monitoring(&call.finish(), "GetMetricData")?;
    let found = answer.list("MetricDataResults").iter().map(points);
    let found: Vec<Vec<(u64, f64)>> = found.collect();
    let of_metrics = plan.metrics.iter().zip(found.chunks(nodes.len()));
    Ok(match plan.nodes {
        Nodes::Sum => of_metrics
            .map(|((_, name), nodes)| Series { name: (*name).to_owned(), points: added(nodes) })
            .collect(),
        Nodes::Each => of_metrics
            .flat_map(|(_, found)| nodes.iter().zip(found))
            .map(|(node, points)| Series { name: node.name(), points: points.clone() })
            .filter(|series| !series.points.is_empty())
            .collect(),
    })
}

fn points(result: &crate::front::Element) -> Vec<(u64, f64)> {
    let times = result.list("Timestamps").iter().map(|time| {
        let moment = time.text.trim().parse::<jiff::Timestamp>().ok();
        moment.and_then(|moment| u64::try_from(moment.as_second()).ok())
    });
    let values = result.list("Values").iter().map(|value| value.text.trim().parse::<f64>().ok());
    times.zip(values).filter_map(|(time, value)| Some((time?, value?))).collect()
}

fn added(nodes: &[Vec<(u64, f64)>]) -> Vec<(u64, f64)> {
    let mut sums: BTreeMap<u64, f64> = BTreeMap::new();
    for (time, value) in nodes.iter().flatten() {
        *sums.entry(*time).or_default() += value;
    }
    sums.into_iter().collect()
}
