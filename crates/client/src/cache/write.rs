//! Writing: what happens to the cache when the source changes. `lease` explains the order that keeps old values out.

use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::owed::{Debt, Taken};
use super::{Cache, Inner};
use crate::entry::Tagged;
use crate::error::{BoxError, Error, Fault};
use crate::keys::Key;
use crate::lease;
use crate::outcome::Event;

/// The pauses between attempts to pay owed invalidations.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How many owed invalidations are paid in one exchange.
const PAID_AT_ONCE: usize = 256;

/// What a write did to the cache; the source was changed in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The new value is in the cache.
    Stored,
    /// The old value is not in the cache; the next request loads.
    Invalidated,
    /// The cache could not be told. This process does not read the key from it until it was; others may read the old
    /// value until then, or until its time to live is over.
    Owed,
}

impl<V: Clone + Send + Sync + 'static> Cache<V> {
    /// Write-through: changes the source by `write`, then stores `value`, unless another writer of the key overlapped.
    ///
    /// The write runs to its end even if this future is dropped, because the cache must be told of it.
    ///
    /// ```no_run
    /// # use larder_client::{Cache, Written};
    /// # async fn update(name: String) -> Result<(), std::io::Error> { Ok(()) }
    /// # async fn run(names: Cache<String>) -> Result<(), larder_client::Error> {
    /// let written = names.write_through("42", "Ann".to_owned(), update("Ann".to_owned())).await?;
    /// assert_ne!(written, Written::Owed, "the cache was up");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the source fails; the entry is invalidated then as well, since nobody knows how far the write came.
    pub async fn write_through<E: Into<BoxError> + Send + 'static>(
        &self,
        key: impl Into<Key>,
        value: V,
        write: impl Future<Output = Result<(), E>> + Send + 'static,
    ) -> Result<Written, Error> {
        let key = key.into();
        self.0.check(&key)?;
        self.guarded(key, async move { write.await.map(|()| (Some(value), ())) }).await.map(|(done, ())| done)
    }

    /// Invalidate-on-write: keeps loaders out, changes the source by `write`, then invalidates.
    ///
    /// Beside [`write_around`](Self::write_around) this one survives a writer that dies between changing the source and
    /// telling the cache, for one more exchange with the cache before the write.
    ///
    /// ```no_run
    /// # use larder_client::Cache;
    /// # async fn delete_row(id: u64) -> Result<u64, std::io::Error> { Ok(1) }
    /// # async fn run(users: Cache<String>) -> Result<(), larder_client::Error> {
    /// let (_, rows) = users.write_invalidating("42", delete_row(42)).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the source fails; the entry is invalidated then as well.
    pub async fn write_invalidating<T: Send + 'static, E: Into<BoxError> + Send + 'static>(
        &self,
        key: impl Into<Key>,
        write: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<(Written, T), Error> {
        self.guarded(key.into(), async move { write.await.map(|result| (None, result)) }).await
    }

    /// Write-around: changes the source by `write` and drops what the cache has; loads under way are not stored.
    ///
    /// # Errors
    /// When the source fails; the entry is invalidated then as well.
    pub async fn write_around<T: Send + 'static, E: Into<BoxError> + Send + 'static>(
        &self,
        key: impl Into<Key>,
        write: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<(Written, T), Error> {
        let (inner, key) = (Arc::clone(&self.0), key.into());
        let task = tokio::spawn(async move {
            let end = EndOfWrite::new(&inner, &key.name);
            let result = write.await;
            let told = lease::invalidate(&inner.server, &inner.names, &[&key.name]).await;
            end.reached();
            inner.after_write(&key.name, result.map_err(Error::source_failed), told.map(|()| false))
        });
        task.await.unwrap_or(Err(Error::BrokenOff))
    }

    /// Drops the entry of `key` and lets no load that is under way store one. For what was changed elsewhere.
    ///
    /// # Errors
    /// When the cache could not be told. It will be: the key is owed to it from now on.
    pub async fn invalidate(&self, key: impl Into<Key>) -> Result<(), Error> {
        let key = key.into();
        self.0.flights.forget(&key.name);
        let told = lease::invalidate(&self.0.server, &self.0.names, &[&key.name]).await;
        match told {
            Ok(()) => self.0.report.count(Event::Invalidated),
            Err(fault) => {
                self.0.owe(Debt::Key(key.name));
                return Err(fault.into());
            }
        }
        Ok(())
    }

    /// Makes every entry with `tag` invalid, in one step whatever their number, and every load under way with it.
    ///
    /// # Errors
    /// When the cache could not be told. It will be: the tag is owed to it from now on.
    pub async fn invalidate_tag(&self, tag: &str) -> Result<(), Error> {
        self.new_version_of(self.0.names.tag(tag)).await
    }

    /// Makes every entry invalid whose key begins with `prefix`: the empty one, or up to a separator.
    ///
    /// # Errors
    /// When the cache was not built with [`prefixes`](crate::CacheBuilder::prefixes), the prefix does not end with its
    /// separator or has more than four of them; or when the cache could not be told.
    pub async fn invalidate_prefix(&self, prefix: &str) -> Result<(), Error> {
        let known = self.0.names.versions(&Key::new(prefix));
        let name = self.0.names.prefix(prefix);
        if !known.contains(&name) {
            return Err(Error::Invalid(format!("{prefix:?} is no prefix that this cache keeps apart")));
        }
        self.new_version_of(name).await
    }

    async fn new_version_of(&self, name: String) -> Result<(), Error> {
        let told = self.0.renew_versions(std::slice::from_ref(&name)).await;
        // Later requests of this process must not join loads that began before.
        self.0.flights.forget_all();
        if let Err(fault) = told {
            self.0.owe(Debt::Version(name));
            return Err(fault.into());
        }
        self.0.report.count(Event::Invalidated);
        Ok(())
    }

    /// The whole of a guarded write, in a task of its own.
    async fn guarded<T: Send + 'static, E: Into<BoxError> + Send + 'static>(
        &self,
        key: Key,
        write: impl Future<Output = Result<(Option<V>, T), E>> + Send + 'static,
    ) -> Result<(Written, T), Error> {
        let inner = Arc::clone(&self.0);
        let task = tokio::spawn(async move {
            let (server, names, guard) = (&inner.server, &inner.names, inner.settings.guard);
            let token = lease::writer_token();
            let end = EndOfWrite::new(&inner, &key.name);
            let versions = inner.versions_for_write(&key).await;
            let sole = lease::begin_write(server, names, &key.name, &token, guard).await.unwrap_or(false);
            let result = write.await.map_err(Error::source_failed);
            let entry = match &result {
                Ok((Some(value), _)) if sole => versions
                    .and_then(|tagged| inner.entry(Some(value), Duration::ZERO, tagged).ok().flatten()),
                _ => None,
            };
            let entry = entry.as_ref().map(|(bytes, kept_ms)| (bytes.as_slice(), *kept_ms));
            let told = lease::end_write(server, names, &key.name, &token, guard, entry).await;
            end.reached();
            inner.after_write(&key.name, result.map(|(_, result)| result), told)
        });
        task.await.unwrap_or(Err(Error::BrokenOff))
    }
}

impl<V: Clone + Send + Sync + 'static> Inner<V> {
    /// The versions of a key's tags, made if missing, before the source changes.
    pub(super) async fn versions_for_write(&self, key: &Key) -> Option<Tagged> {
        let names = self.names.versions(key);
        if names.is_empty() {
            return Some(Tagged::default());
        }
        let mut pipe = redis::Pipeline::new();
        for name in &names {
            pipe.cmd("SET")
                .arg(name)
                .arg(lease::new_version())
                .arg("NX")
                .arg("PX")
                .arg(self.versions_kept_ms());
            pipe.ignore();
        }
        pipe.cmd("MGET").arg(&names);
        let (versions,): (Vec<Option<u64>>,) = self.server.ask(&pipe).await.ok()?;
        self.tagged(key, &versions)
    }

    /// Counts a write and owes what the cache did not take. `told` says whether the value was stored.
    fn after_write<T>(
        self: &Arc<Self>,
        key: &str,
        result: Result<T, Error>,
        told: Result<bool, Fault>,
    ) -> Result<(Written, T), Error> {
        self.flights.forget(key);
        let written = match told {
            Ok(true) => Written::Stored,
            Ok(false) => Written::Invalidated,
            Err(fault) => {
                tracing::warn!(%fault, key, "the cache could not be told of a write");
                self.owe(Debt::Key(key.to_owned()));
                Written::Owed
            }
        };
        self.report.count(match (&result, written) {
            (Err(_), _) => Event::WriteFailed,
            (Ok(_), Written::Owed) => Event::WriteOwed,
            (Ok(_), _) => Event::Written,
        });
        result.map(|result| (written, result))
    }

    /// Gives tags or prefixes, by their names in the cache, versions that no entry has.
    async fn renew_versions(&self, names: &[String]) -> Result<(), Fault> {
        let mut pipe = redis::Pipeline::new();
        for name in names {
            pipe.cmd("SET")
                .arg(name)
                .arg(lease::new_version())
                .arg("PX")
                .arg(self.versions_kept_ms())
                .ignore();
        }
        self.server.ask(&pipe).await
    }

    /// Remembers what has to be invalidated, and sees to it.
    pub(super) fn owe(self: &Arc<Self>, debt: Debt) {
        if let Debt::Key(key) = &debt {
            self.flights.forget(key);
        }
        match self.owed.add(debt) {
            Taken::Yes => {}
            Taken::Full => {
                tracing::error!("too many invalidations are owed; one is given up");
                self.report.count(Event::OwedDropped);
            }
            Taken::First => {
                tokio::spawn(pay(Arc::downgrade(self)));
            }
        }
    }
}

impl<V: Clone + Send + Sync + 'static> Inner<V> {
    async fn settle(&self, debts: &[(Debt, u64)]) -> Result<(), Fault> {
        let (mut keys, mut versions) = (Vec::new(), Vec::new());
        for (debt, _) in debts {
            match debt {
                Debt::Key(key) => keys.push(key.as_str()),
                Debt::Version(name) => versions.push(name.clone()),
            }
        }
        lease::invalidate(&self.server, &self.names, &keys).await?;
        if versions.is_empty() { Ok(()) } else { self.renew_versions(&versions).await }
    }
}

/// Pays owed invalidations until none is left, or the cache is no longer used.
async fn pay<V: Clone + Send + Sync + 'static>(cache: Weak<Inner<V>>) {
    let mut pause = FIRST_PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        let Some(inner) = cache.upgrade() else { return };
        let debts = inner.owed.some(PAID_AT_ONCE);
        if debts.is_empty() {
            return;
        }
        match inner.settle(&debts).await {
            Ok(()) => {
                inner.owed.paid(&debts);
                debts.iter().for_each(|_| inner.report.count(Event::Invalidated));
                pause = FIRST_PAUSE;
            }
            Err(_) => pause = (pause * 2).min(LONGEST_PAUSE),
        }
    }
}

/// Owes the invalidation if the task of a write ends before it told the cache: its writer panicked.
struct EndOfWrite<'a, V: Clone + Send + Sync + 'static> {
    inner: &'a Arc<Inner<V>>,
    key: &'a str,
    reached: bool,
}

impl<'a, V: Clone + Send + Sync + 'static> EndOfWrite<'a, V> {
    fn new(inner: &'a Arc<Inner<V>>, key: &'a str) -> Self {
        Self { inner, key, reached: false }
    }

    fn reached(mut self) {
        self.reached = true;
    }
}

impl<V: Clone + Send + Sync + 'static> Drop for EndOfWrite<'_, V> {
    fn drop(&mut self) {
        if !self.reached && tokio::runtime::Handle::try_current().is_ok() {
            self.inner.owe(Debt::Key(self.key.to_owned()));
        }
    }
}
