//! ListMetrics.

use serde::Deserialize;

use super::wire::Value;
use crate::api::query::page;
use crate::front::ApiError;
use crate::metric::{NAMESPACE, catalogue};
use crate::operation::{App, Caller};
use crate::resource::node::Observed;
use crate::state::list_all;

/// Metrics of one answer.
const PAGE_MAX: usize = 500;
/// Rows that are older do not make a metric listed.
const FRESH_MINUTES: u64 = 180;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListMetrics {
    namespace: Option<String>,
    metric_name: Option<String>,
    #[serde(default)]
    dimensions: Vec<Filter>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Filter {
    name: String,
    value: Option<String>,
}

/// Where a metric stands in the list, its name and its dimensions.
type Listed = (String, &'static str, Vec<(&'static str, String)>);

/// Metrics that nodes have had of late, each for its node and for its cluster.
pub(super) fn run(app: &App, _caller: &Caller, input: ListMetrics) -> Result<Value, ApiError> {
    let from = (app.now_ms() / 60_000).saturating_sub(FRESH_MINUTES);
    let mut all: Vec<Listed> = Vec::new();
    if input.namespace.as_deref().is_none_or(|namespace| namespace == NAMESPACE) {
        for observed in list_all::<Observed>(app.records.as_ref())?.into_iter().map(|stored| stored.value) {
            for node in observed.nodes.keys() {
                for (metric, _) in app.metrics.newest(&format!("{}/{node}", observed.id), from)? {
                    let Some((name, _)) = catalogue::METRICS.get(usize::from(metric)) else { continue };
                    let cluster = ("CacheClusterId", observed.id.clone());
                    all.push((format!("{}//{name}", observed.id), name, vec![cluster.clone()]));
                    let key = format!("{}/{node}/{name}", observed.id);
                    all.push((key, name, vec![cluster, ("CacheNodeId", node.clone())]));
                }
            }
        }
    }
    all.sort();
    all.dedup();
    all.retain(|(_, name, dimensions)| {
        input.metric_name.as_deref().is_none_or(|wanted| wanted == *name)
            && input.dimensions.iter().all(|filter| {
                let fits = |value: &String| filter.value.as_ref().is_none_or(|wanted| wanted == value);
                dimensions.iter().any(|(name, value)| *name == filter.name && fits(value))
            })
    });
    let (metrics, next) = page(all, input.next_token.as_deref(), Some(PAGE_MAX), |(key, ..)| key.clone());
    let written = metrics.into_iter().map(|(_, name, dimensions)| {
        let dimension = |(name, value): (&'static str, String)| {
            Value::Structure(vec![("Name", Value::from(name)), ("Value", Value::Text(value))])
        };
        Value::Structure(vec![
            ("Namespace", Value::from(NAMESPACE)),
            ("MetricName", Value::from(name)),
            ("Dimensions", Value::List(dimensions.into_iter().map(dimension).collect())),
        ])
    });
    let mut members = vec![("Metrics", Value::List(written.collect()))];
    members.extend(next.map(|token| ("NextToken", Value::Text(token))));
    Ok(Value::Structure(members))
}
