//! Where values come from.

use std::collections::HashMap;
use std::future::Future;

use crate::error::BoxError;

/// The source of a cache's values: a query, a call to another service, a computation.
///
/// A closure from a key to a future is one; a type that knows how to load many keys at once implements the trait. It is
/// cloned into the task that loads, which goes on when the request that began it is cancelled: others wait for it.
///
/// ```
/// use larder_client::Loader;
/// use std::collections::HashMap;
///
/// #[derive(Clone)]
/// struct Names;
///
/// impl Loader<String> for Names {
///     type Error = std::io::Error;
///
///     async fn load(&self, key: &str) -> Result<Option<String>, std::io::Error> {
///         Ok(Some(format!("the name of {key}")))
///     }
///
///     // One query instead of many.
///     async fn load_many(&self, keys: &[String]) -> Result<HashMap<String, String>, std::io::Error> {
///         Ok(keys.iter().map(|key| (key.clone(), format!("the name of {key}"))).collect())
///     }
/// }
/// ```
pub trait Loader<V: Send>: Clone + Send + Sync + 'static {
    /// What loading fails with.
    type Error: Into<BoxError> + Send;

    /// The value of `key`; `None` when there is none.
    fn load(&self, key: &str) -> impl Future<Output = Result<Option<V>, Self::Error>> + Send;

    /// The values of `keys`, without those that have none. Loads one after the other unless told better.
    fn load_many(
        &self,
        keys: &[String],
    ) -> impl Future<Output = Result<HashMap<String, V>, Self::Error>> + Send {
        async move {
            let mut found = HashMap::new();
            for key in keys {
                if let Some(value) = self.load(key).await? {
                    found.insert(key.clone(), value);
                }
            }
            Ok(found)
        }
    }
}

impl<V, E, F, Fut> Loader<V> for F
where
    V: Send,
    E: Into<BoxError> + Send,
    F: Fn(String) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Option<V>, E>> + Send,
{
    type Error = E;

    fn load(&self, key: &str) -> impl Future<Output = Result<Option<V>, E>> + Send {
        self(key.to_owned())
    }
}
