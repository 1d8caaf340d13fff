//! The settings of a cache.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use super::{Cache, Inner, Owed, Reasons};
use crate::codec::{Codec, Json};
use crate::entry::MAX_VALUE_BYTES;
use crate::flight::Flights;
use crate::keys::Names;
use crate::policy::{Ttl, millis};
use crate::report::Report;
use crate::server::Server;

/// Gives the time as milliseconds since 1970.
pub(super) type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

pub(super) struct Settings {
    pub(super) ttl: Ttl,
    pub(super) lease: Duration,
    pub(super) wait: Duration,
    pub(super) guard: Duration,
    pub(super) load_limit: Duration,
    pub(super) compress_from: usize,
    pub(super) max_value_bytes: usize,
    pub(super) clock: Clock,
}

/// Makes a [`Cache`]. Every setting has a default; the time to live is the one to think about.
///
/// ```
/// use larder_client::{Cache, Server, Ttl};
/// use std::time::Duration;
///
/// let server = Server::new("redis://127.0.0.1:6379")?; // connects at the first request
/// let prices: Cache<u64> = Cache::builder(server, "prices")
///     .ttl(Ttl::new(Duration::from_secs(30)))
///     .schema(2)
///     .prefixes(':')
///     .compress_from(4096)
///     .build();
/// # Ok::<(), larder_client::Fault>(())
/// ```
pub struct CacheBuilder<V> {
    server: Server,
    names: Names,
    settings: Settings,
    max_loads: usize,
    max_refreshes: usize,
    max_owed: usize,
    reasons: bool,
    value: PhantomData<fn() -> V>,
}

impl<V: Clone + Send + Sync + 'static> Cache<V> {
    /// Begins a cache named `namespace` on `server`: the name is part of every key, and the label of every counter.
    pub fn builder(server: Server, namespace: impl Into<String>) -> CacheBuilder<V> {
        CacheBuilder {
            server,
            names: Names { namespace: namespace.into(), schema: 1, separator: None },
            settings: Settings {
                ttl: Ttl::new(Duration::from_secs(300)),
                lease: Duration::from_secs(10),
                wait: Duration::from_secs(2),
                guard: Duration::from_secs(10),
                load_limit: Duration::from_secs(30),
                compress_from: 1024,
                max_value_bytes: 1 << 20,
                clock: Arc::new(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)),
            },
            max_loads: 256,
            max_refreshes: 32,
            max_owed: 10_000,
            reasons: false,
            value: PhantomData,
        }
    }
}

impl<V: Clone + Send + Sync + 'static> CacheBuilder<V> {
    /// How long values live. Default: five minutes, with a tenth of jitter.
    #[must_use]
    pub fn ttl(mut self, ttl: Ttl) -> Self {
        self.settings.ttl = ttl;
        self
    }

    /// The version of the values' form. Raise it by one when old bytes must not be read as new values: both programs
    /// then run side by side, each with its own entries, and a write by either invalidates those of the other. (Only by
    /// one: an invalidation reaches the version before and after its own.)
    #[must_use]
    pub fn schema(mut self, version: u32) -> Self {
        self.names.schema = version;
        self
    }

    /// Allows [`Cache::invalidate_prefix`] for prefixes of keys that end with `separator` (the first four of a key) and
    /// for the empty one. Each is one more small value that a read compares.
    #[must_use]
    pub fn prefixes(mut self, separator: char) -> Self {
        self.names.separator = Some(separator);
        self
    }

    /// How long a load may keep other processes from loading the same key, and after which its result is not stored
    /// any more. Longer than loads take. Default: 10 s.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease;
        self
    }

    /// How long a request waits for another process's load before it asks the source itself. Default: 2 s.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.settings.wait = wait;
        self
    }

    /// How long a write keeps loaders from storing, should its writer die. Longer than writes take. Default: 10 s.
    #[must_use]
    pub fn write_guard(mut self, guard: Duration) -> Self {
        self.settings.guard = guard;
        self
    }

    /// The longest that a load, or the wait for a place among the loads, takes. Default: 30 s.
    #[must_use]
    pub fn load_limit(mut self, limit: Duration) -> Self {
        self.settings.load_limit = limit;
        self
    }

    /// The most loads of this process at a time, so that a cold or lost cache does not crush the source. Default: 256.
    #[must_use]
    pub fn max_loads(mut self, loads: usize) -> Self {
        self.max_loads = loads;
        self
    }

    /// The most background refreshes at a time; 0 switches them off. Default: 32.
    #[must_use]
    pub fn max_refreshes(mut self, refreshes: usize) -> Self {
        self.max_refreshes = refreshes;
        self
    }

    /// From which size on values are compressed (LZ4). Default: 1 KiB; `usize::MAX` never compresses.
    #[must_use]
    pub fn compress_from(mut self, bytes: usize) -> Self {
        self.settings.compress_from = bytes;
        self
    }

    /// The largest encoded value that is stored; a larger one is loaded each time. Default: 1 MiB, at most 64 MiB.
    #[must_use]
    pub fn max_value_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_value_bytes = bytes.min(MAX_VALUE_BYTES);
        self
    }

    /// Asks a Larder server at each miss why the key is not there (never stored, expired, evicted, deleted, flushed), and
    /// tells it of stale and negative hits, so that its metrics show them. Other servers are asked once whether they can.
    /// A miss costs one exchange more. Default: off.
    #[must_use]
    pub fn reasons(mut self, wanted: bool) -> Self {
        self.reasons = wanted;
        self
    }

    /// Another clock, in milliseconds since 1970: tests of an application's own need not sleep. The clocks of all
    /// processes that share a cache should agree, to a small part of the time to live.
    #[must_use]
    pub fn clock(mut self, clock: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        self.settings.clock = Arc::new(clock);
        self
    }

    /// The cache, with values as JSON.
    #[must_use]
    pub fn build(self) -> Cache<V>
    where
        V: Serialize + DeserializeOwned,
    {
        self.build_with(Json)
    }

    /// The cache, with values in another form.
    #[must_use]
    pub fn build_with(self, codec: impl Codec<V>) -> Cache<V> {
        let report = Report::new(&self.names.namespace);
        Cache(Arc::new(Inner {
            server: self.server,
            names: self.names,
            codec: Arc::new(codec),
            settings: self.settings,
            flights: Flights::new(),
            loads: Semaphore::new(self.max_loads.clamp(1, Semaphore::MAX_PERMITS)),
            refreshes: Arc::new(Semaphore::new(self.max_refreshes.min(Semaphore::MAX_PERMITS))),
            report,
            owed: Owed::new(self.max_owed),
            reasons: Reasons::new(self.reasons),
        }))
    }
}
