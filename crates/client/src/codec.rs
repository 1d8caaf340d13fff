//! Values to bytes and back. JSON is the default; anything else implements `Codec`.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::BoxError;

/// How values of type `V` are written.
///
/// Bytes that `decode` refuses are a miss, not an error: the value is loaded and stored anew. A change that old bytes
/// survive silently with a wrong meaning needs a new [`schema`](crate::CacheBuilder::schema) version instead.
pub trait Codec<V>: Send + Sync + 'static {
    /// The bytes of `value`.
    ///
    /// # Errors
    /// When the value has no form in this codec.
    fn encode(&self, value: &V) -> Result<Vec<u8>, BoxError>;

    /// The value of `bytes`.
    ///
    /// # Errors
    /// When the bytes are not of this codec, or of another type.
    fn decode(&self, bytes: &[u8]) -> Result<V, BoxError>;
}

/// JSON, by serde.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl<V: Serialize + DeserializeOwned> Codec<V> for Json {
    fn encode(&self, value: &V) -> Result<Vec<u8>, BoxError> {
        Ok(serde_json::to_vec(value)?)
    }

    fn decode(&self, bytes: &[u8]) -> Result<V, BoxError> {
        Ok(serde_json::from_slice(bytes)?)
    }
}
