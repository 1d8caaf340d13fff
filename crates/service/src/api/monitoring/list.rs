//! ListMetrics.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;

use super::wire::Value;
use crate::api::query::page;
use crate::front::ApiError;
use crate::metric::values::OF_GROUPS;
use crate::metric::{NAMESPACE, catalogue};
use crate::operation::{App, Caller};
use crate::resource::cluster::Cluster;
use crate::resource::group::{Group, ONLY_SHARD};
use crate::state::{Page, find_shared, list_shared};

/// Metrics of one answer.
const PAGE_MAX: usize = 500;
/// Rows that are older do not make a metric listed.
const FRESH_MINUTES: u64 = 180;
/// How the places of metrics of groups begin: behind those of all clusters.
const GROUPS_FROM: &str = "~";

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

/// Metrics that nodes have had of late, each for its node and for its cluster, some for its group. A page is found
/// without looking at what comes after it.
pub(super) fn run(app: &App, _caller: &Caller, input: ListMetrics) -> Result<Value, ApiError> {
    let after = input.next_token.as_deref().unwrap_or_default();
    let mut found: Vec<Listed> = Vec::new();
    if input.namespace.as_deref().is_none_or(|namespace| namespace == NAMESPACE) {
        let clusters = input.clusters(app)?;
        for cluster in &clusters {
            if found.len() > PAGE_MAX || after >= GROUPS_FROM {
                break;
            }
            // All of it stands before the place where the page begins.
            if after.split(' ').next().is_some_and(|last| cluster.id.as_str() < last) {
                continue;
            }
            add(app, &input, &mut found, |app, all| of_cluster(app, cluster, all))?;
        }
        if found.len() <= PAGE_MAX {
            add(app, &input, &mut found, |app, all| of_groups(app, &clusters, all))?;
        }
    }
    let (metrics, next) = page(found, input.next_token.as_deref(), Some(PAGE_MAX), |(key, ..)| key.clone());
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

/// Adds metrics that fit and stand behind the beginning of the page, in their order.
fn add(
    app: &App,
    input: &ListMetrics,
    found: &mut Vec<Listed>,
    of: impl FnOnce(&App, &mut BTreeSet<Listed>) -> Result<(), ApiError>,
) -> Result<(), ApiError> {
    let mut all = BTreeSet::new();
    of(app, &mut all)?;
    let after = input.next_token.as_deref();
    let fits = |(key, name, dimensions): &Listed| {
        after.is_none_or(|after| key.as_str() > after) && input.fits(name, dimensions)
    };
    found.extend(all.into_iter().filter(fits));
    Ok(())
}

impl ListMetrics {
    /// The clusters whose metrics, or those of their groups, could fit; only named ones are read.
    fn clusters(&self, app: &App) -> Result<Vec<Arc<Cluster>>, ApiError> {
        let records = app.records.as_ref();
        let named = |dimension: &str| {
            let filter = self.dimensions.iter().find(|filter| filter.name == dimension);
            filter.and_then(|filter| filter.value.as_deref())
        };
        let found = if let Some(id) = named("CacheClusterId") {
            find_shared::<Cluster>(records, id)?.into_iter().collect()
        } else if let Some(id) = named("ReplicationGroupId") {
            let group = find_shared::<Group>(records, id)?;
            let members = group.iter().flat_map(|group| group.value.members());
            let members = members.map(|id| find_shared::<Cluster>(records, id));
            members.filter_map(Result::transpose).collect::<Result<_, _>>()?
        } else {
            list_shared::<Cluster>(records, Page::default())?
        };
        let clusters = found.into_iter().map(|stored| stored.value);
        Ok(clusters.filter(|cluster| self.may_concern(cluster)).collect())
    }

    /// Whether metrics of the cluster, or of its group, could fit.
    fn may_concern(&self, cluster: &Cluster) -> bool {
        self.dimensions.iter().all(|filter| match (filter.name.as_str(), &filter.value) {
            ("CacheClusterId", Some(id)) => *id == cluster.id,
            ("ReplicationGroupId", Some(id)) => cluster.group.as_ref() == Some(id),
            _ => true,
        })
    }

    fn fits(&self, metric: &str, dimensions: &[(&'static str, String)]) -> bool {
        self.metric_name.as_deref().is_none_or(|wanted| wanted == metric)
            && self.dimensions.iter().all(|filter| {
                let fits = |value: &String| filter.value.as_ref().is_none_or(|wanted| wanted == value);
                dimensions.iter().any(|(name, value)| *name == filter.name && fits(value))
            })
    }
}

/// The newest row of a node: numbers of metrics, and their values.
fn newest(app: &App, cluster: &Cluster, node: &str) -> Result<Vec<(u8, f64)>, ApiError> {
    let from = (app.now_ms() / 60_000).saturating_sub(FRESH_MINUTES);
    Ok(app.metrics.newest(&format!("{}/{node}", cluster.id), from)?)
}

fn name_of(metric: u8) -> Option<&'static str> {
    catalogue::METRICS.get(usize::from(metric)).map(|(name, _)| *name)
}

fn of_cluster(app: &App, cluster: &Cluster, all: &mut BTreeSet<Listed>) -> Result<(), ApiError> {
    let id = ("CacheClusterId", cluster.id.clone());
    for node in cluster.nodes.keys() {
        for name in newest(app, cluster, node)?.into_iter().filter_map(|(metric, _)| name_of(metric)) {
            // A space stands before all that names have, so the order is that of the clusters.
            all.insert((format!("{} - {name}", cluster.id), name, vec![id.clone()]));
            let dimensions = vec![id.clone(), ("CacheNodeId", node.clone())];
            all.insert((format!("{} {node} {name}", cluster.id), name, dimensions));
        }
    }
    Ok(())
}

/// Metrics of groups: for the group, its shard and its roles.
fn of_groups(app: &App, clusters: &[Arc<Cluster>], all: &mut BTreeSet<Listed>) -> Result<(), ApiError> {
    let primary = catalogue::find("IsPrimary").map(|(number, _)| number);
    for cluster in clusters {
        let Some(group) = &cluster.group else { continue };
        for node in cluster.nodes.keys() {
            let row = newest(app, cluster, node)?;
            let is_primary = row.iter().any(|(metric, value)| Some(*metric) == primary && *value > 0.0);
            let whole = ("ReplicationGroupId", group.clone());
            let shard = ("NodeGroupId", ONLY_SHARD.to_owned());
            let role = ("Role", if is_primary { "Primary" } else { "Replica" }.to_owned());
            let names = row.into_iter().filter_map(|(metric, _)| name_of(metric));
            for name in names.filter(|name| OF_GROUPS.contains(name)) {
                for dimensions in [
                    vec![whole.clone()],
                    vec![whole.clone(), shard.clone()],
                    vec![whole.clone(), role.clone()],
                    vec![whole.clone(), shard.clone(), role.clone()],
                ] {
                    let place: Vec<&str> = dimensions.iter().map(|(_, value)| value.as_str()).collect();
                    all.insert((format!("{GROUPS_FROM}{} {name}", place.join(" ")), name, dimensions));
                }
            }
        }
    }
    Ok(())
}
