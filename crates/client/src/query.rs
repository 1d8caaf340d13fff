//! Cached SQL queries: the rows of a statement with its parameters, until one of its tables is written.
//!
//! The key of a result is the digest of statement and parameters (SHA-256, so nobody finds two that meet), and its tags are
//! the tables that it reads. A write names its tables, and with one step per table every result that depends on it is
//! invalid: those in the cache, and those whose query is running.

use std::future::Future;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::cache::{Cache, CacheBuilder, Written};
use crate::error::{BoxError, Error};
use crate::keys::{Key, hex};
use crate::outcome::Fetched;
use crate::report::Counts;

/// A statement, its parameters, and the tables that it reads.
///
/// ```
/// use larder_client::Query;
///
/// let query = Query::new("SELECT name FROM users WHERE team = ?1", &[7], &["users"])?;
/// # Ok::<(), larder_client::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    key: Key,
}

impl Query {
    /// A query. Spaces around the statement do not matter; everything else does.
    ///
    /// # Errors
    /// When the parameters cannot be written as JSON.
    pub fn new(sql: &str, parameters: &impl Serialize, tables: &[&str]) -> Result<Self, Error> {
        let parameters = serde_json::to_vec(parameters).map_err(|error| Error::Encode(error.to_string()))?;
        let sql = sql.trim();
        let mut digest = Sha256::new();
        digest.update((sql.len() as u64).to_be_bytes());
        digest.update(sql);
        digest.update(parameters);
        let key = Key::new(hex(&digest.finalize()));
        Ok(Self { key: tables.iter().fold(key, |key, table| key.tag(*table)) })
    }
}

/// A cache of query results with rows of type `R`.
///
/// ```no_run
/// use larder_client::{Cache, Query, QueryCache, Server};
///
/// # async fn select(team: u64) -> Result<Vec<String>, std::io::Error> { Ok(vec![]) }
/// # async fn insert(name: &'static str) -> Result<(), std::io::Error> { Ok(()) }
/// # async fn run() -> Result<(), larder_client::Error> {
/// let server = Server::new("redis://127.0.0.1:6379")?;
/// let queries: QueryCache<String> = QueryCache::new(Cache::builder(server, "sql"));
///
/// let query = Query::new("SELECT name FROM users WHERE team = ?1", &[7], &["users"])?;
/// let rows = queries.rows(&query, || select(7)).await?;
///
/// queries.write(&["users"], insert("ann")).await?;
/// # Ok(()) }
/// ```
pub struct QueryCache<R> {
    cache: Cache<Vec<R>>,
}

impl<R: Serialize + DeserializeOwned + Clone + Send + Sync + 'static> QueryCache<R> {
    /// A cache of results, with the settings of `cache`.
    #[must_use]
    pub fn new(cache: CacheBuilder<Vec<R>>) -> Self {
        Self { cache: cache.build() }
    }

    /// The rows of `query`: from the cache, or else from `run`. A result without rows is cached like any other.
    ///
    /// # Errors
    /// When the query fails; never because of the cache.
    pub async fn rows<E, F, Fut>(&self, query: &Query, run: F) -> Result<Fetched<Vec<R>>, Error>
    where
        E: Into<BoxError> + Send,
        F: Fn() -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<R>, E>> + Send,
    {
        let load = move |_: String| {
            let rows = run();
            async move { rows.await.map(Some) }
        };
        self.cache.fetch(query.key.clone(), load).await
    }

    /// Runs `write`, and makes the results invalid that read `tables`; gives what `write` gave.
    ///
    /// They are invalidated before the write as well, so that results from before do not outlive a program that dies
    /// midway. (A query that runs *during* the write of a program that dies may leave its result until the time to live.)
    ///
    /// # Errors
    /// When the write fails; the results are invalid all the same.
    pub async fn write<T, E: Into<BoxError>>(
        &self,
        tables: &[&str],
        write: impl Future<Output = Result<T, E>>,
    ) -> Result<(Written, T), Error> {
        if let Err(error) = self.wrote(tables).await {
            tracing::debug!(%error, "results could not be invalidated before a write");
        }
        let result = write.await.map_err(Error::source_failed);
        let told = self.wrote(tables).await;
        let written = if told.is_ok() { Written::Invalidated } else { Written::Owed };
        result.map(|result| (written, result))
    }

    /// Makes the results invalid that read one of `tables`, which were written elsewhere.
    ///
    /// # Errors
    /// When the cache could not be told of one. It will be: this process owes it from now on.
    pub async fn wrote(&self, tables: &[&str]) -> Result<(), Error> {
        let mut told = Ok(());
        for table in tables {
            told = told.and(self.cache.invalidate_tag(table).await);
        }
        told
    }

    /// How often everything happened.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.cache.counts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_told_apart_by_statement_parameters_and_tables() {
        let query = |sql, parameters: &[&str], tables: &[&str]| {
            Query::new(sql, &parameters, tables).expect("JSON").key
        };
        let one = query("SELECT 1", &["a"], &["t"]);
        assert_eq!(one, query("  SELECT 1\n", &["a"], &["t"]));
        assert_ne!(one.name, query("SELECT 2", &["a"], &["t"]).name);
        assert_ne!(one.name, query("SELECT 1", &["b"], &["t"]).name);
        assert_ne!(query("a", &["b\",\"c"], &[]).name, query("a", &["b", "c"], &[]).name);
    }
}
