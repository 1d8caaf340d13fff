//! Log delivery: takes the slow logs and the logs of nodes to where LogDeliveryConfigurations say.
//!
//! ```text
//! logs/cloudwatch-logs/<log group>/elasticache/<engine>/<cluster>/<node>/<log>   a stream of CloudWatch Logs
//! logs/kinesis-firehose/<stream>                                                 a stream of Firehose
//! ```
//!
//! One task looks every second at the caches that have deliveries. A line is written, then the position is recorded: a
//! service that is killed between the two writes the last lines once more. Nothing waits for it: what a node puts into
//! its slow log faster than its bound allows is lost, as it is for everybody who asks for it.

mod file;
mod round;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use self::round::{Delivered, Target, targets};
use crate::host::local::{LocalHost, LogFrom, LogPiece};
use crate::host::{HostError, NodeKey};
use crate::resource::cluster::Cluster;
use crate::resource::log_delivery::{ObservedDeliveries, SlowEntry};
use crate::state::{Records, Resource, StateError, list_all};

/// How often caches with deliveries are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Nodes that are asked at the same time.
const PARALLEL_MAX: usize = 16;

/// What deliveries are made with.
struct Delivery<S> {
    records: Arc<dyn Records>,
    host: Arc<S>,
    logs: PathBuf,
}

/// Where logs come from.
trait Source: Send + Sync + 'static {
    /// The newest entries of a node's slow log.
    fn slow_log(&self, key: &NodeKey) -> impl Future<Output = Result<Vec<SlowEntry>, HostError>> + Send;

    /// Lines of a node's log from there on.
    fn log_since(
        &self,
        key: &NodeKey,
        from: LogFrom,
    ) -> impl Future<Output = Result<LogPiece, HostError>> + Send;
}

impl Source for LocalHost {
    async fn slow_log(&self, key: &NodeKey) -> Result<Vec<SlowEntry>, HostError> {
        LocalHost::slow_log(self, key).await
    }

    async fn log_since(&self, key: &NodeKey, from: LogFrom) -> Result<LogPiece, HostError> {
        LocalHost::log_since(self, key, from).await
    }
}

/// Delivers until it is stopped. A record file that fails ends it: nothing is written any more.
pub async fn run(records: Arc<dyn Records>, host: Arc<LocalHost>, logs: PathBuf) {
    let delivery = Delivery { records, host, logs };
    if let Err(error) = delivery.rounds().await {
        tracing::error!("logs are not delivered any more: {error}");
    }
}

impl<S: Source> Delivery<S> {
    async fn rounds(&self) -> Result<(), StateError> {
        let mut changes = self.records.watch(Cluster::KIND);
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            changes.borrow_and_update();
            let (clusters, was) = self.with_records(with_deliveries).await?;
            // Between two changes the same caches are looked at, and with none of them nothing is.
            loop {
                if !clusters.is_empty() || was {
                    self.round(clusters.clone()).await?;
                }
                tokio::select! {
                    changed = changes.changed() => {
                        if changed.is_err() {
                            return Ok(());
                        }
                        break;
                    }
                    _ = look.tick(), if !clusters.is_empty() => {}
                }
            }
        }
    }

    async fn round(&self, clusters: Vec<Cluster>) -> Result<(), StateError> {
        let (mut targets, mut observed) =
            self.with_records(move |records| targets(records, &clusters)).await?;
        let mut asked = JoinSet::new();
        let mut delivered = Vec::new();
        loop {
            while asked.len() < PARALLEL_MAX
                && let Some(target) = targets.pop()
            {
                let (host, logs) = (Arc::clone(&self.host), self.logs.clone());
                asked.spawn(deliver(host, logs, target));
            }
            let Some(done) = asked.join_next().await else { break };
            delivered.extend(done.ok());
        }
        self.with_records(move |records| {
            for done in delivered {
                observed.note(done);
            }
            observed.store(records)
        })
        .await
    }

    async fn with_records<T: Send + 'static>(
        &self,
        access: impl FnOnce(&dyn Records) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        let records = Arc::clone(&self.records);
        let task = tokio::task::spawn_blocking(move || access(&*records));
        task.await.unwrap_or_else(|e| Err(StateError::Failed(format!("the access did not end: {e}"))))
    }
}

/// Caches with deliveries, and whether there are others that had some.
fn with_deliveries(records: &dyn Records) -> Result<(Vec<Cluster>, bool), StateError> {
    let all = list_all::<Cluster>(records)?.into_iter().map(|stored| stored.value);
    let clusters: Vec<Cluster> = all.filter(|cluster| !cluster.log_delivery.is_empty()).collect();
    let observed = list_all::<ObservedDeliveries>(records)?;
    Ok((clusters, !observed.is_empty()))
}

/// Asks a node for what is new in one of its logs, and writes it.
async fn deliver<S: Source>(host: Arc<S>, logs: PathBuf, target: Target) -> Delivered {
    let fetched = target.fetch(host.as_ref()).await;
    let task = tokio::task::spawn_blocking(move || target.write(&logs, fetched));
    task.await.unwrap_or_default()
}
