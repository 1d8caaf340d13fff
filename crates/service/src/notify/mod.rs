//! Publishes the events of caches at their topics.
//!
//! The events themselves are the queue: they are recorded with the change that they tell of and bounded in number, so
//! whoever is slow or gone holds nobody up. How far it got is recorded, too: a service that is killed goes on there, and
//! may publish the last one once more. An event is tried a few times; then, or when it is too old to be news, it is
//! counted as failed and the next one follows.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::act::journal;
use crate::resource::cluster::Cluster;
use crate::resource::event::{Event, SourceType};
use crate::resource::group::Group;
use crate::resource::notification::{Topic, message_of};
use crate::state::{Records, Resource, StateError, find, list_all, put_any};

#[cfg(feature = "sns")]
pub mod sns;

/// How often an event is tried to be published.
const TRIES_MAX: u32 = 5;
/// Pause after the first failure; doubles each time.
const PAUSE: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 500 });
/// Events that are older are no news any more, in milliseconds.
const AGE_MS_MAX: u64 = 3_600_000;
/// How long a look waits for more events.
const TOGETHER: Duration = Duration::from_millis(100);
/// Pause after a failure of the records.
const RETRY: Duration = Duration::from_secs(5);

/// What became of notifications since the service started.
#[derive(Debug, Default)]
pub struct Counts {
    /// Taken by the server.
    pub published: AtomicU64,
    /// Refused, too old, or given up after the last try.
    pub failed: AtomicU64,
}

/// Why a message was not published.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The server does not want it, and would not want it a second time.
    #[error("refused: {0}")]
    Refused(String),
    /// The server cannot be reached, or is not well.
    #[error("{0}")]
    Failed(String),
}

/// Whoever takes messages for topics.
pub trait Topics: Send + Sync {
    /// Publishes one message.
    ///
    /// # Errors
    /// Why the server did not take it.
    fn publish(&self, arn: &str, message: &str) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// How far the events were published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    /// Revision of the newest one that was dealt with.
    revision: u64,
}

/// Id of the one position.
const POSITION: &str = "published";

impl Resource for Position {
    const KIND: &'static str = "notification-position";

    fn id(&self) -> String {
        POSITION.to_owned()
    }
}

/// Publishes from now on, until dropped. `clock` answers Unix milliseconds.
pub async fn run(records: Arc<dyn Records>, topics: impl Topics, counts: Arc<Counts>, clock: fn() -> u64) {
    let mut changes = records.watch(Event::KIND);
    loop {
        changes.borrow_and_update();
        if let Err(error) = round(&records, &topics, &counts, clock).await {
            tracing::warn!("notifications: {error}");
            tokio::time::sleep(RETRY).await;
            continue;
        }
        if changes.changed().await.is_err() {
            return;
        }
        tokio::time::sleep(TOGETHER).await;
    }
}

/// Publishes what happened since the last round.
async fn round(
    records: &Arc<dyn Records>,
    topics: &impl Topics,
    counts: &Counts,
    clock: fn() -> u64,
) -> Result<(), StateError> {
    let from_ms = clock().saturating_sub(AGE_MS_MAX);
    let position = off_thread(records, |records| find::<Position>(records, POSITION)).await?;
    let Some(position) = position else {
        // What happened before anybody published anything is no news.
        let events = off_thread(records, |records| journal::written_after(records, 0, 0)).await?;
        return reached(records, events.last().map_or(0, |(revision, _)| *revision)).await;
    };
    let last = position.value.revision;
    // Older ones are looked at as well, to be counted.
    let events = off_thread(records, move |records| journal::written_after(records, 0, last)).await?;
    let Some(newest) = events.last().map(|(revision, _)| *revision) else { return Ok(()) };
    for (revision, event) in events {
        let Some(message) = message_of(&event) else { continue };
        let date_ms = event.date_ms;
        let Some(arn) = off_thread(records, move |records| topic_of(records, &event)).await? else {
            continue;
        };
        let outcome = if date_ms < from_ms {
            Err(Failure::Refused("it is too old".to_owned()))
        } else {
            publish(topics, &arn, &message).await
        };
        match outcome {
            Ok(()) => counts.published.fetch_add(1, Ordering::Relaxed),
            Err(failure) => {
                tracing::warn!("{message} was not published at {arn}: {failure}");
                counts.failed.fetch_add(1, Ordering::Relaxed)
            }
        };
        reached(records, revision).await?;
    }
    reached(records, newest).await
}

async fn publish(topics: &impl Topics, arn: &str, message: &str) -> Result<(), Failure> {
    let mut pause = PAUSE;
    for _ in 1..TRIES_MAX {
        match topics.publish(arn, message).await {
            Err(Failure::Failed(why)) => tracing::debug!("{message} will be tried again: {why}"),
            ended => return ended,
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    topics.publish(arn, message).await
}

async fn reached(records: &Arc<dyn Records>, revision: u64) -> Result<(), StateError> {
    off_thread(records, move |records| records.apply(&[put_any(&Position { revision })?]).map(drop)).await
}

/// The active topic of what an event is about.
fn topic_of(records: &dyn Records, event: &Event) -> Result<Option<String>, StateError> {
    if event.topic.is_some() {
        return Ok(event.topic.clone());
    }
    let cluster = match event.source_type {
        SourceType::CacheCluster => Some(event.source_id.clone()),
        SourceType::ReplicationGroup => {
            let group = find::<Group>(records, &event.source_id)?;
            group.and_then(|group| group.value.members().next().cloned())
        }
        _ => None,
    };
    let Some(id) = cluster else { return Ok(None) };
    let topic = find::<Cluster>(records, &id)?.and_then(|cluster| cluster.value.topic);
    Ok(topic.as_ref().and_then(Topic::active).map(str::to_owned))
}

async fn off_thread<T: Send + 'static>(
    records: &Arc<dyn Records>,
    work: impl FnOnce(&dyn Records) -> Result<T, StateError> + Send + 'static,
) -> Result<T, StateError> {
    let records = Arc::clone(records);
    let done = tokio::task::spawn_blocking(move || work(records.as_ref())).await;
    done.unwrap_or_else(|error| Err(StateError::Failed(error.to_string())))
}

/// Whether some cache has a topic although nothing is published: whoever started the service should know.
pub fn topics_without_server(records: &dyn Records) -> Result<usize, StateError> {
    let clusters = list_all::<Cluster>(records)?;
    Ok(clusters.iter().filter(|stored| stored.value.topic.as_ref().is_some_and(|t| !t.inactive)).count())
}

#[cfg(test)]
mod tests;
