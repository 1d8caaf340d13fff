//! Many keys at once: one look for all, one load for all that miss.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use redis::{Pipeline, Value};

use super::read::{fresh, stale};
use super::{Cache, Found, Inner, Landed};
use crate::error::Error;
use crate::flight::{Landing, Leader, Role, landed};
use crate::keys::Key;
use crate::lease::{self, Attempt, Granted};
use crate::loader::Loader;
use crate::outcome::{Fetched, Load, Miss, Outcome, Stale};

/// The most keys of one batch.
pub const MAX_BATCH: usize = 10_000;

/// What a key of the batch still waits for, and what could stand in for it.
struct Waiting<V> {
    key: Key,
    after: Miss,
    stale: Option<(V, Duration)>,
}

impl<V: Clone + Send + Sync + 'static> Cache<V> {
    /// The values under `keys`, by their names. Those that the cache has cost one exchange with it; the others one load.
    ///
    /// Keys that another request of this process loads already are waited for; those that another *process* loads are
    /// not: they go into the load, and are not stored.
    ///
    /// ```no_run
    /// # use larder_client::{Cache, Loader};
    /// # async fn run<L: Loader<String>>(cache: Cache<String>, names: L) -> Result<(), larder_client::Error> {
    /// let fetched = cache.fetch_many(["1", "2", "3"], names).await?;
    /// let known = fetched.values().filter(|fetched| fetched.value.is_some()).count();
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the source fails and one of the keys has no stale value to stand in; or more than [`MAX_BATCH`] keys.
    pub async fn fetch_many<K: Into<Key>, L: Loader<V>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        loader: L,
    ) -> Result<HashMap<String, Fetched<V>>, Error> {
        let mut wanted: HashMap<String, Key> = HashMap::new();
        for key in keys {
            let key = key.into();
            self.0.check(&key)?;
            wanted.insert(key.name.clone(), key);
            if wanted.len() > MAX_BATCH {
                return Err(Error::Invalid(format!("a batch has at most {MAX_BATCH} keys")));
            }
        }
        let keys: Vec<Key> = wanted.into_values().collect();
        let mut answers = HashMap::with_capacity(keys.len());
        let (mut waiting, mut revalidate) = (Vec::new(), Vec::new());
        for (key, found) in self.0.look_many(keys).await {
            match found {
                Found::Fresh { value, age, .. } => {
                    answers.insert(key.name, fresh(value, age));
                }
                Found::Stale { value, age, revalidate: true } => {
                    revalidate.push(key.clone());
                    answers.insert(key.name, stale(value, age, Stale::Revalidating));
                }
                Found::Stale { value, age, revalidate: false } => {
                    waiting.push(Waiting { key, after: Miss::Expired, stale: Some((value, age)) });
                }
                Found::Miss(after) => waiting.push(Waiting { key, after, stale: None }),
            }
        }
        self.refresh_many(revalidate, &loader);
        let loaded = self.load_many(waiting, loader, &mut answers).await;
        for fetched in answers.values() {
            self.0.count_answer(&Ok(fetched.clone()));
        }
        if let Err(error) = loaded {
            self.0.count_answer(&Err(error.clone()));
            return Err(error);
        }
        Ok(answers)
    }

    /// Loads in the background what nobody loads yet, all in one load, if there is room.
    fn refresh_many<L: Loader<V>>(&self, keys: Vec<Key>, loader: &L) {
        let mut led = Vec::new();
        for key in keys {
            if let Role::Lead(leader) = self.0.flights.enter(&key.name) {
                led.push((key, Miss::Expired, leader));
            }
        }
        if led.is_empty() {
            return;
        }
        let Ok(place) = Arc::clone(&self.0.refreshes).try_acquire_owned() else { return };
        let (inner, loader) = (Arc::clone(&self.0), loader.clone());
        tokio::spawn(async move {
            inner.lead_many(led, &loader).await;
            drop(place);
        });
    }

    async fn load_many<L: Loader<V>>(
        &self,
        waiting: Vec<Waiting<V>>,
        loader: L,
        answers: &mut HashMap<String, Fetched<V>>,
    ) -> Result<(), Error> {
        let mut led = Vec::new();
        let mut landings: Vec<(Waiting<V>, Landing<Landed<V>>, bool)> = Vec::new();
        for wait in waiting {
            match self.0.flights.enter(&wait.key.name) {
                Role::Join(landing) => landings.push((wait, landing, true)),
                Role::Lead(leader) => {
                    let landing = leader.landing();
                    led.push((wait.key.clone(), wait.after, leader));
                    landings.push((wait, landing, false));
                }
            }
        }
        if !led.is_empty() {
            let (inner, loader) = (Arc::clone(&self.0), loader.clone());
            tokio::spawn(async move { inner.lead_many(led, &loader).await });
        }
        let mut failed = None;
        for (wait, landing, joined) in landings {
            let result = match landed(landing).await {
                Some(result) => result,
                // A refresh that was given up, or a load that panicked.
                None => Err(Error::BrokenOff),
            };
            let name = wait.key.name.clone();
            match (result, wait.stale) {
                (Ok((value, by)), _) => {
                    let by = if joined { Load::Joined } else { by };
                    answers.insert(name, Fetched { value, outcome: Outcome::Load { after: wait.after, by } });
                }
                (Err(error), Some((value, age))) if error.is_source() => {
                    answers.insert(name, stale(value, age, Stale::SourceFailed));
                }
                (Err(Error::BrokenOff), None) if joined => {
                    answers.insert(name, self.answer(wait.key, loader.clone()).await?);
                }
                (Err(error), _) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

impl<V: Clone + Send + Sync + 'static> Inner<V> {
    /// The entries under many keys, in one exchange.
    async fn look_many(&self, keys: Vec<Key>) -> Vec<(Key, Found<V>)> {
        if keys.is_empty() {
            return Vec::new();
        }
        let mut pipe = Pipeline::new();
        for key in &keys {
            pipe.cmd("MGET").arg(self.names.value(&key.name)).arg(self.names.versions(key));
        }
        self.tell(&mut pipe).await;
        let answers = self.server.ask::<Vec<Value>>(&pipe).await.unwrap_or_default();
        let mut answers = answers.into_iter();
        let judge = |key: Key| {
            let found = match answers.next().as_ref().map(lease::value_and_versions) {
                _ if self.owed.has(&key.name, || self.names.versions(&key)) => Found::Miss(Miss::Owed),
                Some(Ok((bytes, versions))) => self.judge(&key, bytes.as_deref(), &versions),
                _ => Found::Miss(Miss::Unreachable),
            };
            (key, found)
        };
        let mut looked: Vec<(Key, Found<V>)> = keys.into_iter().map(judge).collect();
        let is_absent = |found: &Found<V>| matches!(found, Found::Miss(Miss::Unknown));
        let absent: Vec<&str> =
            looked.iter().filter(|(_, found)| is_absent(found)).map(|(key, _)| key.name.as_str()).collect();
        let mut reasons = self.why(&absent).await.into_iter();
        for (_, found) in looked.iter_mut().filter(|(_, found)| is_absent(found)) {
            *found = Found::Miss(reasons.next().unwrap_or(Miss::Unknown));
        }
        looked
    }

    /// One load for all keys that are led, each stored if its lease was granted.
    async fn lead_many<L: Loader<V>>(&self, led: Vec<(Key, Miss, Leader<Landed<V>>)>, loader: &L) {
        let tokens: Vec<String> = led.iter().map(|_| lease::loader_token()).collect();
        let reachable = |after: &Miss| !matches!(after, Miss::Unreachable | Miss::Owed);
        let asked = led.iter().zip(&tokens).filter(|((_, after, _), _)| reachable(after));
        let asked: Vec<(&Key, &str)> = asked.map(|((key, _, _), token)| (key, token.as_str())).collect();
        let kept = self.versions_kept_ms();
        let attempts = match asked.is_empty() {
            true => Vec::new(),
            false => lease::attempt(&self.server, &self.names, &asked, self.settings.lease, kept)
                .await
                .unwrap_or_default(),
        };
        let mut attempts: HashMap<String, Attempt> =
            asked.iter().zip(attempts).map(|((key, _), attempt)| (key.name.clone(), attempt)).collect();
        let names: Vec<String> = led.iter().map(|(key, _, _)| key.name.clone()).collect();
        let count = names.len();
        let result = self.loading(loader.load_many(&names), HashMap::len, count).await;
        let mut fills = Vec::new();
        let mut unused = Vec::new();
        for ((key, _, _), token) in led.iter().zip(tokens) {
            let Some(attempt) = attempts.remove(&key.name).filter(|it| it.granted == Granted::Yes) else {
                continue;
            };
            match &result {
                Ok((values, cost)) => {
                    // Each key alone would have cost about its share.
                    let cost = *cost / u32::try_from(count).unwrap_or(u32::MAX);
                    match self.fill_of(key, values.get(&key.name), cost, token, &attempt) {
                        Ok(fill) => fills.push(fill),
                        Err(token) => unused.push((key, token)),
                    }
                }
                Err(_) => unused.push((key, token)),
            }
        }
        if !fills.is_empty() {
            self.store(&fills).await;
        }
        let unused: Vec<(&Key, &str)> = unused.iter().map(|(key, token)| (*key, token.as_str())).collect();
        // Leases that are not given back end by themselves.
        let _ = lease::release(&self.server, &self.names, &unused).await;
        match result {
            Ok((mut values, _)) => {
                for (key, _, leader) in led {
                    leader.land(Ok((values.remove(&key.name), Load::Own)));
                }
            }
            Err(error) => led.into_iter().for_each(|(_, _, leader)| leader.land(Err(error.clone()))),
        }
    }
}
