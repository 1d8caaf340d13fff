//! Reading: cache-aside with single flight in the process and across processes, stale values, early refresh.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Cache, Found, Inner, Landed};
use crate::error::Error;
use crate::flight::{Leader, Role, landed};
use crate::keys::Key;
use crate::lease::{self, Attempt, Fill, Granted};
use crate::loader::Loader;
use crate::outcome::{Event, Fetched, Load, Miss, Outcome, Stale};

/// How often a request asks again when the flight that it joined was broken off.
const REJOINS: u32 = 3;

/// The pauses between looks at a key that another process loads.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

impl<V: Clone + Send + Sync + 'static> Cache<V> {
    /// The value under `key`: from the cache, or else from `loader`, and then into the cache.
    ///
    /// Of all requests that miss a key at the same time, in all processes, one loads. A cache that is down or slow
    /// costs its time limit at most, and then the source answers (still once per process and key).
    ///
    /// ```no_run
    /// # use larder_client::{Cache, Key, Outcome, Server};
    /// # async fn run(cache: Cache<String>) -> Result<(), larder_client::Error> {
    /// let load = |key: String| async move { Ok::<_, std::io::Error>(Some(format!("value of {key}"))) };
    /// let fetched = cache.fetch(Key::new("a").tag("letters"), load).await?;
    /// if let Outcome::Load { after, by } = fetched.outcome {
    ///     println!("not in the cache ({after:?}), loaded by {by:?}");
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the source fails and no stale value may stand in for it. Never because of the cache.
    pub async fn fetch<L: Loader<V>>(&self, key: impl Into<Key>, loader: L) -> Result<Fetched<V>, Error> {
        let key = key.into();
        let answer = self.answer(key, loader).await;
        self.0.count_answer(&answer);
        answer
    }

    /// The value under `key` if the cache has it; nothing is loaded.
    ///
    /// # Errors
    /// When the key has too many tags. A cache that cannot be asked is a miss.
    pub async fn peek(&self, key: impl Into<Key>) -> Result<Fetched<V>, Error> {
        let key = key.into();
        self.0.check(&key)?;
        let fetched = match self.0.look(&key).await.0 {
            Found::Fresh { value, age, .. } => fresh(value, age),
            Found::Stale { value, age, revalidate: true } => stale(value, age, Stale::Revalidating),
            Found::Stale { .. } => Fetched { value: None, outcome: Outcome::Miss(Miss::Expired) },
            Found::Miss(miss) => Fetched { value: None, outcome: Outcome::Miss(miss) },
        };
        self.0.count_outcome(fetched.outcome.event());
        Ok(fetched)
    }

    pub(super) async fn answer<L: Loader<V>>(&self, key: Key, loader: L) -> Result<Fetched<V>, Error> {
        self.0.check(&key)?;
        let (found, _) = self.0.look(&key).await;
        match found {
            Found::Fresh { value, age, early } => {
                if early {
                    self.refresh(key, loader);
                }
                Ok(fresh(value, age))
            }
            Found::Stale { value, age, revalidate: true } => {
                self.refresh(key, loader);
                Ok(stale(value, age, Stale::Revalidating))
            }
            Found::Stale { value, age, revalidate: false } => {
                match self.load(&key, loader, Miss::Expired).await {
                    Err(error) if error.is_source() => Ok(stale(value, age, Stale::SourceFailed)),
                    loaded => loaded,
                }
            }
            Found::Miss(miss) => self.load(&key, loader, miss).await,
        }
    }

    /// Loads, or waits for who does.
    async fn load<L: Loader<V>>(&self, key: &Key, loader: L, after: Miss) -> Result<Fetched<V>, Error> {
        for _ in 0..REJOINS {
            let (landing, joined) = match self.0.flights.enter(&key.name) {
                Role::Join(landing) => (landing, true),
                Role::Lead(leader) => {
                    // A task of its own: the load goes on for the others when this request is cancelled.
                    let landing = leader.landing();
                    let (inner, key, loader) = (Arc::clone(&self.0), key.clone(), loader.clone());
                    tokio::spawn(async move {
                        let result = inner.lead(&key, &loader, after).await;
                        leader.land(result);
                    });
                    (landing, false)
                }
            };
            match landed(landing).await {
                Some(result) => {
                    let (value, by) = result?;
                    let by = if joined { Load::Joined } else { by };
                    return Ok(Fetched { value, outcome: Outcome::Load { after, by } });
                }
                // Our own loader panicked; or that of another request, or its refresh was given up: ask anew.
                None if !joined => return Err(Error::BrokenOff),
                None => {}
            }
        }
        Err(Error::BrokenOff)
    }

    /// Loads in the background, if nobody does and there is room.
    fn refresh<L: Loader<V>>(&self, key: Key, loader: L) {
        let Ok(place) = Arc::clone(&self.0.refreshes).try_acquire_owned() else { return };
        let Role::Lead(leader) = self.0.flights.enter(&key.name) else { return };
        let inner = Arc::clone(&self.0);
        tokio::spawn(async move {
            inner.refresh(&key, &loader, leader).await;
            drop(place);
        });
    }
}

impl<V: Clone + Send + Sync + 'static> Inner<V> {
    fn count_outcome(&self, event: Event) {
        self.report.count(event);
        self.reasons.note(event);
    }

    pub(super) fn count_answer(&self, answer: &Result<Fetched<V>, Error>) {
        match answer {
            Ok(fetched) => {
                self.count_outcome(fetched.outcome.event());
                match fetched.outcome {
                    Outcome::Load { by: Load::Joined, .. } => self.report.count(Event::Joined),
                    Outcome::Load { by: Load::Awaited, .. } => self.report.count(Event::Awaited),
                    _ => {}
                }
            }
            Err(error) => {
                tracing::debug!(%error, "a request failed");
                self.report.count(Event::Failed);
            }
        }
    }

    /// One load for everybody: under the key's lease if the cache grants it, after a bounded wait if another process
    /// has it, and without storing otherwise.
    async fn lead<L: Loader<V>>(&self, key: &Key, loader: &L, after: Miss) -> Landed<V> {
        if matches!(after, Miss::Unreachable | Miss::Owed) {
            return Ok((self.ask_source(key, loader).await?.0, Load::Own));
        }
        let until = Instant::now() + self.settings.wait;
        let mut pause = FIRST_PAUSE;
        loop {
            let token = lease::loader_token();
            let attempt = match self.attempt(key, &token).await {
                Some(attempt) => attempt,
                None => return Ok((self.ask_source(key, loader).await?.0, Load::Own)),
            };
            let found = self.judge(key, attempt.value.as_deref(), &attempt.versions);
            if let Found::Fresh { value, .. } = found {
                // Somebody stored it between the look that missed and this one.
                if attempt.granted == Granted::Yes {
                    self.release(key, &token).await;
                }
                return Ok((value, Load::Awaited));
            }
            match attempt.granted {
                Granted::Yes => {
                    return Ok((self.load_and_store(key, loader, token, attempt).await?, Load::Own));
                }
                Granted::Loading if Instant::now() < until => {
                    let jitter = pause.mul_f64(0.5 + fastrand::f64());
                    tokio::time::sleep(jitter.min(until.saturating_duration_since(Instant::now()))).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Granted::Loading | Granted::Writing => {
                    return Ok((self.ask_source(key, loader).await?.0, Load::Own));
                }
            }
        }
    }

    /// A refresh: gives way to any other loader or writer.
    async fn refresh<L: Loader<V>>(&self, key: &Key, loader: &L, leader: Leader<Landed<V>>) {
        let token = lease::loader_token();
        let Some(attempt) = self.attempt(key, &token).await else { return };
        if attempt.granted != Granted::Yes {
            return;
        }
        let result = self.load_and_store(key, loader, token, attempt).await;
        if result.is_ok() {
            self.report.count(Event::Refreshed);
        }
        leader.land(result.map(|value| (value, Load::Own)));
    }

    async fn attempt(&self, key: &Key, token: &str) -> Option<Attempt> {
        let settings = &self.settings;
        let kept = self.versions_kept_ms();
        let attempts = lease::attempt(&self.server, &self.names, &[(key, token)], settings.lease, kept).await;
        attempts.ok().and_then(|mut attempts| attempts.pop())
    }

    async fn load_and_store<L: Loader<V>>(
        &self,
        key: &Key,
        loader: &L,
        token: String,
        attempt: Attempt,
    ) -> Result<Option<V>, Error> {
        let (value, cost) = match self.ask_source(key, loader).await {
            Ok(loaded) => loaded,
            Err(error) => {
                self.release(key, &token).await;
                return Err(error);
            }
        };
        match self.fill_of(key, value.as_ref(), cost, token, &attempt) {
            Ok(fill) => self.store(&[fill]).await,
            Err(token) => self.release(key, &token).await,
        }
        Ok(value)
    }

    /// What to store of a loaded value; gives the token back when the value cannot be stored.
    pub(super) fn fill_of(
        &self,
        key: &Key,
        value: Option<&V>,
        cost: Duration,
        token: String,
        attempt: &Attempt,
    ) -> Result<Fill, String> {
        let entry = match self.tagged(key, &attempt.versions) {
            Some(tagged) => self.entry(value, cost, tagged),
            None => Ok(None),
        };
        match entry {
            Ok(entry) => {
                let (bytes, kept_ms) = entry.map_or((None, 0), |(bytes, kept)| (Some(bytes), kept));
                Ok(Fill { key: key.clone(), token, bytes, kept_ms })
            }
            Err(error) => {
                tracing::warn!(%error, key = %key.name, "a loaded value is not stored");
                self.report.count(Event::StoreFailed);
                Err(token)
            }
        }
    }

    /// Stores what was loaded; a cache that does not take it costs the next request a load.
    pub(super) async fn store(&self, fills: &[Fill]) {
        match lease::fill(&self.server, &self.names, fills, self.versions_kept_ms()).await {
            Ok(stored) => {
                for (fill, stored) in fills.iter().zip(stored) {
                    match (stored, &fill.bytes) {
                        (true, Some(_)) => self.report.count(Event::Stored),
                        (true, None) => {}
                        (false, _) => self.report.count(Event::StoreVoided),
                    }
                }
            }
            Err(fault) => {
                tracing::debug!(%fault, "loaded values are not stored");
                fills.iter().for_each(|_| self.report.count(Event::StoreFailed));
            }
        }
    }

    async fn release(&self, key: &Key, token: &str) {
        // A lease that is not given back ends by itself.
        let _ = lease::release(&self.server, &self.names, &[(key, token)]).await;
    }

    async fn ask_source<L: Loader<V>>(&self, key: &Key, loader: &L) -> Result<(Option<V>, Duration), Error> {
        self.loading(loader.load(&key.name), |value| usize::from(value.is_some()), 1).await
    }

    /// Runs one load within the bounds on loads, and counts it as `asked` keys of which some were found.
    pub(super) async fn loading<T, E: Into<crate::error::BoxError>>(
        &self,
        load: impl Future<Output = Result<T, E>> + Send,
        found: impl Fn(&T) -> usize,
        asked: usize,
    ) -> Result<(T, Duration), Error> {
        let limit = self.settings.load_limit;
        let place = tokio::time::timeout(limit, self.loads.acquire()).await;
        let _place = place.map_err(|_| Error::Overloaded)?.map_err(|_| Error::Overloaded)?;
        let began = Instant::now();
        let result = match tokio::time::timeout(limit, load).await {
            Ok(result) => result.map_err(Error::source_failed),
            Err(_) => Err(Error::SourceTimedOut),
        };
        let took = began.elapsed();
        match &result {
            Ok(loaded) => {
                self.report.load_took(took);
                let found = found(loaded).min(asked);
                (0..found).for_each(|_| self.report.count(Event::Loaded));
                (found..asked).for_each(|_| self.report.count(Event::LoadedNothing));
            }
            Err(error) => {
                tracing::debug!(%error, "a load failed");
                self.report.count(Event::LoadFailed);
            }
        }
        result.map(|loaded| (loaded, took))
    }
}

pub(super) fn fresh<V>(value: Option<V>, age: Duration) -> Fetched<V> {
    let outcome = if value.is_some() { Outcome::Hit { age } } else { Outcome::NegativeHit { age } };
    Fetched { value, outcome }
}

pub(super) fn stale<V>(value: V, age: Duration, why: Stale) -> Fetched<V> {
    Fetched { value: Some(value), outcome: Outcome::StaleHit { age, why } }
}
