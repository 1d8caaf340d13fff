//! What can go wrong, told apart by whose fault it is: the cache's (`Fault`, which a read survives) or anybody's.

use std::error::Error as StdError;
use std::sync::Arc;

/// An error of the application's own code: of its source, its sink, its codec.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Why the cache did not answer. A read that meets one goes to the source.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The cache failed repeatedly a moment ago and is left alone for now.
    #[error("the cache is left alone after repeated failures")]
    CircuitOpen,
    /// As many requests wait for the cache as may.
    #[error("too many requests wait for the cache")]
    Saturated,
    /// No answer in time.
    #[error("the cache did not answer in time")]
    TimedOut,
    /// No connection, or it broke.
    #[error("no connection to the cache: {0}")]
    Connection(String),
    /// The server answered with an error.
    #[error("the cache refused: {0}")]
    Refused(String),
    /// Others changed the same key each time that we tried.
    #[error("others kept changing the same key")]
    Contended,
    /// An answer of a form that the command does not have.
    #[error("an unexpected answer of the cache: {0}")]
    Unexpected(String),
}

impl Fault {
    /// Whether the server could not be reached or did not answer, as opposed to having answered with a refusal.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::CircuitOpen | Self::Saturated | Self::TimedOut | Self::Connection(_))
    }

    pub(crate) fn of(error: &redis::RedisError) -> Self {
        if error.is_timeout() {
            Self::TimedOut
        } else if error.is_io_error() || error.is_connection_dropped() || error.is_connection_refusal() {
            Self::Connection(error.to_string())
        } else if error.code().is_some() {
            Self::Refused(error.to_string())
        } else {
            Self::Unexpected(error.to_string())
        }
    }
}

/// Why an operation of this library failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The loader, writer or sink failed.
    #[error("the source failed: {0}")]
    Source(#[source] Arc<dyn StdError + Send + Sync>),
    /// The source took longer than it may.
    #[error("the source did not answer in time")]
    SourceTimedOut,
    /// As many loads run, and wait, as may.
    #[error("too many loads at once")]
    Overloaded,
    /// The task that loaded or wrote ended without a result: it panicked, or the runtime shuts down.
    #[error("the load or write was broken off")]
    BrokenOff,
    /// The value cannot be written as bytes.
    #[error("the value cannot be encoded: {0}")]
    Encode(String),
    /// A bounded queue is full.
    #[error("the queue is full")]
    Full,
    /// An argument that makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The cache is needed for this operation and did not answer.
    #[error(transparent)]
    Cache(#[from] Fault),
}

impl Error {
    pub(crate) fn source_failed(error: impl Into<BoxError>) -> Self {
        Self::Source(Arc::from(error.into()))
    }

    /// Whether the source, not the cache, is what failed.
    #[must_use]
    pub fn is_source(&self) -> bool {
        matches!(self, Self::Source(_) | Self::SourceTimedOut | Self::Overloaded | Self::BrokenOff)
    }
}
