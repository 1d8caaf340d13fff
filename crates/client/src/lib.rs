//! Caching patterns for applications, over any server that speaks the Redis protocol: Larder, Valkey or Redis 7 and later.
//!
//! # The types
//!
//! - [`Server`]: the connection, with its [`Limits`]. Time limits, bounded waiting and a circuit breaker make sure that a
//!   cache that is down or slow costs hits and nothing else.
//! - [`Cache<V>`]: values of one type under a namespace, made by a [`CacheBuilder`] with a [`Codec`] (JSON unless told
//!   otherwise), a [`Ttl`] policy (fresh, jitter, negative, stale-while-revalidate, stale-if-error, early refresh), a schema
//!   version, compression and bounds.
//! - [`Loader`]: the source. A closure from a key to a future, or a type that also loads many keys at once.
//! - [`Key`]: a name with the tags under which it can be invalidated together with others.
//! - [`Fetched`] and [`Outcome`]: the value, and how it was come by: hit, stale hit (and why it was good enough), negative
//!   hit, miss (and why, as far as anybody knows), load (and by whom). What goes wrong is an [`Error`]; what goes wrong
//!   with the cache alone is a [`Fault`], which a read survives.
//! - [`Event`] and [`Counts`]: every outcome, load, store and write is counted by kind: through the `metrics` facade, as
//!   `tracing` events, and readable from the cache itself.
//! - [`Written`]: what a write (through, around, invalidating) did to the cache; [`WriteBehind`] for writes that reach the
//!   source later.
//! - Ready-made on top: [`Sessions`], [`RateLimiter`], [`Leaderboard`], [`QueryCache`].
//!
//! # The promises
//!
//! 1. Of the requests that miss a key at the same time, in all processes, one loads; the others wait, for a bounded time.
//! 2. Races of loaders and writers leave no old value behind: a loader stores under a lease that every writer voids. A
//!    value can be old for its time to live only if its writer could not reach the cache afterwards *and* died, or wrote
//!    for longer than the guard and died.
//! 3. An operation with a source behind it never fails because of the cache, and waits for it no longer than the limits
//!    say. Every queue, pool and retry has a bound.
//! 4. Everything that must be atomic on the server is one command or one MULTI, or a compare-and-set by WATCH: no scripts.
//!
//! `docs/caching.md` explains the patterns and when to choose which.
//!
//! ```no_run
//! use larder_client::{Cache, Server, Ttl};
//! use std::time::Duration;
//!
//! # async fn query(id: String) -> Result<Option<String>, std::io::Error> { Ok(None) }
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::new("redis://127.0.0.1:6379")?;
//! let names: Cache<String> =
//!     Cache::builder(server, "names").ttl(Ttl::new(Duration::from_secs(60))).build();
//! let name = names.fetch("42", query).await?.value;
//! # Ok(()) }
//! ```

#![forbid(unsafe_code)]

mod cache;
mod codec;
mod entry;
mod error;
mod flight;
mod keys;
mod leaderboard;
mod lease;
mod loader;
mod outcome;
mod policy;
mod query;
mod rate;
mod report;
mod server;
mod session;

pub use cache::{
    Cache, CacheBuilder, Change, MAX_BATCH, Put, Sequence, Sink, WriteBehind, WriteBehindSettings, Written,
};
pub use codec::{Codec, Json};
pub use entry::MAX_VALUE_BYTES;
pub use error::{BoxError, Error, Fault};
pub use keys::{Key, MAX_TAGS};
pub use leaderboard::{Leaderboard, MAX_PAGE, MAX_SCORE, Place, Ties};
pub use loader::Loader;
pub use outcome::{Event, Fetched, Load, Miss, Outcome, Stale};
pub use policy::Ttl;
pub use query::{Query, QueryCache};
pub use rate::{Decision, Limit, MAX_SLIDING_LIMIT, RateLimiter};
pub use report::Counts;
pub use server::{BreakerPolicy, Limits, Server};
pub use session::{MAX_SESSIONS_OF_OWNER, Sessions};

// The starter of test servers, which the tests beside `src` share with those in it, names this crate from outside.
#[cfg(test)]
extern crate self as larder_client;
