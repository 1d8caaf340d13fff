//! The task that asks every node once a minute.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::catalogue::{self, Sample};
use super::{MetricStore, judge};
use crate::host::NodeKey;
use crate::host::local::LocalHost;
use crate::resource::cluster::{Cluster, Engine};
use crate::resource::node::Observed;
use crate::resource::node_type;
use crate::state::{Records, StateError, find, list_all};

/// Nodes that are asked at the same time.
const PARALLEL_MAX: usize = 16;
/// Minutes between two sweeps of old rows.
const SWEEP_MINUTES: u64 = 30;

/// A node to be asked.
struct Target {
    key: NodeKey,
    is_memcached: bool,
    memory_bytes: u64,
}

/// Samples until it is stopped. A disk that fails ends it: nothing is written any more.
pub async fn run(
    records: Arc<dyn Records>,
    store: Arc<MetricStore>,
    host: Arc<LocalHost>,
    clock: fn() -> u64,
) {
    let mut before: HashMap<String, (Sample, u64)> = HashMap::new();
    loop {
        let began_ms = clock();
        if let Err(error) = round(&records, &store, &host, &mut before, began_ms).await {
            tracing::error!("metrics are not taken any more: {error}");
            return;
        }
        let rest_ms = 60_000 - clock() % 60_000;
        tokio::time::sleep(Duration::from_millis(rest_ms)).await;
    }
}

async fn round(
    records: &Arc<dyn Records>,
    store: &Arc<MetricStore>,
    host: &Arc<LocalHost>,
    before: &mut HashMap<String, (Sample, u64)>,
    now_ms: u64,
) -> Result<(), StateError> {
    let of = Arc::clone(records);
    let mut targets = blocking(move || targets(of.as_ref())).await?;
    let mut asked = JoinSet::new();
    let mut rows = Vec::new();
    let mut latest = HashMap::new();
    loop {
        while asked.len() < PARALLEL_MAX
            && let Some(target) = targets.pop()
        {
            let host = Arc::clone(host);
            asked.spawn(async move {
                let told = host.sample(&target.key, target.is_memcached).await;
                (target, told)
            });
        }
        let Some(done) = asked.join_next().await else { break };
        let Ok((target, told)) = done else { continue };
        let name = format!("{}/{}", target.key.cluster, target.key.node);
        let text = match told {
            Ok(text) => text,
            Err(error) => {
                tracing::debug!(node = name, "not sampled: {error}");
                continue;
            }
        };
        let now = catalogue::parse(&text);
        // The first sample of a node says how things are; how much they changed, only the second can.
        let none = (Sample::new(), now_ms.saturating_sub(60_000));
        let (old, at_ms) = before.get(&name).unwrap_or(&none);
        let seconds = now_ms.saturating_sub(*at_ms) as f64 / 1000.0;
        let calculate = if target.is_memcached { catalogue::memcached } else { catalogue::redis };
        rows.push((name.clone(), calculate(old, &now, seconds, target.memory_bytes)));
        latest.insert(name, (now, now_ms));
    }
    *before = latest; // nodes that are gone are forgotten
    let (store, of) = (Arc::clone(store), Arc::clone(records));
    blocking(move || {
        let minute = now_ms / 60_000;
        if !rows.is_empty() {
            store.add(minute, &rows)?;
        }
        if minute.is_multiple_of(SWEEP_MINUTES) {
            store.sweep(minute)?;
        }
        judge::judge_all(of.as_ref(), &store, now_ms)
    })
    .await
}

async fn blocking<T: Send + 'static>(
    access: impl FnOnce() -> Result<T, StateError> + Send + 'static,
) -> Result<T, StateError> {
    let done = tokio::task::spawn_blocking(access).await;
    done.unwrap_or_else(|error| Err(StateError::Failed(format!("the access did not end: {error}"))))
}

fn targets(records: &dyn Records) -> Result<Vec<Target>, StateError> {
    let mut targets = Vec::new();
    for cluster in list_all::<Cluster>(records)?.into_iter().map(|stored| stored.value) {
        let Some(observed) = find::<Observed>(records, &cluster.id)? else { continue };
        let memory_bytes = node_type::find(&cluster.node_type).map_or(0, |node_type| node_type.memory_bytes);
        let running = observed.value.nodes.into_iter().filter(|(_, node)| node.process.is_some());
        targets.extend(running.map(|(node, _)| Target {
            key: NodeKey { cluster: cluster.id.clone(), node },
            is_memcached: cluster.engine == Engine::Memcached,
            memory_bytes,
        }));
    }
    Ok(targets)
}
