//! Write-behind: a write is done when the cache has it, and the source follows.
//!
//! The queue of changes is a stream in the cache, so it survives the program: whichever process runs next drains it. One
//! process drains at a time (a lease), in the order of the queue, the latest change of each key in a batch. A batch
//! leaves the queue after the sink has stored it: a program that dies in between stores it again (at least once).
//! Each change carries its place in the order; a sink that refuses what is older than what it has is right even when two
//! drainers overlap for a moment, or a call that was given up takes effect late.
//!
//! What this pattern cannot do: survive a cache that loses its memory, and show a reader the queued value after the
//! cache evicted it. Where that is not acceptable, write through.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::{Pipeline, Value};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use super::owed::Debt;
use super::{Cache, Inner};
use crate::error::{BoxError, Error, Fault};
use crate::keys::Key;
use crate::lease;
use crate::outcome::Event;
use crate::policy::millis;

/// The most changes that are being queued at a time by one process; the queue's bound is exceeded by no more.
const MAX_PUTS: usize = 64;

/// The most undecodable changes that are kept aside for somebody to look at.
const MAX_ASIDE: usize = 1000;

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The bounds of a write-behind queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteBehindSettings {
    /// The most changes in the queue; one more is refused.
    pub max_queued: usize,
    /// The most changes that the sink gets at once.
    pub batch: usize,
    /// How long one process drains before another one may take over, should it have died. A call of the sink may take
    /// half of it.
    pub lease: Duration,
    /// How long changes wait for company.
    pub linger: Duration,
}

impl Default for WriteBehindSettings {
    fn default() -> Self {
        Self {
            max_queued: 10_000,
            batch: 200,
            lease: Duration::from_secs(20),
            linger: Duration::from_millis(50),
        }
    }
}

/// A change's place in the order of all: a time in milliseconds and a number within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64, pub u64);

/// A change on its way to the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<V> {
    /// The key's name.
    pub key: String,
    /// Its new value.
    pub value: V,
    /// Its place in the order.
    pub sequence: Sequence,
}

/// Where changes go. A closure from a batch to a future is one.
pub trait Sink<V: Send>: Clone + Send + Sync + 'static {
    /// What storing fails with.
    type Error: Into<BoxError> + Send;

    /// Stores a batch, in which each key is once. It may have been stored before, in part or whole.
    fn store(&self, batch: Vec<Change<V>>) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

impl<V, E, F, Fut> Sink<V> for F
where
    V: Send,
    E: Into<BoxError> + Send,
    F: Fn(Vec<Change<V>>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send,
{
    type Error = E;

    fn store(&self, batch: Vec<Change<V>>) -> impl Future<Output = Result<(), E>> + Send {
        self(batch)
    }
}

/// How a change was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is in the queue, and in the cache.
    Queued,
    /// The cache could not take it: it went to the sink at once.
    Direct,
}

/// A cache whose writes reach the source later.
///
/// ```no_run
/// use larder_client::{Cache, Change, Server, WriteBehind, WriteBehindSettings};
/// use std::time::Duration;
///
/// # async fn upsert(batch: Vec<Change<u64>>) -> Result<(), std::io::Error> { Ok(()) }
/// # async fn run() -> Result<(), larder_client::Error> {
/// let server = Server::new("redis://127.0.0.1:6379")?;
/// let views: Cache<u64> = Cache::builder(server, "views").build();
/// let behind = WriteBehind::start(views.clone(), upsert, WriteBehindSettings::default());
/// behind.put("page:7", 1234).await?;
/// let left = behind.drain(Duration::from_secs(10)).await?; // at shutdown
/// # Ok(()) }
/// ```
pub struct WriteBehind<V, S> {
    cache: Cache<V>,
    sink: S,
    settings: WriteBehindSettings,
    puts: Semaphore,
    woken: Arc<Notify>,
    drainer: JoinHandle<()>,
}

impl<V: Clone + Send + Sync + 'static, S: Sink<V>> WriteBehind<V, S> {
    /// Begins to drain, and to take changes. Must be called in a tokio runtime.
    #[must_use]
    pub fn start(cache: Cache<V>, sink: S, settings: WriteBehindSettings) -> Self {
        let woken = Arc::new(Notify::new());
        let drainer = Drainer {
            cache: Arc::downgrade(&cache.0),
            sink: sink.clone(),
            settings: settings.clone(),
            token: lease::writer_token(),
        };
        let drainer = tokio::spawn(drainer.run(Arc::clone(&woken)));
        Self { cache, sink, settings, puts: Semaphore::new(MAX_PUTS), woken, drainer }
    }

    /// Changes the value of `key`: in the cache now, at the source soon.
    ///
    /// # Errors
    /// [`Error::Full`] when the queue is; the sink's error when the cache is down and the sink fails too.
    pub async fn put(&self, key: impl Into<Key>, value: V) -> Result<Put, Error> {
        let key = key.into();
        let inner = &self.cache.0;
        inner.check(&key)?;
        let _place = self.puts.acquire().await.map_err(|_| Error::Full)?;
        match inner.queue(&key, &value, self.settings.max_queued).await {
            Ok(()) => {
                inner.flights.forget(&key.name);
                inner.report.count(Event::Written);
                self.woken.notify_one();
                Ok(Put::Queued)
            }
            Err(Error::Cache(fault)) => {
                tracing::debug!(%fault, "a change goes to the sink at once");
                // Perhaps it was queued all the same, and is stored twice.
                let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis);
                let change = Change { key: key.name.clone(), value, sequence: Sequence(now, 0) };
                let limit = self.settings.lease / 2;
                let stored = tokio::time::timeout(limit, self.sink.store(vec![change])).await;
                inner.owe(Debt::Key(key.name));
                stored.map_err(|_| Error::SourceTimedOut)?.map_err(Error::source_failed)?;
                inner.report.count(Event::WriteOwed);
                Ok(Put::Direct)
            }
            Err(error) => Err(error),
        }
    }

    /// How many changes wait, of all processes.
    ///
    /// # Errors
    /// When the cache does not answer.
    pub async fn queued(&self) -> Result<usize, Error> {
        Ok(self.cache.0.queue_length().await?)
    }

    /// Waits until the queue is empty, at most for `limit`, and stops draining; gives how many changes are left, which the
    /// next process drains.
    ///
    /// # Errors
    /// When the cache does not answer.
    pub async fn drain(self, limit: Duration) -> Result<usize, Error> {
        let empty = async {
            while self.queued().await? > 0 {
                self.woken.notify_one();
                tokio::time::sleep(FIRST_PAUSE).await;
            }
            Ok::<(), Error>(())
        };
        match tokio::time::timeout(limit, empty).await {
            Ok(Ok(())) => Ok(0),
            Ok(Err(error)) => Err(error),
            Err(_) => self.queued().await,
        }
    }
}

impl<V, S> Drop for WriteBehind<V, S> {
    fn drop(&mut self) {
        self.drainer.abort();
    }
}

impl<V: Clone + Send + Sync + 'static> Inner<V> {
    fn queue_name(&self) -> String {
        format!("{}:q", self.names.namespace)
    }

    async fn queue_length(&self) -> Result<usize, Fault> {
        let mut pipe = Pipeline::new();
        pipe.cmd("XLEN").arg(self.queue_name());
        self.server.ask::<(usize,)>(&pipe).await.map(|(length,)| length)
    }

    /// The change into the queue and the entry into the cache, in one step, with a mark that keeps loaders from storing
    /// what the source still has.
    async fn queue(&self, key: &Key, value: &V, max_queued: usize) -> Result<(), Error> {
        let encoded = self.codec.encode(value).map_err(|error| Error::Encode(error.to_string()))?;
        if self.queue_length().await? >= max_queued {
            return Err(Error::Full);
        }
        let entry = match self.versions_for_write(key).await {
            Some(tagged) => self.entry(Some(value), Duration::ZERO, tagged)?,
            None => None,
        };
        let mut pipe = Pipeline::new();
        pipe.atomic();
        pipe.cmd("XADD")
            .arg(self.queue_name())
            .arg("*")
            .arg("k")
            .arg(&key.name)
            .arg("v")
            .arg(encoded)
            .ignore();
        pipe.cmd("DEL").arg(self.names.values(&key.name)).ignore();
        if let Some((bytes, kept_ms)) = entry {
            pipe.cmd("SET")
                .arg(self.names.value(&key.name))
                .arg(bytes)
                .arg("PX")
                .arg(kept_ms.max(1))
                .ignore();
        }
        lease::mark(&mut pipe, &self.names, &key.name, self.settings.guard);
        Ok(self.server.ask::<()>(&pipe).await?)
    }
}

struct Drainer<V, S> {
    cache: Weak<Inner<V>>,
    sink: S,
    settings: WriteBehindSettings,
    token: String,
}

impl<V: Clone + Send + Sync + 'static, S: Sink<V>> Drainer<V, S> {
    async fn run(self, woken: Arc<Notify>) {
        let mut pause = FIRST_PAUSE;
        loop {
            let Some(inner) = self.cache.upgrade() else { return };
            let drained = self.drain_batch(&inner).await;
            drop(inner);
            match drained {
                Ok(0) => {
                    pause = FIRST_PAUSE;
                    // Changes that another process queued make no sound here.
                    let _ = tokio::time::timeout(LONGEST_PAUSE, woken.notified()).await;
                    tokio::time::sleep(self.settings.linger).await;
                }
                Ok(_) => pause = FIRST_PAUSE,
                Err(error) => {
                    tracing::warn!(%error, "queued changes could not be stored yet");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Stores the next changes; says how many left the queue.
    async fn drain_batch(&self, inner: &Inner<V>) -> Result<usize, Error> {
        if !self.take_turn(inner).await? {
            return Ok(0);
        }
        let queue = inner.queue_name();
        let mut pipe = Pipeline::new();
        pipe.cmd("XRANGE").arg(&queue).arg("-").arg("+").arg("COUNT").arg(self.settings.batch.max(1));
        let (rows,): (Vec<(String, HashMap<String, Value>)>,) = inner.server.ask(&pipe).await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let mut latest: HashMap<String, Change<V>> = HashMap::new();
        let mut aside = Vec::new();
        for (id, fields) in &rows {
            match self.change(inner, id, fields) {
                Some(change) => {
                    latest.insert(change.key.clone(), change);
                }
                None => aside.push(fields),
            }
        }
        let keys: Vec<String> = latest.keys().cloned().collect();
        let mut batch: Vec<Change<V>> = latest.into_values().collect();
        batch.sort_by_key(|change| change.sequence);
        if !batch.is_empty() {
            let stored = tokio::time::timeout(self.settings.lease / 2, self.sink.store(batch)).await;
            stored.map_err(|_| Error::SourceTimedOut)?.map_err(Error::source_failed)?;
        }
        lease::invalidate_unmarked(&inner.server, &inner.names, &keys).await?;
        let mut pipe = Pipeline::new();
        pipe.atomic();
        for fields in aside {
            tracing::error!("a queued change cannot be decoded and is put aside");
            pipe.cmd("XADD").arg(format!("{queue}:aside")).arg("MAXLEN").arg(MAX_ASIDE).arg("*");
            for name in ["k", "v"] {
                let bytes = fields.get(name).and_then(bytes_of).unwrap_or_default();
                pipe.arg(name).arg(bytes);
            }
            pipe.ignore();
        }
        pipe.cmd("XDEL").arg(&queue).arg(rows.iter().map(|(id, _)| id).collect::<Vec<_>>()).ignore();
        inner.server.ask::<()>(&pipe).await?;
        Ok(rows.len())
    }

    /// Whether it is this process that drains: it has the lease, or gets it, and has it for its whole length from now.
    async fn take_turn(&self, inner: &Inner<V>) -> Result<bool, Fault> {
        let name = format!("{}:drains", inner.queue_name());
        let mut read = Pipeline::new();
        read.cmd("GET").arg(&name);
        let turn = inner.server.transact(std::slice::from_ref(&name), &read, |answers| {
            let holder = answers.first().and_then(bytes_of);
            if holder.is_some_and(|holder| holder != self.token.as_bytes()) {
                return Ok(crate::server::Step::Leave(false));
            }
            let mut pipe = Pipeline::new();
            pipe.cmd("SET").arg(&name).arg(&self.token).arg("PX").arg(millis(self.settings.lease).max(1));
            Ok(crate::server::Step::Commit(pipe, true))
        });
        turn.await
    }

    fn change(&self, inner: &Inner<V>, id: &str, fields: &HashMap<String, Value>) -> Option<Change<V>> {
        let (ms, number) = id.split_once('-')?;
        let sequence = Sequence(ms.parse().ok()?, number.parse().ok()?);
        let key = String::from_utf8(fields.get("k").and_then(bytes_of)?).ok()?;
        let value = inner.codec.decode(&fields.get("v").and_then(bytes_of)?).ok()?;
        Some(Change { key, value, sequence })
    }
}

fn bytes_of(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes.clone()),
        _ => None,
    }
}
