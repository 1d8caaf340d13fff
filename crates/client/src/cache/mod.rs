//! `Cache`: typed values under a namespace, and everything that reads or writes them.

mod batch;
mod behind;
mod builder;
mod owed;
mod read;
mod reasons;
mod write;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

pub use self::batch::MAX_BATCH;
pub use self::behind::{Change, Put, Sequence, Sink, WriteBehind, WriteBehindSettings};
pub use self::builder::CacheBuilder;
use self::builder::Settings;
use self::owed::Owed;
use self::reasons::Reasons;
pub use self::write::Written;
use crate::codec::Codec;
use crate::entry::{Entry, Tagged, Version};
use crate::error::{Error, Fault};
use crate::flight::Flights;
use crate::keys::{Key, MAX_TAGS, Names, digest_of};
use crate::outcome::{Load, Miss};
use crate::policy::{Age, millis};
use crate::report::{Counts, Report};
use crate::server::Server;

/// A cache of values of one type, under one namespace of a server. Clones are the same cache.
///
/// ```no_run
/// use larder_client::{Cache, Server, Ttl};
/// use std::time::Duration;
///
/// # #[derive(Clone, serde::Serialize, serde::Deserialize)] struct User { name: String }
/// # async fn query(id: String) -> Result<Option<User>, std::io::Error> { Ok(None) }
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::new("redis://127.0.0.1:6379")?;
/// let users: Cache<User> = Cache::builder(server, "users")
///     .ttl(Ttl {
///         negative: Some(Duration::from_secs(10)),
///         stale_if_error: Duration::from_secs(3600),
///         ..Ttl::new(Duration::from_secs(300))
///     })
///     .build();
/// let fetched = users.fetch("42", query).await?;
/// println!("{:?}", fetched.outcome);
/// # Ok(()) }
/// ```
pub struct Cache<V>(pub(crate) Arc<Inner<V>>);

impl<V> Clone for Cache<V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// What a flight brings home.
type Landed<V> = Result<(Option<V>, Load), Error>;

pub(crate) struct Inner<V> {
    pub(crate) server: Server,
    pub(crate) names: Names,
    codec: Arc<dyn Codec<V>>,
    settings: Settings,
    flights: Arc<Flights<Landed<V>>>,
    loads: Semaphore,
    refreshes: Arc<Semaphore>,
    report: Report,
    owed: Owed,
    reasons: Reasons,
}

/// What lies in the cache under a key, judged.
enum Found<V> {
    Fresh { value: Option<V>, age: Duration, early: bool },
    Stale { value: V, age: Duration, revalidate: bool },
    Miss(Miss),
}

impl<V> Cache<V> {
    /// How often everything happened since the cache was built, in this process.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.report.counts()
    }
}

impl<V: Send + Sync + 'static> Inner<V> {
    /// Decides what the bytes under a key are good for now.
    fn judge(&self, key: &Key, bytes: Option<&[u8]>, versions: &[Option<Version>]) -> Found<V> {
        let Some(bytes) = bytes else { return Found::Miss(Miss::Unknown) };
        let Ok(entry) = Entry::decode(bytes) else { return Found::Miss(Miss::Unreadable) };
        if self.tagged(key, versions).as_ref() != Some(&entry.tagged) {
            return Found::Miss(Miss::Invalidated);
        }
        let now = (self.settings.clock)();
        let ttl = &self.settings.ttl;
        let age = Duration::from_millis(now.saturating_sub(entry.stored_ms));
        let standing = ttl.age(entry.fresh_until_ms, now);
        let Some(payload) = entry.payload else {
            return match standing {
                Age::Fresh => Found::Fresh { value: None, age, early: false },
                _ => Found::Miss(Miss::Expired),
            };
        };
        if standing == Age::Over {
            return Found::Miss(Miss::Expired);
        }
        let Ok(value) = self.codec.decode(&payload) else { return Found::Miss(Miss::Unreadable) };
        let early = || ttl.refresh_early(entry.fresh_until_ms, entry.cost_ms, now, fastrand::f64());
        match standing {
            Age::Fresh => Found::Fresh { value: Some(value), age, early: early() },
            _ => Found::Stale { value, age, revalidate: standing == Age::Revalidate },
        }
    }

    /// The versions in the form in which an entry keeps them; `None` while one of them is missing.
    fn tagged(&self, key: &Key, versions: &[Option<Version>]) -> Option<Tagged> {
        if versions.is_empty() {
            return Some(Tagged::default());
        }
        let versions: Option<Vec<Version>> = versions.iter().copied().collect();
        Some(Tagged { names: digest_of(&self.names.versions(key)), versions: versions? })
    }

    /// A value, or its absence, as an entry's bytes and how long the server keeps them. `None`: nothing is to be stored.
    fn entry(
        &self,
        value: Option<&V>,
        cost: Duration,
        tagged: Tagged,
    ) -> Result<Option<(Vec<u8>, u64)>, Error> {
        let ttl = &self.settings.ttl;
        if value.is_none() && ttl.negative.is_none() {
            return Ok(None);
        }
        let encoded = value.map(|value| self.codec.encode(value)).transpose();
        let payload = encoded.map_err(|error| Error::Encode(error.to_string()))?;
        if payload.as_ref().is_some_and(|payload| payload.len() > self.settings.max_value_bytes) {
            return Err(Error::Encode("the value is larger than this cache takes".into()));
        }
        let fresh_ms = ttl.fresh_ms(value.is_none(), fastrand::f64());
        let stored_ms = (self.settings.clock)();
        let entry = Entry {
            stored_ms,
            fresh_until_ms: stored_ms.saturating_add(fresh_ms),
            cost_ms: u32::try_from(cost.as_millis()).unwrap_or(u32::MAX),
            tagged,
            payload,
        };
        let bytes = entry.encode(self.settings.compress_from);
        Ok(Some((bytes, ttl.kept_ms(value.is_none(), fresh_ms))))
    }

    /// How long the server keeps a version: well beyond every entry that depends on it. Should it be lost all the same,
    /// its entries are misses.
    fn versions_kept_ms(&self) -> u64 {
        let ttl = &self.settings.ttl;
        let longest = ttl.kept_ms(false, millis(ttl.fresh)).max(millis(ttl.negative.unwrap_or_default()));
        longest.saturating_mul(2).saturating_add(millis(self.settings.lease)).saturating_add(60_000)
    }

    fn check(&self, key: &Key) -> Result<(), Error> {
        if key.tags.len() > MAX_TAGS {
            return Err(Error::Invalid(format!("a key has at most {MAX_TAGS} tags")));
        }
        Ok(())
    }

    /// The entry under `key`; a cache that cannot be asked is a miss, with what was wrong.
    async fn look(&self, key: &Key) -> (Found<V>, Option<Fault>) {
        if self.owed.has(&key.name, || self.names.versions(key)) {
            return (Found::Miss(Miss::Owed), None);
        }
        let mut pipe = redis::Pipeline::new();
        pipe.cmd("MGET").arg(self.names.value(&key.name)).arg(self.names.versions(key));
        self.tell(&mut pipe).await;
        let answer = self.server.ask::<Vec<redis::Value>>(&pipe).await.and_then(|answers| {
            crate::lease::value_and_versions(answers.first().unwrap_or(&redis::Value::Nil))
        });
        match answer {
            Ok((bytes, versions)) => {
                let found = match self.judge(key, bytes.as_deref(), &versions) {
                    Found::Miss(Miss::Unknown) => {
                        Found::Miss(self.why(&[&key.name]).await.pop().unwrap_or(Miss::Unknown))
                    }
                    found => found,
                };
                (found, None)
            }
            Err(fault) => {
                tracing::debug!(%fault, key = %key.name, "the cache could not be asked");
                (Found::Miss(Miss::Unreachable), Some(fault))
            }
        }
    }
}
