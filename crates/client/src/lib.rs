//! draft
mod cache; mod codec; mod entry; mod error; mod flight; mod keys; mod lease; mod loader; mod outcome; mod policy; mod report; mod server;
pub use cache::{Cache, CacheBuilder, Written, MAX_BATCH};
pub use codec::{Codec, Json};
pub use entry::MAX_VALUE_BYTES;
pub use error::{BoxError, Error, Fault};
pub use keys::{Key, MAX_TAGS};
pub use loader::Loader;
pub use outcome::{Event, Fetched, Load, Miss, Outcome, Stale};
pub use policy::Ttl;
pub use report::Counts;
pub use server::{BreakerPolicy, Limits, Server};

// The starter of test servers, which the tests beside `src` share with those in it, names this crate from outside.
#[cfg(test)]
extern crate self as larder_client;
